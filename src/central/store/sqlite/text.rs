//! The text index, in a file of its own: it is written without holding up the writer of records, and can
//! be thrown away and made again.
//!
//! A document's number is the event's time in milliseconds and, below that, the end of its `seq`: so the
//! index gives the latest first, and a range of times is a range of numbers.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::central::store::StoreError;
use crate::central::store::text::{Document, Sought, Syntax};

use super::connect;
use super::readers::Readers;

/// The file in the data directory.
pub(super) const FILE: &str = "fieldpost-text.db";

/// The form of the file; one of another form is made anew.
const FORM: i64 = 1;

/// Bits of a document's number that tell apart the events of one millisecond.
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

    /// Adds documents that follow `position`, unless somebody else has done so.
    pub(super) async fn add(
        &self,
        mut documents: Vec<Document>,
        position: i64,
    ) -> Result<(), StoreError> {
        self.write(move |transaction| {
            let reached = documents.last().map_or(position, |last| last.seq);
            let moved = transaction.execute(
                "UPDATE position SET seq = ? WHERE seq = ?",
                params![reached, position],
            )?;
            if moved == 0 {
                return Ok(());
            }
            // In the order of numbers, which the index takes best.
            documents.sort_by_key(|document| number(document.time, document.seq));
            for document in &documents {
                add_document(transaction, document)?;
            }
            Ok(())
        })
        .await
    }

    /// The `seq`s of the latest events that are what is sought, with times from the first to the second
    /// (to the millisecond).
    pub(super) async fn find(
        &self,
        sought: &Sought,
        times: (i64, i64),
        limit: usize,
    ) -> Result<Vec<i64>, StoreError> {
        let expression = sought.expression(&Syntax {
            quote: '"',
            and: " AND ",
            or: " OR ",
            goes_on: "*",
        });
        let first = millis(times.0) << SEQ_BITS;
        let last = (millis(times.1) << SEQ_BITS) | ((1 << SEQ_BITS) - 1);
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT (SELECT seq FROM documents WHERE id = words.rowid) FROM words
                     WHERE words MATCH ? AND rowid >= ? AND rowid <= ?
                     ORDER BY rowid DESC LIMIT ?",
                )?;
                let found = statement
                    .query_map(params![expression, first, last, limit as i64], |row| {
                        row.get(0)
                    })?;
                Ok(found.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Takes events out, by time and `seq`.
    pub(super) async fn remove(&self, events: Vec<(i64, i64)>) -> Result<(), StoreError> {
        self.write(move |transaction| {
            for (time, seq) in &events {
                if let Some(id) = document_of(transaction, *time, *seq)? {
                    transaction
                        .prepare_cached("DELETE FROM words WHERE rowid = ?")?
                        .execute([id])?;
                    transaction
                        .prepare_cached("DELETE FROM documents WHERE id = ?")?
                        .execute([id])?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Puts documents in the place of those of the same events.
    pub(super) async fn replace(&self, documents: Vec<Document>) -> Result<(), StoreError> {
        let events = documents.iter().map(|it| (it.time, it.seq)).collect();
        self.remove(events).await?;
        self.write(move |transaction| {
            documents
                .iter()
                .try_for_each(|document| add_document(transaction, document))
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
        "DROP TABLE IF EXISTS position; DROP TABLE IF EXISTS documents; DROP TABLE IF EXISTS words;
         CREATE TABLE position (seq INTEGER NOT NULL);
         INSERT INTO position VALUES (0);
         CREATE TABLE documents (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
         CREATE VIRTUAL TABLE words USING fts5 (text, content = '', contentless_delete = 1,
             detail = 'none', tokenize = \"unicode61 remove_diacritics 0 categories 'L* M* N* S* P* Co'\");",
    )?;
    transaction.pragma_update(None, "user_version", FORM)?;
    transaction.commit()
}

fn add_document(connection: &Connection, document: &Document) -> rusqlite::Result<()> {
    let mut id = number(document.time, document.seq);
    let mut insert = connection
        .prepare_cached("INSERT INTO documents (id, seq) VALUES (?, ?) ON CONFLICT DO NOTHING")?;
    // Two events of one millisecond whose `seq`s end alike: the later one takes the next number.
    while insert.execute(params![id, document.seq])? == 0 {
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
