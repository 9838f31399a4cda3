//! What each extractor asks of a request, and what it may refuse.

use std::{convert::Infallible, marker::PhantomData};

use axum::{
    Extension,
    extract::{FromRequest, Request, State},
};
use schemars::JsonSchema;
use serde_json::json;

use super::{Bearer, Operation};
use crate::{
    domain::user::Role,
    http::{
        codes::{self, Code},
        extract::{Admin, Caller, ClientAddr, IdempotencyKey, Json, Path, Query, Student, Teacher},
    },
};

/// What may be wrong with a body that should be JSON.
pub(in crate::http) const IN_JSON: &[Code] = &[
    codes::MALFORMED_JSON,
    codes::TIMEOUT,
    codes::BODY_TOO_LARGE,
    codes::UNSUPPORTED_MEDIA_TYPE,
    codes::INVALID,
];

/// Something that a handler asks for.
pub(in crate::http) trait Input {
    fn describe(operation: &mut Operation<'_>);
}

impl<S> Input for State<S> {
    fn describe(_: &mut Operation<'_>) {}
}

impl<T> Input for Extension<T> {
    fn describe(_: &mut Operation<'_>) {}
}

/// Whatever is read of it by hand, the row has to say.
impl Input for Request {
    fn describe(_: &mut Operation<'_>) {}
}

/// A request as it came. What is read of it by hand, `W` says.
#[derive(Debug)]
pub(in crate::http) struct Raw<W> {
    pub(in crate::http) request: Request,
    said_by: PhantomData<fn() -> W>,
}

impl<S: Sync, W> FromRequest<S> for Raw<W> {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(Self { request, said_by: PhantomData })
    }
}

impl<W: Input> Input for Raw<W> {
    fn describe(operation: &mut Operation<'_>) {
        W::describe(operation);
    }
}

/// Asked for to count how often an address comes.
impl Input for ClientAddr {
    fn describe(operation: &mut Operation<'_>) {
        operation.may_find(&[codes::RATE_LIMITED]);
    }
}

impl Input for Caller {
    fn describe(operation: &mut Operation<'_>) {
        operation.is_for(Bearer::Everybody);
        operation.may_find(&[codes::UNAUTHENTICATED, codes::UNAVAILABLE]);
    }
}

impl Input for Option<Caller> {
    fn describe(operation: &mut Operation<'_>) {
        Caller::describe(operation);
        operation.is_for(Bearer::OrNobody);
    }
}

macro_rules! of_role {
    ($($extractor:ident = $role:ident)*) => {$(
        impl Input for $extractor {
            fn describe(operation: &mut Operation<'_>) {
                Caller::describe(operation);
                operation.is_for(Bearer::Only(Role::$role));
                operation.may_find(&[codes::FORBIDDEN]);
            }
        }
    )*};
}

of_role! { Student = Student Teacher = Teacher Admin = Admin }

impl Input for IdempotencyKey {
    fn describe(operation: &mut Operation<'_>) {
        operation.asks_for("Idempotency-Key");
        operation.promises("Idempotency-Replayed");
        operation.may_find(&[codes::INVALID, codes::IDEMPOTENCY_KEY_REUSED]);
    }
}

impl<T: JsonSchema> Input for Json<T> {
    fn describe(operation: &mut Operation<'_>) {
        let schema = operation.read::<T>();
        operation.takes("application/json", &schema);
        operation.may_find(IN_JSON);
    }
}

impl<T: JsonSchema> Input for Query<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.takes_query::<T>();
        operation.may_find(&[codes::INVALID]);
    }
}

/// One placeholder, a tuple of them, or a struct that has each by its name.
impl<T: JsonSchema> Input for Path<T> {
    fn describe(operation: &mut Operation<'_>) {
        let schema = operation.read::<T>();
        let names = operation.placeholders();
        let schemas = match (schema["prefixItems"].as_array(), schema["properties"].as_object()) {
            (Some(schemas), _) => schemas.clone(),
            (None, Some(fields)) => names.iter().map(|name| fields[*name].clone()).collect(),
            (None, None) => vec![schema],
        };
        assert_eq!(names.len(), schemas.len(), "every placeholder of {names:?} is asked for");
        for (name, schema) in names.into_iter().zip(schemas) {
            operation.takes_parameter(json!({
                "name": name, "in": "path", "required": true, "schema": schema,
            }));
        }
        operation.may_find(&[codes::NOT_FOUND]);
    }
}
