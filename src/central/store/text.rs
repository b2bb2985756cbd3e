//! Search for words, by an index that is made in the background.
//!
//! The index knows of blocks: whoever searches reads the few events of each that it finds. The indexer follows
//! the store in the order of `seq`, so that a record that came late is indexed like any other, and unites
//! small blocks on its way. What it has not reached yet is looked through row by row: a search misses nothing,
//! it only takes longer while the index is behind.

use std::collections::{HashSet, VecDeque};

use memchr::memmem;

use super::block::BlockEvent;
use super::bloom;
use super::event_row::{StoredEvent, activity_key};
use super::keys::uid_number;
use super::query::Query;
use super::repack::unite;
use super::search::Search;
use super::words::{
    MAX_MARKS, MAX_WORDS, Part, activity_mark, add_words, agent_mark, for_each_part, id_mark,
    id_sought, is_id_mark, scope_mark, session_mark, tool_mark, uid_mark, words_sought,
};
use super::{Database, Dialect, Scope, Store, StoreError};

use crate::event::Activity;

/// Blocks that are indexed together.
const CHUNK: i64 = 64;

/// A block as the index takes it.
#[derive(Clone)]
pub(super) struct Document {
    pub(super) scope: Scope,
    pub(super) seq: i64,
    pub(super) first_time: i64,
    pub(super) last_time: i64,
    /// Words and marks of its events, with spaces between.
    pub(super) words: String,
    /// In PostgreSQL a filter of the ids, which are not among the words there.
    pub(super) ids: Vec<u8>,
}

/// A block that the index found: one event of it may be what is sought, or several together.
pub(super) struct Found {
    pub(super) seq: i64,
    /// Where it stands in the order of the index, the highest first.
    pub(super) place: (i64, i64),
    /// Neither it nor any that follows has an event after this time.
    pub(super) bound: i64,
}

/// What is looked for in the index: all marks, and with them all words or the id.
#[derive(Clone, Debug, Default)]
pub(super) struct Sought {
    pub(super) marks: Vec<String>,
    /// Whole words.
    pub(super) words: Vec<String>,
    /// The beginning of a word.
    pub(super) beginning: Option<String>,
    /// The mark of the id that the text is as a whole.
    pub(super) id: Option<String>,
}

/// A walk through the blocks in which the index finds something, the latest first.
pub(super) struct Walk {
    pub(super) scope: Scope,
    pub(super) sought: Sought,
    pub(super) beginning: Beginning,
    /// Only blocks with events of these times, the first and the last.
    pub(super) times: (i64, i64),
    /// The place it has reached.
    pub(super) after: Option<(i64, i64)>,
    /// What was found before that place and nobody has asked for so far.
    ahead: VecDeque<Found>,
    /// Whether the latest blocks had hardly any of it, so that it is asked for among all at once.
    pub(super) is_rare: bool,
    /// Whether the index has no more after that place.
    pub(super) is_done: bool,
}

/// How the index is asked for the beginning of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// As such, which reads all that the index has of the words that begin so.
    GoesOn,
    /// By the words themselves, of which it reads the latest blocks only.
    Words(Vec<String>),
    /// Not at all, for so many words begin so that there is hardly a block without.
    Common,
}

impl Walk {
    /// No block that follows the one that was found last has an event after this time.
    pub(super) fn bound_after(&self, last: &Found) -> i64 {
        self.ahead.front().unwrap_or(last).bound
    }
}

/// How an index writes an expression.
pub(super) struct Syntax {
    pub(super) quote: char,
    pub(super) and: &'static str,
    pub(super) or: &'static str,
    /// What follows a word that may go on.
    pub(super) goes_on: &'static str,
}

impl Sought {
    /// Whether an event may have the words, judged without reading it: those of plain letters stand in it as
    /// they are, in whichever case, and so do those of an id.
    pub(super) fn may_fit(&self, event: &BlockEvent<'_>) -> bool {
        let mut words = self.words.iter().chain(&self.beginning);
        let text = [event.record, event.content].map(<[u8]>::to_ascii_lowercase);
        let has = |word: &String| {
            text.iter()
                .any(|part| memmem::find(part, word.as_bytes()).is_some())
        };
        words.all(|word| !word.is_ascii() || has(word))
    }

    /// Whether an event is one that the index would find by what it says.
    pub(super) fn fits(&self, event: &StoredEvent) -> bool {
        let mut missing: Vec<&String> = self.words.iter().collect();
        let (mut is_begun, mut has_id) = (self.beginning.is_none(), false);
        let mut count = MAX_MARKS;
        for_each_part(event, &mut |part| {
            count += 1;
            match part {
                Part::Word(word) => {
                    missing.retain(|wanted| *wanted != word);
                    is_begun |= self
                        .beginning
                        .as_ref()
                        .is_some_and(|it| word.starts_with(it));
                }
                Part::Id(text) => has_id |= self.id.as_ref().is_some_and(|id| *id == id_mark(text)),
            }
        });
        if count <= MAX_WORDS {
            return has_id || (missing.is_empty() && is_begun);
        }
        // Of a long event the index may leave words out.
        let mut words = HashSet::new();
        add_words(event, &mut words);
        self.fits_words(&words)
    }

