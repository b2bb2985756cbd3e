//! What a batch of newly stored events adds to the tables derived from them.
//!
//! Every addition is a minimum, a maximum, a sum over rows newly stored, or a set: the order in which
//! events arrive, how they are cut into batches and how late they are make no difference.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Activity, AgentIdentity, Facts, Timestamp, ToolKind};

use super::store::EntityKind;

/// One event, ready to be stored.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// What the record says.
    pub facts: Facts,
    /// When it happened: the record's own time, or that of its arrival.
    pub time: Timestamp,
    /// Id of the agent, derived from its identity.
    pub agent: Option<String>,
    /// The record without its content, compressed.
    pub record: Vec<u8>,
    /// Its content, compressed; empty when it has none.
    pub content: Vec<u8>,
}

/// The first and the last time something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// A minimum.
    pub first: Timestamp,
    /// A maximum.
    pub last: Timestamp,
}

impl Seen {
    fn at(time: Timestamp) -> Seen {
        Seen {
            first: time,
            last: time,
        }
    }

    fn add(&mut self, time: Timestamp) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }
}

/// The value of the latest event that has one; of two at one time, the greater.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// Time of that event; -1 when there is none.
    pub at: i64,
    /// The value; empty when there is none.
    pub value: String,
}

impl Default for Latest {
    fn default() -> Latest {
        Latest {
            at: -1,
            value: String::new(),
        }
    }
}

impl Latest {
    fn add(&mut self, time: Timestamp, value: Option<&String>) {
        if let Some(value) = value
            && (time.0, value) > (self.at, &self.value)
        {
            *self = Latest {
                at: time.0,
                value: value.clone(),
            };
        }
    }
}

/// What events add to one agent.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentDelta {
    /// Who it is.
    pub identity: AgentIdentity,
    /// When its events happened.
    pub seen: Seen,
    /// Events.
    pub events: i64,
    /// Cost in millionths of a dollar.
    pub cost_micros: i64,
    /// Version of the client.
    pub version: Latest,
    /// `service.name`.
    pub service: Latest,
}

/// What events add to one entity.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityDelta {
    /// When its events happened.
    pub seen: Seen,
    /// Events that name it.
    pub events: i64,
    /// Times it was used.
    pub uses: i64,
    /// Permissions refused.
    pub denied: i64,
}

/// What events add to one session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionDelta {
    /// When its events happened.
    pub seen: Seen,
    /// Events.
    pub events: i64,
    /// Tool results.
    pub tools: i64,
    /// Permissions refused.
    pub denied: i64,
    /// Failures.
    pub errors: i64,
    /// Model requests.
    pub requests: i64,
    /// Tokens sent, written, read from the cache, written to the cache.
    pub tokens: [i64; 4],
    /// Cost in millionths of a dollar.
    pub cost_micros: i64,
    /// Secrets taken out.
    pub redactions: i64,
    /// Version of the client.
    pub version: Latest,
    /// `service.name`.
    pub service: Latest,
    /// The least of (0 by e-mail or 1 by id, time, id) over its events.
    pub agent: Option<(i64, Timestamp, String)>,
}

/// What events add to one machine.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineDelta {
    /// When its events happened.
    pub seen: Seen,
    /// `host.name`.
    pub host_name: Latest,
    /// The operating system.
    pub os: Latest,
    /// Version of the edge.
    pub version: Latest,
    /// Time, records and bytes of the latest heartbeat.
    pub heartbeat: Option<(i64, i64, i64)>,
    /// Numbers of its records.
    pub seqs: BTreeSet<i64>,
    /// Reason, first and last of numbers that will not come.
    pub lost: BTreeSet<(String, i64, i64)>,
    /// The most records that were lost for a reason, by any heartbeat.
    pub lost_counts: BTreeMap<String, i64>,
}

/// What a batch of new events adds to every derived table of one environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deltas {
    /// By agent.
    pub agents: BTreeMap<String, AgentDelta>,
    /// By agent, attribute key and value.
    pub identities: BTreeMap<(String, &'static str, String), Seen>,
    /// By kind and name.
    pub entities: BTreeMap<(EntityKind, String), EntityDelta>,
    /// By agent, kind and name.
    pub agent_entities: BTreeMap<(String, EntityKind, String), EntityDelta>,
    /// By session.
    pub sessions: BTreeMap<String, SessionDelta>,
    /// Entities that a session used.
    pub session_entities: BTreeSet<(String, EntityKind, String)>,
    /// Turns of a session, by `prompt.id`.
    pub session_turns: BTreeSet<(String, String)>,
    /// Machines that a session's records came through.
    pub session_machines: BTreeSet<(String, String)>,
    /// By machine.
    pub machines: BTreeMap<String, MachineDelta>,
}

impl Deltas {
    /// Adds one newly stored event.
    pub fn add(&mut self, event: &NewEvent) {
        self.add_machine(event);
        self.add_agent(event);
        self.add_session(event);
        for (kind, name) in entities(&event.facts) {
            self.add_entity(event, kind, name);
        }
    }

    fn add_agent(&mut self, event: &NewEvent) {
        let (Some(agent), Some(identity)) = (&event.agent, &event.facts.agent) else {
            return;
        };
        let delta = self
            .agents
            .entry(agent.clone())
            .or_insert_with(|| AgentDelta {
                identity: identity.clone(),
                seen: Seen::at(event.time),
                events: 0,
                cost_micros: 0,
                version: Latest::default(),
                service: Latest::default(),
            });
        delta.seen.add(event.time);
        delta.events += 1;
        delta.cost_micros += event.facts.cost_micros.unwrap_or(0);
        delta
            .version
            .add(event.time, event.facts.client_version.as_ref());
        delta.service.add(event.time, event.facts.service.as_ref());
        for (key, value) in &event.facts.identities {
            self.identities
                .entry((agent.clone(), key, value.clone()))
                .or_insert(Seen::at(event.time))
                .add(event.time);
        }
    }

