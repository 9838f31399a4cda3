//! How the small things are written that are texts or numbers in JSON: money, times, ratings.
//!
//! Here and not beside the types: how they are read and printed is theirs, how that is told to a
//! client is not.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    domain::{
        calendar::{Day, Zone},
        course::{Change, PRICE_MAX, Price},
        review::{Rating, Share},
    },
    http::codes::{self, Code},
    money::{AMOUNT_MAX, Amount, BasisPoints, Currency, Money},
    time::Timestamp,
};

/// A decimal of the exact form in which amounts are printed.
const PRINTED: &str = r"^-?[0-9]+\.[0-9]{2,6}$";

/// A decimal as clients are asked to write it. A few more forms are understood.
const ASKED_FOR: &str = r"^[0-9]{1,10}(\.[0-9]{1,6})?$";

macro_rules! words {
    ($($name:ident $schema:tt)*) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

words! {
    Money {
        "description": "An amount, exact, with two to six decimals.",
        "type": "string",
        "pattern": PRINTED,
        "examples": ["7.69", "0.083333"],
    }
    Amount {
        "description": format!("Above zero, at most {AMOUNT_MAX}, with up to six decimals. A number is read exactly, too."),
        "anyOf": [
            { "type": "string", "pattern": ASKED_FOR },
            { "type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000_000 },
        ],
        "examples": ["30.00"],
    }
    Price {
        "description": format!("From zero to {PRICE_MAX} a minute, with up to six decimals. A number is read exactly, too."),
        "anyOf": [
            { "type": "string", "pattern": ASKED_FOR },
            { "type": "number", "minimum": 0, "maximum": 100_000 },
        ],
        "examples": ["0.60"],
    }
    Currency {
        "description": "A currency by its three letters.",
        "type": "string",
        "pattern": "^[A-Z]{3}$",
        "examples": ["USD"],
    }
    BasisPoints {
        "description": "A share in hundredths of a percent.",
        "type": "integer",
        "minimum": 0,
        "maximum": BasisPoints::WHOLE,
        "examples": [1_000],
    }
    Timestamp {
        "description": "A moment between the years 1970 and 9999 (RFC 3339); in answers in UTC, with microseconds.",
        "type": "string",
        "format": "date-time",
        "examples": ["2026-11-20T12:00:00.000000Z"],
    }
    Day {
        "description": "A day of the years 2000 to 2199.",
        "type": "string",
        "format": "date",
        "pattern": "^2[01][0-9]{2}-[0-9]{2}-[0-9]{2}$",
        "examples": ["2026-11-30"],
    }
    Zone {
        "description": "A time zone of the IANA database: what a day is, is counted there. UTC if nothing is said.",
        "type": "string",
        "examples": ["Africa/Nairobi"],
    }
    Rating {
        "description": "One to five stars.",
        "type": "integer",
        "minimum": 1,
        "maximum": 5,
    }
    Share {
        "description": "A part of a whole, in millionths, rounded down.",
        "type": "string",
        "pattern": "^[01]\\.[0-9]{6}$",
        "examples": ["0.812500"],
    }
}

/// A value or `null`.
impl<T: JsonSchema> JsonSchema for Change<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}Change", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Option<T>>()
    }
}

/// The whole table.
impl JsonSchema for Code {
    fn schema_name() -> Cow<'static, str> {
        "ProblemCode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = codes::ALL.iter().map(|code| code.name).collect();
        json_schema!({ "type": "string", "enum": names })
    }
}
