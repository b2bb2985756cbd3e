//! Reads events: lists with filters, one session's, one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::block::{BlockEvent, MAX_EVENTS, StoredBlock};
use super::cursor::encode_cursor;
use super::event_row::{Key, StoredEvent};
use super::keys::text_key;
use super::query::{Query, Row};
use super::search::Search;
use super::sessions::{MAX_SESSION_EVENTS, SessionEvents};
use super::text::Sought;
use super::{Event, EventFilter, Page, PageRequest, Scope, Sight, Store, StoreError};

/// Events that one page of a text search reads at most; the page then says where to go on.
const SCAN_BUDGET: usize = 20_000;

/// Events that are read at once while a page is looked for.
const CHUNK: usize = 1_000;

/// Blocks that are not indexed yet and are looked through as they came, at most.
const TAIL: usize = 300;

/// Blocks that the text index found and that are read at once: at least, which is how it begins, and at most.
const BLOCKS: (usize, usize) = (2, 32);

impl Store {
    /// Events, latest first. Heartbeats are left out unless the filter's type asks for them.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn events(
        &self,
        sight: &Sight,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, StoreError> {
        let Some(search) = self.search(sight, filter).await? else {
            return Ok(Page {
                items: Vec::new(),
                next_cursor: None,
            });
        };
        let after = page.after::<Key>()?;
        let (events, next) = self.matching(&search, after, page.limit()).await?;
        Ok(Page {
            items: events.iter().map(|event| event.event(sight)).collect(),
            next_cursor: next.map(|key| encode_cursor(&key)),
        })
    }

    /// The events just newer than a place in the list, latest first, and whether there are newer ones yet.
    /// Where a text is sought they are found without the text index, within the same bound.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn newer_events(
        &self,
        sight: &Sight,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<(Vec<Event>, bool), StoreError> {
        let (Some(search), Some(mut before)) =
            (self.search(sight, filter).await?, page.after::<Key>()?)
        else {
            return Ok((Vec::new(), false));
        };
        let mut found: Vec<StoredEvent> = Vec::new();
        let mut scanned = 0;
        while found.len() <= page.limit() && scanned < SCAN_BUDGET {
            let mut query = self.event_query(sight.scope);
            search.narrow(self.dialect(), &mut query);
            query.push(" AND e.time >= ").bind(before.0);
            query.push(" AND (e.time, e.uid) > (").bind(before.0);
            query.push(", ").bind(before.1).push(")");
            query
                .push(" ORDER BY e.time, e.uid LIMIT ")
                .bind(CHUNK as i64);
            let rows = self.rows(query).await?;
            let is_last = rows.len() < CHUNK;
            scanned += rows.len();
            for event in self.stored_events(sight.scope, rows).await? {
                before = event.key;
                if search.matches(&event) {
                    found.push(event);
                }
            }
            if is_last {
                break;
            }
        }
        let has_newer = found.len() > page.limit();
        found.truncate(page.limit());
        let events = found.iter().rev().map(|event| event.event(sight));
        Ok((events.collect(), has_newer))
    }

