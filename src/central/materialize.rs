//! What a batch of newly stored events adds to the tables derived from them.
//!
//! Every addition is a minimum, a maximum, a sum over rows newly stored, or a set: the order in which
//! events arrive, how they are cut into batches and how late they are make no difference. Additions can
//! be added to each other ([`Deltas::merge`]), so that it makes no difference either who adds them up,
//! and when.

mod merge;
mod metrics;
mod reports;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::event::{AgentIdentity, Facts, Timestamp, ToolKind};

use super::store::EntityKind;

pub use merge::{Counts, Latest, Runs, Seen};
pub use metrics::{MetricKey, MetricSum};
pub use reports::{ReportDelta, day};

/// One event, ready to be stored.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// What the record says.
    pub facts: Facts,
    /// When it happened: the record's own time, or that of its arrival.
    pub time: Timestamp,
    /// Id of the agent, derived from its identity.
    pub agent: Option<String>,
}

/// Entities by kind and name.
pub type Named<T> = BTreeMap<EntityKind, BTreeMap<String, T>>;

/// What events add to one agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentDelta {
    /// The e-mail, when that is its identity.
    pub email: Option<String>,
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: String,
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
    /// Identity attributes, by key and value.
    pub identities: BTreeMap<String, BTreeMap<String, Seen>>,
    /// What it used.
    pub entities: Named<EntityDelta>,
}

/// What events add to one entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionDelta {
    /// When its events happened.
    pub seen: Seen,
    /// Its sums.
    pub counts: Counts,
    /// Version of the client.
    pub version: Latest,
    /// `service.name`.
    pub service: Latest,
    /// The least of (0 by e-mail or 1 by id, time, id) over its events.
    pub agent: Option<(i64, i64, String)>,
    /// Entities that it used.
    pub entities: Named<()>,
    /// Its turns, by `prompt.id`.
    pub turns: BTreeSet<String>,
    /// Machines that its records came through.
    pub machines: BTreeSet<String>,
}

/// What events add to one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    pub seqs: Runs,
    /// Numbers that will not come, by reason.
    pub lost: BTreeMap<String, Runs>,
    /// The most records that were lost for a reason, by any heartbeat.
    pub lost_counts: BTreeMap<String, i64>,
}

/// How accepted requests used one token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenUse {
    /// When.
    pub seen: Seen,
    /// How often.
    pub requests: i64,
    /// Where the latest came from.
    pub address: Latest,
}

/// The length of time that a roll-up sums over.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// An hour of UTC.
    Hour,
    /// A day of UTC.
    Day,
}

impl Span {
    /// Both of them.
    pub const ALL: [Span; 2] = [Span::Hour, Span::Day];

    /// Its length in seconds, which is also how the store names it.
    pub fn seconds(self) -> i64 {
        match self {
            Span::Hour => 3_600,
            Span::Day => 86_400,
        }
    }

    /// The start of the span that `time` lies in, in seconds since the Unix epoch.
    pub fn start_of(self, time: Timestamp) -> i64 {
        let seconds = time.0.div_euclid(1_000_000_000);
        seconds - seconds.rem_euclid(self.seconds())
    }
}

/// What a roll-up is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Subject {
    /// The whole environment.
    All,
    /// One agent.
    Agent,
    /// One entity.
    Entity(EntityKind),
}

impl Subject {
    /// The name in the API and in the store.
    pub fn slug(self) -> &'static str {
        match self {
            Subject::All => "all",
            Subject::Agent => "agent",
            Subject::Entity(kind) => kind.slug(),
        }
    }

    /// The subject with this name.
    pub fn from_slug(slug: &str) -> Option<Subject> {
        match slug {
            "all" => Some(Subject::All),
            "agent" => Some(Subject::Agent),
            slug => EntityKind::from_slug(slug).map(Subject::Entity),
        }
    }
}

impl JsonSchema for Subject {
    fn schema_name() -> Cow<'static, str> {
        "Subject".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let kinds = EntityKind::ALL.map(Subject::Entity).map(Subject::slug);
        let slugs = [Subject::All.slug(), Subject::Agent.slug()].into_iter();
        json_schema!({ "type": "string", "enum": slugs.chain(kinds).collect::<Vec<_>>() })
    }
}

impl From<Subject> for &'static str {
    fn from(subject: Subject) -> &'static str {
        subject.slug()
    }
}

impl TryFrom<String> for Subject {
    type Error = String;