    /// The same, of an event's words and marks.
    fn fits_words(&self, words: &HashSet<String>) -> bool {
        let goes_on = |beginning: &String| words.iter().any(|word| word.starts_with(beginning));
        let has_words = self.words.iter().all(|word| words.contains(word))
            && self.beginning.as_ref().is_none_or(goes_on);
        has_words || self.id.as_ref().is_some_and(|id| words.contains(id))
    }

    /// As an expression. Words hold letters and digits only, so that none needs escaping.
    pub(super) fn expression(&self, syntax: &Syntax, beginning: &Beginning) -> String {
        let Syntax {
            quote,
            and,
            or,
            goes_on,
        } = syntax;
        let quoted = |words: &[String]| -> Vec<String> {
            let words = words.iter();
            words.map(|word| format!("{quote}{word}{quote}")).collect()
        };
        let mut words = quoted(&self.words);
        match (beginning, &self.beginning) {
            (_, None) | (Beginning::Common, _) => {}
            (Beginning::GoesOn, Some(word)) => {
                words.push(format!("{quote}{word}{quote}{goes_on}"));
            }
            (Beginning::Words(known), _) => words.push(format!("({})", quoted(known).join(or))),
        }
        let mut all = quoted(&self.marks);
        if !words.is_empty() {
            let mut either = vec![format!("({})", words.join(and))];
            either.extend(self.id.iter().map(|id| format!("{quote}{id}{quote}")));
            all.push(format!("({})", either.join(or)));
        }
        all.join(and)
    }
}

impl Store {
    /// Events that are stored and not indexed yet: searches look through them one by one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn unindexed(&self) -> Result<i64, StoreError> {
        let sql =
            "SELECT CAST(coalesce(sum(event_count), 0) AS bigint) FROM event_blocks WHERE seq > $1";
        let query = Query::new(sql, [self.indexed_to().await?.into()]);
        let mut row = self.rows(query).await?.pop();
        row.as_mut().map_or(Ok(0), |row| row.take(0))
    }

    /// Whether so much is not indexed yet that it fills a chunk.
    pub(super) async fn has_much_to_index(&self) -> Result<bool, StoreError> {
        let sql =
            "SELECT count(*) FROM (SELECT 1 FROM event_blocks WHERE seq > $1 LIMIT $2) AS behind";
        let query = Query::new(sql, [self.indexed_to().await?.into(), CHUNK.into()]);
        let mut row = self.rows(query).await?.pop();
        let blocks: i64 = row.as_mut().map_or(Ok(0), |row| row.take(0))?;
        Ok(blocks == CHUNK)
    }

    /// Indexes some of the blocks that are not indexed yet, and unites those that are small before; gives
    /// how many there were.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn index_some(&self) -> Result<usize, StoreError> {
        let position = self.indexed_to().await?;
        let blocks = self.follow(None, position, CHUNK).await?;
        let Some(reached) = blocks.last().map(|block| block.seq) else {
            return Ok(0);
        };
        let count = blocks.len();
        let dictionaries = self.dictionaries.clone();
        let dialect = self.dialect();
        let reading = tokio::task::spawn_blocking(move || {
            let (changes, blocks) = unite(&dictionaries, blocks)?;
            let documents = blocks.iter().map(|block| {
                let inflated = block.inflate(&dictionaries)?;
                document(dialect, block.scope, block.seq, &inflated.events()?)
            });
            let documents = documents.collect::<Result<Vec<_>, StoreError>>()?;
            Ok::<_, StoreError>((changes, documents))
        });
        let (changes, documents) = reading
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))??;
        match &self.database {
            Database::Sqlite(sqlite) => {
                sqlite.change_blocks(changes).await?;
                sqlite.add_documents(documents, position, reached).await?;
            }
            Database::Postgres(postgres) => {
                postgres
                    .add_documents(changes, documents, position, reached)
                    .await?;
            }
        }
        Ok(count)
    }

    /// The `seq` up to which every event is indexed.
    pub(super) async fn indexed_to(&self) -> Result<i64, StoreError> {
        match &self.database {
            Database::Sqlite(sqlite) => sqlite.indexed_to().await,
            Database::Postgres(postgres) => postgres.indexed_to().await,
        }
    }

    /// A walk through the blocks in which the index finds what is sought and that have events of these times.
    pub(super) async fn walk(
        &self,
        scope: Scope,
        sought: Sought,
        times: (i64, i64),
    ) -> Result<Walk, StoreError> {
        let beginning = match (&self.database, &sought.beginning) {
            (Database::Sqlite(sqlite), Some(beginning)) => sqlite.spell_out(beginning).await?,
            _ => Beginning::GoesOn,
        };
        Ok(Walk {
            scope,
            sought,
            beginning,
            times,
            after: None,
            ahead: VecDeque::new(),
            is_rare: false,
            is_done: false,
        })
    }

    /// The next blocks of a walk; fewer than `limit` when there are no more.
    pub(super) async fn find(
        &self,
        walk: &mut Walk,
        limit: usize,
    ) -> Result<Vec<Found>, StoreError> {
        if walk.ahead.len() < limit && !walk.is_done {
            let wanted = limit - walk.ahead.len();
            let found = match &self.database {
                Database::Sqlite(sqlite) => sqlite.find_documents(walk, wanted).await?,
                Database::Postgres(postgres) => postgres.find_documents(walk, wanted).await?,
            };
            walk.after = found.last().map(|last| last.place).or(walk.after);
            walk.ahead.extend(found);
        }
        let given = limit.min(walk.ahead.len());
        Ok(walk.ahead.drain(..given).collect())
    }

    /// The `seq`s of events that may have this identity.
    pub(super) async fn find_uid(&self, scope: Scope, uid: &str) -> Result<Vec<i64>, StoreError> {
        let mut query = Query::scoped(
            "SELECT e.seq FROM events e WHERE e.tenant = $1 AND e.environment = $2 AND e.uid = ",
            scope,
        );
        query.bind(uid_number(uid));
        if self.dialect() == Dialect::Postgres {
            let rows = self.rows(query).await?.into_iter();
            return rows.map(|mut row| row.take(0)).collect();
        }
        // SQLite has no index by identity; the text index knows all but the latest.
        let position = self.indexed_to().await?;
        let sought = Sought {
            marks: vec![scope_mark(scope), uid_mark(uid)],
            ..Sought::default()
        };
        let mut walk = self.walk(scope, sought, (i64::MIN, i64::MAX)).await?;
        let found = self.find(&mut walk, 16).await?;
        let mut seqs: Vec<i64> = found.into_iter().map(|found| found.seq).collect();
        query.push(" AND e.seq > ").bind(position);
        for mut row in self.rows(query).await? {
            seqs.push(row.take(0)?);
        }
        Ok(seqs)
    }
}

