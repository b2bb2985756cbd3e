//! What a list of events looks for: a filter's terms, with names made into the keys that events are found
//! by.

mod narrow;

use crate::event::content::Content;
use crate::event::{Activity, Attributes, Timestamp, ToolKind};
use crate::otlp::json::plain_attributes;

use super::block::BlockEvent;
use super::event_row::StoredEvent;
use super::keys::agent_id;
use super::query::Query;
use super::terms::{Qualifier, Term};
use super::text::Sought;
use super::{EventFilter, Scope, Sight, Store, StoreError};

/// Sessions of a directory that are looked up at most: the latest.
const MAX_DIRECTORY_SESSIONS: i64 = 5_000;

/// What a list of events looks for.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) scope: Scope,
    pub(super) agents: Wanted,
    pub(super) sessions: Wanted,
    pub(super) kinds: Wanted,
    pub(super) tools: Wanted,
    servers: Wanted,
    models: Wanted,
    decisions: Wanted,
    sources: Wanted,
    versions: Wanted,
    machines: Wanted,
    /// Sessions that worked in the directories.
    directories: Wanted,
    has_prompt: Option<bool>,
    /// Texts that must occur, in lower case, and of which the text index knows the words.
    pub(super) needles: Vec<String>,
    /// Texts that must occur, in lower case, wherever in a word they begin and end.
    within: Vec<String>,
    without_needles: Vec<String>,
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

/// Values of one kind: any of some, and none of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// `None` is any; an empty list is none.
    pub(super) only: Option<Vec<String>>,
    pub(super) without: Vec<String>,
}

impl Wanted {
    fn of(terms: &[Term], qualifier: Option<Qualifier>) -> Wanted {
        let values = |is_excluded| -> Vec<String> {
            let found = terms
                .iter()
                .filter(|term| term.qualifier == qualifier && term.is_excluded == is_excluded);
            found.map(|term| term.value.clone()).collect()
        };
        Wanted {
            only: Some(values(false)).filter(|values| !values.is_empty()),
            without: values(true),
        }
    }

    /// The only value, when there is exactly one.
    pub(super) fn single(&self) -> Option<&str> {
        match self.only.as_deref() {
            Some([value]) => Some(value),
            _ => None,
        }
    }

    fn is_any(&self) -> bool {
        self.only.is_none() && self.without.is_empty()
    }

    fn matches(&self, is: impl Fn(&str) -> bool) -> bool {
        let is_one = |values: &[String]| values.iter().any(|value| is(value));
        self.only.as_deref().is_none_or(is_one) && !is_one(&self.without)
    }

    fn has(&self, found: Option<&str>) -> bool {
        self.matches(|value| found == Some(value))
    }
}

