//! What is to be stored, and what became of it.

use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use prost::Message;

use crate::central::materialize::{Deltas, NewEvent};
use crate::event::Timestamp;
use crate::otlp::Signal;

use super::{Compressor, NewBlock, Scope};

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
    /// What log records say.
    pub events: Vec<NewEvent>,
    /// The same records packed, in the same order.
    pub blocks: Vec<NewBlock>,
    /// Metrics or spans.
    pub signals: Vec<NewSignal>,
}

/// One `ResourceMetrics` or `ResourceSpans`, kept whole.
#[derive(Clone, Debug)]
pub struct NewSignal {
    pub(super) signal: Signal,
    pub(super) uid: String,
    /// The message, compressed.
    pub(super) message: Vec<u8>,
    /// What it adds to the derived tables.
    pub(super) adds: Deltas,
}

impl NewSignal {
    /// A message of metrics or traces with this identity, as it is encoded.
    pub fn new(
        signal: Signal,
        uid: String,
        message: &[u8],
        compressor: &mut Compressor<'_>,
    ) -> NewSignal {
        NewSignal {
            signal,
            uid,
            message: compressor.compress(message),
            adds: signal_deltas(signal, message),
        }
    }
}

/// What a message of metrics or traces adds to the derived tables.
pub(super) fn signal_deltas(signal: Signal, message: &[u8]) -> Deltas {
    let mut deltas = Deltas::default();
    if signal == Signal::Metrics
        && let Ok(metrics) = ResourceMetrics::decode(message)
    {
        deltas.add_metrics(&metrics);
    }
    deltas
}

/// What became of a request's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Newly stored.
    pub new: usize,
    /// Stored before.
    pub known: usize,
}