impl Search {
    /// What the index is asked for; `None` when there is no word in what is looked for.
    pub(super) fn sought(&self) -> Option<Sought> {
        let text = self.needles.join(" ");
        let (words, beginning) = words_sought(&text);
        if words.is_empty() && beginning.is_none() {
            return None;
        }
        let mut marks = Vec::new();
        marks.extend(self.sessions.single().map(session_mark));
        marks.extend(self.agents.single().map(agent_mark));
        // No other environment has the same agent or session but by an import, and its blocks are not read. The
        // mark that all blocks have would be gone through for nothing.
        if marks.is_empty() {
            marks.push(scope_mark(self.scope));
        }
        marks.extend(self.tools.single().map(tool_mark));
        if let Some(kind) = self.kinds.single() {
            let of_event = || Activity::of_event(kind);
            let activity = Activity::from_slug(kind).unwrap_or_else(of_event);
            marks.push(activity_mark(activity_key(Some(activity))));
        }
        Some(Sought {
            marks,
            words: words.into_iter().collect(),
            beginning,
            id: id_sought(&text),
        })
    }
}

/// The document of a block with these events.
pub(super) fn document(
    dialect: Dialect,
    scope: Scope,
    seq: i64,
    events: &[BlockEvent<'_>],
) -> Result<Document, StoreError> {
    let mut words = HashSet::from([scope_mark(scope)]);
    for event in events {
        let event = StoredEvent::read(event)?;
        add_words(&event, &mut words);
        if dialect == Dialect::Sqlite {
            words.insert(uid_mark(&event.facts.uid));
        }
    }
    let (ids, mut words): (Vec<String>, Vec<String>) = words
        .into_iter()
        .partition(|word| dialect == Dialect::Postgres && is_id_mark(word));
    if dialect == Dialect::Postgres {
        // There they are kept as text, which takes less when neighbours begin alike.
        words.sort_unstable();
    }
    let times = events.iter().map(|event| event.time);
    Ok(Document {
        scope,
        seq,
        first_time: times.clone().min().unwrap_or_default(),
        last_time: times.max().unwrap_or_default(),
        words: words.join(" "),
        ids: bloom::filter(&ids),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_indexed_yet_is_found_by_words_too() {
        let words = ["open", "profile", "file_path", "xid"].map(str::to_owned);
        let words = HashSet::from(words);
        let fits = |text: &[&str], beginning: Option<&str>, id: Option<&str>| {
            let sought = Sought {
                words: text.iter().map(|word| (*word).to_owned()).collect(),
                beginning: beginning.map(str::to_owned),
                id: id.map(str::to_owned),
                ..Sought::default()
            };
            sought.fits_words(&words)
        };
        assert!(fits(&["open"], Some("prof"), None));
        assert!(fits(&[], Some("open"), None));
        assert!(!fits(&[], Some("pen"), None), "not within a word");
        assert!(
            !fits(&["ope"], None, None),
            "not the beginning of a whole word"
        );
        assert!(!fits(&["open"], Some("close"), None));
        assert!(fits(&["close"], None, Some("xid")));
    }
}
