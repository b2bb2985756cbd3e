//! What is to be stored, and what became of it.

use crate::central::materialize::{Deltas, NewEvent};
use crate::event::Timestamp;
use crate::otlp::Signal;

use super::signal_message::{SignalKeys, SignalMessage};
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
    /// What it is found by.
    pub(super) keys: SignalKeys,
    /// What it adds to the derived tables.
    pub(super) adds: Deltas,
}

impl NewSignal {
    /// A message of metrics or traces with this identity.
    pub fn new(
        uid: String,
        mut message: SignalMessage,
        compressor: &mut Compressor<'_>,
    ) -> NewSignal {
        NewSignal {
            signal: message.signal(),
            uid,
            message: compressor.compress(&message.encode()),
            adds: signal_deltas(&message),
            keys: message.keys(),
        }
    }

    /// When it was: as it says, else as it came.
    pub(super) fn time(&self, received: Timestamp) -> Timestamp {
        self.keys.time.unwrap_or(received)
    }
}

/// What a message of metrics or traces adds to the derived tables.
pub(super) fn signal_deltas(message: &SignalMessage) -> Deltas {
    let mut deltas = Deltas::default();
    if let SignalMessage::Metrics(metrics) = message {
        deltas.add_metrics(metrics);
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
