//! Blocks: events as they came, many together, which compress to a third of what they take one by one.
//!
//! A block holds events of one environment in the order of `seq`, in two frames: the records without
//! their content, with what the store knows beside them, and the contents, which can be erased alone.
//! Blocks are named by the `seq` of their last event (it keeps the name when that event is deleted), and
//! blocks of an environment do not interleave: the block of an event is the first with its `seq` or a
//! higher one. The log is the blocks; the rows of `events` are an index to them.

mod builder;
mod content;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::event::ToolKind;

use super::dictionary::{Compressor, Dictionaries};
use super::query::Row;
use super::{Scope, StoreError};

pub use builder::BlockBuilder;
pub(super) use content::RecordContent;

/// Events of a block at most.
pub(super) const MAX_EVENTS: usize = 64;

/// No block holds events of two spans of time: the latest events lie in the latest blocks.
pub(super) const SPAN_NANOS: i64 = 600 * 1_000_000_000;

/// A block cannot be read: the database was damaged.
#[derive(Debug, thiserror::Error)]
#[error("a block of stored records cannot be read: {0}")]
pub struct BlockError(pub(super) String);

impl From<BlockError> for StoreError {
    fn from(error: BlockError) -> StoreError {
        StoreError::Unavailable(error.to_string())
    }
}

/// A block without a name, ready to be stored.
#[derive(Clone, Debug)]
pub struct NewBlock {
    /// Its events.
    pub(super) events: usize,
    pub(super) first_time: i64,
    pub(super) last_time: i64,
    /// The earliest event with content.
    pub(super) content_from: Option<i64>,
    pub(super) records: Vec<u8>,
    pub(super) contents: Option<Vec<u8>>,
}

/// A block as it lies in the store.
#[derive(Clone, Debug)]
pub(super) struct StoredBlock {
    pub(super) scope: Scope,
    pub(super) seq: i64,
    pub(super) last_time: i64,
    pub(super) records: Vec<u8>,
    pub(super) contents: Option<Vec<u8>>,
}

/// One event of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockEvent<'a> {
    pub(super) seq: i64,
    pub(super) time: i64,
    pub(super) received: i64,
    pub(super) agent: Option<i64>,
    pub(super) tool: Option<(&'a str, ToolKind)>,
    /// Resource and scope: OTLP's `ResourceLogs` without a record.
    pub(super) origin: &'a [u8],
    /// OTLP's `LogRecord` without its content.
    pub(super) record: &'a [u8],
    /// The content: a [`RecordContent`], or nothing.
    pub(super) content: &'a [u8],
}

/// Bytes, read without a copy.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Bytes)
    }
}

/// The frame of records. Like stands beside like, which compresses best.
#[derive(Serialize, Deserialize)]
struct Records<'a> {
    #[serde(borrow)]
    origins: Vec<Bytes<'a>>,
    #[serde(borrow)]
    heads: Vec<Head<'a>>,
    #[serde(borrow)]
    records: Vec<Bytes<'a>>,
}

/// The frame of contents, in the order of the records.
#[derive(Serialize, Deserialize)]
struct Contents<'a>(#[serde(borrow)] Vec<Bytes<'a>>);

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    /// How far its `seq` lies before the block's.
    back: u64,
    /// Nanoseconds after the event before it; after the epoch for the first.
    time: i64,
    received: i64,
    agent: Option<i64>,
    tool: Option<&'a str>,
    is_mcp: bool,
    origin: u32,
}