impl Store {
    /// What a filter looks for; `None` when nothing can match, and [`StoreError::ContentHidden`] when it
    /// looks for text that may not be seen.
    pub(super) async fn search(
        &self,
        sight: &Sight,
        filter: &EventFilter,
    ) -> Result<Option<Search>, StoreError> {
        let scope = sight.scope;
        let terms = filter
            .terms()
            .map_err(|error| StoreError::BadQuery(error.to_string()))?;
        let of = |qualifier| Wanted::of(&terms, Some(qualifier));
        let lower = |values: Vec<String>| -> Vec<String> {
            values.iter().map(|text| text.to_lowercase()).collect()
        };
        let (text, within) = (Wanted::of(&terms, None), of(Qualifier::Text));
        let seeks_text = !text.is_any() || !within.is_any();
        if seeks_text && !sight.shows_all(of(Qualifier::Session).single()) {
            return Err(StoreError::ContentHidden);
        }
        let has = of(Qualifier::Has);
        let agents = self
            .resolve(scope, of(Qualifier::Agent), Names::Agents)
            .await?;
        let users = self
            .resolve(scope, of(Qualifier::User), Names::Users)
            .await?;
        let machines = self
            .resolve(scope, of(Qualifier::Machine), Names::Machines)
            .await?;
        let directories = self
            .resolve(scope, of(Qualifier::Dir), Names::Directories)
            .await?;
        let agents = both(agents, users);
        let is_empty = |wanted: &Wanted| wanted.only.as_ref().is_some_and(Vec::is_empty);
        if [&agents, &machines, &directories].into_iter().any(is_empty) {
            return Ok(None);
        }
        Ok(Some(Search {
            scope,
            agents,
            sessions: of(Qualifier::Session),
            kinds: of(Qualifier::Type),
            tools: of(Qualifier::Tool),
            servers: of(Qualifier::Mcp),
            models: of(Qualifier::Model),
            decisions: of(Qualifier::Decision),
            sources: of(Qualifier::Source),
            versions: of(Qualifier::Version),
            machines,
            directories,
            has_prompt: match (has.only.is_some(), has.without.is_empty()) {
                (true, _) => Some(true),
                (_, false) => Some(false),
                _ => None,
            },
            needles: lower(text.only.unwrap_or_default()),
            within: lower(within.only.unwrap_or_default()),
            without_needles: lower([text.without, within.without].concat()),
            from: filter.from,
            to: filter.to,
        }))
    }

    /// Names made into ids.
    async fn resolve(
        &self,
        scope: Scope,
        names: Wanted,
        kind: Names,
    ) -> Result<Wanted, StoreError> {
        let mut wanted = Wanted::default();
        if let Some(only) = names.only {
            let mut ids = Vec::new();
            for name in &only {
                ids.extend(self.ids_of(scope, kind, name).await?);
            }
            wanted.only = Some(ids);
        }
        for name in &names.without {
            wanted.without.extend(self.ids_of(scope, kind, name).await?);
        }
        Ok(wanted)
    }

    pub(super) async fn ids_of(
        &self,
        scope: Scope,
        kind: Names,
        name: &str,
    ) -> Result<Vec<String>, StoreError> {
        let sql = match kind {
            Names::Agents => return self.agent_ids(scope, name).await,
            Names::Users => {
                "SELECT id FROM agents WHERE tenant = $1 AND environment = $2 AND owner IN ($3, $4)
                 UNION SELECT agent FROM identities
                 WHERE tenant = $1 AND environment = $2 AND value IN ($3, $4)"
            }
            Names::Machines => {
                "SELECT id FROM machines
                 WHERE tenant = $1 AND environment = $2 AND (id IN ($3, $4) OR host_name IN ($3, $4))"
            }
            Names::Directories => {
                "SELECT session FROM session_entities WHERE tenant = $1 AND environment = $2
                     AND kind = 'working_directory' AND name IN ($3, $4) LIMIT $5"
            }
        };
        let mut query = Query::scoped(sql, scope);
        query
            .values
            .extend([name.into(), name.to_lowercase().into()]);
        if kind == Names::Directories {
            query.values[3] = name.into();
            query.values.push(MAX_DIRECTORY_SESSIONS.into());
        }
        let rows = self.derived_rows(query).await?;
        rows.into_iter().map(|mut row| row.take(0)).collect()
    }
}

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Agents,
    Users,
    Machines,
    /// Gives the sessions that worked there.
    Directories,
}

/// What both ask for.
fn both(one: Wanted, other: Wanted) -> Wanted {
    let only = match (one.only, other.only) {
        (Some(one), Some(other)) => Some(one.into_iter().filter(|it| other.contains(it)).collect()),
        (one, other) => one.or(other),
    };
    let mut without = one.without;
    without.extend(other.without);
    Wanted { only, without }
}

impl Search {
    /// The first and the last time that is looked for.
    pub(super) fn times(&self) -> (i64, i64) {
        let from = self.from.map_or(i64::MIN, |from| from.0);
        (from, self.to.map_or(i64::MAX, |to| to.0.saturating_sub(1)))
    }

