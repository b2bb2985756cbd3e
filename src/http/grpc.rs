//! OTLP over gRPC (OTLP specification, "OTLP/gRPC"): unary calls, each one framed message each way.
//!
//! The path to a decoded message is the one of OTLP/HTTP, with the same limits; codes follow from the
//! statuses, and say in a `RetryInfo` when the same may be tried again.

use std::borrow::Cow;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::Response;
use http_body_util::{BodyExt, Full};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::admission::Reservation;
use super::body::{BodyLimits, read_body};
use super::otlp::Refusal;
use crate::otlp::compression::Coding;
use crate::otlp::decode::{Decoded, decode};
use crate::otlp::reply::{self, PartialSuccess};
use crate::otlp::route::Target;
use crate::otlp::weight::weigh;
use crate::otlp::{Encoding, Signal};

/// Bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The compressions that are read here.
const ACCEPTED_ENCODINGS: HeaderValue = HeaderValue::from_static("identity,gzip,zstd");

/// One call of an `Export` method.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    signal: Signal,
    coding: Coding,
}

/// Whether a request is a gRPC call, of whatever method.
pub fn is_call(head: &Parts) -> bool {
    let content_type = head.headers.get(header::CONTENT_TYPE);
    head.version == Version::HTTP_2
        && content_type
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("application/grpc"))
            // Not "application/grpc-web".
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

impl Call {
    /// Reads a call's head.
    ///
    /// # Errors
    /// 404 (`UNIMPLEMENTED`) for another method, 415 (`UNIMPLEMENTED`) for another compression.
    pub fn open(head: &Parts) -> Result<Call, Refusal> {
        let signal = Signal::of_grpc_path(head.uri.path()).ok_or_else(|| {
            Refusal::new(
                StatusCode::NOT_FOUND,
                "only the Export methods of OTLP's services are spoken here",
            )
        })?;
        let encoding = head.headers.get("grpc-encoding");
        let coding = encoding.map_or(Some(Coding::Identity), |encoding| {
            Coding::of_header(Some(encoding.to_str().ok()?))
        });
        let Some(coding) = coding else {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "grpc-encoding must be identity, gzip or zstd",
            ));
        };
        Ok(Call { signal, coding })
    }

    /// Reads the message, as it comes, as far as there is room for it.
    ///
    /// # Errors
    /// 413, 408, 400, or 503 when there is no room.
    pub async fn receive(
        self,
        body: &mut Body,
        limits: BodyLimits,
        room: &mut Reservation,
    ) -> Result<Bytes, Refusal> {
        let framed = BodyLimits {
            bytes: limits.bytes.saturating_add(PREFIX),
            ..limits
        };
        read_body(body, framed, room)
            .await
            .map_err(|error| Refusal::of_body(&error))
    }

    /// Takes the message out of its frame and inflates it. Takes its time, as [`Call::decode_inflated`]
    /// does: not for the runtime's own threads.
    ///
    /// # Errors
    /// 413 or 400.
    pub fn inflate(self, body: &[u8], limits: BodyLimits) -> Result<Cow<'_, [u8]>, Refusal> {
        let malformed = |words: &str| Refusal::new(StatusCode::BAD_REQUEST, words);
        let Some((prefix, message)) = body.split_first_chunk::<PREFIX>() else {
            return Err(malformed("the call has no message"));
        };
        let [flag, length @ ..] = *prefix;
        if usize::try_from(u32::from_be_bytes(length)) != Ok(message.len()) {
            return Err(malformed(
                "the call does not hold exactly one whole message",
            ));
        }
        let coding = match flag {
            0 => Coding::Identity,
            1 if self.coding != Coding::Identity => self.coding,
            _ => return Err(malformed("the message says to be compressed, and not how")),
        };
        coding
            .inflate(message, limits.inflated(message.len()))
            .map_err(|error| Refusal::of_inflating(&error))
    }

    /// How much memory an inflated message will take.
    pub fn weigh(self, message: &[u8]) -> usize {
        weigh(Target::Signal(self.signal), Encoding::Protobuf, message)
    }

    /// Decodes a message that is inflated.
    ///
    /// # Errors
    /// 400.
    pub fn decode_inflated(self, message: &[u8]) -> Result<Decoded, Refusal> {
        decode(Target::Signal(self.signal), Encoding::Protobuf, message)
            .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))
    }

    /// `OK` for what was stored.
    pub fn accept(self, partial: &PartialSuccess) -> Response {
        let message = reply::success(self.signal, Encoding::Protobuf, partial);
        let length = u32::try_from(message.len()).expect("the answer is short");
        let framed = [&[0][..], &length.to_be_bytes(), &message].concat();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let body = Full::from(framed).with_trailers(async { Some(Ok(trailers)) });
        let mut response = Response::new(Body::new(body));
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        headers.insert("grpc-accept-encoding", ACCEPTED_ENCODINGS);
        response
    }
}

/// `refusal` as gRPC says it.
pub fn refuse(refusal: &Refusal) -> Response {
    let code = match refusal.status() {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::NOT_FOUND | StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::Unimplemented,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::REQUEST_TIMEOUT => Code::DeadlineExceeded,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ => Code::InvalidArgument,
    };
    let message = refusal.message();
    // OTLP's clients try `RESOURCE_EXHAUSTED` again only when they are told when.
    let status = match refusal.retry_after() {
        Some(wait) => {
            Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(wait)))
        }
        None => Status::new(code, message),
    };
    let mut response = status.into_http::<Body>();
    let headers = response.headers_mut();
    headers.insert("grpc-accept-encoding", ACCEPTED_ENCODINGS);
    response
}
