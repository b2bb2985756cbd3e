//! The bytes of one entry: a fixed header, then one part of a zstd frame.
//!
//! | offset | bytes | field                                                          |
//! |-------:|------:|----------------------------------------------------------------|
//! |      0 |     1 | version, 1                                                     |
//! |      1 |     1 | signal: 1 logs, 2 metrics, 3 traces; and 64 or 128 by its sync |
//! |      2 |     2 | part, from 0                                                   |
//! |      4 |     2 | parts of the set                                               |
//! |      6 |     4 | records in the set                                             |
//! |     10 |     8 | number of the set's first record, 0 if it numbers none         |
//! |     18 |     8 | highest record number in this or any earlier entry             |
//! |     26 |     8 | appended at, milliseconds since 1970                           |
//! |     34 |     4 | bytes of the set before compression                            |
//! |     38 |     4 | bytes of the set's frame                                       |
//! |     42 |     8 | the entry's number                                             |
//! |     50 |     4 | CRC32 of the fields above, and the part                        |
//! |     54 |       | the part                                                       |
//!
//! Integers are big endian. An entry says where it belongs, so that it is found out when it turns up
//! under another number, and found again in a file that no database can read any more. Entries that are
//! synced together carry the same of these two, and those of the syncs before and after them the other.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::otlp::Signal;

/// Longest part. With the header it stays below `segment_size / 4 - 128` bytes; above that sled
/// writes a blob file, which it never syncs.
pub(super) const PART_MAX_BYTES: usize = 96 << 10;
/// What a set takes on disk beside its frame, give or take.
pub(super) const SET_BYTES: u64 = 128;
const HEADER_BYTES: usize = 54;
const NUMBER_OFFSET: usize = 42;
const CRC_OFFSET: usize = 50;
/// What every entry begins with.
pub(super) const VERSION: u8 = 1;

/// Tells the entries that are synced together from those of the sync before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Parity {
    /// Of an entry whose neighbors do not matter.
    #[default]
    Unknown,
    Odd,
    Even,
}

/// One request on its way into the queue: the entries that are appended and delivered together.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) signal: Signal,
    pub(super) records: u32,
    pub(super) first_seq: u64,
    /// How many numbers the set uses, from `first_seq` on.
    pub(super) numbers: u64,
    pub(super) appended_at: SystemTime,
    pub(super) plain_bytes: u32,
    pub(super) frame: Vec<u8>,
}

/// What an entry says about itself and its set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Header {
    pub(super) signal: Signal,
    pub(super) parity: Parity,
    pub(super) part: u16,
    pub(super) parts: u16,
    pub(super) records: u32,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) appended_at: SystemTime,
    pub(super) plain_bytes: u32,
    pub(super) frame_bytes: u32,
}

impl Header {
    /// The numbers of the set's records, if they have any: the records of logs are all numbered.
    pub(super) fn numbers(&self) -> Option<RangeInclusive<u64>> {
        let last = self.first_seq + u64::from(self.records).saturating_sub(1);
        (self.first_seq != 0 && self.records != 0).then_some(self.first_seq..=last)
    }
}

impl Parity {
    pub(super) fn next(self) -> Parity {
        match self {
            Parity::Unknown | Parity::Even => Parity::Odd,
            Parity::Odd => Parity::Even,
        }
    }

    fn code(self) -> u8 {
        match self {
            Parity::Unknown => 0,
            Parity::Odd => 64,
            Parity::Even => 128,
        }
    }
}

/// The entry is not what was written under its number.
#[derive(Debug, PartialEq)]
pub(super) struct Damaged;

impl Set {
    pub(super) fn parts(&self) -> u16 {
        let parts = self.frame.len().div_ceil(PART_MAX_BYTES).max(1);
        u16::try_from(parts).expect("a frame is shorter than 4 GiB, checked when it is made")
    }

    /// The highest number the set uses, 0 for none.
    pub(super) fn last_seq(&self) -> u64 {
        if self.numbers == 0 {
            0
        } else {
            self.first_seq + self.numbers - 1
        }
    }

    /// Writes the value of part `part`, to be stored under the number `entry`. `last_seq` is the
    /// highest record number up to and including this set.
    pub(super) fn encode(
        &self,
        part: u16,
        entry: u64,
        parity: Parity,
        last_seq: u64,
        value: &mut Vec<u8>,
    ) {
        let from = usize::from(part) * PART_MAX_BYTES;
        let to = self.frame.len().min(from + PART_MAX_BYTES);
        value.clear();
        value.push(VERSION);
        value.push(signal_code(self.signal) | parity.code());
        value.extend_from_slice(&part.to_be_bytes());
        value.extend_from_slice(&self.parts().to_be_bytes());
        value.extend_from_slice(&self.records.to_be_bytes());
        value.extend_from_slice(&self.first_seq.to_be_bytes());
        value.extend_from_slice(&last_seq.to_be_bytes());
        value.extend_from_slice(&millis(self.appended_at).to_be_bytes());
        value.extend_from_slice(&self.plain_bytes.to_be_bytes());
        value.extend_from_slice(&(self.frame.len() as u32).to_be_bytes());
        value.extend_from_slice(&entry.to_be_bytes());
        let part = &self.frame[from..to];
        let crc = checksum(value, part);
        value.extend_from_slice(&crc.to_be_bytes());
        value.extend_from_slice(part);
    }
}

