//! A request's body to a [`Request`].

use super::route::Target;
use super::{Encoding, Request, lenient};

/// A request as far as it could be read.
#[derive(Debug)]
pub struct Decoded {
    /// What could be read.
    pub request: Request,
    /// Records that could not be read, although the request around them could.
    pub rejected: usize,
    /// Length of the body they were read from.
    pub bytes: usize,
}

/// The body is not OTLP at all.
#[derive(Debug, thiserror::Error)]
#[error("the body is not an OTLP request: {0}")]
pub struct DecodeError(pub(super) String);

/// Reads an inflated body.
///
/// # Errors
/// Only for a body that is not OTLP: a record that cannot be read is left out and counted.
pub fn decode(target: Target, encoding: Encoding, body: &[u8]) -> Result<Decoded, DecodeError> {
    match encoding {
        Encoding::Json => lenient::decode_json(target, body),
        Encoding::Protobuf => Request::decode_protobuf(target.protobuf_signal(), body)
            .map(|request| Decoded {
                request,
                rejected: 0,
                bytes: body.len(),
            })
            .map_err(|error| DecodeError(error.to_string())),
    }
}
