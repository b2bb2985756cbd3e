//! What a filter's events are, before anybody pages through them: how many, when, and by what they could
//! be narrowed.
//!
//! Counting reads keys, never records, and ends at [`MAX_COUNTED`]. What only a record tells is counted in
//! a sample of the latest; each facet says of how many events its numbers are.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::event::Activity;

use super::event_row::{StoredEvent, activity_key};
use super::keys::{agent_id, word_key};
use super::query::Query;
use super::search::{Search, decision_of};
use super::terms::Qualifier;
use super::{EntityKind, EventFilter, Scope, Sight, Store, StoreError};

/// Events that are counted at most.
pub const MAX_COUNTED: usize = 10_000;

/// Records that are read at most, where keys alone do not decide what matches.
const MAX_READ: usize = 1_000;

/// Records that are read for what only a record tells.
const SAMPLE: usize = 300;

/// Values of a facet at most.
const MAX_VALUES: usize = 50;

/// Values at most where those of one facet are asked for.
const MAX_LISTED: usize = 1_000;

/// What a filter's events are.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// How many there are, up to [`MAX_COUNTED`].
    pub count: usize,
    /// Whether there are no more than `count`.
    pub is_exact: bool,
    /// When each counted event happened, in nanoseconds, and what it is about, the latest first.
    pub times: Vec<(i64, Activity)>,
    /// By what they can be narrowed, the most frequent value first.
    pub facets: Vec<Facet>,
}

/// Values of one kind among the events.
#[derive(Clone, Debug)]
pub struct Facet {
    /// What the values are of.
    pub qualifier: Qualifier,
    /// Of how many events, the latest, the counts are.
    pub of: usize,
    /// The values.
    pub values: Vec<FacetValue>,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetValue {
    /// As the qualifier takes it.
    pub value: String,
    /// As people say it.
    pub label: String,
    /// Events with it.
    pub count: usize,
}

type Tally = HashMap<String, usize>;

/// What the keys of events tell; the rest is in their records.
const OF_KEYS: [Qualifier; 5] = [
    Qualifier::Type,
    Qualifier::Agent,
    Qualifier::Tool,
    Qualifier::Mcp,
    Qualifier::Model,
];

impl Store {
    /// Counts the events of a filter, and tells them apart.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn survey(&self, sight: &Sight, filter: &EventFilter) -> Result<Survey, StoreError> {
        let scope = sight.scope;
        let Some(search) = self.search(sight, filter).await? else {
            return Ok(Survey {
                is_exact: true,
                ..Survey::default()
            });
        };
        let (events, next) = self.matching(&search, None, read_of(&search)).await?;
        let mut survey = match search.is_decided_by_keys() {
            true => self.survey_keys(&search, MAX_VALUES).await?,
            false => Survey {
                count: events.len(),
                is_exact: next.is_none(),
                times: events
                    .iter()
                    .map(|event| (event.time.0, event.facts.activity))
                    .collect(),
                facets: self
                    .facets_of_keys(scope, keys_of(&events), MAX_VALUES)
                    .await?,
            },
        };
        survey
            .facets
            .extend(self.facets_of_records(scope, &events, MAX_VALUES).await?);
        Ok(survey)
    }