    fn try_from(slug: String) -> Result<Subject, String> {
        Subject::from_slug(&slug)
            .ok_or_else(|| format!("{slug:?} is no subject; there are all, agent, tool, mcp_tool, model and working_directory"))
    }
}

/// Sums by name, of one subject in one span, which begins at so many seconds since the Unix epoch.
pub type Rollups = BTreeMap<(Span, i64, Subject), BTreeMap<String, Counts>>;

/// What a batch of new events adds to every derived table of one environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Deltas {
    /// By agent.
    pub agents: BTreeMap<String, AgentDelta>,
    /// Of the environment.
    pub entities: Named<EntityDelta>,
    /// By session.
    pub sessions: BTreeMap<String, SessionDelta>,
    /// By machine.
    pub machines: BTreeMap<String, MachineDelta>,
    /// By hour and day.
    pub rollups: Rollups,
    /// Claude's metrics by hour.
    pub metrics: BTreeMap<MetricKey, MetricSum>,
    /// By token; the only ones that do not come from what is stored.
    pub tokens: BTreeMap<String, TokenUse>,
    /// By machine: what it says of itself. Written behind the others, which older versions wrote alone.
    #[serde(skip)]
    pub reports: BTreeMap<String, ReportDelta>,
}

impl Deltas {
    /// Adds one newly stored event.
    pub fn add(&mut self, event: &NewEvent) {
        let counts = Counts::of(&event.facts);
        let entities = entities(&event.facts);
        self.add_machine(event);
        self.add_agent(event, &entities);
        self.add_session(event, &counts, &entities);
        for (kind, name) in &entities {
            let delta = EntityDelta::of(event, *kind);
            add_entity(&mut self.entities, *kind, name, delta);
        }
        self.add_rollups(event, &counts, &entities);
    }

    /// Adds a newly stored message of metrics.
    pub fn add_metrics(&mut self, message: &ResourceMetrics) {
        metrics::add(&mut self.metrics, message);
    }

    /// Adds an accepted request.
    pub fn add_use(&mut self, token: &str, time: Timestamp, address: &str) {
        let address = Latest {
            at: time.0,
            value: address.to_owned(),
        };
        let seen = Seen::at(time);
        let token_use = self.tokens.entry(token.to_owned()).or_insert(TokenUse {
            seen,
            requests: 0,
            address: address.clone(),
        });
        token_use.seen.merge(seen);
        token_use.requests += 1;
        token_use.address.merge(address);
    }

    /// Adds what others add.
    pub fn merge(&mut self, other: Deltas) {
        merge_maps(&mut self.agents, other.agents, AgentDelta::merge);
        merge_named(&mut self.entities, other.entities, EntityDelta::merge);
        merge_maps(&mut self.sessions, other.sessions, SessionDelta::merge);
        merge_maps(&mut self.machines, other.machines, MachineDelta::merge);
        for (key, counts) in other.rollups {
            let into = self.rollups.entry(key).or_default();
            merge_maps(into, counts, |sum, counts| sum.merge(&counts));
        }
        merge_maps(&mut self.metrics, other.metrics, MetricSum::merge);
        merge_maps(&mut self.reports, other.reports, ReportDelta::merge);
        merge_maps(&mut self.tokens, other.tokens, |token, other| {
            token.seen.merge(other.seen);
            token.requests += other.requests;
            token.address.merge(other.address);
        });
    }

    fn add_agent(&mut self, event: &NewEvent, entities: &[(EntityKind, &str)]) {
        let (Some(id), Some(identity)) = (&event.agent, &event.facts.agent) else {
            return;
        };
        let delta = entry(&mut self.agents, id, || {
            AgentDelta::new(identity, event.time)
        });
        let seen = Seen::at(event.time);
        delta.seen.merge(seen);
        delta.events += 1;
        delta.cost_micros += event.facts.cost_micros.unwrap_or(0);
        let version = event.facts.client_version.as_ref();
        delta.version.add(event.time, version);
        delta.service.add(event.time, event.facts.service.as_ref());
        for (key, value) in &event.facts.identities {
            let values = entry(&mut delta.identities, key, BTreeMap::new);
            entry(values, value, || seen).merge(seen);
        }
        for (kind, name) in entities {
            add_entity(
                &mut delta.entities,
                *kind,
                name,
                EntityDelta::of(event, *kind),
            );
        }
    }

