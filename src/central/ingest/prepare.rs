//! From a body to records that are ready to be stored. Takes its time: not for the runtime's own threads.

use std::borrow::Cow;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;

use crate::central::materialize::{NewEvent, Shape};
use crate::central::rejection::{Rejected, Rejection};
use crate::central::store::{
    BlockBuilder, Compressor, Dictionary, NewBlock, NewSignal, SignalMessage,
};
use crate::event::{AgentIdentity, Facts, Identifier, Timestamp};
use crate::http::BodyLimits;
use crate::http::otlp::Refusal;
use crate::otlp::decode::Decoded;
use crate::otlp::{self, Signal};

use super::Dialect;

/// What it takes to read one request.
pub(super) struct Preparing {
    pub(super) dialect: Dialect,
    pub(super) limits: BodyLimits,
    pub(super) identifier: Identifier,
    pub(super) environment: i64,
    pub(super) received: Timestamp,
    /// The time before which the environment keeps nothing.
    pub(super) oldest: Option<Timestamp>,
    /// Largest record in bytes.
    pub(super) max_record: usize,
    /// What records are compressed with.
    pub(super) dictionary: Dictionary,
}

/// Bytes that an event takes on its way into the store, besides its texts.
const EVENT: usize = 2_048;

/// Bytes that the events of a request take in memory, about: each has its resource's texts, too.
pub(super) fn weight_of_events(request: &otlp::Request) -> usize {
    let otlp::Request::Logs(logs) = request else {
        // They are kept as they came.
        return 0;
    };
    let of_resource = logs.resource_logs.iter().map(|resource_logs| {
        let resource = resource_logs
            .resource
            .as_ref()
            .map_or(0, Message::encoded_len);
        let scopes = resource_logs.scope_logs.iter();
        let of_scope = scopes.map(|scope_logs| {
            let scope = scope_logs.scope.as_ref().map_or(0, Message::encoded_len);
            scope_logs.log_records.len() * (EVENT + resource + scope)
        });
        of_scope.fold(0, usize::saturating_add)
    });
    of_resource.fold(0, usize::saturating_add)
}

/// One request's records.
pub(super) struct Prepared {
    pub(super) signal: Signal,
    pub(super) received: Timestamp,
    pub(super) events: Vec<NewEvent>,
    pub(super) blocks: Vec<NewBlock>,
    pub(super) signals: Vec<NewSignal>,
    pub(super) rejected: Rejected,
    /// Length of the inflated body.
    pub(super) bytes: usize,
}

impl Preparing {
    /// Inflates the body.
    ///
    /// # Errors
    /// 413 or 400.
    pub(super) fn inflate<'a>(&self, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Refusal> {
        match self.dialect {
            Dialect::Http(exchange) => exchange.inflate(body, self.limits),
            Dialect::Grpc(call) => call.inflate(body, self.limits),
        }
    }

    /// How much memory the messages of what was inflated will take.
    pub(super) fn weigh(&self, inflated: &[u8]) -> usize {
        match self.dialect {
            Dialect::Http(exchange) => exchange.weigh(inflated),
            Dialect::Grpc(call) => call.weigh(inflated),
        }
    }

    /// Decodes what was inflated.
    ///
    /// # Errors
    /// 400.
    pub(super) fn decode(&self, inflated: &[u8]) -> Result<Decoded, Refusal> {
        match self.dialect {
            Dialect::Http(exchange) => exchange.decode_inflated(inflated),
            Dialect::Grpc(call) => call.decode_inflated(inflated),
        }
    }

    /// Makes what was decoded ready to be stored.
    pub(super) fn read(&self, decoded: Decoded) -> Prepared {
        let Decoded {
            request,
            rejected,
            bytes,
        } = decoded;
        let mut prepared = Prepared {
            signal: request.signal(),
            received: self.received,
            events: Vec::new(),
            blocks: Vec::new(),
            signals: Vec::new(),
            rejected: Rejected::default(),
            bytes,
        };
        prepared.rejected.add(Rejection::Unreadable, rejected);
        let compressor = &mut self.dictionary.compressor();
        match request {
            otlp::Request::Logs(logs) => self.add_events(logs, compressor, &mut prepared),
            otlp::Request::Metrics(metrics) => {
                let messages = metrics.resource_metrics;
                self.add_signals(messages, SignalMessage::Metrics, compressor, &mut prepared);
            }
            otlp::Request::Traces(traces) => {
                let messages = traces.resource_spans;
                self.add_signals(messages, SignalMessage::Traces, compressor, &mut prepared);
            }
        }
        prepared
    }

    fn add_events(
        &self,
        mut logs: ExportLogsServiceRequest,
        compressor: &mut Compressor<'_>,
        prepared: &mut Prepared,
    ) {
        self.identifier.identify(&mut logs);
        let mut builder = BlockBuilder::new(compressor, self.received);
        for resource_logs in logs.resource_logs {
            let resource = resource_logs.resource.as_ref();
            let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
            let resource_shape = Shape::of(attributes);
            for scope_logs in resource_logs.scope_logs {
                if scope_logs.log_records.is_empty() {
                    continue;
                }
                let scope = scope_logs.scope.as_ref();
                builder.begin(resource, scope);
                for record in scope_logs.log_records {
                    if record.encoded_len() > self.max_record {
                        prepared.rejected.add(Rejection::TooLarge, 1);
                        continue;
                    }
                    let facts = Facts::read(&record, attributes, scope);
                    let time = facts.time.unwrap_or(self.received);
                    if self.oldest.is_some_and(|oldest| time < oldest) {
                        prepared.rejected.add(Rejection::TooOld, 1);
                        continue;
                    }
                    let agent = facts.agent.as_ref();
                    let event = NewEvent {
                        time,
                        agent: agent.map(|agent| self.agent_id(agent)),
                        shape: resource_shape.with(Shape::of(&record.attributes)),
                        facts,
                    };
                    builder.push(&event, record);
                    prepared.events.push(event);
                }
            }
        }
        prepared.blocks = builder.finish();
    }

    fn add_signals<M: Message>(
        &self,
        messages: Vec<M>,
        message: fn(M) -> SignalMessage,
        compressor: &mut Compressor<'_>,
        prepared: &mut Prepared,
    ) {
        let uids = self.identifier.identify_messages(&messages).into_iter();
        let signals = uids.zip(messages);
        let signals = signals.map(|(uid, it)| NewSignal::new(uid, message(it), compressor));
        prepared.signals.extend(signals);
    }

    /// An agent's id follows from its identity, so that it is the same after a rebuild; it is keyed, so
    /// that it does not betray the e-mail.
    fn agent_id(&self, agent: &AgentIdentity) -> String {
        let (kind, value): (&[u8], &str) = match agent {
            AgentIdentity::Email(email) => (b"email", email),
            AgentIdentity::Id(id) => (b"id", id),
        };
        let environment = self.environment.to_be_bytes();
        let mut id = self
            .identifier
            .id(&[b"agent", &environment, kind, value.as_bytes()]);
        id.truncate(16);
        id
    }
}
