//! What is to be stored, and what became of it.

use crate::central::materialize::NewEvent;
use crate::event::Timestamp;
use crate::otlp::Signal;

use super::Scope;

/// One request's records, ready to be stored.
#[derive(Clone, Debug)]
pub struct Ingest {
    /// The environment that the request's token names.
    pub scope: Scope,
    /// The token, whose use is counted.
    pub token_id: String,
    /// Where the request came from.
    pub address: String,
    /// When it came.
    pub received: Timestamp,
    /// Log records.
    pub events: Vec<NewEvent>,
    /// Metrics or spans.
    pub signals: Vec<NewSignal>,
}

/// One `ResourceMetrics` or `ResourceSpans`, kept whole.
#[derive(Clone, Debug)]
pub struct NewSignal {
    /// Metrics or traces.
    pub signal: Signal,
    /// Its identity.
    pub uid: String,
    /// The message, compressed.
    pub message: Vec<u8>,
}

/// What became of a request's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Newly stored.
    pub new: usize,
    /// Stored before.
    pub known: usize,
}
