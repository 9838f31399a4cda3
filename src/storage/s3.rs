//! Files in a bucket of S3, or of anything that speaks like it.
//!
//! Everybody, Murph too, comes with a presigned address (`SigV4`), so there is one way to sign. A link for
//! uploading signs type and size of the body, and a server that checks signatures takes no other. It also
//! signs `If-None-Match: *`, so that a second file does not take the place of the first, which was looked
//! at; a server that does not know this header is none to use. What a link cannot do is being used up: when
//! a file was removed, its holder may put it there again until the link expires.

use std::{fmt, time::Duration};

use reqwest::{Client, Response, StatusCode, header, redirect};
use rusty_s3::{
    Bucket, Credentials, S3Action, UrlStyle,
    actions::{DeleteObject, GetObject, HeadObject, PutObject},
};
use tokio_util::io::ReaderStream;

use super::{Found, Object, Spool};
use crate::{
    config,
    error::{Error, Result},
    id::FileId,
    time::Timestamp,
};

/// For S3 to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For S3 to answer a small question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an address for Murph itself is good. Long enough for clocks that differ a little.
const OWN_LIFETIME: Duration = Duration::from_mins(5);

/// Only where there is no object yet.
pub(super) const NOT_THERE: &str = "*";

/// S3 looks at a link when a file begins to come in, and lets it take its time: as long, at most.
pub(super) const PUT_LASTS: Duration = Duration::from_hours(24);

/// S3 itself said no.
#[derive(Debug, thiserror::Error)]
#[error("S3 answered {0}")]
struct Refused(StatusCode);

/// A bucket, and who Murph is there.
pub struct S3 {
    bucket: Bucket,
    credentials: Credentials,
    client: Client,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

impl S3 {
    pub(super) fn new(settings: &config::Storage) -> Result<Self> {
        let style = if settings.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let unusable = |why: &dyn fmt::Display| {
            Error::Internal(format!("storage.endpoint and storage.bucket make no address: {why}"))
        };
        let endpoint = settings.endpoint().parse().map_err(|error| unusable(&error))?;
        let (name, region) = (settings.bucket.clone(), settings.region.clone());
        let bucket =
            Bucket::new(endpoint, style, name, region).map_err(|error| unusable(&error))?;
        let (key, secret) = (&settings.access_key_id, &settings.secret_access_key);
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // A signature is for one address.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| Error::storage("setting up a client for S3", error))?;
        Ok(Self { bucket, credentials: Credentials::new(key.expose(), secret.expose()), client })
    }

    pub(super) fn upload_url(&self, object: Object, lifetime: Duration, now: Timestamp) -> String {
        let key = key(object.id);
        let size = object.size_bytes.to_string();
        let mut put = PutObject::new(&self.bucket, Some(&self.credentials), &key);
        put.headers_mut().insert("content-length", size);
        put.headers_mut().insert("content-type", object.content_type.as_str());
        put.headers_mut().insert("if-none-match", NOT_THERE);
        sign(&put, lifetime, now)
    }

    pub(super) fn playback_url(
        &self,
        object: Object,
        lifetime: Duration,
        now: Timestamp,
    ) -> String {
        let key = key(object.id);
        sign(&GetObject::new(&self.bucket, Some(&self.credentials), &key), lifetime, now)
    }

    /// Sends what came in, as its holder could have done. `false`: there is such an object already.
    pub(super) async fn put(
        &self,
        spool: &mut Spool,
        object: Object,
        limit: Duration,
        now: Timestamp,
    ) -> Result<bool> {
        let doing = "putting a file";
        let failed = |error| Error::storage("reading what came in", error);
        spool.sync().await.map_err(failed)?;
        let file = tokio::fs::File::open(spool.path()).await.map_err(failed)?;
        let request = self
            .client
            .put(self.upload_url(object, OWN_LIFETIME, now))
            .header(header::CONTENT_TYPE, object.content_type.as_str())
            .header(header::CONTENT_LENGTH, object.size_bytes)
            .header(header::IF_NONE_MATCH, NOT_THERE)
            .body(reqwest::Body::wrap_stream(ReaderStream::new(file)))
            .timeout(limit);
        let answer = send(doing, request).await?;
        let answer = expect(answer, doing, &[StatusCode::OK, StatusCode::PRECONDITION_FAILED])?;
        Ok(answer.status() == StatusCode::OK)
    }

