//! Reads events: lists with filters, one session's, one.

use std::collections::BTreeMap;

use crate::event::{Activity, Timestamp};

use super::cursor::encode_cursor;
use super::event_row::{COLUMNS, Key, StoredEvent, activity_key};
use super::keys::{agent_key, text_key, uid_key, word_key};
use super::query::{Query, Row, Value};
use super::sessions::MAX_SESSION_EVENTS;
use super::text::Sought;
use super::words::words_of;
use super::{Database, Event, EventFilter, Page, PageRequest, Scope, Sight, Store, StoreError};

/// Events that one page of a text search reads at most; the page then says where to go on.
const SCAN_BUDGET: usize = 20_000;

/// Events that are read at once while a page is looked for.
const CHUNK: usize = 1_000;

/// The same of events that the text index found: most of them match.
const INDEX_CHUNK: usize = 128;

impl Store {
    /// Events, latest first. Heartbeats are left out unless the filter's type asks for them.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::ContentHidden`] when text is sought that may not be seen.
    pub async fn events(
        &self,
        sight: &Sight,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, StoreError> {
        if given(&filter.q).is_some() && !sight.shows_all(filter.session.as_deref()) {
            return Err(StoreError::ContentHidden);
        }
        let Some(search) = self.search(sight.scope, filter).await? else {
            return Ok(Page {
                items: Vec::new(),
                next_cursor: None,
            });
        };
        let after = page.after::<Key>()?;
        let sources = match search.sought() {
            None => vec![Source::List],
            // First how far the index is: what is added to it from here on is found twice, not never.
            Some(sought) => vec![
                Source::Tail(self.indexed_to().await?, sought.clone()),
                Source::Index(sought),
            ],
        };
        let mut found: BTreeMap<Key, StoredEvent> = BTreeMap::new();
        let mut stopped: Option<Key> = None;
        for source in &sources {
            let (events, stopped_at) = self
                .collect(source, &search, after.clone(), page.limit())
                .await?;
            found.extend(events.into_iter().map(|event| (event.key.clone(), event)));
            stopped = stopped.max(stopped_at);
        }
        // Below where one source stopped, it may have more: that is for the next page.
        let mut latest = found
            .into_iter()
            .rev()
            .filter(|(key, _)| stopped.as_ref().is_none_or(|at| key >= at));
        let page_of: Vec<(Key, StoredEvent)> = latest.by_ref().take(page.limit()).collect();
        let next = match latest.next() {
            Some(_) => page_of.last().map(|(key, _)| key.clone()),
            None => stopped,
        };
        Ok(Page {
            items: page_of
                .iter()
                .map(|(_, event)| event.event(sight))
                .collect(),
            next_cursor: next.map(|key| encode_cursor(&key)),
        })
    }

    /// The latest events of one source that match, one more than `limit` at most; and the event at which
    /// the looking stopped, when it did before the end.
    async fn collect(
        &self,
        source: &Source,
        search: &Search,
        mut after: Option<Key>,
        limit: usize,
    ) -> Result<(Vec<StoredEvent>, Option<Key>), StoreError> {
        let mut events = Vec::new();
        let mut scanned = 0;
        let mut chunk = match source {
            Source::List if search.needle.is_none() => limit + 1,
            Source::Index(_) => INDEX_CHUNK.max(limit + 1),
            _ => CHUNK,
        };
        loop {
            let rows = match source {
                Source::List => {
                    self.rows(self.list_query(search, None, after.as_ref(), chunk))
                        .await?
                }
                Source::Tail(seq, _) => {
                    self.rows(self.list_query(search, Some(*seq), after.as_ref(), chunk))
                        .await?
                }
                Source::Index(sought) => {
                    self.find(search.scope, sought, search.times(), after.as_ref(), chunk)
                        .await?
                }
            };
            let is_last = rows.len() < chunk;
            scanned += rows.len();
            let before = after.clone();
            for event in self.stored_events(rows).await? {
                if before.as_ref().is_some_and(|before| event.key >= *before) {
                    continue;
                }
                after = Some(event.key.clone());
                if source.finds(&event, search.scope) && search.matches(&event) {
                    events.push(event);
                    if events.len() > limit {
                        return Ok((events, after));
                    }
                }
            }
            if is_last {
                return Ok((events, None));
            }
            if after == before {
                // The index tells times to the millisecond: there is one with more events than this.
                chunk *= 4;
            } else if scanned >= SCAN_BUDGET {
                return Ok((events, after));
            }
        }
    }

    /// All events of a session, at most [`MAX_SESSION_EVENTS`], by time and client sequence.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn session_events(&self, sight: &Sight, id: &str) -> Result<Vec<Event>, StoreError> {
        let mut query = self.event_query(sight.scope);
        query.push(" AND e.session = ").bind(text_key(id));
        query.push(" ORDER BY e.time, e.uid LIMIT ");
        query.bind(MAX_SESSION_EVENTS as i64);
        let stored = self.stored_events(self.rows(query).await?).await?;
        let mut events: Vec<Event> = stored
            .into_iter()
            .filter(|event| event.facts.session.as_deref() == Some(id))
            .map(|event| event.event(sight))
            .collect();
        events.sort_by_key(|event| (event.time, event.sequence.unwrap_or(-1)));
        Ok(events)
    }

