//! What a parked request and the file `removed` look like.

use std::{collections::BTreeSet, fs, io, path::Path, time::SystemTime};

use super::{
    super::{
        StorageError, directory,
        entry::{self, Header, Set},
        prepare::Compressors,
    },
    Parked, ParkedSummary,
};
use crate::{
    event::{Attributes, EDGE_SEQ},
    otlp::Request,
};

const REASON_MAX_BYTES: usize = 1024;
const REMOVED: &str = "removed";

/// The numbers of a request's records, as they were queued.
pub(super) fn numbers(request: &Request) -> Vec<u64> {
    let Request::Logs(logs) = request else {
        return Vec::new();
    };
    let scopes = logs.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
    let records = scopes.flat_map(|scope| &scope.log_records);
    records
        .filter_map(|record| Attributes::new(&record.attributes, &[]).integer(EDGE_SEQ))
        .filter_map(|number| u64::try_from(number).ok())
        .collect()
}

pub(super) fn to_set(
    parked: &Parked,
    parked_at: SystemTime,
    compressors: &Compressors,
) -> Result<Set, StorageError> {
    let reason = &parked.reason[..parked.reason.floor_char_boundary(REASON_MAX_BYTES)];
    let plain = parked.request.encode();
    let mut frame = parked.status.unwrap_or(0).to_be_bytes().to_vec();
    frame.extend_from_slice(&(reason.len() as u16).to_be_bytes());
    frame.extend_from_slice(reason.as_bytes());
    frame.extend_from_slice(&compressors.compress(&plain)?);
    Ok(Set {
        signal: parked.request.signal(),
        records: u32::try_from(parked.request.record_count()).unwrap_or(u32::MAX),
        first_seq: 0,
        numbers: 0,
        appended_at: parked_at,
        plain_bytes: u32::try_from(plain.len()).unwrap_or(u32::MAX),
        frame,
    })
}

pub(super) fn from_set(header: &Header, frame: &[u8]) -> Result<Parked, StorageError> {
    let damaged = || StorageError::Damaged("a parked request cannot be read".into());
    let (status, reason, packed) = preface(frame).ok_or_else(damaged)?;
    let plain = zstd::stream::decode_all(packed)?;
    Ok(Parked {
        reason: String::from_utf8_lossy(reason).into_owned(),
        status,
        request: Request::decode_protobuf(header.signal, &plain).map_err(|_| damaged())?,
    })
}

/// What stands before the records: the status and the reason; and the rest.
fn preface(frame: &[u8]) -> Option<(Option<u16>, &[u8], &[u8])> {
    let (status, rest) = frame.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (reason, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let status = u16::from_be_bytes(*status);
    Some(((status != 0).then_some(status), reason, rest))
}

/// A file that cannot be read brings back what was removed, which does less harm than losing more.
pub(super) fn read_removed(root: &Path) -> io::Result<BTreeSet<u64>> {
    let text = match fs::read_to_string(root.join(REMOVED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        text => text?,
    };
    let parse = || {
        let (ids, crc) = text.trim_end().rsplit_once(' ')?;
        let crc = u32::from_str_radix(crc, 16).ok()?;
        let ids_hold = crc == crc32fast::hash(ids.as_bytes());
        let numbers = ids.split_whitespace().map(|id| id.parse().ok());
        numbers.collect::<Option<_>>().filter(|_| ids_hold)
    };
    Ok(parse().unwrap_or_else(|| {
        tracing::warn!("what was removed from the parked list cannot be read, and is in it again");
        BTreeSet::new()
    }))
}

pub(super) fn write_removed(root: &Path, removed: &BTreeSet<u64>) -> io::Result<()> {
    let ids: String = removed.iter().map(|id| format!("{id}\n")).collect();
    let crc = crc32fast::hash(ids.as_bytes());
    directory::replace_file(&root.join(REMOVED), &format!("{ids} {crc:08x}\n"))
}

/// What the first part of a set tells; nothing for the other parts.
pub(super) fn summary(id: u64, header: &Header, value: &[u8]) -> Option<ParkedSummary> {
    let (_, part) = entry::decode(id, value).ok()?;
    let (status, reason, _) = preface(part)?;
    (header.part == 0).then(|| ParkedSummary {
        id,
        reason: String::from_utf8_lossy(reason).into_owned(),
        status,
        signal: header.signal,
        records: header.records.into(),
        bytes: header.frame_bytes.into(),
        parked_at: header.appended_at,
    })
}
