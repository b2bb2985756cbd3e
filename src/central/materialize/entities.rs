//! What events add to tools, MCP tools, models and directories.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::central::store::EntityKind;
use crate::event::{Activity, Facts, ToolKind};

use super::merge::add_to;
use super::{NewEvent, Seen, merge_maps};

/// Entities by kind and name.
pub type Named<T> = BTreeMap<EntityKind, BTreeMap<String, T>>;

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

/// The entities that an event names.
pub(super) fn entities(facts: &Facts) -> Vec<(EntityKind, &str)> {
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

/// Adds to the entity of this kind and name.
pub(super) fn add_entity(
    map: &mut Named<EntityDelta>,
    kind: EntityKind,
    name: &str,
    delta: EntityDelta,
) {
    match map.entry(kind).or_default().get_mut(name) {
        Some(known) => known.merge(delta),
        None => {
            map.entry(kind).or_default().insert(name.to_owned(), delta);
        }
    }
}

/// Adds what others add.
pub(super) fn merge_named<V>(into: &mut Named<V>, from: Named<V>, merge: impl Fn(&mut V, V)) {
    for (kind, names) in from {
        merge_maps(into.entry(kind).or_default(), names, &merge);
    }
}

impl EntityDelta {
    /// What one event says of an entity of this kind that it names.
    pub(super) fn of(event: &NewEvent, kind: EntityKind) -> EntityDelta {
        let facts = &event.facts;
        let is_use = match kind {
            EntityKind::Tool | EntityKind::McpTool => facts.activity == Activity::ToolInvocation,
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

    pub(super) fn merge(&mut self, other: EntityDelta) {
        self.seen.merge(other.seen);
        add_to(&mut self.events, other.events);
        add_to(&mut self.uses, other.uses);
        add_to(&mut self.denied, other.denied);
    }
}