    fn add_session(&mut self, event: &NewEvent) {
        let facts = &event.facts;
        let Some(session) = &facts.session else {
            return;
        };
        let delta = self
            .sessions
            .entry(session.clone())
            .or_insert_with(|| SessionDelta {
                seen: Seen::at(event.time),
                events: 0,
                tools: 0,
                denied: 0,
                errors: 0,
                requests: 0,
                tokens: [0; 4],
                cost_micros: 0,
                redactions: 0,
                version: Latest::default(),
                service: Latest::default(),
                agent: None,
            });
        delta.seen.add(event.time);
        delta.events += 1;
        delta.tools += i64::from(facts.activity == Activity::ToolInvocation);
        delta.denied += i64::from(facts.is_denial());
        delta.errors += i64::from(facts.is_error());
        delta.cost_micros += facts.cost_micros.unwrap_or(0);
        delta.redactions += facts.redactions;
        if facts.name == "api_request" {
            delta.requests += 1;
            let tokens = [
                facts.input_tokens,
                facts.output_tokens,
                facts.cache_read_tokens,
                facts.cache_creation_tokens,
            ];
            for (sum, count) in delta.tokens.iter_mut().zip(tokens) {
                *sum += count.unwrap_or(0);
            }
        }
        delta.version.add(event.time, facts.client_version.as_ref());
        delta.service.add(event.time, facts.service.as_ref());
        if let (Some(agent), Some(identity)) = (&event.agent, &facts.agent) {
            let rank = i64::from(!matches!(identity, AgentIdentity::Email(_)));
            let candidate = (rank, event.time, agent.clone());
            if delta.agent.as_ref().is_none_or(|best| candidate < *best) {
                delta.agent = Some(candidate);
            }
        }
        if let Some(prompt) = &facts.prompt {
            self.session_turns.insert((session.clone(), prompt.clone()));
        }
        if let Some(machine) = &facts.machine {
            self.session_machines
                .insert((session.clone(), machine.id.clone()));
        }
    }

    fn add_entity(&mut self, event: &NewEvent, kind: EntityKind, name: String) {
        let facts = &event.facts;
        let is_use = match kind {
            EntityKind::Tool | EntityKind::McpTool => facts.activity == Activity::ToolInvocation,
            EntityKind::Model => facts.name == "api_request",
            EntityKind::WorkingDirectory => true,
        };
        let add = |delta: &mut EntityDelta| {
            delta.seen.add(event.time);
            delta.events += 1;
            delta.uses += i64::from(is_use);
            delta.denied += i64::from(facts.is_denial());
        };
        let nothing = EntityDelta {
            seen: Seen::at(event.time),
            events: 0,
            uses: 0,
            denied: 0,
        };
        if let Some(session) = &facts.session {
            self.session_entities
                .insert((session.clone(), kind, name.clone()));
        }
        if let Some(agent) = &event.agent {
            let key = (agent.clone(), kind, name.clone());
            add(self
                .agent_entities
                .entry(key)
                .or_insert_with(|| nothing.clone()));
        }
        add(self.entities.entry((kind, name)).or_insert(nothing));
    }

    fn add_machine(&mut self, event: &NewEvent) {
        let Some(machine) = &event.facts.machine else {
            return;
        };
        let delta = self
            .machines
            .entry(machine.id.clone())
            .or_insert_with(|| MachineDelta {
                seen: Seen::at(event.time),
                host_name: Latest::default(),
                os: Latest::default(),
                version: Latest::default(),
                heartbeat: None,
                seqs: BTreeSet::new(),
                lost: BTreeSet::new(),
                lost_counts: BTreeMap::new(),
            });
        delta.seen.add(event.time);
        delta.host_name.add(event.time, machine.host_name.as_ref());
        delta.os.add(event.time, machine.os.as_ref());
        delta.version.add(event.time, machine.edge_version.as_ref());
        delta.heartbeat = delta.heartbeat.max(
            machine
                .heartbeat
                .as_ref()
                .map(|heartbeat| (event.time.0, heartbeat.queue_records, heartbeat.queue_bytes)),
        );
        delta.seqs.extend(machine.seq);
        if let Some(heartbeat) = &machine.heartbeat {
            delta.lost.extend(heartbeat.lost.iter().cloned());
            for (reason, records) in &heartbeat.lost_counts {
                let most = delta.lost_counts.entry(reason.clone()).or_default();
                *most = (*most).max(*records);
            }
        }
    }
}

/// The entities that an event names.
fn entities(facts: &Facts) -> Vec<(EntityKind, String)> {
    let mut entities: Vec<(EntityKind, String)> = facts
        .directories
        .iter()
        .map(|path| (EntityKind::WorkingDirectory, path.clone()))
        .collect();
    if let Some(tool) = &facts.tool {
        let kind = match tool.kind {
            ToolKind::BuiltIn => EntityKind::Tool,
            ToolKind::Mcp => EntityKind::McpTool,
        };
        entities.push((kind, tool.name.clone()));
    }
    if let Some(model) = &facts.model {
        entities.push((EntityKind::Model, model.clone()));
    }
    entities
}
