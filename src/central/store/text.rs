//! Search for words, by an index that is made in the background.
//!
//! The indexer follows the store in the order of `seq`, so that a record that came late is indexed like
//! any other. What it has not reached yet is looked through row by row: a search misses nothing, it only
//! takes longer while the index is behind.

use std::collections::BTreeSet;

use super::event_row::{COLUMNS, Key, StoredEvent, activity_key};
use super::query::{Query, Row};
use super::search::Search;
use super::words::{
    activity_mark, agent_mark, id_sought, scope_mark, session_mark, tool_mark, uid_mark, words_of,
    words_sought,
};
use super::{Database, Scope, Store, StoreError, postgres};

use crate::event::Activity;

/// Events that are indexed together.
const CHUNK: i64 = 2_000;

/// An event as the index takes it.
pub(super) struct Document {
    pub(super) scope: Scope,
    pub(super) seq: i64,
    pub(super) time: i64,
    pub(super) uid: Vec<u8>,
    /// Its words and marks, with spaces between.
    pub(super) words: String,
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

/// How an index writes an expression.
pub(super) struct Syntax {
    pub(super) quote: char,
    pub(super) and: &'static str,
    pub(super) or: &'static str,
    /// What follows a word that may go on.
    pub(super) goes_on: &'static str,
}

impl Sought {
    /// Whether an event of these words and marks is one that the index would find by what it says.
    pub(super) fn fits(&self, words: &BTreeSet<String>) -> bool {
        let goes_on = |beginning: &String| {
            let mut from = words.range(beginning.clone()..);
            from.next().is_some_and(|word| word.starts_with(beginning))
        };
        let has_words = self.words.iter().all(|word| words.contains(word))
            && self.beginning.as_ref().is_none_or(goes_on);
        has_words || self.id.as_ref().is_some_and(|id| words.contains(id))
    }

    /// As an expression. Words hold letters and digits only, so that none needs escaping.
    pub(super) fn expression(&self, syntax: &Syntax) -> String {
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
        let beginning = self.beginning.iter();
        let mut words = quoted(&self.words);
        words.extend(beginning.map(|word| format!("{quote}{word}{quote}{goes_on}")));
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
            "SELECT count(*) FROM (SELECT 1 FROM events WHERE seq > $1 LIMIT 1000000) AS behind";
        let query = Query::new(sql, [self.indexed_to().await?.into()]);
        let mut row = self.rows(query).await?.pop();
        row.as_mut().map_or(Ok(0), |row| row.take(0))
    }

    /// Indexes some of the events that are not indexed yet; gives how many.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn index_some(&self) -> Result<usize, StoreError> {
        let position = self.indexed_to().await?;
        let rows = self.follow(position, CHUNK).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let dictionaries = self.dictionaries.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let documents = rows.into_iter().map(|row| document(&dictionaries, row));
            documents.collect::<Result<Vec<_>, _>>()
        });
        let documents = reading
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))??;
        let count = documents.len();
        match &self.database {
            Database::Sqlite(sqlite) => sqlite.add_documents(documents, position).await?,
            Database::Postgres(postgres) => postgres.add_documents(documents, position).await?,
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

    /// The events after `seq`, in the order of `seq`: seq, tenant, environment, and then the columns of
    /// an event. Never past a transaction that may still add earlier ones.
    pub(super) async fn follow(&self, seq: i64, limit: i64) -> Result<Vec<Row>, StoreError> {
        let (content, bound) = match &self.database {
            Database::Sqlite(_) => ("c.seq = e.seq", String::new()),
            Database::Postgres(_) => (
                "c.tenant = e.tenant AND c.environment = e.environment AND c.time = e.time AND c.uid = e.uid",
                format!(" AND e.seq < {}", postgres::open_seq()),
            ),
        };
        let sql = format!(
            "SELECT e.seq, e.tenant, e.environment, {COLUMNS}
             FROM events e LEFT JOIN event_content c ON {content}
             WHERE e.seq > $1{bound} ORDER BY e.seq LIMIT $2"
        );
        let rows = self
            .rows(Query::new(sql, [seq.into(), limit.into()]))
            .await?;
        self.know_dictionaries(&rows).await?;
        Ok(rows)
    }

    /// Rows of events that the index finds, latest first, after `after`. `seqs` in SQLite are looked up.
    pub(super) async fn find(
        &self,
        scope: Scope,
        sought: &Sought,
        times: (i64, i64),
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        match &self.database {
            Database::Sqlite(sqlite) => {
                let latest = after.map_or(times.1, |(time, _)| times.1.min(*time));
                let seqs = sqlite
                    .find_documents(sought, (times.0, latest), limit)
                    .await?;
                let mut query = self.event_query(scope);
                query.push(" AND e.seq IN ").bind_list(seqs);
                query.push(" ORDER BY e.time DESC, e.uid DESC");
                self.rows(query).await
            }
            Database::Postgres(postgres) => {
                postgres
                    .find_documents(scope, sought, times, after, limit)
                    .await
            }
        }
    }

    /// The rows of the event with this identity that the index knows.
    pub(super) async fn find_uid(&self, scope: Scope, uid: &str) -> Result<Vec<Row>, StoreError> {
        let sought = Sought {
            marks: vec![scope_mark(scope), uid_mark(uid)],
            ..Sought::default()
        };
        self.find(scope, &sought, (i64::MIN, i64::MAX), None, 16)
            .await
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
        let mut marks = vec![scope_mark(self.scope)];
        marks.extend(self.sessions.single().map(session_mark));
        marks.extend(self.tools.single().map(tool_mark));
        marks.extend(self.agents.single().map(agent_mark));
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

/// The document of an event, from a row of seq, tenant, environment and the columns of an event.
pub(super) fn document(
    dictionaries: &super::dictionary::Dictionaries,
    mut row: Row,
) -> Result<Document, StoreError> {
    let seq = row.take(0)?;
    let scope = Scope {
        tenant: row.take(1)?,
        environment: row.take(2)?,
    };
    let columns = Row(row.0.split_off(3));
    let uid = columns.clone().take(1)?;
    let event = StoredEvent::read(dictionaries, columns)?;
    let words: Vec<String> = words_of(&event, scope).into_iter().collect();
    Ok(Document {
        scope,
        seq,
        time: event.time.0,
        uid,
        words: words.join(" "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_indexed_yet_is_found_by_words_too() {
        let words = ["open", "profile", "file_path", "xid"].map(str::to_owned);
        let words = BTreeSet::from(words);
        let fits = |text: &[&str], beginning: Option<&str>, id: Option<&str>| {
            let sought = Sought {
                words: text.iter().map(|word| (*word).to_owned()).collect(),
                beginning: beginning.map(str::to_owned),
                id: id.map(str::to_owned),
                ..Sought::default()
            };
            sought.fits(&words)
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
