//! The store: every record once, and the tables derived from the records.
//!
//! One store with two faces, SQLite and PostgreSQL. Accounts, inventory and sessions are read and written
//! by statements that both take (`query`); what differs, such as the way in of events, has two
//! implementations with the same name in the same order, in `sqlite` and `postgres`.
//!
//! A call that writes returns after the commit is on disk; [`StoreError::Unavailable`] means that nothing
//! is known to be written and that the same call may be made again.

mod rows;
mod sight;
mod cursor;
mod query;
mod terms;
mod search;
mod keys;
mod dictionary;
mod block;
mod unpacked;
mod repack;
mod ingest;
mod derived;
mod sqlite;
mod postgres;
mod event_row;
mod events;
mod words;
mod bloom;
mod text;
mod audit;
mod retention;
mod export;
mod signal_message;
mod signals;
mod signal_upkeep;
mod work;
mod inventory;
mod catalog;
mod sessions;
mod session_search;
mod first_prompts;
mod survey;
mod arrivals;
mod machines;
mod machine_account;
mod machine_state;
mod machine_rules;
mod machine_standing;
mod machine_users;
mod concern;
mod fleet;
mod stats;
mod drift;
mod agent_health;
mod accounts;
mod api_keys;
mod tenants;
mod token_use;
mod token_senders;
mod people;
mod identities;
mod sign_ins;
mod portal_audit;
mod reveals;
mod saved_views;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Mutex;

pub use accounts::TokenState;
pub use agent_health::{AgentMachine, AgentVersion};
pub use api_keys::{Access, ApiKey, ApiKeyAccess, PersonalKey, Role};
pub use arrivals::Arrivals;
pub use audit::{Audit, Progress};
pub use block::{BlockBuilder, BlockError, NewBlock};
pub use catalog::{
    Activeness, Agent, Catalog, Cataloged, ClientVersion, Completeness, Criteria, Entity,
    EntityKind, EntityUser, Facet as CatalogFacet, Of, Owner, Pick, Tally,
};
pub use concern::{Concern, expires_soon};
pub use cursor::PageRequest;
pub use dictionary::{Compressor, Dictionary};
pub use drift::{Grain, Sent, SilentSession};
pub use export::Exported;
pub use fleet::Fleet;
pub use identities::Arrival;
pub use ingest::{Ingest, NewSignal, Stored};
pub use machine_account::MAX_GAPS;
pub use machine_rules::MachineRules;
pub use machine_state::MachineState;
pub use machine_users::MachineAgent;
pub use people::{Member, MemberChange, Membership, NewPerson, Person};
pub use portal_audit::{AuditEntry, AuditFilter, AuditTally, Audited};
pub use postgres::{Connection as PostgresConnection, UrlError as PostgresUrlError};
pub use retention::{Expired, Retention, oldest_kept};
pub use reveals::{Opened, Reveals};
pub use rows::{
    Dropped, Environment, Event, EventFilter, Identity, Installation, Integration, Machine, Page,
    Scope, SeqRange, Session, SessionFilter, Token, TokenLife,
};
pub use saved_views::SavedView;
pub use session_search::SessionsFound;
pub use sessions::{MAX_SESSION_EVENTS, SessionEvents};
pub use sight::Sight;
pub use sign_ins::{SignIn, SignInRow};
pub use signal_message::SignalMessage;
pub use signals::{ExportedSignals, ReceivedSignal, SignalFilter, SignalPlace};
pub use stats::{MetricTotal, Stats, StatsFilter};
pub use survey::{Facet, FacetValue, MAX_COUNTED, Survey};
pub use tenants::{Contents, Renamed, Tenant};
pub use terms::{MAX_QUERY, Qualifier, QueryError, Term, parse_query, query_of};
pub use token_senders::{MachineToken, SenderKind, TokenDay, TokenSender};
pub use token_use::{Counted, TokenAddress, TokenRefusal, TokenRejection, TokenUse};

use dictionary::Dictionaries;
use postgres::Postgres;
use query::{Dialect, Query, Row};
use sqlite::Sqlite;
use work::Work;

use crate::event::Timestamp;

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The cursor was not made by this list.
    #[error("the cursor is not one that this list gave out; begin without one")]
    BadCursor,
    /// Text was to be searched that whoever asks may not see: a search would tell it letter by letter.
    #[error("the text of records is hidden by your role, so it cannot be searched either")]
    ContentHidden,
    /// A filter cannot be read; the words say why and what to do.
    #[error("{0}")]
    BadQuery(String),
    /// The store cannot read or write right now.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}

/// What went wrong with a migration, in words that say what to do.
fn explain(error: refinery::Error) -> anyhow::Error {
    let is_newer = matches!(
        error.kind(),
        refinery::error::Kind::MissingVersion(_) | refinery::error::Kind::DivergentVersion(..)
    );
    let error = anyhow::Error::from(error);
    match is_newer {
        true => error.context(
            "the database was made or migrated by a newer version of fieldpost, or by one that was never \
             released; start that version, or restore the backup from before",
        ),
        false => error.context("the database could not be migrated"),
    }
}

