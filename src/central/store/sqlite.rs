//! The store in one SQLite file: one writer thread, which commits together what arrived together, and a
//! few readers, which see the last commit and never wait for the writer.

mod values;
mod writer;
mod readers;
mod ingest;
mod blocks;
mod migrate;
mod text;
mod audit;
mod retention;
mod derived;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;

use super::block::StoredBlock;
use super::dictionary::Dictionaries;
use super::query::{Query, Row};
use super::repack::BlockChange;
use super::text::{Beginning, Document, Found, Walk};
use super::{Ingest, Scope, StoreError, Stored, explain, keys};

use readers::Readers;
use text::TextIndex;
use values::{parameters, row};
use writer::Writer;

mod migrations {
    refinery::embed_migrations!("src/central/store/migrations/sqlite");
}

/// The file in the data directory.
const FILE: &str = "fieldpost.db";

/// Held by the process that migrates.
const LOCK_FILE: &str = "fieldpost.lock";

/// A store in a directory. Clones share it.
#[derive(Clone)]
pub(super) struct Sqlite {
    writer: Writer,
    readers: Readers,
    text: TextIndex,
}

impl Sqlite {
    /// Opens the store in `directory`, which exists; the database is made and migrated when needed.
    pub(super) fn open(directory: &Path) -> anyhow::Result<Sqlite> {
        migrate(directory)?;
        let file = directory.join(FILE);
        Ok(Sqlite {
            writer: Writer::start(connect(&file)?)?,
            readers: Readers::new(file),
            text: TextIndex::open(directory)?,
        })
    }

    /// Writes what is under way, and ends the writer.
    pub(super) async fn close(&self) {
        self.writer.close().await;
    }

    /// The rows that a query gives.
    pub(super) async fn rows(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        self.readers
            .read(move |connection| rows(connection, &query))
            .await
    }

    /// Does all statements or none; gives how many rows each changed.
    pub(super) async fn write(&self, statements: Vec<Query>) -> Result<Vec<u64>, StoreError> {
        self.writer
            .write(move |transaction| {
                let done = statements.iter().map(|statement| {
                    let changed = transaction
                        .prepare_cached(&numbered(&statement.sql))?
                        .execute(parameters(&statement.values))?;
                    Ok(changed as u64)
                });
                done.collect()
            })
            .await
    }

    /// Stores a request's records, each once.
    pub(super) async fn ingest(
        &self,
        ingest: Ingest,
        dictionaries: Dictionaries,
    ) -> Result<Stored, StoreError> {
        self.writer
            .write(move |transaction| ingest::store(transaction, &ingest, &dictionaries))
            .await
    }

    /// The blocks of events, whose `seq`s are in order.
    pub(super) async fn blocks_of(
        &self,
        scope: Scope,
        seqs: Vec<i64>,
    ) -> Result<Vec<Row>, StoreError> {
        let sql = format!(
            "SELECT {} FROM event_blocks WHERE tenant = $1 AND environment = $2 AND seq >= $3
             ORDER BY seq LIMIT 1",
            StoredBlock::COLUMNS
        );
        self.readers
            .read(move |connection| {
                let mut blocks = Vec::new();
                let mut reached = i64::MIN;
                for seq in seqs.into_iter() {
                    if seq <= reached {
                        continue;
                    }
                    let mut query = Query::scoped(sql.as_str(), scope);
                    query.values.push(seq.into());
                    for row in rows(connection, &query)? {
                        reached = row.clone().take(2)?;
                        blocks.push(row);
                    }
                }
                Ok(blocks)
            })
            .await
    }

    /// Changes blocks, with what the text index says of those that it knows.
    pub(super) async fn change_blocks(&self, changes: Vec<BlockChange>) -> Result<(), StoreError> {
        self.text.change(&changes).await?;
        self.writer
            .write(move |transaction| blocks::change(transaction, &changes))
            .await
    }

    /// The `seq` up to which every event is indexed.
    pub(super) async fn indexed_to(&self) -> Result<i64, StoreError> {
        self.text.indexed_to().await
    }

    /// Adds documents that follow `position` and go to `reached`, unless somebody else has done so.
    pub(super) async fn add_documents(
        &self,
        documents: Vec<Document>,
        position: i64,
        reached: i64,
    ) -> Result<(), StoreError> {
        self.text.add(documents, position, reached).await
    }

    /// How the text index is asked for the beginning of a word.
    pub(super) async fn spell_out(&self, beginning: &str) -> Result<Beginning, StoreError> {
        self.text.spell_out(beginning.to_owned()).await
    }

