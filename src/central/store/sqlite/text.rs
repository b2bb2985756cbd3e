//! The text index, in a file of its own: it is written without holding up the writer of records, and can
//! be thrown away and made again.
//!
//! A document is a block. Its number is the time of its latest event in milliseconds and, below that, the end
//! of its `seq`: so the index gives the latest first, and a range of times is a range of numbers.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::central::store::StoreError;
use crate::central::store::block::SPAN_NANOS;
use crate::central::store::repack::BlockChange;
use crate::central::store::text::{Beginning, Document, Found, Syntax, Walk};

use super::connect;
use super::readers::Readers;

/// The file in the data directory.
pub(super) const FILE: &str = "fieldpost-text.db";

/// The form of the file; one of another form is made anew.
const FORM: i64 = 2;

/// Blocks that the index is asked for at least: to begin takes it longer than to find some more.
const AHEAD: usize = 16;

/// Words that a beginning is spelled out into at most.
const MAX_SPELLED_OUT: usize = 256;

/// What follows a word in the order of words: no word has it.
const AFTER_WORD: char = '\u{1}';

/// Bits of a document's number that tell apart the blocks that end in one millisecond.
const SEQ_BITS: u32 = 20;

/// Milliseconds that a number has room for.
const MAX_MILLIS: i64 = (1 << (63 - SEQ_BITS)) - 1;

/// The index. Clones share it.
#[derive(Clone)]
pub(super) struct TextIndex {
    writer: Arc<Mutex<Connection>>,
    readers: Readers,
}

