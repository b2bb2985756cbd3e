//! A request becomes sets: numbered, cut into pieces that an upstream takes, encoded, compressed.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use prost::Message as _;
use zstd::bulk::Compressor;

use super::entry::{SET_BYTES, Set};
use crate::{edge::redact::Redacted, otlp::Request};

/// A request longer than this is cut between records, so that a batch can be cut there too.
const PIECE_PLAIN_BYTES: usize = 1 << 20;
/// What a record's number adds to it, with all lengths around it that may grow by a byte.
const NUMBER_BYTES: u64 = 48;
/// Level 3 makes requests like Claude's 1 to 2 % smaller for up to twice the time.
const LEVEL: i32 = 1;
/// Compressors kept while idle, for their memory.
const SPARE_COMPRESSORS: usize = 2;

/// Compressors, which are dear to make.
#[derive(Default)]
pub(super) struct Compressors(Mutex<Vec<Compressor<'static>>>);

impl Compressors {
    pub(super) fn compress(&self, plain: &[u8]) -> io::Result<Vec<u8>> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut compressor = spare.map_or_else(|| Compressor::new(LEVEL), Ok)?;
        let frame = compressor.compress(plain);
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < SPARE_COMPRESSORS {
            spares.push(compressor);
        }
        frame
    }
}

/// Length of the request's protobuf message, in bytes.
pub(super) fn plain_bytes(request: &Request) -> usize {
    match request {
        Request::Logs(logs) => logs.encoded_len(),
        Request::Metrics(metrics) => metrics.encoded_len(),
        Request::Traces(traces) => traces.encoded_len(),
    }
}

/// What so many bytes take on disk at most, once their records are numbered and compressed in vain.
/// Only a long resource, which every piece of a cut request repeats, may take more.
pub(super) fn stored_bound(plain_bytes: usize, numbers: u64) -> u64 {
    let numbered = plain_bytes as u64 + numbers * NUMBER_BYTES;
    // A cut halves the records, so at each depth fewer pieces are cut than a request has such lengths.
    let depth = u64::from(u64::BITS - numbers.leading_zeros());
    let pieces = 1 + numbered / PIECE_PLAIN_BYTES as u64 * depth;
    // What zstd adds to bytes that it cannot compress (`ZSTD_compressBound`), and a set's own.
    numbered + numbered / 256 + pieces * (64 + SET_BYTES)
}

/// Sets, and what the last of them was made of: to drop so many small texts takes a while, for which nobody needs to
/// wait.
pub(super) struct Prepared {
    pub(super) sets: Vec<Set>,
    pub(super) last: Option<Redacted>,
}

/// Numbers the records from `first_seq` on and makes the sets. `plain_bytes` is the message's length as it came.
pub(super) fn sets(
    mut redacted: Redacted,
    plain_bytes: usize,
    mut first_seq: u64,
    appended_at: SystemTime,
    compressors: &Compressors,
) -> io::Result<Prepared> {
    redacted.number_from(first_seq);
    let numbered = plain_bytes as u64 + redacted.numbered_records() * NUMBER_BYTES;
    let mut pieces = Vec::new();
    if numbered <= PIECE_PLAIN_BYTES as u64 {
        // Nearly always; to find out how long it is takes a walk over all records.
        pieces.push(redacted);
    } else {
        cut(redacted, &mut pieces);
    }
    let mut prepared = Prepared {
        sets: Vec::with_capacity(pieces.len()),
        last: None,
    };
    for piece in pieces {
        let numbers = piece.numbered_records();
        let plain = piece.request().encode();
        prepared.sets.push(Set {
            signal: piece.signal(),
            records: u32::try_from(piece.record_count()).map_err(io::Error::other)?,
            first_seq: if numbers == 0 { 0 } else { first_seq },
            numbers,
            appended_at,
            plain_bytes: u32::try_from(plain.len()).map_err(io::Error::other)?,
            frame: compressors.compress(&plain)?,
        });
        first_seq += numbers;
        prepared.last = Some(piece);
    }
    Ok(prepared)
}

fn cut(redacted: Redacted, pieces: &mut Vec<Redacted>) {
    if plain_bytes(redacted.request()) <= PIECE_PLAIN_BYTES {
        return pieces.push(redacted);
    }
    match redacted.split_at_half() {
        Ok((first, second)) => {
            cut(first, pieces);
            cut(second, pieces);
        }
        Err(single) => pieces.push(single),
    }
}
