//! What the address of a request says: its query and the placeholders of its path.

use std::error::Error as _;

use axum::{
    extract::{FromRequestParts, rejection::QueryRejection},
    http::{Uri, request::Parts},
};
use serde::de::{self, DeserializeOwned};

use super::complaint;
use crate::http::{codes, error::Problem};

/// How a NUL is written in an address; there is no other way. It is refused for the reason given
/// in `json::refuse_nul`.
const NUL: &str = "%00";

/// The query of the address. Unknown parameters are refused if `T` denies them.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parse_query(&parts.uri).map(Self)
    }
}

fn parse_query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    if let Some(pair) = pairs.find(|pair| pair.contains(NUL)) {
        let problem = Problem::new(codes::INVALID, "a NUL character has no place in a query");
        let name = pair.split('=').next().filter(|name| !name.contains('%'));
        return Err(match name {
            Some(name) => problem.about(name),
            None => problem,
        });
    }
    match axum::extract::Query::try_from_uri(uri) {
        Ok(axum::extract::Query(value)) => Ok(value),
        Err(rejection) => Err(explain(&rejection)),
    }
}

/// Finds what serde said below axum's words around it.
fn explain(rejection: &QueryRejection) -> Problem {
    let mut cause = rejection.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<serde_path_to_error::Error<de::value::Error>>() {
            return complaint::invalid(error.path(), &error.inner().to_string());
        }
        cause = error.source();
    }
    Problem::new(codes::INVALID, "the query cannot be read")
}

/// The placeholders of the path. What is not an id names nothing: 404.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let not_found = || Problem::new(codes::NOT_FOUND, "there is nothing at this path");
        if parts.uri.path().contains(NUL) {
            return Err(not_found());
        }
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(not_found()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Page {
        limit: Option<u8>,
        cursor: Option<String>,
    }

    fn page(query: &str) -> Result<Page, Problem> {
        parse_query(&format!("/things?{query}").parse().unwrap())
    }

    #[test]
    fn a_query_that_fits_is_read() {
        let Page { limit, cursor } = page("limit=5&cursor=a%20b%2500").unwrap();
        assert_eq!((limit, cursor.as_deref()), (Some(5), Some("a b%00")));
        assert!(page("").unwrap().limit.is_none());
    }

    #[test]
    fn a_query_that_does_not_fit_is_refused_by_name() {
        for (query, param) in [
            ("limit=x", Some("limit")),
            ("limit=256", Some("limit")),
            ("limit=1&limit=2", Some("limit")),
            ("colour=red", Some("colour")),
            ("cursor=a%00b", Some("cursor")),
            ("a%00=1", None),
        ] {
            let problem = page(query).unwrap_err();
            assert_eq!((problem.code(), problem.param()), (codes::INVALID, param), "{query}");
        }
    }
}