/// A block of these events, which is named `seq`; none when there are none.
pub(super) fn pack(
    compressor: &mut Compressor<'_>,
    seq: i64,
    events: &[BlockEvent<'_>],
) -> Option<NewBlock> {
    let mut packed = Records {
        origins: Vec::new(),
        heads: Vec::with_capacity(events.len()),
        records: events.iter().map(|event| Bytes(event.record)).collect(),
    };
    let (mut time, mut received) = (0, 0);
    for event in events {
        if packed.origins.last().is_none_or(|it| it.0 != event.origin) {
            packed.origins.push(Bytes(event.origin));
        }
        packed.heads.push(Head {
            back: seq.abs_diff(event.seq),
            time: event.time.wrapping_sub(time),
            received: event.received.wrapping_sub(received),
            agent: event.agent,
            tool: event.tool.map(|(name, _)| name),
            is_mcp: event.tool.is_some_and(|(_, kind)| kind == ToolKind::Mcp),
            origin: packed.origins.len() as u32 - 1,
        });
        (time, received) = (event.time, event.received);
    }
    let times = events.iter().map(|event| event.time);
    let with_content = events.iter().filter(|event| !event.content.is_empty());
    let content_from = with_content.map(|event| event.time).min();
    let contents = events.iter().map(|event| Bytes(event.content));
    let contents = content_from.map(|_| compress(compressor, &Contents(contents.collect())));
    Some(NewBlock {
        events: events.len(),
        first_time: times.clone().min()?,
        last_time: times.max()?,
        content_from,
        records: compress(compressor, &packed),
        contents,
    })
}

fn compress(compressor: &mut Compressor<'_>, frame: &impl Serialize) -> Vec<u8> {
    let bytes = postcard::to_stdvec(frame).expect("frames are plain values");
    compressor.compress(&bytes)
}

impl NewBlock {
    /// The same block with only some of its events, which are given as their places and the `seq`s that
    /// they got; it is named by the last one's.
    pub(super) fn only(
        &self,
        dictionaries: &Dictionaries,
        kept: &[(usize, i64)],
    ) -> Option<(i64, NewBlock)> {
        let (_, seq) = *kept.last()?;
        let inflated = Inflated::of(dictionaries, 0, &self.records, self.contents.as_deref());
        // It was made a moment ago.
        let inflated = inflated.expect("a block of this process can be read");
        let events = inflated
            .events()
            .expect("a block of this process can be read");
        let kept: Vec<BlockEvent<'_>> = kept
            .iter()
            .map(|(place, seq)| BlockEvent {
                seq: *seq,
                ..events[*place]
            })
            .collect();
        let dictionary = dictionaries.newest();
        pack(&mut dictionary.compressor(), seq, &kept).map(|block| (seq, block))
    }
}

impl StoredBlock {
    /// Columns of the rows that [`StoredBlock::read`] takes.
    pub(super) const COLUMNS: &'static str =
        "tenant, environment, seq, last_time, records, contents";

    /// Reads a row.
    pub(super) fn read(mut row: Row) -> Result<StoredBlock, StoreError> {
        Ok(StoredBlock {
            scope: Scope {
                tenant: row.take(0)?,
                environment: row.take(1)?,
            },
            seq: row.take(2)?,
            last_time: row.take(3)?,
            records: row.take(4)?,
            contents: row.take(5)?,
        })
    }

    /// What it holds.
    pub(super) fn inflate(&self, dictionaries: &Dictionaries) -> Result<Inflated, BlockError> {
        Inflated::of(
            dictionaries,
            self.seq,
            &self.records,
            self.contents.as_deref(),
        )
    }
}

/// What a block holds.
pub(super) struct Inflated {
    seq: i64,
    records: Vec<u8>,
    contents: Option<Vec<u8>>,
}

impl Inflated {
    /// What the frames of the block with this name hold.
    pub(super) fn of(
        dictionaries: &Dictionaries,
        seq: i64,
        records: &[u8],
        contents: Option<&[u8]>,
    ) -> Result<Inflated, BlockError> {
        let contents = contents.map(|contents| dictionaries.inflate(contents));
        Ok(Inflated {
            seq,
            records: dictionaries.inflate(records)?,
            contents: contents.transpose()?,
        })
    }

    /// The events, in the order of `seq`.
    pub(super) fn events(&self) -> Result<Vec<BlockEvent<'_>>, BlockError> {
        let frame: Records<'_> = postcard::from_bytes(&self.records).map_err(unreadable)?;
        let contents = match &self.contents {
            None => Vec::new(),
            Some(contents) => {
                let contents: Contents<'_> = postcard::from_bytes(contents).map_err(unreadable)?;
                contents.0
            }
        };
        let (mut time, mut received) = (0_i64, 0_i64);
        let pairs = frame.heads.iter().zip(&frame.records).enumerate();
        let events = pairs.map(|(place, (head, record))| {
            time = time.wrapping_add(head.time);
            received = received.wrapping_add(head.received);
            let origin = frame.origins.get(head.origin as usize);
            let kind = match head.is_mcp {
                true => ToolKind::Mcp,
                false => ToolKind::BuiltIn,
            };
            Ok(BlockEvent {
                seq: self.seq.wrapping_sub_unsigned(head.back),
                time,
                received,
                agent: head.agent,
                tool: head.tool.map(|name| (name, kind)),
                origin: origin.ok_or_else(|| BlockError("it is cut".to_owned()))?.0,
                record: record.0,
                content: contents.get(place).map_or(&[], |content| content.0),
            })
        });
        events.collect()
    }
}

/// A record put together again.
#[derive(Clone, Debug, Default)]
pub(super) struct WholeRecord {
    pub(super) resource: Resource,
    pub(super) scope: Option<InstrumentationScope>,
    pub(super) record: LogRecord,
}

impl BlockEvent<'_> {
    /// The record with its resource and scope.
    pub(super) fn whole(&self) -> Result<WholeRecord, BlockError> {
        let origin = ResourceLogs::decode(self.origin).map_err(unreadable)?;
        let mut record = LogRecord::decode(self.record).map_err(unreadable)?;
        let content = RecordContent::decode(self.content).map_err(unreadable)?;
        content.put_into(&mut record);
        let scope_logs = origin.scope_logs.into_iter().next().unwrap_or_default();
        Ok(WholeRecord {
            resource: origin.resource.unwrap_or_default(),
            scope: scope_logs.scope,
            record,
        })
    }

    /// What a dictionary is made from.
    pub(super) fn sample(&self) -> Vec<u8> {
        [self.origin, self.record].concat()
    }

    /// The record without its content; also that which older versions left in it.
    pub(super) fn without_content(&self) -> Result<Vec<u8>, BlockError> {
        let mut record = LogRecord::decode(self.record).map_err(unreadable)?;
        RecordContent::take_out_of(&mut record);
        Ok(record.encode_to_vec())
    }
}

fn unreadable(error: impl std::fmt::Display) -> BlockError {
    BlockError(error.to_string())
}
