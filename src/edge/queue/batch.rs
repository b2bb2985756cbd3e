//! What the reader hands out: consecutive sets of one signal.

use std::{
    fmt, io,
    ops::{Range, RangeInclusive},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::shared::Shared;
use crate::otlp::{Request, Signal};

/// Where to cut a batch. A set that is larger on its own comes as a batch of one.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Most records.
    pub records: usize,
    /// Most bytes as stored, which is as sent when the upstream takes zstd.
    pub frame_bytes: usize,
    /// Most bytes before compression.
    pub plain_bytes: usize,
    /// How long records wait for others to come along; not at all once they fill a batch.
    pub age: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            records: 8192,
            frame_bytes: 4 << 20,
            plain_bytes: 4 << 20,
            age: Duration::ZERO,
        }
    }
}

/// Records of one signal, in the order in which they were appended. Dropped without
/// [`Queue::remove`](super::Queue::remove), it goes back and is handed out again.
pub struct Batch {
    pub(super) shared: Arc<Shared>,
    pub(super) entries: Range<u64>,
    /// The numbers of its records.
    pub(super) numbers: Vec<RangeInclusive<u64>>,
    pub(super) settled: bool,
    pub(super) signal: Signal,
    pub(super) records: usize,
    pub(super) plain_bytes: usize,
    pub(super) frames: Bytes,
    pub(super) oldest: SystemTime,
}

/// A batch that passed its checksums and still is not OTLP.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not zstd.
    #[error("a queued batch cannot be decompressed: {0}")]
    Frame(#[from] io::Error),
    /// Not OTLP's protobuf.
    #[error("a queued batch is not OTLP: {0}")]
    Message(#[from] prost::DecodeError),
}

impl Batch {
    /// The signal of all its records.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// How many records it holds.
    pub fn record_count(&self) -> usize {
        self.records
    }

    /// The stored zstd frames one after another, which is itself zstd, of an OTLP protobuf
    /// message.
    pub fn frames(&self) -> Bytes {
        self.frames.clone()
    }

    /// Length of the message within the frames, in bytes.
    pub fn plain_bytes(&self) -> usize {
        self.plain_bytes
    }

    /// When its first record was appended.
    pub fn oldest(&self) -> SystemTime {
        self.oldest
    }

    /// The numbers of the queue entries it was read from.
    pub fn position(&self) -> Range<u64> {
        self.entries.clone()
    }

    /// The message within the frames: protobuf messages one after another are one message.
    pub fn decode_bytes(&self) -> Result<Vec<u8>, DecodeError> {
        let mut message = Vec::with_capacity(self.plain_bytes);
        zstd::stream::copy_decode(&self.frames[..], &mut message)?;
        Ok(message)
    }

    /// The records themselves.
    pub fn decode(&self) -> Result<Request, DecodeError> {
        Ok(Request::decode_protobuf(
            self.signal,
            &self.decode_bytes()?,
        )?)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.settled {
            self.shared.give_back(&self.entries);
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("entries", &self.entries)
            .field("signal", &self.signal)
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}
