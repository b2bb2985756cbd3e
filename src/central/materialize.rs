//! What a batch of newly stored events adds to the tables derived from them.
//!
//! Every addition is a minimum, a maximum, a sum over rows newly stored, or a set: the order in which
//! events arrive, how they are cut into batches and how late they are make no difference. Additions can
//! be added to each other ([`Deltas::merge`]), so that it makes no difference either who adds them up,
//! and when.

mod agents;
mod entities;
mod sessions;
mod machines;
mod reports;
mod rollups;
mod shapes;
mod metrics;
mod merge;

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use serde::{Deserialize, Serialize};

use crate::event::{Facts, Timestamp};

use entities::{add_entity, merge_named};

pub use agents::{AgentDelta, AgentMachines};
pub use entities::{EntityDelta, Named};
pub use machines::MachineDelta;
pub use merge::{Counts, Latest, Runs, Seen};
pub use metrics::{MetricKey, MetricSum};
pub use reports::ReportDelta;
pub use rollups::{Rollups, Span, Subject};
pub use sessions::SessionDelta;
pub use shapes::{Shape, Shapes};

/// One event, ready to be stored.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// What the record says.
    pub facts: Facts,
    /// When it happened: the record's own time, or that of its arrival.
    pub time: Timestamp,
    /// Id of the agent, derived from its identity.
    pub agent: Option<String>,
    /// Which attributes the record and its resource carry.
    pub shape: Shape,
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
    /// By day and client: its events. Written behind the reports.
    #[serde(skip)]
    pub shapes: Shapes,
    /// By session: when its metrics were counted. Written behind the shapes.
    #[serde(skip)]
    pub metric_sessions: BTreeMap<String, Seen>,
    /// By agent: the machines that its records came by. Written behind the sessions of metrics.
    #[serde(skip)]
    pub agent_machines: AgentMachines,
}

impl Deltas {
    /// Adds one newly stored event.
    pub fn add(&mut self, event: &NewEvent) {
        let counts = Counts::of(&event.facts);
        let entities = entities::entities(&event.facts);
        machines::add(&mut self.machines, &mut self.reports, event);
        agents::add(&mut self.agents, event, &entities);
        agents::add_machine(&mut self.agent_machines, event);
        sessions::add(&mut self.sessions, event, &counts, &entities);
        for (kind, name) in &entities {
            let delta = EntityDelta::of(event, *kind);
            add_entity(&mut self.entities, *kind, name, delta);
        }
        rollups::add(&mut self.rollups, event, &counts, &entities);
        shapes::add(&mut self.shapes, event);
    }

    /// Adds a newly stored message of metrics.
    pub fn add_metrics(&mut self, message: &ResourceMetrics) {
        metrics::add(&mut self.metrics, &mut self.metric_sessions, message);
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
        shapes::merge(&mut self.shapes, other.shapes);
        merge_maps(
            &mut self.metric_sessions,
            other.metric_sessions,
            Seen::merge,
        );
        merge_maps(
            &mut self.agent_machines,
            other.agent_machines,
            |machines, other| merge_maps(machines, other, Seen::merge),
        );
        merge_maps(&mut self.tokens, other.tokens, |token, other| {
            token.seen.merge(other.seen);
            merge::add_to(&mut token.requests, other.requests);
            token.address.merge(other.address);
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