    /// The event with this identity; the earliest, should two have it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn event(&self, sight: &Sight, id: &str) -> Result<Option<Event>, StoreError> {
        let indexed_to = self.indexed_to().await?;
        let mut rows = self.find_uid(sight.scope, id).await?;
        let mut tail = self.event_query(sight.scope);
        tail.push(" AND e.seq > ").bind(indexed_to);
        tail.push(" AND e.uid = ").bind(uid_key(id));
        rows.extend(self.rows(tail).await?);
        let found = self.stored_events(rows).await?.into_iter();
        let earliest = found
            .filter(|event| event.facts.uid == id)
            .min_by(|a, b| a.key.cmp(&b.key));
        Ok(earliest.map(|event| event.event(sight)))
    }

    /// What a filter looks for; `None` when nothing can match.
    async fn search(
        &self,
        scope: Scope,
        filter: &EventFilter,
    ) -> Result<Option<Search>, StoreError> {
        let agents = match given(&filter.agent) {
            None => None,
            Some(agent) => Some(self.agent_ids(scope, &agent).await?),
        };
        if agents.as_ref().is_some_and(Vec::is_empty) {
            return Ok(None);
        }
        Ok(Some(Search {
            scope,
            agents,
            session: given(&filter.session),
            kind: given(&filter.kind),
            tool: given(&filter.tool),
            model: given(&filter.model),
            needle: given(&filter.q).map(|text| text.to_lowercase()),
            from: filter.from,
            to: filter.to,
        }))
    }

    /// The events of a scope, with their content.
    pub(super) fn event_query(&self, scope: Scope) -> Query {
        let content = match self.database {
            Database::Sqlite(_) => "c.seq = e.seq",
            Database::Postgres(_) => {
                "c.tenant = e.tenant AND c.environment = e.environment AND c.time = e.time AND c.uid = e.uid"
            }
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM events e LEFT JOIN event_content c ON {content}
             WHERE e.tenant = $1 AND e.environment = $2"
        );
        Query::scoped(sql, scope)
    }

    fn list_query(
        &self,
        search: &Search,
        after_seq: Option<i64>,
        after: Option<&Key>,
        limit: usize,
    ) -> Query {
        let mut query = self.event_query(search.scope);
        if let Some(seq) = after_seq {
            query.push(" AND e.seq > ").bind(seq);
        }
        if let Some(session) = &search.session {
            query.push(" AND e.session = ").bind(text_key(session));
        }
        match search.agents.as_deref() {
            None => {}
            Some([agent]) => {
                query.push(" AND e.agent = ").bind(agent_key(agent));
            }
            Some(agents) => {
                query.push(" AND e.agent IN ");
                query.bind_list(agents.iter().map(|agent| agent_key(agent)));
            }
        }
        match search
            .kind
            .as_deref()
            .map(|kind| (kind, Activity::from_slug(kind)))
        {
            None => query
                .push(" AND e.activity <> ")
                .bind(activity_key(Some(Activity::Machine))),
            Some((_, Some(activity))) => query
                .push(" AND e.activity = ")
                .bind(activity_key(Some(activity))),
            Some((name, None)) => query
                .push(" AND e.activity = ")
                .bind(activity_key(Some(Activity::of_event(name))))
                .push(" AND e.name = ")
                .bind(word_key(name)),
        };
        if let Some(tool) = &search.tool {
            query.push(" AND e.tool = ").bind(tool.as_str());
        }
        if let Some(model) = &search.model {
            query.push(" AND e.model = ").bind(word_key(model));
        }
        if let Some(from) = search.from {
            query.push(" AND e.time >= ").bind(from);
        }
        if let Some(to) = search.to {
            query.push(" AND e.time < ").bind(to);
        }
        if let Some((time, id)) = after {
            // The first term alone lets PostgreSQL leave out the months that lie after it.
            query.push(" AND e.time <= ").bind(*time);
            query.push(" AND (e.time, e.uid) < (").bind(*time);
            query.push(", ").bind(uid_key(id)).push(")");
        }
        query.push(" ORDER BY e.time DESC, e.uid DESC LIMIT ");
        query.bind(limit as i64);
        query
    }

    /// Reads rows of [`COLUMNS`], off the threads that serve connections.
    async fn stored_events(&self, rows: Vec<Row>) -> Result<Vec<StoredEvent>, StoreError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.know_dictionaries(&rows).await?;
        let dictionaries = self.dictionaries.clone();
        let reading = tokio::task::spawn_blocking(move || {
            rows.into_iter()
                .map(|row| StoredEvent::read(&dictionaries, row))
                .collect()
        });
        reading
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?
    }

    /// Fetches the dictionaries that rows of [`COLUMNS`] need and that are not at hand: another replica
    /// made them.
    pub(super) async fn know_dictionaries(&self, rows: &[Row]) -> Result<(), StoreError> {
        let is_known = rows.iter().flat_map(|row| &row.0).all(|value| match value {
            Value::Bytes(frame) => self.dictionaries.knows(frame),
            _ => true,
        });
        match is_known {
            true => Ok(()),
            false => self.load_dictionaries().await,
        }
    }
}

