//! What events add to sessions.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::central::store::EntityKind;
use crate::event::{AgentIdentity, Timestamp};

use super::entities::{Named, merge_named};
use super::{Counts, Latest, NewEvent, Seen, entry};

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

/// Adds an event that counts so much and names these entities.
pub(super) fn add(
    sessions: &mut BTreeMap<String, SessionDelta>,
    event: &NewEvent,
    counts: &Counts,
    entities: &[(EntityKind, &str)],
) {
    let facts = &event.facts;
    let Some(id) = &facts.session else {
        return;
    };
    let delta = entry(sessions, id, || SessionDelta::new(event.time));
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

impl SessionDelta {
    pub(super) fn new(time: Timestamp) -> SessionDelta {
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

    pub(super) fn merge(&mut self, other: SessionDelta) {
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
