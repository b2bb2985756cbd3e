//! What events add to the sums by hour and day.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::central::store::EntityKind;
use crate::event::{Activity, Timestamp};

use super::{Counts, NewEvent, entry};

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

/// Adds an event that counts so much and names these entities.
pub(super) fn add(
    rollups: &mut Rollups,
    event: &NewEvent,
    counts: &Counts,
    entities: &[(EntityKind, &str)],
) {
    // What edges say of themselves is no activity of anybody.
    if event.facts.activity == Activity::Machine {
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
            entry(rollups.entry(key).or_default(), name, Counts::default).merge(counts);
        }
    }
}
