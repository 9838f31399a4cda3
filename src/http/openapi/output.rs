//! What each answer looks like.

use axum::http::StatusCode;
use schemars::JsonSchema;

use super::{Operation, Promise};
use crate::{
    error::Error,
    http::{
        answer::{Created, Ensured, Kept, NoContent, Repeatable, Shared},
        codes,
        error::Problem,
        extract::Json,
    },
};

/// Something that a handler answers with.
pub(in crate::http) trait Output {
    fn describe(operation: &mut Operation<'_>);
}

impl<T: Output, E: Output> Output for Result<T, E> {
    fn describe(operation: &mut Operation<'_>) {
        T::describe(operation);
        E::describe(operation);
    }
}

/// Whatever can fail in our own words asks the database.
impl Output for Error {
    fn describe(operation: &mut Operation<'_>) {
        operation.may_find(&[codes::UNAVAILABLE]);
    }
}

/// Which one, the row has to say.
impl Output for Problem {
    fn describe(_: &mut Operation<'_>) {}
}

impl<T: JsonSchema> Output for Json<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers_json::<T>(StatusCode::OK);
    }
}

impl<T: JsonSchema> Output for Shared<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers_json::<T>(StatusCode::OK);
    }
}

impl<T: JsonSchema> Output for Created<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers_json::<T>(StatusCode::CREATED);
    }
}

impl<T: JsonSchema> Output for Ensured<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers_json::<T>(StatusCode::OK);
        operation.answers_json::<T>(StatusCode::CREATED);
    }
}

impl<T: JsonSchema> Output for Repeatable<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers_json::<T>(StatusCode::CREATED);
    }
}

impl<T: JsonSchema, const STATUS: u16> Output for Kept<T, STATUS> {
    fn describe(operation: &mut Operation<'_>) {
        let status = StatusCode::from_u16(STATUS).expect("a type names a status");
        operation.answers_json::<T>(status);
    }
}

impl Output for NoContent {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers(StatusCode::NO_CONTENT, Promise::empty("Done."));
    }
}

impl Operation<'_> {
    pub(in crate::http) fn answers_json<T: JsonSchema>(&mut self, status: StatusCode) {
        let schema = self.written::<T>();
        self.answers(status, Promise::of("application/json", schema));
    }
}
