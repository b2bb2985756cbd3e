//! The store: every record once, and the tables derived from the records.
//!
//! One writer, which commits together what arrived together, and a few readers. A call that writes
//! returns after the commit is on disk; [`StoreError::Unavailable`] means that nothing was written and
//! that the same call may be made again.

mod rows;
mod cursor;
mod writer;
mod readers;
mod ingest;
mod derived;
mod encoding;
mod events;
mod inventory;
mod sessions;
mod machines;
mod accounts;

use std::path::Path;

pub use accounts::TokenState;
pub use cursor::PageRequest;
pub use encoding::{EncodingError, encode_event};
pub use ingest::{Ingest, NewSignal, Stored};
pub use machines::MAX_GAPS;
pub use rows::{
    Agent, Dropped, Entity, EntityKind, Environment, Event, EventFilter, Identity, Installation,
    Integration, Machine, Owner, Page, Scope, SeqRange, Session, SessionFilter, Token,
};
pub use sessions::MAX_SESSION_EVENTS;

use readers::Readers;
use writer::Writer;

mod migrations {
    refinery::embed_migrations!("src/central/store/migrations/sqlite");
}

/// The file in the data directory.
const FILE: &str = "fieldpost.db";

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The cursor was not made by this list.
    #[error("the cursor is not one that this list gave out; begin without one")]
    BadCursor,
    /// The store cannot read or write right now.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        StoreError::Unavailable(error.to_string())
    }
}

/// The store of one central service. Clones share it.
#[derive(Clone)]
pub struct Store {
    writer: Writer,
    readers: Readers,
}

impl Store {
    /// Opens the store in `directory`, which exists; the database is made and migrated when needed.
    ///
    /// # Errors
    /// When the directory or the database cannot be used.
    pub fn open(directory: &Path) -> anyhow::Result<Store> {
        let file = directory.join(FILE);
        let mut connection = connect(&file)?;
        migrations::migrations::runner().run(&mut connection)?;
        Ok(Store {
            writer: Writer::start(connection)?,
            readers: Readers::new(file),
        })
    }

    /// Writes what is under way, and ends the writer.
    pub async fn close(&self) {
        self.writer.close().await;
    }
}

/// A connection with the settings that durability asks for: write-ahead log, synced at each commit.
fn connect(file: &Path) -> rusqlite::Result<rusqlite::Connection> {
    let connection = rusqlite::Connection::open(file)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}