    /// The next blocks of a walk through the text index.
    pub(super) async fn find_documents(
        &self,
        walk: &mut Walk,
        limit: usize,
    ) -> Result<Vec<Found>, StoreError> {
        self.text.find(walk, limit).await
    }
}

/// Brings the database in `directory` to the newest form; gives the migrations that were missing.
/// Processes that start at once wait for each other here.
pub(super) fn migrate(directory: &Path) -> anyhow::Result<Vec<String>> {
    let lock = directory.join(LOCK_FILE);
    make_private(&lock)?;
    let lock = std::fs::File::open(&lock)?;
    lock.lock().context("cannot lock the data folder")?;
    let file = directory.join(FILE);
    make_private(&file)?;
    let mut connection = connect(&file)?;
    // A table that is made anew takes the place of the one that others refer to.
    connection.pragma_update(None, "foreign_keys", false)?;
    let report = migrations::migrations::runner()
        .run(&mut connection)
        .map_err(explain)?;
    migrate::pack_old_events(&mut connection)?;
    TextIndex::open(directory)?;
    let applied = report.applied_migrations().iter();
    Ok(applied.map(ToString::to_string).collect())
}

/// Copies the database in `directory` into `folder`, as of one moment. The text index is not copied: the
/// copy makes its own.
pub(super) fn backup(directory: &Path, folder: &Path) -> anyhow::Result<()> {
    let file = directory.join(FILE);
    anyhow::ensure!(
        file.exists(),
        "there is no database in {}",
        directory.display()
    );
    let copy = folder.join(FILE);
    make_private(&copy)?;
    let copy = copy.to_str().context("the folder's name is not UTF-8")?;
    connect(&file)?.execute("VACUUM INTO ?", [copy])?;
    let connection = connect(Path::new(copy))?;
    let verdict: String = connection.query_row("PRAGMA quick_check", [], |row| row.get(0))?;
    anyhow::ensure!(verdict == "ok", "the copy is damaged: {verdict}");
    Ok(())
}

/// Makes a file that only its owner can read, or makes it so; SQLite gives the files beside it the same
/// mode. One that is there is not opened: closing it would take SQLite's locks on it.
fn make_private(file: &Path) -> std::io::Result<()> {
    if !file.exists() {
        let mut options = std::fs::OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(file)?;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// A statement as SQLite numbers parameters: `?1`, where PostgreSQL has `$1`.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

fn rows(connection: &Connection, query: &Query) -> Result<Vec<Row>, StoreError> {
    let mut statement = connection.prepare_cached(&numbered(&query.sql))?;
    let columns = statement.column_count();
    let rows = statement
        .query_map(parameters(&query.values), |found| row(found, columns))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// A connection with the settings that durability asks for: write-ahead log, synced at each commit.
fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(128);
    // Otherwise a statement that was kept is planned anew for each of its values, which takes longer than most take
    // to run. No plan of ours depends on them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    add_functions(&connection)?;
    Ok(connection)
}

/// A key of a text.
type KeyOf = fn(&str) -> i64;

/// What migrations call, and what PostgreSQL has: `strpos`, and a `lower` of all letters.
fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("record_key", 1, flags, |context| {
        let uid: String = context.get(0)?;
        Ok(keys::uid_key(&uid))
    })?;
    connection.create_scalar_function("first_half", 1, flags, |context| {
        let key: Vec<u8> = context.get(0)?;
        Ok(key.first_chunk().map(|half| i64::from_be_bytes(*half)))
    })?;
    let functions: [(&str, KeyOf); 4] = [
        ("agent_key", keys::agent_key),
        ("text_key", keys::text_key),
        ("word_key", keys::word_key),
        ("activity_key", |slug| {
            super::event_row::activity_key(crate::event::Activity::from_slug(slug))
        }),
    ];
    for (name, function) in functions {
        connection.create_scalar_function(name, 1, flags, move |context| {
            let text: Option<String> = context.get(0)?;
            Ok(text.as_deref().map(function))
        })?;
    }
    connection.create_scalar_function("lower", 1, flags, |context| {
        let text: Option<String> = context.get(0)?;
        Ok(text.map(|text| text.to_lowercase()))
    })?;
    connection.create_scalar_function("strpos", 2, flags, |context| {
        let (text, part): (Option<String>, String) = (context.get(0)?, context.get(1)?);
        Ok(text.map(|text| {
            let before = text.split_once(&part);
            before.map_or(0, |(before, _)| before.chars().count() as i64 + 1)
        }))
    })?;
    Ok(())
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        StoreError::Unavailable(error.to_string())
    }
}