/// Where a store is.
#[derive(Clone, Debug, Default)]
pub enum Location {
    /// In a file of the data directory.
    #[default]
    DataDirectory,
    /// In PostgreSQL.
    Postgres(PostgresConnection),
}

/// The store of one central service. Clones share it.
#[derive(Clone)]
pub struct Store {
    database: Database,
    dictionaries: Dictionaries,
    work: Arc<Mutex<Option<Work>>>,
}

/// The two faces.
#[derive(Clone)]
enum Database {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Store {
    /// Opens the store; the database is made and migrated when needed. `data` is the data directory,
    /// which exists.
    ///
    /// # Errors
    /// When the directory or the database cannot be used.
    pub async fn open(location: &Location, data: &Path) -> anyhow::Result<Store> {
        let (database, dialect) = match location {
            Location::DataDirectory => (Database::Sqlite(Sqlite::open(data)?), Dialect::Sqlite),
            Location::Postgres(connection) => {
                let postgres = Postgres::open(connection).await?;
                (Database::Postgres(postgres), Dialect::Postgres)
            }
        };
        let store = Store {
            database,
            dictionaries: Dictionaries::of(dialect),
            work: Arc::default(),
        };
        store.load_dictionaries().await?;
        store.place_machines().await?;
        Ok(store)
    }

    /// Brings a database to the newest form, as [`Store::open`] does, and gives the names of the
    /// migrations that were missing.
    ///
    /// # Errors
    /// When the directory or the database cannot be used.
    pub async fn migrate(location: &Location, data: &Path) -> anyhow::Result<Vec<String>> {
        match location {
            Location::DataDirectory => sqlite::migrate(data),
            Location::Postgres(connection) => postgres::migrate(connection).await,
        }
    }

    /// Copies the database into `folder`, as of one moment, while others read and write it.
    ///
    /// # Errors
    /// When it cannot be read or `folder` not be written; and for PostgreSQL, which has tools of its own.
    pub async fn backup(location: &Location, data: &Path, folder: &Path) -> anyhow::Result<()> {
        match location {
            Location::DataDirectory => sqlite::backup(data, folder),
            Location::Postgres(_) => anyhow::bail!(
                "the store is in PostgreSQL; use pg_dump, or pg_basebackup for a copy that can be \
                 rolled forward"
            ),
        }
    }

    /// Ends what is under way, and the store's own work.
    pub async fn close(&self) {
        let work = self.work.lock().await.take();
        if let Some(work) = work {
            work.stop().await;
        }
        match &self.database {
            Database::Sqlite(sqlite) => sqlite.close().await,
            Database::Postgres(postgres) => postgres.close().await,
        }
    }

    /// Stores a request's records, each once. When this returns, they are on disk.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: send the same request again; what was stored is not stored twice.
    pub async fn ingest(&self, ingest: Ingest) -> Result<Stored, StoreError> {
        let dictionaries = self.dictionaries.clone();
        match &self.database {
            Database::Sqlite(sqlite) => sqlite.ingest(ingest, dictionaries).await,
            Database::Postgres(postgres) => postgres.ingest(ingest, dictionaries).await,
        }
    }

    /// Writes something small, as a test.
    ///
    /// # Errors
    /// When the store cannot write right now.
    pub async fn check_writable(&self) -> Result<(), StoreError> {
        let write = "INSERT INTO store_state (key, value) VALUES ('written', $1)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        let now = Timestamp::now().0.to_string();
        self.write(vec![Query::new(write, [now.into()])]).await?;
        Ok(())
    }

    /// What records on their way in are compressed with.
    pub fn dictionary(&self) -> Dictionary {
        self.dictionaries.newest()
    }

    /// Which database it is.
    fn dialect(&self) -> Dialect {
        match &self.database {
            Database::Sqlite(_) => Dialect::Sqlite,
            Database::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The rows that a query gives. For derived tables, see [`Store::derived_rows`].
    async fn rows(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        match &self.database {
            Database::Sqlite(sqlite) => sqlite.rows(query).await,
            Database::Postgres(postgres) => postgres.rows(query).await,
        }
    }

    /// The rows that a query of derived tables gives, with everything that is stored when it is asked.
    async fn derived_rows(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        if let Database::Postgres(postgres) = &self.database {
            postgres.fold().await?;
        }
        self.rows(query).await
    }

    /// How often what records add to the derived tables was set aside, because it could not be folded into
    /// them: until a rebuild, these say less than is stored.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn unfolded(&self) -> Result<i64, StoreError> {
        match &self.database {
            Database::Sqlite(_) => Ok(0),
            Database::Postgres(postgres) => postgres.unfolded().await,
        }
    }

    /// Does all statements in one transaction, or none; gives how many rows each changed.
    async fn write(&self, statements: Vec<Query>) -> Result<Vec<u64>, StoreError> {
        match &self.database {
            Database::Sqlite(sqlite) => sqlite.write(statements).await,
            Database::Postgres(postgres) => postgres.write(statements).await,
        }
    }

    /// Reads the dictionaries that records are compressed with.
    async fn load_dictionaries(&self) -> Result<(), StoreError> {
        let query = Query::new(
            "SELECT id, dictionary FROM dictionaries ORDER BY made_at, id",
            [],
        );
        self.dictionaries.add_rows(self.rows(query).await?)
    }
}