    pub(super) async fn find(&self, id: FileId, now: Timestamp) -> Result<Option<Found>> {
        let doing = "looking for a file";
        let key = key(id);
        let head = HeadObject::new(&self.bucket, Some(&self.credentials), &key);
        let request = self.client.head(sign(&head, OWN_LIFETIME, now)).timeout(ANSWER_TIMEOUT);
        let answer = send(doing, request).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = expect(answer, doing, &[StatusCode::OK])?;
        let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let size_bytes = text(header::CONTENT_LENGTH).and_then(|size| size.parse().ok());
        Ok(Some(Found {
            // Without a size it cannot be right.
            size_bytes: size_bytes.unwrap_or_default(),
            content_type: Some(text(header::CONTENT_TYPE).unwrap_or_default().to_owned()),
        }))
    }

    pub(super) async fn read(
        &self,
        id: FileId,
        (at, length): (u64, u64),
        now: Timestamp,
    ) -> Result<Vec<u8>> {
        let doing = "reading a file";
        let key = key(id);
        let get = GetObject::new(&self.bucket, Some(&self.credentials), &key);
        let last = at.saturating_add(length).saturating_sub(1);
        let request = self
            .client
            .get(sign(&get, OWN_LIFETIME, now))
            .header(header::RANGE, format!("bytes={at}-{last}"))
            .timeout(ANSWER_TIMEOUT);
        // Not 200: that would be all of it.
        let answer = expect(send(doing, request).await?, doing, &[StatusCode::PARTIAL_CONTENT])?;
        let bytes = answer.bytes().await.map_err(|error| hidden(doing, error))?;
        Ok(bytes.to_vec())
    }

    pub(super) async fn remove(&self, id: FileId, now: Timestamp) -> Result<()> {
        let doing = "removing a file";
        let key = key(id);
        let delete = DeleteObject::new(&self.bucket, Some(&self.credentials), &key);
        let request = self.client.delete(sign(&delete, OWN_LIFETIME, now)).timeout(ANSWER_TIMEOUT);
        // What is not there is as good as removed; some servers say so.
        let fine = [StatusCode::NO_CONTENT, StatusCode::OK, StatusCode::NOT_FOUND];
        expect(send(doing, request).await?, doing, &fine).map(drop)
    }
}

fn key(id: FileId) -> String {
    format!("videos/{id}")
}

fn sign<'a>(action: &impl S3Action<'a>, lifetime: Duration, now: Timestamp) -> String {
    let now = jiff::Timestamp::from_second(now.seconds()).expect("both calendars reach as far");
    action.sign_with_time(lifetime, &now).into()
}

async fn send(doing: &'static str, request: reqwest::RequestBuilder) -> Result<Response> {
    request.send().await.map_err(|error| hidden(doing, error))
}

/// An address is as good as a key until it expires, and does not belong into a log.
fn hidden(doing: &'static str, error: reqwest::Error) -> Error {
    Error::storage(doing, error.without_url())
}

fn expect(answer: Response, doing: &'static str, fine: &[StatusCode]) -> Result<Response> {
    if fine.contains(&answer.status()) {
        return Ok(answer);
    }
    Err(Error::storage(doing, Refused(answer.status())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, Secret, Sources},
        domain::media::ContentType,
    };

    /// The vendor's own pair of keys in its documentation.
    fn s3() -> S3 {
        let mut settings = Config::load(Sources::default()).unwrap().storage;
        settings.bucket = "examplebucket".into();
        settings.access_key_id = Secret::new("AKIAIOSFODNN7EXAMPLE");
        settings.secret_access_key = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        S3::new(&settings).unwrap()
    }

    #[test]
    fn an_upload_is_signed_with_size_and_type_and_as_the_first() {
        let now = Timestamp::from_micros(1_700_000_000_999_999).unwrap();
        let id = FileId::new(now);
        let object = Object { id, content_type: ContentType::Mp4, size_bytes: 100 };
        let url = s3().upload_url(object, Duration::from_mins(1), now);
        let host = "https://examplebucket.s3.us-east-1.amazonaws.com/videos/";
        assert!(url.starts_with(&format!("{host}{id}?")), "{url}");
        let signed = "X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost%3Bif-none-match&";
        assert!(url.contains(signed) && url.contains("X-Amz-Expires=60"), "{url}");
        assert!(url.contains("X-Amz-Date=20231114T221320Z"), "{url}");
        let other =
            s3().upload_url(Object { size_bytes: 101, ..object }, Duration::from_mins(1), now);
        assert_ne!(url, other);
    }

    #[test]
    fn keys_are_never_shown() {
        let shown = format!("{:?}", s3());
        assert!(shown.contains("examplebucket") && !shown.contains("EXAMPLE\""), "{shown}");
        assert!(!shown.contains("wJalr"), "{shown}");
    }
}
