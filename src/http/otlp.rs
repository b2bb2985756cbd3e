//! OTLP over HTTP as both halves speak it: from a request's head to a decoded message, and from an
//! outcome to an answer in the client's own encoding (OTLP specification, "OTLP/HTTP").
//!
//! Statuses are chosen for clients that lose a batch on most of them (WIRE.md, section 4): 400 only
//! for a body that is not OTLP at all, 503 with `Retry-After` for whatever may pass later, never 500.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::admission::Reservation;
use super::body::{BodyError, BodyLimits, read_body};
use crate::otlp::compression::{Coding, InflateError};
use crate::otlp::decode::{Decoded, decode};
use crate::otlp::reply::{self, PartialSuccess};
use crate::otlp::route::Target;
use crate::otlp::weight::weigh;
use crate::otlp::{Encoding, Signal};

/// Seconds after which a client may try again when the store behind cannot take a record.
const RETRY_AFTER_SECONDS: u64 = 1;

/// What a request's head says about its body.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    target: Target,
    encoding: Encoding,
    coding: Coding,
}

impl Exchange {
    /// Reads a request's head.
    ///
    /// # Errors
    /// 405 for another method than POST, 415 for a body that is not OTLP's or is compressed in a way
    /// that is not read here.
    pub fn open(target: Target, head: &Parts) -> Result<Exchange, Refusal> {
        if head.method != Method::POST {
            return Err(Refusal::method_not_allowed());
        }
        let encoding =
            text(&head.headers, header::CONTENT_TYPE).and_then(Encoding::of_content_type);
        let Some(encoding) = encoding else {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Type must be application/json or application/x-protobuf",
            ));
        };
        let Some(coding) = Coding::of_header(text(&head.headers, header::CONTENT_ENCODING)) else {
            let refusal = Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Encoding must be identity, gzip or zstd",
            );
            return Err(refusal.in_encoding(encoding).with_header(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static("gzip, zstd"),
            ));
        };
        Ok(Exchange {
            target,
            encoding,
            coding,
        })
    }

    /// Reads the body, as it comes, as far as there is room for it.
    ///
    /// # Errors
    /// 413, 408, 400, or 503 when there is no room.
    pub async fn receive(
        self,
        body: &mut Body,
        limits: BodyLimits,
        room: &mut Reservation,
    ) -> Result<Bytes, Refusal> {
        let received = read_body(body, limits, room).await;
        received.map_err(|error| Refusal::of_body(&error).in_encoding(self.encoding))
    }

    /// How long the body may be once it is inflated, in bytes.
    #[cfg(feature = "edge")]
    pub fn inflated_at_most(self, body: &[u8], limits: BodyLimits) -> usize {
        match self.coding {
            Coding::Identity => body.len(),
            _ => limits.inflated(body.len()),
        }
    }

    /// Bytes that a body, once inflated, takes when it is decoded.
    pub fn weigh(self, body: &[u8]) -> usize {
        weigh(self.target, self.encoding, body)
    }

    /// Inflates a body that was read within `limits`. Takes its time, as [`Exchange::decode_inflated`]
    /// does: not for the runtime's own threads.
    ///
    /// # Errors
    /// 413 or 400.
    pub fn inflate(self, body: &[u8], limits: BodyLimits) -> Result<Cow<'_, [u8]>, Refusal> {
        self.coding
            .inflate(body, limits.inflated(body.len()))
            .map_err(|error| Refusal::of_inflating(&error).in_encoding(self.encoding))
    }

    /// Decodes a body that is inflated.
    ///
    /// # Errors
    /// 400.
    pub fn decode_inflated(self, body: &[u8]) -> Result<Decoded, Refusal> {
        decode(self.target, self.encoding, body).map_err(|error| {
            Refusal::new(StatusCode::BAD_REQUEST, error.to_string()).in_encoding(self.encoding)
        })
    }

    /// The 200 for what was stored.
    pub fn accept(self, signal: Signal, partial: &PartialSuccess) -> Response {
        let body = reply::success(signal, self.encoding, partial);
        ([(header::CONTENT_TYPE, self.encoding.content_type())], body).into_response()
    }

    /// The answer to a request that is refused.
    #[cfg(feature = "edge")]
    pub fn refuse(self, refusal: Refusal) -> Response {
        refusal.in_encoding(self.encoding).into_response()
    }

    /// `refusal` in this request's encoding.
    #[cfg(feature = "central")]
    pub fn name(self, refusal: Refusal) -> Refusal {
        refusal.in_encoding(self.encoding)
    }
}

/// Why a request is not accepted, as its answer.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    message: String,
    encoding: Option<Encoding>,
    /// Seconds after which the same may be tried again.
    retry_after: Option<u64>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// A refusal with a message for the person who reads the client's log.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            message: message.into(),
            encoding: None,
            retry_after: None,
            header: None,
        }
    }

    /// 405: only POST is spoken here.
    pub fn method_not_allowed() -> Refusal {
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "OTLP is sent by POST")
            .with_header(header::ALLOW, HeaderValue::from_static("POST"))
    }

    /// 503: try again shortly.
    pub fn unavailable(message: impl Into<String>) -> Refusal {
        Refusal {
            retry_after: Some(RETRY_AFTER_SECONDS),
            ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
        }
    }

    /// 429: try again after `wait`, in whole seconds.
    pub fn too_many(wait: Duration, message: impl Into<String>) -> Refusal {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Refusal {
            retry_after: Some(seconds.max(1)),
            ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, message)
        }
    }

    /// For a body that was not read: 413, 408, 503 or 400.
    pub(super) fn of_body(error: &BodyError) -> Refusal {
        match error {
            BodyError::TooLarge { .. } => {
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
            }
            BodyError::TooSlow => Refusal::new(StatusCode::REQUEST_TIMEOUT, error.to_string()),
            BodyError::NoRoom => Refusal::unavailable(error.to_string()),
            BodyError::Interrupted(_) => Refusal::new(StatusCode::BAD_REQUEST, error.to_string()),
        }
    }

    /// For a body that could not be inflated: 413 or 400.
    pub(super) fn of_inflating(error: &InflateError) -> Refusal {
        let status = match error {
            InflateError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            InflateError::Corrupt(_) => StatusCode::BAD_REQUEST,
        };
        Refusal::new(status, error.to_string())
    }

    /// The status over HTTP.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What it says to a person.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Time after which the same may be tried again; `None` when that helps nothing.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after.map(Duration::from_secs)
    }

    /// The same with one more header.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Refusal {
        self.header = Some((name, value));
        self
    }

    fn in_encoding(mut self, encoding: Encoding) -> Refusal {
        self.encoding = Some(encoding);
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let content_type = self.encoding.unwrap_or(Encoding::Json).content_type();
        let body = reply::error(self.encoding, &self.message);
        let mut response =
            (self.status, [(header::CONTENT_TYPE, content_type)], body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        headers.extend(self.header);
        response
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
