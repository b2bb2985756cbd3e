//! One batch on its way: sent whole, or in ever smaller pieces, one after another.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::edge::queue::{Batch, BatchLimits};
use crate::edge::redact::split_half;
use crate::otlp::Request;
use crate::otlp::compression::Coding;

pub(super) struct Flight {
    pub(super) id: u64,
    pub(super) batch: Batch,
    /// What is not settled of it, in order.
    pub(super) pieces: VecDeque<Piece>,
    /// The first of them is on its way.
    pub(super) is_sending: bool,
}

/// Records as they lie in the queue, or taken apart.
pub(super) enum Piece {
    Stored(Bytes),
    Apart(Request),
}

impl Flight {
    /// A batch whole, unless it is a single append that is larger than a batch may be.
    pub(super) fn new(id: u64, batch: Batch, limits: BatchLimits) -> Flight {
        let is_too_large =
            batch.record_count() > limits.records || batch.plain_bytes() > limits.plain_bytes;
        let stored = Piece::Stored(batch.frames());
        let pieces = match is_too_large {
            false => VecDeque::from([stored]),
            true => cut(stored.take_apart(&batch), limits),
        };
        Flight {
            id,
            batch,
            pieces,
            is_sending: false,
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The zstd frames of the piece that is due; none while one is on its way.
    pub(super) fn next_to_send(&self) -> Option<Bytes> {
        if self.is_sending {
            return None;
        }
        Some(match self.pieces.front()? {
            Piece::Stored(frames) => frames.clone(),
            Piece::Apart(request) => Coding::Zstd
                .compress(&request.encode())
                .map(Bytes::from)
                .expect("zstd compresses into memory"),
        })
    }

    /// Halves the first piece.
    ///
    /// # Errors
    /// The record itself, taken out of the flight, when it stands alone.
    pub(super) fn split(&mut self) -> Result<(), Request> {
        let piece = self.pieces.pop_front().expect("it was sent");
        let (first, second) = split_half(piece.take_apart(&self.batch))?;
        self.pieces.push_front(Piece::Apart(second));
        self.pieces.push_front(Piece::Apart(first));
        Ok(())
    }
}

impl Piece {
    pub(super) fn take_apart(self, batch: &Batch) -> Request {
        match self {
            Piece::Apart(request) => request,
            Piece::Stored(_) => batch
                .decode()
                .expect("what the queue encoded and its checksum vouches for decodes"),
        }
    }

    pub(super) fn record_count(&self, batch: &Batch) -> usize {
        match self {
            Piece::Apart(request) => request.record_count(),
            Piece::Stored(_) => batch.record_count(),
        }
    }
}

/// Pieces within `limits`, in order; a record that is larger on its own stays whole.
fn cut(request: Request, limits: BatchLimits) -> VecDeque<Piece> {
    let mut pieces = VecDeque::new();
    let mut uncut = vec![request];
    while let Some(request) = uncut.pop() {
        let fits = request.record_count() <= limits.records
            && request.encode().len() <= limits.plain_bytes;
        if fits {
            pieces.push_back(Piece::Apart(request));
            continue;
        }
        match split_half(request) {
            Ok((first, second)) => uncut.extend([second, first]),
            Err(single) => pieces.push_back(Piece::Apart(single)),
        }
    }
    pieces
}