    /// The values of one facet among the events of a filter: many more than a survey has of each.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn values(
        &self,
        sight: &Sight,
        filter: &EventFilter,
        qualifier: Qualifier,
    ) -> Result<Facet, StoreError> {
        let none = facet(qualifier, 0, Tally::new(), 0);
        let Some(search) = self.search(sight, filter).await? else {
            return Ok(none);
        };
        let is_of_keys = OF_KEYS.contains(&qualifier);
        let facets = if is_of_keys && search.is_decided_by_keys() {
            self.survey_keys(&search, MAX_LISTED).await?.facets
        } else {
            let (events, _) = self.matching(&search, None, read_of(&search)).await?;
            match is_of_keys {
                true => {
                    self.facets_of_keys(sight.scope, keys_of(&events), MAX_LISTED)
                        .await?
                }
                false => {
                    self.facets_of_records(sight.scope, &events, MAX_LISTED)
                        .await?
                }
            }
        };
        let found = facets
            .into_iter()
            .find(|facet| facet.qualifier == qualifier);
        // Of what nothing is counted by, no value is known.
        Ok(found.unwrap_or(none))
    }

    async fn survey_keys(&self, search: &Search, values: usize) -> Result<Survey, StoreError> {
        let sql = "SELECT e.time, e.activity, e.agent, e.tool, e.is_mcp, e.model FROM events e
            WHERE e.tenant = $1 AND e.environment = $2";
        let mut query = Query::scoped(sql, search.scope);
        search.narrow(self.dialect(), &mut query);
        query.push(" ORDER BY e.time DESC, e.uid DESC LIMIT ");
        query.bind(MAX_COUNTED as i64 + 1);
        let mut rows = self.rows(query).await?;
        let is_exact = rows.len() <= MAX_COUNTED;
        rows.truncate(MAX_COUNTED);
        let models = self.model_names(search.scope).await?;
        let mut keys = Vec::with_capacity(rows.len());
        for mut row in rows {
            let activity: i64 = row.take(1)?;
            let model: Option<i64> = row.take(5)?;
            keys.push(Keys {
                time: row.take(0)?,
                activity: activity_of(activity),
                agent: row.take::<Option<i64>>(2)?.map(agent_id),
                tool: row.take(3)?,
                is_mcp: row.take::<Option<i64>>(4)? == Some(1),
                model: model.and_then(|key| models.get(&key).cloned()),
            });
        }
        Ok(Survey {
            count: keys.len(),
            is_exact,
            times: keys.iter().map(|it| (it.time, it.activity)).collect(),
            facets: self.facets_of_keys(search.scope, keys, values).await?,
        })
    }

    async fn facets_of_keys(
        &self,
        scope: Scope,
        keys: Vec<Keys>,
        values: usize,
    ) -> Result<Vec<Facet>, StoreError> {
        let of = keys.len();
        let [mut types, mut agents, mut tools, mut servers, mut models] =
            std::array::from_fn(|_| Tally::new());
        for key in keys {
            add(&mut types, Some(key.activity.slug()));
            add(&mut agents, key.agent.as_deref());
            add(&mut tools, key.tool.as_deref());
            let server = key.tool.as_deref().filter(|_| key.is_mcp);
            add(
                &mut servers,
                server.and_then(|it| Some(it.split_once(':')?.0)),
            );
            add(&mut models, key.model.as_deref());
        }
        let title = |slug: &str| Activity::from_slug(slug).map(Activity::title);
        let mut types = facet(Qualifier::Type, of, types, values);
        for value in &mut types.values {
            value.label = title(&value.value).unwrap_or_default().to_owned();
        }
        Ok(vec![
            types,
            self.name_agents(scope, facet(Qualifier::Agent, of, agents, values))
                .await?,
            facet(Qualifier::Tool, of, tools, values),
            facet(Qualifier::Mcp, of, servers, values),
            facet(Qualifier::Model, of, models, values),
        ])
    }

    /// What only records, or their sessions, tell.
    async fn facets_of_records(
        &self,
        scope: Scope,
        events: &[StoredEvent],
        values: usize,
    ) -> Result<Vec<Facet>, StoreError> {
        let sessions: HashSet<String> = events
            .iter()
            .filter_map(|event| event.facts.session.clone())
            .collect();
        let directories = self.directories_of(scope, sessions).await?;
        let [
            mut decisions,
            mut sources,
            mut dirs,
            mut versions,
            mut machines,
        ] = std::array::from_fn(|_| Tally::new());
        for event in events {
            let (decision, source) = decision_of(event);
            add(&mut decisions, decision.as_deref());
            add(&mut sources, source.as_deref());
            add(&mut versions, event.facts.client_version.as_deref());
            let machine = event.facts.machine.as_ref().map(|it| it.id.as_str());
            add(&mut machines, machine);
            let session = event.facts.session.as_ref();
            let of_session = session.and_then(|session| directories.get(session));
            for directory in of_session.into_iter().flatten() {
                add(&mut dirs, Some(directory));
            }
        }
        let of = events.len();
        let mut machines = facet(Qualifier::Machine, of, machines, values);
        let hosts = self.host_names(scope, &machines).await?;
        for value in &mut machines.values {
            if let Some(host) = hosts.get(&value.value) {
                value.label.clone_from(host);
            }
        }
        Ok(vec![
            facet(Qualifier::Decision, of, decisions, values),
            facet(Qualifier::Source, of, sources, values),
            facet(Qualifier::Dir, of, dirs, values),
            facet(Qualifier::Version, of, versions, values),
            machines,
        ])
    }

    /// An agent is told by its e-mail, which is its own, and called by its name.
    async fn name_agents(&self, scope: Scope, mut facet: Facet) -> Result<Facet, StoreError> {
        let sql = "SELECT id, name, email FROM agents
            WHERE tenant = $1 AND environment = $2 AND id IN ";
        let mut query = Query::scoped(sql, scope);
        query.bind_list(facet.values.iter().map(|value| value.value.clone()));
        for mut row in self.derived_rows(query).await? {
            let id: String = row.take(0)?;
            let found = facet.values.iter_mut().find(|value| value.value == id);
            if let Some(value) = found {
                value.label = row.take(1)?;
                value.value = row.take::<Option<String>>(2)?.unwrap_or(id);
            }
        }
        Ok(facet)
    }

    async fn model_names(&self, scope: Scope) -> Result<HashMap<i64, String>, StoreError> {
        let sql = "SELECT name FROM entities
            WHERE tenant = $1 AND environment = $2 AND kind = 'model'";
        let rows = self.derived_rows(Query::scoped(sql, scope)).await?;
        let names = rows.into_iter().map(|mut row| row.take::<String>(0));
        names
            .map(|name| name.map(|name| (word_key(&name), name)))
            .collect()
    }

    async fn host_names(
        &self,
        scope: Scope,
        machines: &Facet,
    ) -> Result<HashMap<String, String>, StoreError> {
        let sql = "SELECT id, host_name FROM machines
            WHERE tenant = $1 AND environment = $2 AND host_name <> '' AND id IN ";
        let mut query = Query::scoped(sql, scope);
        query.bind_list(machines.values.iter().map(|value| value.value.as_str()));
        let rows = self.derived_rows(query).await?;
        let names = rows
            .into_iter()
            .map(|mut row| Ok((row.take(0)?, row.take(1)?)));
        names.collect()
    }

    async fn directories_of(
        &self,
        scope: Scope,
        sessions: HashSet<String>,
    ) -> Result<HashMap<String, Vec<String>>, StoreError> {
        let kind = EntityKind::WorkingDirectory.slug();
        let sql = "SELECT session, name FROM session_entities
            WHERE tenant = $1 AND environment = $2 AND kind = ";
        let mut query = Query::scoped(sql, scope);
        query
            .bind(kind)
            .push(" AND session IN ")
            .bind_list(sessions);
        let mut directories: HashMap<String, Vec<String>> = HashMap::new();
        for mut row in self.derived_rows(query).await? {
            let names = directories.entry(row.take(0)?).or_default();
            names.push(row.take(1)?);
        }
        Ok(directories)
    }
}