/// Takes the value stored under the number `entry` apart, if it is whole.
pub(super) fn decode(entry: u64, value: &[u8]) -> Result<(Header, &[u8]), Damaged> {
    let (head, part) = value.split_at_checked(HEADER_BYTES).ok_or(Damaged)?;
    let crc = u32::from_be_bytes(field(head, CRC_OFFSET));
    if head[0] != VERSION || checksum(&head[..CRC_OFFSET], part) != crc {
        return Err(Damaged);
    }
    if u64::from_be_bytes(field(head, NUMBER_OFFSET)) != entry {
        return Err(Damaged);
    }
    let header = Header {
        signal: signal_of(head[1]).ok_or(Damaged)?,
        parity: parity_of(head[1]),
        part: u16::from_be_bytes(field(head, 2)),
        parts: u16::from_be_bytes(field(head, 4)),
        records: u32::from_be_bytes(field(head, 6)),
        first_seq: u64::from_be_bytes(field(head, 10)),
        last_seq: u64::from_be_bytes(field(head, 18)),
        appended_at: from_millis(u64::from_be_bytes(field(head, 26))),
        plain_bytes: u32::from_be_bytes(field(head, 34)),
        frame_bytes: u32::from_be_bytes(field(head, 38)),
    };
    if header.part >= header.parts {
        return Err(Damaged);
    }
    Ok((header, part))
}

/// The whole entry that begins here, if one does, among other bytes; and its number.
pub(super) fn find(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let head = bytes.get(..HEADER_BYTES)?;
    if head[0] != VERSION || signal_of(head[1]).is_none() {
        return None;
    }
    let part = usize::from(u16::from_be_bytes(field(head, 2)));
    let parts = usize::from(u16::from_be_bytes(field(head, 4)));
    let frame = u32::from_be_bytes(field(head, 38)) as usize;
    if part >= parts || parts != frame.div_ceil(PART_MAX_BYTES).max(1) {
        return None;
    }
    let length = (frame - part * PART_MAX_BYTES).min(PART_MAX_BYTES);
    let value = bytes.get(..HEADER_BYTES + length)?;
    let entry = u64::from_be_bytes(field(head, NUMBER_OFFSET));
    decode(entry, value).ok()?;
    Some((entry, value))
}

pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn from_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(millis))
        .unwrap_or(UNIX_EPOCH)
}

fn checksum(fields: &[u8], part: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(fields);
    hasher.update(part);
    hasher.finalize()
}

fn field<const N: usize>(head: &[u8], offset: usize) -> [u8; N] {
    head[offset..offset + N]
        .try_into()
        .expect("the header is longer than its last field")
}

fn signal_code(signal: Signal) -> u8 {
    match signal {
        Signal::Logs => 1,
        Signal::Metrics => 2,
        Signal::Traces => 3,
    }
}

fn signal_of(code: u8) -> Option<Signal> {
    match code & 63 {
        1 => Some(Signal::Logs),
        2 => Some(Signal::Metrics),
        3 => Some(Signal::Traces),
        _ => None,
    }
}

fn parity_of(code: u8) -> Parity {
    match code & !63 {
        64 => Parity::Odd,
        128 => Parity::Even,
        _ => Parity::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(frame: Vec<u8>) -> Set {
        Set {
            signal: Signal::Traces,
            records: 7,
            first_seq: 11,
            numbers: 3,
            appended_at: from_millis(1_700_000_000_123),
            plain_bytes: 999,
            frame,
        }
    }

    #[test]
    fn an_entry_reads_back_as_written() {
        let set = set((0..PART_MAX_BYTES + 5).map(|i| i as u8).collect());
        let mut value = Vec::new();
        set.encode(1, 42, Parity::Even, 20, &mut value);
        let (header, part) = decode(42, &value).unwrap();
        assert_eq!((header.part, header.parts, header.records), (1, 2, 7));
        assert_eq!(
            (header.signal, header.parity),
            (Signal::Traces, Parity::Even)
        );
        assert_eq!(
            (header.first_seq, header.last_seq, set.last_seq()),
            (11, 20, 13)
        );
        assert_eq!(header.appended_at, set.appended_at);
        assert_eq!(
            (header.plain_bytes, header.frame_bytes as usize),
            (999, PART_MAX_BYTES + 5)
        );
        assert_eq!(part, &set.frame[PART_MAX_BYTES..]);
    }

    #[test]
    fn every_flipped_bit_and_a_wrong_place_are_found_out() {
        let mut value = Vec::new();
        set(b"a frame".to_vec()).encode(0, 42, Parity::Odd, 13, &mut value);
        assert_eq!(decode(43, &value), Err(Damaged));
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(42, &flipped), Err(Damaged), "bit {bit}");
        }
        for length in 0..value.len() {
            assert_eq!(
                decode(42, &value[..length]),
                Err(Damaged),
                "cut to {length} bytes"
            );
        }
    }
}
