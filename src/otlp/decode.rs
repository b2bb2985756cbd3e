//! A request's body to a [`Request`].

use super::route::Target;
use super::{Encoding, Request, Signal, lenient};

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
        Encoding::Protobuf => {
            let signal = match target {
                Target::Signal(signal) => signal,
                // Protobuf does not name its message; a client that posts to `/` means logs, for
                // only a per-signal endpoint is used without a suffix and logs are the mission.
                Target::Sniff => Signal::Logs,
            };
            Request::decode_protobuf(signal, body)
                .map(|request| Decoded {
                    request,
                    rejected: 0,
                    bytes: body.len(),
                })
                .map_err(|error| DecodeError(error.to_string()))
        }
    }
}