/// Where a list takes its events from.
enum Source {
    /// All events, by their keys.
    List,
    /// The events after this `seq`, which the text index does not have yet.
    Tail(i64, Sought),
    /// The text index.
    Index(Sought),
}

impl Source {
    /// Whether an event that this gave is found here. The index finds words: what is not in it yet is found
    /// as it will be, so that no event vanishes from a list once it is indexed.
    fn finds(&self, event: &StoredEvent, scope: Scope) -> bool {
        match self {
            Source::Tail(_, sought) => sought.fits(&words_of(event, scope)),
            Source::List | Source::Index(_) => true,
        }
    }
}

/// What a list of events looks for.
pub(super) struct Search {
    pub(super) scope: Scope,
    pub(super) agents: Option<Vec<String>>,
    pub(super) session: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) tool: Option<String>,
    model: Option<String>,
    pub(super) needle: Option<String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Search {
    /// The first and the last time that is looked for.
    fn times(&self) -> (i64, i64) {
        let from = self.from.map_or(i64::MIN, |from| from.0);
        (from, self.to.map_or(i64::MAX, |to| to.0.saturating_sub(1)))
    }

    /// Whether an event that the database found by its keys is one that is looked for.
    fn matches(&self, event: &StoredEvent) -> bool {
        fn is(wanted: &Option<String>, found: Option<&str>) -> bool {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        }
        let facts = &event.facts;
        let is_kind = match self.kind.as_deref() {
            None => facts.activity != Activity::Machine,
            Some(kind) => Activity::from_slug(kind) == Some(facts.activity) || facts.name == kind,
        };
        let (from, to) = self.times();
        let agents = self.agents.as_deref();
        is_kind
            && (from..=to).contains(&event.time.0)
            && agents
                .is_none_or(|agents| event.agent.as_ref().is_some_and(|it| agents.contains(it)))
            && is(
                &self.tool,
                facts.tool.as_ref().map(|tool| tool.name.as_str()),
            )
            && is(&self.session, facts.session.as_deref())
            && is(&self.model, facts.model.as_deref())
            && self
                .needle
                .as_deref()
                .is_none_or(|needle| event.mentions(needle))
    }
}

/// A filter's text, when it is not blank: a form sends empty fields.
pub(super) fn given(text: &Option<String>) -> Option<String> {
    text.as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}