    /// The latest events that match, at most `limit`, and the place to go on after.
    pub(super) async fn matching(
        &self,
        search: &Search,
        after: Option<Key>,
        limit: usize,
    ) -> Result<(Vec<StoredEvent>, Option<Key>), StoreError> {
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
            let (events, stopped_at) = match source {
                Source::Index(sought) => self.collect_indexed(sought, search, after, limit).await?,
                Source::Tail(seq, sought) => {
                    self.collect_tail(*seq, sought, search, after, limit)
                        .await?
                }
                Source::List => self.collect(None, search, after, limit).await?,
            };
            found.extend(events.into_iter().map(|event| (event.key, event)));
            stopped = stopped.max(stopped_at);
        }
        // Below where one source stopped, it may have more: that is for the next page.
        let mut latest = found
            .into_iter()
            .rev()
            .filter(|(key, _)| stopped.as_ref().is_none_or(|at| key >= at));
        let page_of: Vec<(Key, StoredEvent)> = latest.by_ref().take(limit).collect();
        let next = match latest.next() {
            Some(_) => page_of.last().map(|(key, _)| *key),
            None => stopped,
        };
        Ok((page_of.into_iter().map(|(_, event)| event).collect(), next))
    }

    /// The latest events that match, one more than `limit` at most; and the event at which the looking
    /// stopped, when it did before the end. Only those after a `seq`, when one is given: what of them the
    /// text index will not find is left out, so that no event vanishes from a list once it is indexed.
    async fn collect(
        &self,
        unindexed: Option<(i64, &Sought)>,
        search: &Search,
        mut after: Option<Key>,
        limit: usize,
    ) -> Result<(Vec<StoredEvent>, Option<Key>), StoreError> {
        let mut events = Vec::new();
        let mut scanned = 0;
        let chunk = match search.is_decided_by_keys() {
            true => limit + 1,
            false => CHUNK,
        };
        loop {
            let after_seq = unindexed.map(|(seq, _)| seq);
            let query = self.list_query(search, after_seq, after.as_ref(), chunk);
            let rows = self.rows(query).await?;
            let is_last = rows.len() < chunk;
            scanned += rows.len();
            for event in self.stored_events(search.scope, rows).await? {
                after = Some(event.key);
                if search.finds(&event, unindexed.map(|(_, sought)| sought)) {
                    events.push(event);
                    if events.len() > limit {
                        return Ok((events, after));
                    }
                }
            }
            if is_last {
                return Ok((events, None));
            }
            if scanned >= SCAN_BUDGET {
                return Ok((events, after));
            }
        }
    }

    /// The same of events after a `seq`, which the text index does not have yet.
    async fn collect_tail(
        &self,
        seq: i64,
        sought: &Sought,
        search: &Search,
        after: Option<Key>,
        limit: usize,
    ) -> Result<(Vec<StoredEvent>, Option<Key>), StoreError> {
        let blocks = self.blocks_after(search.scope, seq, TAIL).await?;
        if blocks.len() > TAIL {
            // The index is far behind: by time, not by the order in which they came.
            return self
                .collect(Some((seq, sought)), search, after, limit)
                .await;
        }
        let (words, keys) = (sought.clone(), search.clone());
        let events = self
            .read_events(blocks, move |event| {
                event.seq > seq && keys.may_match(event) && words.may_fit(event)
            })
            .await?
            .into_values();
        let fitting = events.filter(|event| {
            after.is_none_or(|after| event.key < after) && search.finds(event, Some(sought))
        });
        Ok((fitting.collect(), None))
    }

    /// The same of events in blocks that the text index finds.
    async fn collect_indexed(
        &self,
        sought: &Sought,
        search: &Search,
        after: Option<Key>,
        limit: usize,
    ) -> Result<(Vec<StoredEvent>, Option<Key>), StoreError> {
        let (from, to) = search.times();
        let latest = after.map_or(to, |(time, _)| to.min(time));
        let mut walk = self
            .walk(search.scope, sought.clone(), (from, latest))
            .await?;
        let mut events: BTreeMap<Key, StoredEvent> = BTreeMap::new();
        let (mut blocks_read, mut chunk) = (0, BLOCKS.0);
        loop {
            let found = self.find(&mut walk, chunk).await?;
            let is_last = found.len() < chunk;
            let Some(last) = found.last() else {
                return Ok((events.into_values().collect(), None));
            };
            // What is later than this is complete, whatever the blocks that follow hold.
            let stopped = (walk.bound_after(last), i64::MAX);
            let seqs = found.iter().map(|found| found.seq).collect();
            let blocks = self.blocks_of(search.scope, seqs).await?;
            blocks_read += blocks.len();
            let (words, keys) = (sought.clone(), search.clone());
            let read = self
                .read_events(blocks, move |event| {
                    keys.may_match(event) && words.may_fit(event)
                })
                .await?;
            let fitting = read.into_values().filter(|event| {
                after.is_none_or(|after| event.key < after) && search.finds(event, Some(sought))
            });
            let known = events.len();
            events.extend(fitting.map(|event| (event.key, event)));
            if is_last {
                return Ok((events.into_values().collect(), None));
            }
            let complete = events.range(stopped..).count();
            // Blocks that reach beyond the page's beginning do not bring it on.
            let is_on = after.is_none_or(|after| stopped < after);
            if complete > limit || (blocks_read * MAX_EVENTS >= SCAN_BUDGET && is_on) {
                return Ok((events.into_values().collect(), Some(stopped)));
            }
            // As many as the page will need, should those that follow have as much of it.
            chunk = match events.len() - known {
                0 => chunk * 2,
                _ => ((limit + 1 - complete) * blocks_read).div_ceil(events.len()),
            };
            chunk = chunk.clamp(BLOCKS.0, BLOCKS.1);
        }
    }

    /// The events of a session by time and client sequence: the first [`MAX_SESSION_EVENTS`] of them.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn session_events(
        &self,
        sight: &Sight,
        id: &str,
    ) -> Result<SessionEvents, StoreError> {
        let mut query = self.event_query(sight.scope);
        query.push(" AND e.session = ").bind(text_key(id));
        query.push(" ORDER BY e.time, e.uid LIMIT ");
        query.bind(MAX_SESSION_EVENTS as i64 + 1);
        let mut rows = self.rows(query).await?;
        let is_cut = rows.len() > MAX_SESSION_EVENTS;
        rows.truncate(MAX_SESSION_EVENTS);
        let stored = self.stored_events(sight.scope, rows).await?;
        let mut events: Vec<Event> = stored
            .into_iter()
            .filter(|event| event.facts.session.as_deref() == Some(id))
            .map(|event| event.event(sight))
            .collect();
        events.sort_by_key(|event| (event.time, event.sequence.unwrap_or(-1)));
        Ok(SessionEvents { events, is_cut })
    }

    /// The event with this identity; the earliest, should two have it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn event(&self, sight: &Sight, id: &str) -> Result<Option<Event>, StoreError> {
        let seqs = self.find_uid(sight.scope, id).await?;
        let blocks = self.blocks_of(sight.scope, seqs).await?;
        let found = self.read_events(blocks, |_| true).await?.into_values();
        let earliest = found
            .filter(|event| event.facts.uid == id)
            .min_by(|a, b| a.key.cmp(&b.key));
        Ok(earliest.map(|event| event.event(sight)))
    }

    /// The `seq`s of the events of a scope.
    pub(super) fn event_query(&self, scope: Scope) -> Query {
        let sql = "SELECT e.seq FROM events e WHERE e.tenant = $1 AND e.environment = $2";
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
        search.narrow(self.dialect(), &mut query);
        if let Some((time, uid)) = after {
            // The first term alone lets PostgreSQL leave out the months that lie after it.
            query.push(" AND e.time <= ").bind(*time);
            query.push(" AND (e.time, e.uid) < (").bind(*time);
            query.push(", ").bind(*uid).push(")");
        }
        query.push(" ORDER BY e.time DESC, e.uid DESC LIMIT ");
        query.bind(limit as i64);
        query
    }

    /// The events of rows that hold their `seq`s, in the same order.
    pub(super) async fn stored_events(
        &self,
        scope: Scope,
        rows: Vec<Row>,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let seqs = rows.into_iter().map(|mut row| row.take(0));
        let seqs: Vec<i64> = seqs.collect::<Result<_, _>>()?;
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        let blocks = self.blocks_of(scope, seqs.clone()).await?;
        let wanted: BTreeSet<i64> = seqs.iter().copied().collect();
        let mut events = self
            .read_events(blocks, move |event| wanted.contains(&event.seq))
            .await?;
        // One that is missing was deleted in between.
        Ok(seqs.iter().filter_map(|seq| events.remove(seq)).collect())
    }

    /// Reads those events of blocks that are wanted, by their `seq`s, off the threads that serve connections.
    pub(super) async fn read_events(
        &self,
        blocks: Vec<StoredBlock>,
        is_wanted: impl Fn(&BlockEvent<'_>) -> bool + Send + 'static,
    ) -> Result<HashMap<i64, StoredEvent>, StoreError> {
        let dictionaries = self.dictionaries.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let mut events = HashMap::new();
            for block in blocks {
                let inflated = block.inflate(&dictionaries)?;
                for event in inflated.events()? {
                    if is_wanted(&event) {
                        events.insert(event.seq, StoredEvent::read(&event)?);
                    }
                }
            }
            Ok(events)
        });
        reading
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?
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

/// A filter's text, when it is not blank: a form sends empty fields.
pub(super) fn given(text: &Option<String>) -> Option<String> {
    text.as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}