    /// Whether the keys alone decide what matches, so that events can be counted without being read.
    pub(super) fn is_decided_by_keys(&self) -> bool {
        let names_excluded = self.kinds.without.iter();
        self.needles.is_empty()
            && self.within.is_empty()
            && self.without_needles.is_empty()
            && self.has_prompt.is_none()
            && [
                &self.decisions,
                &self.sources,
                &self.versions,
                &self.machines,
            ]
            .into_iter()
            .all(Wanted::is_any)
            && [
                &self.sessions,
                &self.models,
                &self.directories,
                &self.servers,
            ]
            .into_iter()
            .all(|wanted| wanted.without.is_empty())
            && names_excluded
                .into_iter()
                .all(|kind| Activity::from_slug(kind).is_some())
    }

    /// Whether an event may be one that is looked for, judged without reading its record.
    pub(super) fn may_match(&self, event: &BlockEvent<'_>) -> bool {
        let (from, to) = self.times();
        (from..=to).contains(&event.time)
            && self.tools.has(event.tool.map(|(name, _)| name))
            && (self.agents.is_any() || self.agents.has(event.agent.map(agent_id).as_deref()))
    }

    /// Whether an event is one that is looked for; by words that the text index knows, when it is asked.
    pub(super) fn finds(&self, event: &StoredEvent, sought: Option<&Sought>) -> bool {
        self.matches(event) && sought.is_none_or(|sought| sought.fits(event))
    }

    /// Whether an event that the database found by its keys is one that is looked for.
    pub(super) fn matches(&self, event: &StoredEvent) -> bool {
        let facts = &event.facts;
        let is_kind =
            |kind: &str| Activity::from_slug(kind) == Some(facts.activity) || facts.name == kind;
        let is_of_server = |server: &str| {
            facts.tool.as_ref().is_some_and(|tool| {
                let of_server = tool.name.strip_prefix(server);
                tool.kind == ToolKind::Mcp && of_server.is_some_and(|rest| rest.starts_with(':'))
            })
        };
        let (from, to) = self.times();
        let (decision, source) = decision_of(event);
        let is_asked_for = self.kinds.only.is_some() || facts.activity != Activity::Machine;
        is_asked_for
            && self.kinds.matches(is_kind)
            && (from..=to).contains(&event.time.0)
            && self.agents.has(event.agent.as_deref())
            && self
                .tools
                .has(facts.tool.as_ref().map(|tool| tool.name.as_str()))
            && self.servers.matches(is_of_server)
            && self.sessions.has(facts.session.as_deref())
            && self.directories.has(facts.session.as_deref())
            && self.models.has(facts.model.as_deref())
            && self.versions.has(facts.client_version.as_deref())
            && self
                .machines
                .has(facts.machine.as_ref().map(|machine| machine.id.as_str()))
            && self.decisions.has(decision.as_deref())
            && self.sources.has(source.as_deref())
            && self
                .has_prompt
                .is_none_or(|has| has == carries_prompt(event))
            && self
                .needles
                .iter()
                .chain(&self.within)
                .all(|needle| event.mentions(needle))
            && !self
                .without_needles
                .iter()
                .any(|needle| event.mentions(needle))
    }
}

/// The decision that an event carries and who took it: its own, or that of a result.
pub(super) fn decision_of(event: &StoredEvent) -> (Option<String>, Option<String>) {
    let attributes = Attributes::new(&event.whole.record.attributes, &[]);
    let facts = &event.facts;
    let of_result = |key| attributes.text(key);
    (
        facts
            .decision
            .clone()
            .or_else(|| of_result("decision_type")),
        facts
            .decision_source
            .clone()
            .or_else(|| of_result("decision_source")),
    )
}

fn carries_prompt(event: &StoredEvent) -> bool {
    event.facts.name == "user_prompt"
        && Content::prompt(&plain_attributes(&event.whole.record.attributes))
            .text()
            .is_some()
}
