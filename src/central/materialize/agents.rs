//! What events add to agents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::central::store::EntityKind;
use crate::event::{AgentIdentity, Timestamp};

use super::entities::{EntityDelta, Named, add_entity, merge_named};
use super::merge::add_to;
use super::{Latest, NewEvent, Seen, entry, merge_maps};

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

/// When an agent's records came by a machine, by agent and machine. The machine is empty for records that came
/// without an edge.
pub type AgentMachines = BTreeMap<String, BTreeMap<String, Seen>>;

/// Adds the machine that an event came by.
pub(super) fn add_machine(agents: &mut AgentMachines, event: &NewEvent) {
    let Some(agent) = &event.agent else {
        return;
    };
    let machine = event.facts.machine.as_ref().map_or("", |it| it.id.as_str());
    let seen = Seen::at(event.time);
    let machines = entry(agents, agent, BTreeMap::new);
    entry(machines, machine, || seen).merge(seen);
}

/// Adds an event that names these entities.
pub(super) fn add(
    agents: &mut BTreeMap<String, AgentDelta>,
    event: &NewEvent,
    entities: &[(EntityKind, &str)],
) {
    let (Some(id), Some(identity)) = (&event.agent, &event.facts.agent) else {
        return;
    };
    let delta = entry(agents, id, || AgentDelta::new(identity, event.time));
    let seen = Seen::at(event.time);
    delta.seen.merge(seen);
    delta.events += 1;
    add_to(&mut delta.cost_micros, event.facts.cost_micros.unwrap_or(0));
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

impl AgentDelta {
    pub(super) fn new(identity: &AgentIdentity, time: Timestamp) -> AgentDelta {
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

    pub(super) fn merge(&mut self, other: AgentDelta) {
        self.seen.merge(other.seen);
        add_to(&mut self.events, other.events);
        add_to(&mut self.cost_micros, other.cost_micros);
        self.version.merge(other.version);
        self.service.merge(other.service);
        for (key, values) in other.identities {
            let into = self.identities.entry(key).or_default();
            merge_maps(into, values, Seen::merge);
        }
        merge_named(&mut self.entities, other.entities, EntityDelta::merge);
    }
}