    fn add_session(&mut self, event: &NewEvent, counts: &Counts, entities: &[(EntityKind, &str)]) {
        let facts = &event.facts;
        let Some(id) = &facts.session else {
            return;
        };
        let delta = entry(&mut self.sessions, id, || SessionDelta::new(event.time));
        delta.seen.merge(Seen::at(event.time));
        delta.counts.merge(counts);
        delta.version.add(event.time, facts.client_version.as_ref());
        delta.service.add(event.time, facts.service.as_ref());
        if let (Some(agent), Some(identity)) = (&event.agent, &facts.agent) {
            let rank = i64::from(!matches!(identity, AgentIdentity::Email(_)));
            delta.offer_agent((rank, event.time.0, agent));
        }
        for (kind, name) in entities {
            entry(delta.entities.entry(*kind).or_default(), name, || ());
        }
        if let Some(prompt) = facts
            .prompt
            .as_ref()
            .filter(|it| !delta.turns.contains(*it))
        {
            delta.turns.insert(prompt.clone());
        }
        if let Some(machine) = &facts.machine
            && !delta.machines.contains(&machine.id)
        {
            delta.machines.insert(machine.id.clone());
        }
    }

    fn add_machine(&mut self, event: &NewEvent) {
        let Some(machine) = &event.facts.machine else {
            return;
        };
        let delta = entry(&mut self.machines, &machine.id, || {
            MachineDelta::new(event.time)
        });
        delta.seen.merge(Seen::at(event.time));
        delta.host_name.add(event.time, machine.host_name.as_ref());
        delta.os.add(event.time, machine.os.as_ref());
        delta.version.add(event.time, machine.edge_version.as_ref());
        if let Some(seq) = machine.seq {
            delta.seqs.add(seq, seq);
        }
        let Some(heartbeat) = &machine.heartbeat else {
            return;
        };
        let report = entry(&mut self.reports, &machine.id, ReportDelta::default);
        report.add(event.time, &heartbeat.report);
        let told = (event.time.0, heartbeat.queue_records, heartbeat.queue_bytes);
        delta.heartbeat = delta.heartbeat.max(Some(told));
        for (reason, first, last) in &heartbeat.lost {
            entry(&mut delta.lost, reason, Runs::default).add(*first, *last);
        }
        for (reason, records) in &heartbeat.lost_counts {
            let most = entry(&mut delta.lost_counts, reason, || 0);
            *most = (*most).max(*records);
        }
    }

    fn add_rollups(&mut self, event: &NewEvent, counts: &Counts, entities: &[(EntityKind, &str)]) {
        // What edges say of themselves is no activity of anybody.
        if event.facts.activity == crate::event::Activity::Machine {
            return;
        }
        let entities = entities
            .iter()
            .map(|(kind, name)| (Subject::Entity(*kind), *name));
        let agent = event.agent.as_deref().map(|agent| (Subject::Agent, agent));
        let subjects = [(Subject::All, "")]
            .into_iter()
            .chain(agent)
            .chain(entities);
        for (subject, name) in subjects {
            for span in Span::ALL {
                let key = (span, span.start_of(event.time), subject);
                entry(self.rollups.entry(key).or_default(), name, Counts::default).merge(counts);
            }
        }
    }
}

impl AgentDelta {
    fn new(identity: &AgentIdentity, time: Timestamp) -> AgentDelta {
        AgentDelta {
            email: match identity {
                AgentIdentity::Email(email) => Some(email.clone()),
                AgentIdentity::Id(_) => None,
            },
            name: identity.name(),
            owner: identity.owner().to_owned(),
            seen: Seen::at(time),
            events: 0,
            cost_micros: 0,
            version: Latest::default(),
            service: Latest::default(),
            identities: BTreeMap::new(),
            entities: BTreeMap::new(),
        }
    }

    fn merge(&mut self, other: AgentDelta) {
        self.seen.merge(other.seen);
        self.events += other.events;
        self.cost_micros += other.cost_micros;
        self.version.merge(other.version);
        self.service.merge(other.service);
        for (key, values) in other.identities {
            let into = self.identities.entry(key).or_default();
            merge_maps(into, values, Seen::merge);
        }
        merge_named(&mut self.entities, other.entities, EntityDelta::merge);
    }
}

impl EntityDelta {
    /// What one event says of an entity of this kind that it names.
    fn of(event: &NewEvent, kind: EntityKind) -> EntityDelta {
        let facts = &event.facts;
        let is_use = match kind {
            EntityKind::Tool | EntityKind::McpTool => {
                facts.activity == crate::event::Activity::ToolInvocation
            }
            EntityKind::Model => facts.name == "api_request",
            EntityKind::WorkingDirectory => true,
        };
        EntityDelta {
            seen: Seen::at(event.time),
            events: 1,
            uses: i64::from(is_use),
            denied: i64::from(facts.is_denial()),
        }
    }

