//! Answers that are more than "here it is": their types say with which status they come.

use std::marker::PhantomData;

use axum::{
    body::Bytes,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use serde::Serialize;

use super::extract::Json;
use crate::{app::App, error::Result, service::idempotency};

/// Says that a request was done before.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// 201: there is something new.
#[derive(Debug)]
pub(super) struct Created<T>(pub T);

/// 204: done, and there is nothing to say about it.
#[derive(Debug)]
pub(super) struct NoContent;

/// 200: a `T` that was read for all who asked the same.
#[derive(Debug)]
pub(super) struct Shared<T>(Bytes, PhantomData<T>);

/// 201 if it is new, 200 if it was there.
#[derive(Debug)]
pub(super) enum Ensured<T> {
    New(T),
    Known(T),
}

/// 201, also when it was done before: then it says so.
#[derive(Debug)]
pub(super) struct Repeatable<T> {
    pub(super) answer: T,
    pub(super) is_replayed: bool,
}

/// 201, or the status that is named: a `T` that was kept under an `Idempotency-Key`, sent byte for
/// byte.
#[derive(Debug)]
pub(super) struct Kept<T, const STATUS: u16 = 201>(idempotency::Answer, PhantomData<T>);

impl<T, const STATUS: u16> From<idempotency::Answer> for Kept<T, STATUS> {
    fn from(answer: idempotency::Answer) -> Self {
        Self(answer, PhantomData)
    }
}

impl<T: Serialize> Shared<T> {
    /// Has `read` answer whoever asks the same meanwhile. Nothing but the question may say what is
    /// answered: above all not who asks, unless the question names him.
    pub(super) async fn read<R, F>(app: &App, question: String, read: R) -> Result<Self>
    where
        R: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
        T: 'static,
    {
        let read = move || read().map(|answer| answer.map(|answer| written(&answer)));
        let body = app.together.ask(&app.tasks, question, read).await?;
        Ok(Self(body, PhantomData))
    }
}

fn written(answer: &impl Serialize) -> Bytes {
    serde_json::to_vec(answer).expect("an answer is plain data").into()
}

impl<T> IntoResponse for Shared<T> {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, JSON)], self.0).into_response()
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl<T: Serialize> IntoResponse for Ensured<T> {
    fn into_response(self) -> Response {
        match self {
            Self::New(new) => Created(new).into_response(),
            Self::Known(known) => Json(known).into_response(),
        }
    }
}

impl<T: Serialize> IntoResponse for Repeatable<T> {
    fn into_response(self) -> Response {
        say_if_replayed(Created(self.answer).into_response(), self.is_replayed)
    }
}

impl<T, const STATUS: u16> IntoResponse for Kept<T, STATUS> {
    fn into_response(self) -> Response {
        let answer = self.0;
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
        let response = (status, [(header::CONTENT_TYPE, JSON)], answer.body).into_response();
        say_if_replayed(response, answer.replayed)
    }
}

fn say_if_replayed(mut response: Response, is_replayed: bool) -> Response {
    if is_replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
