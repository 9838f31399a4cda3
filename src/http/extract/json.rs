//! JSON bodies, read with care: bounded in size and time, and refused rather than guessed at.

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned},
};
use serde_json::error::Category;

use super::{Object, complaint};
use crate::{
    app::App,
    config,
    http::{codes, error::Problem},
};

/// A request's body, or a response's.
///
/// A request has to say that it sends JSON. Unknown fields are refused if `T` denies them, which
/// every body of a request should: a field that is ignored is a wish that is not heard.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        of_bytes(&bytes(request, app).await?).map(Self)
    }
}

/// A body that is said to be JSON, as it came.
pub(in crate::http) async fn bytes(request: Request, app: &App) -> Result<Bytes, Problem> {
    if !is_json(request.headers()) {
        let detail = "send the body with Content-Type: application/json";
        return Err(Problem::new(codes::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    read(request.into_body(), &app.config.server).await
}

/// What such a body says.
pub(in crate::http) fn of_bytes<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    parse(str::from_utf8(body).map_err(|_| malformed("the body is not UTF-8"))?)
}

/// `application/json` or a relative of it. Being strict here keeps HTML forms of other sites out:
/// they cannot send this type.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || essence.strip_prefix("application/").is_some_and(|kind| kind.ends_with("+json"))
}

/// The whole body, if it is small enough and arrives in time.
async fn read(body: Body, limits: &config::Server) -> Result<Bytes, Problem> {
    let most = limits.body_max_bytes;
    let too_large =
        || Problem::new(codes::BODY_TOO_LARGE, format!("at most {most} bytes are taken"));
    // Said beforehand with Content-Length: then not one byte is waited for.
    if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    match tokio::time::timeout(limits.body_timeout(), Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(codes::BAD_REQUEST, "the body broke off")),
        Err(_) => {
            let wait = limits.body_timeout_ms;
            let detail = format!("the body was not there after {wait} ms");
            Err(Problem::new(codes::TIMEOUT, detail))
        }
    }
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(codes::MALFORMED_JSON, detail)
}

/// Reads one JSON object and nothing else. What is not JSON is a 400; what is, but does not fit
/// `T`, a 422 that names the field.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    refuse_nul(text)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let Object(value) = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| explain(text, &error))?;
    deserializer.end().map_err(|error| malformed(error.to_string()))?;
    Ok(value)
}

fn explain(text: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let cause = error.inner();
    if cause.classify() != Category::Data {
        return malformed(cause.to_string());
    }
    // What comes after the value that does not fit was not looked at yet.
    match serde_json::from_str::<de::IgnoredAny>(text) {
        Ok(_) => complaint::invalid(error.path(), &cause.to_string()),
        Err(error) => malformed(error.to_string()),
    }
}

/// Refuses a text with a NUL in it. JSON and `SQLite` can hold one, `PostgreSQL` cannot; and what
/// reads a text as C does would see a shorter one than what was checked here.
fn refuse_nul(text: &str) -> Result<(), Problem> {
    // In JSON there is no other way to write one. Nearly no body has it, so nearly none is read
    // twice.
    if !text.contains("\\u0000") {
        return Ok(());
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, WithoutNul>(&mut deserializer) {
        Ok(WithoutNul) => Ok(()),
        Err(error) => Err(explain(text, &error)),
    }
}

/// Any JSON whose texts have no NUL.
struct WithoutNul;

impl<'de> Deserialize<'de> for WithoutNul {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> de::Visitor<'de> for WithoutNul {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self, E> {
        if text.contains('\0') {
            return Err(E::custom("has a NUL character, which no text may have"));
        }
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while let Some(Self) = items.next_element()? {}
        Ok(self)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        while let Some((Self, Self)) = entries.next_entry()? {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::money::Amount;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Lesson {
        title: String,
        price: Option<Amount>,
        #[serde(default)]
        parts: Vec<Object<Part>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Part {
        minutes: u8,
    }

    fn refusal(text: &str) -> (&'static str, Option<String>) {
        let problem = parse::<Lesson>(text).map(|lesson| lesson.title).unwrap_err();
        (problem.code().name, problem.param().map(str::to_owned))
    }

    #[test]
    fn what_fits_is_read() {
        let text = r#" {"title":"\u00fc\\u0000","price":"1.50","parts":[{"minutes":1}]} "#;
        let lesson = parse::<Lesson>(text).unwrap();
        assert_eq!(lesson.title, "ü\\u0000");
        assert_eq!(lesson.price.unwrap().money().to_string(), "1.50");
        assert_eq!(lesson.parts[0].0.minutes, 1);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (text, param) in [
            (r"{}", Some("title")),
            (r#"{"title":1}"#, Some("title")),
            (r#"{"title":"a","colour":"red"}"#, Some("colour")),
            (r#"{"title":"a","title":"b"}"#, Some("title")),
            (r#"{"title":"a","price":"-1"}"#, Some("price")),
            (r#"{"title":"a","parts":[{"minutes":1},{"minutes":256}]}"#, Some("parts[1].minutes")),
            (r#"{"title":"a","parts":[{}]}"#, Some("parts[0].minutes")),
            (r#"{"title":"a","parts":[{"minutes":1,"x":1}]}"#, Some("parts[0].x")),
            (r#"{"title":"a\u0000b"}"#, Some("title")),
            (r#"{"title":"a","parts":["\u0000"]}"#, Some("parts[0]")),
            (r#"{"title":"a","\u0000":1}"#, Some("\0")),
            ("[]", None),
            // Not its first field.
            (r#"["a"]"#, None),
            (r#"{"title":"a","parts":[[1]]}"#, Some("parts[0]")),
            ("null", None),
        ] {
            assert_eq!(refusal(text), ("invalid", param.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for text in [
            "",
            " ",
            "{",
            r#"{"title":"a"} x"#,
            r#"{"title":"a"}{}"#,
            r#"{"title":"a",}"#,
            r#"{"title":1,"#,
            "{}{}",
            r#"{"title":"\ud800"}"#,
            r#"{"title":"\udc00\ud800"}"#,
            "{\"title\":\"a\0b\"}",
            "{\"title\":\"a\nb\"}",
            "\u{feff}{\"title\":\"a\"}",
            "{'title':'a'}",
            "title=a",
            &deep.replace("[]", "[\"\\u0000\"]"),
        ] {
            assert_eq!(refusal(text).0, "malformed_json", "{text}");
        }
    }

    #[test]
    fn long_nonsense_is_not_repeated_at_length() {
        let text = format!(r#"{{"title":"a","{}":1}}"#, "ü".repeat(10_000));
        let (_, param) = refusal(&text);
        assert!(param.unwrap().len() <= 200);
    }

    #[test]
    fn only_json_says_it_is_json() {
        let says = |value: &'static str| {
            let value = HeaderValue::from_static(value);
            is_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, value)]))
        };
        for value in
            ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"]
        {
            assert!(says(value), "{value}");
        }
        for value in ["", "text/plain", "text/json", "application/jsonp", "json", "x+json"] {
            assert!(!says(value), "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