    fn merge(&mut self, other: EntityDelta) {
        self.seen.merge(other.seen);
        self.events += other.events;
        self.uses += other.uses;
        self.denied += other.denied;
    }
}

impl SessionDelta {
    fn new(time: Timestamp) -> SessionDelta {
        SessionDelta {
            seen: Seen::at(time),
            counts: Counts::default(),
            version: Latest::default(),
            service: Latest::default(),
            agent: None,
            entities: BTreeMap::new(),
            turns: BTreeSet::new(),
            machines: BTreeSet::new(),
        }
    }

    fn offer_agent(&mut self, (rank, time, id): (i64, i64, &str)) {
        let is_better = match &self.agent {
            Some(best) => (rank, time, id) < (best.0, best.1, best.2.as_str()),
            None => true,
        };
        if is_better {
            self.agent = Some((rank, time, id.to_owned()));
        }
    }

    fn merge(&mut self, other: SessionDelta) {
        self.seen.merge(other.seen);
        self.counts.merge(&other.counts);
        self.version.merge(other.version);
        self.service.merge(other.service);
        if let Some((rank, time, id)) = &other.agent {
            self.offer_agent((*rank, *time, id));
        }
        merge_named(&mut self.entities, other.entities, |(), ()| ());
        self.turns.extend(other.turns);
        self.machines.extend(other.machines);
    }
}

impl MachineDelta {
    fn new(time: Timestamp) -> MachineDelta {
        MachineDelta {
            seen: Seen::at(time),
            host_name: Latest::default(),
            os: Latest::default(),
            version: Latest::default(),
            heartbeat: None,
            seqs: Runs::default(),
            lost: BTreeMap::new(),
            lost_counts: BTreeMap::new(),
        }
    }

    fn merge(&mut self, other: MachineDelta) {
        self.seen.merge(other.seen);
        self.host_name.merge(other.host_name);
        self.os.merge(other.os);
        self.version.merge(other.version);
        self.heartbeat = self.heartbeat.max(other.heartbeat);
        self.seqs.merge(&other.seqs);
        merge_maps(&mut self.lost, other.lost, |runs, other| runs.merge(&other));
        merge_maps(&mut self.lost_counts, other.lost_counts, |most, records| {
            *most = (*most).max(records);
        });
    }
}

/// The value of a key, made when there is none; a key that is there already is not copied.
fn entry<'a, V>(
    map: &'a mut BTreeMap<String, V>,
    key: &str,
    make: impl FnOnce() -> V,
) -> &'a mut V {
    if !map.contains_key(key) {
        map.insert(key.to_owned(), make());
    }
    map.get_mut(key).expect("it is there or was just put there")
}

fn add_entity(map: &mut Named<EntityDelta>, kind: EntityKind, name: &str, delta: EntityDelta) {
    match map.entry(kind).or_default().get_mut(name) {
        Some(known) => known.merge(delta),
        None => {
            map.entry(kind).or_default().insert(name.to_owned(), delta);
        }
    }
}

fn merge_maps<K: Ord, V>(
    into: &mut BTreeMap<K, V>,
    from: BTreeMap<K, V>,
    merge: impl Fn(&mut V, V),
) {
    use std::collections::btree_map::Entry;
    for (key, value) in from {
        match into.entry(key) {
            Entry::Occupied(mut known) => merge(known.get_mut(), value),
            Entry::Vacant(free) => {
                free.insert(value);
            }
        }
    }
}

fn merge_named<V>(into: &mut Named<V>, from: Named<V>, merge: impl Fn(&mut V, V)) {
    for (kind, names) in from {
        merge_maps(into.entry(kind).or_default(), names, &merge);
    }
}

/// The entities that an event names.
fn entities(facts: &Facts) -> Vec<(EntityKind, &str)> {
    let directories = facts.directories.iter();
    let mut entities: Vec<(EntityKind, &str)> = directories
        .map(|path| (EntityKind::WorkingDirectory, path.as_str()))
        .collect();
    if let Some(tool) = &facts.tool {
        let kind = match tool.kind {
            ToolKind::BuiltIn => EntityKind::Tool,
            ToolKind::Mcp => EntityKind::McpTool,
        };
        entities.push((kind, &tool.name));
    }
    if let Some(model) = &facts.model {
        entities.push((EntityKind::Model, model));
    }
    entities
}