/// How many records of what is looked for are read at most.
fn read_of(search: &Search) -> usize {
    match search.is_decided_by_keys() {
        true => SAMPLE,
        false => MAX_READ,
    }
}

/// What the keys of an event tell.
struct Keys {
    time: i64,
    activity: Activity,
    agent: Option<String>,
    tool: Option<String>,
    is_mcp: bool,
    model: Option<String>,
}

fn keys_of(events: &[StoredEvent]) -> Vec<Keys> {
    let keys = events.iter().map(|event| Keys {
        time: event.time.0,
        activity: event.facts.activity,
        agent: event.agent.clone(),
        tool: event.facts.tool.as_ref().map(|tool| tool.name.clone()),
        is_mcp: event
            .facts
            .tool
            .as_ref()
            .is_some_and(|tool| tool.kind == crate::event::ToolKind::Mcp),
        model: event.facts.model.clone(),
    });
    keys.collect()
}

fn activity_of(key: i64) -> Activity {
    let found = Activity::ALL
        .into_iter()
        .find(|activity| activity_key(Some(*activity)) == key);
    found.unwrap_or(Activity::Other)
}

fn add(tally: &mut Tally, value: Option<&str>) {
    if let Some(value) = value {
        match tally.get_mut(value) {
            Some(count) => *count += 1,
            None => {
                tally.insert(value.to_owned(), 1);
            }
        }
    }
}

fn facet(qualifier: Qualifier, of: usize, tally: Tally, values: usize) -> Facet {
    let ordered: BTreeMap<(std::cmp::Reverse<usize>, String), ()> = tally
        .into_iter()
        .map(|(value, count)| ((std::cmp::Reverse(count), value), ()))
        .collect();
    let values = ordered.into_keys().take(values);
    Facet {
        qualifier,
        of,
        values: values
            .map(|(std::cmp::Reverse(count), value)| FacetValue {
                label: value.clone(),
                value,
                count,
            })
            .collect(),
    }
}
