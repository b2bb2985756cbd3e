//! Makes blocks of the events of a request, as they are read.

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::central::materialize::NewEvent;
use crate::central::store::dictionary::Compressor;
use crate::central::store::keys::agent_key;
use crate::event::{Timestamp, ToolKind};

use super::{BlockEvent, MAX_EVENTS, NewBlock, RecordContent, SPAN_NANOS, pack};

/// Bytes of records and contents after which a block takes no further event.
const MAX_BYTES: usize = 128 << 10;

/// Packs one request's events.
pub struct BlockBuilder<'a, 'd> {
    compressor: &'a mut Compressor<'d>,
    received: Timestamp,
    /// Origins, records and contents, one after another.
    bytes: Vec<u8>,
    origin: Part,
    events: Vec<Building>,
    blocks: Vec<NewBlock>,
}

/// A part of the builder's bytes.
type Part = std::ops::Range<usize>;

struct Building {
    time: i64,
    agent: Option<i64>,
    tool: Option<(String, ToolKind)>,
    origin: Part,
    record: Part,
    content: Part,
}

impl<'a, 'd> BlockBuilder<'a, 'd> {
    /// A builder for events that came at `received`.
    pub fn new(compressor: &'a mut Compressor<'d>, received: Timestamp) -> BlockBuilder<'a, 'd> {
        BlockBuilder {
            compressor,
            received,
            bytes: Vec::new(),
            origin: 0..0,
            events: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// The resource and scope of the events that follow.
    pub fn begin(&mut self, resource: Option<&Resource>, scope: Option<&InstrumentationScope>) {
        let scope_logs = ScopeLogs {
            scope: scope.cloned(),
            ..ScopeLogs::default()
        };
        let origin = ResourceLogs {
            resource: resource.cloned(),
            scope_logs: vec![scope_logs],
            schema_url: String::new(),
        };
        self.origin = self.append(&origin);
    }

    /// Takes one more event, whose record is this.
    pub fn push(&mut self, event: &NewEvent, mut record: LogRecord) {
        let span = event.time.0.div_euclid(SPAN_NANOS);
        let is_other_span = |it: &Building| it.time.div_euclid(SPAN_NANOS) != span;
        if self.events.len() == MAX_EVENTS
            || self.bytes.len() > MAX_BYTES
            || self.events.first().is_some_and(is_other_span)
        {
            self.seal();
        }
        let content = RecordContent::take_out_of(&mut record);
        let record = self.append(&record);
        let content = self.append(&content);
        let tool = event.facts.tool.as_ref();
        self.events.push(Building {
            time: event.time.0,
            agent: event.agent.as_deref().map(agent_key),
            tool: tool.map(|tool| (tool.name.clone(), tool.kind)),
            origin: self.origin.clone(),
            record,
            content,
        });
    }

    /// The blocks, in the order of the events.
    pub fn finish(mut self) -> Vec<NewBlock> {
        self.seal();
        self.blocks
    }

    fn append(&mut self, message: &impl Message) -> Part {
        let start = self.bytes.len();
        message
            .encode(&mut self.bytes)
            .expect("a vector grows as needed");
        start..self.bytes.len()
    }

    /// Makes a block of the events so far. The origin stays, for those that follow.
    fn seal(&mut self) {
        let bytes = &self.bytes;
        let events: Vec<BlockEvent<'_>> = self
            .events
            .iter()
            .zip(1..)
            .map(|(event, number)| BlockEvent {
                // They get contiguous numbers, should all be new: the last one's is the block's.
                seq: number - self.events.len() as i64,
                time: event.time,
                received: self.received.0,
                agent: event.agent,
                tool: event.tool.as_ref().map(|(name, kind)| (&**name, *kind)),
                origin: &bytes[event.origin.clone()],
                record: &bytes[event.record.clone()],
                content: &bytes[event.content.clone()],
            })
            .collect();
        self.blocks.extend(pack(self.compressor, 0, &events));
        self.events.clear();
        let origin = self.bytes[self.origin.clone()].to_vec();
        self.bytes.clear();
        self.origin = 0..origin.len();
        self.bytes.extend(origin);
    }
}