impl TextIndex {
    /// Opens the index in `directory`; made when there is none.
    pub(super) fn open(directory: &Path) -> anyhow::Result<TextIndex> {
        let file = directory.join(FILE);
        super::make_private(&file)?;
        let mut connection = connect(&file)?;
        // It can be made again: a power cut may take back the latest commits, never tear one.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let form: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if form != FORM {
            make(&mut connection)?;
        }
        // The words that it has; it holds nothing of its own.
        connection.execute_batch(
            "CREATE VIRTUAL TABLE IF NOT EXISTS vocabulary USING fts5vocab (words, instance)",
        )?;
        Ok(TextIndex {
            writer: Arc::new(Mutex::new(connection)),
            readers: Readers::new(file),
        })
    }

    /// The `seq` up to which every event is indexed.
    pub(super) async fn indexed_to(&self) -> Result<i64, StoreError> {
        self.readers
            .read(|connection| {
                let sql = "SELECT seq FROM position";
                Ok(connection
                    .prepare_cached(sql)?
                    .query_row([], |row| row.get(0))?)
            })
            .await
    }

    /// Adds documents that follow `position` and go to `reached`, unless somebody else has done so.
    pub(super) async fn add(
        &self,
        mut documents: Vec<Document>,
        position: i64,
        reached: i64,
    ) -> Result<(), StoreError> {
        self.write(move |transaction| {
            let moved = transaction.execute(
                "UPDATE position SET seq = ? WHERE seq = ?",
                params![reached, position],
            )?;
            if moved == 0 {
                return Ok(());
            }
            // In the order of numbers, which the index takes best.
            documents.sort_by_key(|document| number(document.last_time, document.seq));
            for document in &documents {
                add_document(transaction, document)?;
            }
            Ok(())
        })
        .await
    }

    /// How the index is asked for words that begin so: by themselves, while they are not too many. Asked for
    /// the beginning, SQLite would read everything that it has of all of them before it gave the first block.
    pub(super) async fn spell_out(&self, beginning: String) -> Result<Beginning, StoreError> {
        self.readers
            .read(move |connection| {
                let mut next = connection
                    .prepare_cached("SELECT term FROM vocabulary WHERE term >= ? LIMIT 1")?;
                let mut words: Vec<String> = Vec::new();
                let mut from = beginning.clone();
                while words.len() <= MAX_SPELLED_OUT {
                    let word: Option<String> =
                        next.query_row([&from], |row| row.get(0)).optional()?;
                    let Some(word) = word.filter(|word| word.starts_with(&beginning)) else {
                        // What the index writes in another way it knows by the beginning only.
                        return Ok(match words.is_empty() {
                            true => Beginning::GoesOn,
                            false => Beginning::Words(words),
                        });
                    };
                    from = format!("{word}{AFTER_WORD}");
                    words.push(word);
                }
                Ok(Beginning::Common)
            })
            .await
    }

    /// The next blocks of a walk (times to the millisecond).
    pub(super) async fn find(
        &self,
        walk: &mut Walk,
        limit: usize,
    ) -> Result<Vec<Found>, StoreError> {
        let limit = limit.max(AHEAD);
        let syntax = Syntax {
            quote: '"',
            and: " AND ",
            or: " OR ",
            goes_on: "*",
        };
        let expression = walk.sought.expression(&syntax, &walk.beginning);
        let times = walk.times;
        let first = millis(times.0) << SEQ_BITS;
        let latest = times.1.saturating_add(SPAN_NANOS);
        let last = (millis(latest) << SEQ_BITS) | ((1 << SEQ_BITS) - 1);
        let last = walk.after.map_or(last, |(id, _)| last.min(id - 1));
        let found: Vec<Found> = self
            .readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT d.id, d.seq FROM words w CROSS JOIN documents d ON d.id = w.rowid
                     WHERE w.words MATCH ? AND w.rowid >= ? AND w.rowid <= ? AND d.first_time <= ?
                     ORDER BY w.rowid DESC LIMIT ?",
                )?;
                let values = params![expression, first, last, times.1, limit as i64];
                let found = statement.query_map(values, |row| {
                    let (id, seq): (i64, i64) = (row.get(0)?, row.get(1)?);
                    Ok(Found {
                        seq,
                        place: (id, seq),
                        bound: end_of_millisecond(id >> SEQ_BITS),
                    })
                })?;
                Ok(found.collect::<Result<_, _>>()?)
            })
            .await?;
        walk.is_done = found.len() < limit;
        Ok(found)
    }

    /// Says of changed blocks that are indexed what they are then.
    pub(super) async fn change(&self, changes: &[BlockChange]) -> Result<(), StoreError> {
        let changes: Vec<(i64, i64, Option<Document>)> = changes
            .iter()
            .map(|change| {
                (
                    change.old.last_time,
                    change.old.seq,
                    change.document.clone(),
                )
            })
            .collect();
        self.write(move |transaction| {
            for (last_time, seq, document) in &changes {
                let Some(id) = document_of(transaction, *last_time, *seq)? else {
                    continue;
                };
                transaction
                    .prepare_cached("DELETE FROM words WHERE rowid = ?")?
                    .execute([id])?;
                transaction
                    .prepare_cached("DELETE FROM documents WHERE id = ?")?
                    .execute([id])?;
                if let Some(document) = document {
                    add_document(transaction, document)?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn write<F>(&self, work: F) -> Result<(), StoreError>
    where
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<()> + Send + 'static,
    {
        let writer = Arc::clone(&self.writer);
        let writing = tokio::task::spawn_blocking(move || {
            let mut connection = writer.lock().expect("no holder of this lock panics");
            let transaction = connection.transaction()?;
            work(&transaction)?;
            Ok(transaction.commit()?)
        });
        writing
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?
    }
}

fn make(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(
        "DROP TABLE IF EXISTS vocabulary; DROP TABLE IF EXISTS position; DROP TABLE IF EXISTS documents; DROP TABLE IF EXISTS words;
         CREATE TABLE position (seq INTEGER NOT NULL);
         INSERT INTO position VALUES (0);
         CREATE TABLE documents (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, first_time INTEGER NOT NULL);
         CREATE VIRTUAL TABLE words USING fts5 (text, content = '', contentless_delete = 1,
             detail = 'none', tokenize = \"unicode61 remove_diacritics 0 categories 'L* M* N* S* P* Co'\");",
    )?;
    transaction.pragma_update(None, "user_version", FORM)?;
    transaction.commit()
}

fn add_document(connection: &Connection, document: &Document) -> rusqlite::Result<()> {
    let mut id = number(document.last_time, document.seq);
    let mut insert = connection
        .prepare_cached("INSERT INTO documents VALUES (?, ?, ?) ON CONFLICT DO NOTHING")?;
    // Two blocks of one millisecond whose `seq`s end alike: the later one takes the next number.
    while insert.execute(params![id, document.seq, document.first_time])? == 0 {
        id += 1;
    }
    connection
        .prepare_cached("INSERT INTO words (rowid, text) VALUES (?, ?)")?
        .execute(params![id, document.words])?;
    Ok(())
}

fn document_of(connection: &Connection, time: i64, seq: i64) -> rusqlite::Result<Option<i64>> {
    let first = number(time, seq);
    connection
        .prepare_cached("SELECT id FROM documents WHERE id >= ? AND id < ? + 64 AND seq = ?")?
        .query_row(params![first, first, seq], |row| row.get(0))
        .optional()
}

fn number(time: i64, seq: i64) -> i64 {
    (millis(time) << SEQ_BITS) | (seq & ((1 << SEQ_BITS) - 1))
}

/// A time in milliseconds; what lies outside the years 1970 to 2248 as the nearest of them.
fn millis(nanos: i64) -> i64 {
    nanos.div_euclid(1_000_000).clamp(0, MAX_MILLIS)
}

/// The last nanosecond of a millisecond; for ever in the last one.
fn end_of_millisecond(millis: i64) -> i64 {
    match millis == MAX_MILLIS {
        true => i64::MAX,
        false => (millis + 1).saturating_mul(1_000_000) - 1,
    }
}

#[cfg(test)]
mod tests {
    use crate::central::store::Scope;

    use super::*;

    #[tokio::test]
    async fn a_beginning_is_spelled_out_while_few_words_begin_so() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let index = TextIndex::open(folder.path()).expect("it opens");
        let many = (0..=MAX_SPELLED_OUT).map(|number| format!("many{number}"));
        let words: Vec<String> = many
            .chain(["ledger", "ledgers", "led"].map(str::to_owned))
            .collect();
        let document = Document {
            scope: Scope {
                tenant: 1,
                environment: 1,
            },
            seq: 1,
            first_time: 1,
            last_time: 1,
            words: words.join(" "),
            ids: Vec::new(),
        };
        index.add(vec![document], 0, 1).await.expect("it writes");
        let spelled = async |beginning: &str| {
            let spelled = index.spell_out(beginning.to_owned()).await;
            spelled.expect("it reads")
        };
        let words = |words: &[&str]| {
            Beginning::Words(words.iter().map(|word| (*word).to_owned()).collect())
        };
        assert_eq!(spelled("ledg").await, words(&["ledger", "ledgers"]));
        assert_eq!(spelled("ledgers").await, words(&["ledgers"]));
        assert_eq!(spelled("many99").await, words(&["many99"]));
        assert_eq!(spelled("many").await, Beginning::Common);
        assert_eq!(spelled("ledx").await, Beginning::GoesOn);
    }
}
