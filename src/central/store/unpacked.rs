//! Packs events of versions that kept each record in a row of its own. The tables of that time are deleted
//! when they are empty; a start that was cut off goes on where it was.

use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use prost::Message;

use crate::event::ToolKind;

use super::block::{BlockError, BlockEvent, MAX_EVENTS, NewBlock, SPAN_NANOS, pack};
use super::dictionary::Dictionaries;
use super::query::Row;
use super::{Scope, StoreError};

/// Rows that are packed in one transaction.
pub(super) const CHUNK: i64 = 2_048;

/// What gives the next rows that [`pack_rows`] takes, in the order of `seq`.
pub(super) fn rows_sql(content: &str) -> String {
    format!(
        "SELECT e.seq, e.tenant, e.environment, e.time, e.received, e.agent, e.tool, e.is_mcp, e.record,
             c.content
         FROM unpacked_events e LEFT JOIN unpacked_content c ON {content}
         ORDER BY e.seq LIMIT {CHUNK}"
    )
}

/// One row of such a version.
struct Unpacked {
    scope: Scope,
    seq: i64,
    time: i64,
    received: i64,
    agent: Option<i64>,
    tool: Option<String>,
    is_mcp: bool,
    origin: Vec<u8>,
    record: Vec<u8>,
    content: Vec<u8>,
}

/// The blocks of these rows, with the environment and the name of each.
pub(super) fn pack_rows(
    dictionaries: &Dictionaries,
    rows: Vec<Row>,
) -> Result<Vec<(Scope, i64, NewBlock)>, StoreError> {
    let mut events = rows
        .into_iter()
        .map(|row| Unpacked::read(dictionaries, row))
        .collect::<Result<Vec<_>, _>>()?;
    events.sort_by_key(|event| (event.scope, event.seq));
    let dictionary = dictionaries.newest();
    let mut compressor = dictionary.compressor();
    let mut blocks = Vec::new();
    let is_together = |a: &Unpacked, b: &Unpacked| {
        a.scope == b.scope && a.time.div_euclid(SPAN_NANOS) == b.time.div_euclid(SPAN_NANOS)
    };
    for group in events
        .chunk_by(is_together)
        .flat_map(|group| group.chunks(MAX_EVENTS))
    {
        let last = group.last().expect("a group is not empty");
        let packed: Vec<BlockEvent<'_>> = group.iter().map(Unpacked::event).collect();
        let block = pack(&mut compressor, last.seq, &packed);
        blocks.extend(block.map(|block| (last.scope, last.seq, block)));
    }
    Ok(blocks)
}

impl Unpacked {
    fn read(dictionaries: &Dictionaries, mut row: Row) -> Result<Unpacked, StoreError> {
        let record: Vec<u8> = row.take(8)?;
        let content: Option<Vec<u8>> = row.take(9)?;
        let content = content.map(|content| dictionaries.inflate(&content));
        let unreadable = |error: prost::DecodeError| BlockError(error.to_string());
        let mut origin =
            ResourceLogs::decode(dictionaries.inflate(&record)?.as_slice()).map_err(unreadable)?;
        let scope_logs = origin.scope_logs.first_mut();
        let record = scope_logs.and_then(|scope_logs| scope_logs.log_records.pop());
        Ok(Unpacked {
            seq: row.take(0)?,
            scope: Scope {
                tenant: row.take(1)?,
                environment: row.take(2)?,
            },
            time: row.take(3)?,
            received: row.take(4)?,
            agent: row.take(5)?,
            tool: row.take(6)?,
            is_mcp: row.take::<Option<i64>>(7)? == Some(1),
            origin: origin.encode_to_vec(),
            record: record.unwrap_or_default().encode_to_vec(),
            content: content.transpose()?.unwrap_or_default(),
        })
    }

    fn event(&self) -> BlockEvent<'_> {
        let kind = match self.is_mcp {
            true => ToolKind::Mcp,
            false => ToolKind::BuiltIn,
        };
        BlockEvent {
            seq: self.seq,
            time: self.time,
            received: self.received,
            agent: self.agent,
            tool: self.tool.as_deref().map(|name| (name, kind)),
            origin: &self.origin,
            record: &self.record,
            content: &self.content,
        }
    }
}
