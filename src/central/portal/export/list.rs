//! What can be taken away as a file, and how its rows are read: as the page reads them.

use serde::Serialize;

use crate::central::Central;
use crate::central::portal::preferences::Preferences;
use crate::central::store::{
    AuditFilter, Cataloged, Criteria, EntityKind, EventFilter, PageRequest, Scope, Sight,
    SignalFilter, Store, StoreError,
};
use crate::event::Timestamp;
use crate::otlp::Signal;

use super::{csv, rows};

/// Rows that are read at once.
const CHUNK: u32 = 500;

/// How a file is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// As RFC 4180 has it.
    Csv,
    /// One JSON value a line.
    Ndjson,
}

/// A list with what narrows it.
pub(super) enum List {
    Events(EventFilter),
    Sessions(EventFilter),
    // As they are at this time.
    Agents(Criteria, Timestamp),
    Owners(Criteria, Timestamp),
    Entities(Criteria, Timestamp),
    /// The agents that used one of these.
    Users(Criteria, Timestamp),
    /// Of the client.
    Versions(Criteria, Timestamp),
    /// Of a person.
    Views(Criteria, Timestamp),
    Tokens(Criteria, Timestamp),
    Machines(Criteria, Timestamp),
    People(Criteria, Timestamp),
    /// Of a person, for the API.
    Keys(Criteria, Timestamp),
    /// As they came.
    Signals(Signal, SignalFilter),
    /// Of everybody, or of one person.
    Audit(AuditFilter, Option<String>),
}

/// A piece of a file, and where the next one begins.
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) rows: usize,
    pub(super) next: Option<String>,
}

impl List {
    /// What the rows are called, in the file's name and in the audit.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            List::Events(_) => "events",
            List::Sessions(_) => "sessions",
            List::Agents(..) => "agents",
            List::Owners(..) => "owners",
            List::Entities(criteria, _) => nouns_of(criteria),
            List::Users(..) => "users",
            List::Versions(..) => "versions",
            List::Views(..) => "views",
            List::Tokens(..) => "tokens",
            List::Machines(..) => "machines",
            List::People(..) => "people",
            List::Keys(..) => "api-keys",
            List::Signals(signal, _) => signal.word(),
            List::Audit(..) => "audit",
        }
    }

    /// Whether it may be read at all: a search in text that is hidden is refused before a file begins.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(super) async fn check(&self, central: &Central, sight: &Sight) -> Result<(), StoreError> {
        let first = PageRequest::new(None, Some(1));
        match self {
            List::Events(filter) => {
                central.store.events(sight, filter, first).await?;
            }
            List::Sessions(filter) => {
                central.store.find_sessions(sight, filter, first).await?;
            }
            List::Agents(..)
            | List::Owners(..)
            | List::Entities(..)
            | List::Users(..)
            | List::Versions(..)
            | List::Views(..)
            | List::Tokens(..)
            | List::Machines(..)
            | List::People(..)
            | List::Keys(..)
            | List::Signals(..)
            | List::Audit(..) => {}
        }
        Ok(())
    }

    /// The first line of the file.
    pub(super) fn head(&self, format: Format) -> String {
        let columns = match self {
            List::Events(_) => &rows::EVENT_COLUMNS[..],
            List::Sessions(_) => &rows::SESSION_COLUMNS[..],
            List::Agents(..) => &rows::AGENT_COLUMNS[..],
            List::Owners(..) => &rows::OWNER_COLUMNS[..],
            List::Entities(..) => &rows::ENTITY_COLUMNS[..],
            List::Users(..) => &rows::USER_COLUMNS[..],
            List::Versions(..) => &rows::VERSION_COLUMNS[..],
            List::Views(..) => &rows::VIEW_COLUMNS[..],
            List::Tokens(..) => &rows::TOKEN_COLUMNS[..],
            List::Machines(..) => &rows::MACHINE_COLUMNS[..],
            List::People(..) => &rows::PERSON_COLUMNS[..],
            List::Keys(..) => &rows::KEY_COLUMNS[..],
            List::Signals(..) => &rows::SIGNAL_COLUMNS[..],
            List::Audit(..) => &rows::AUDIT_COLUMNS[..],
        };
        match format {
            Format::Csv => csv::line(columns),
            Format::Ndjson => String::new(),
        }
    }

    /// The piece of the file that begins at `cursor`.
    pub(super) async fn piece(
        &self,
        central: &Central,
        sight: &Sight,
        format: Format,
        preferences: &Preferences,
        cursor: Option<String>,
    ) -> Result<Piece, StoreError> {
        let (store, scope) = (&central.store, sight.scope);
        let page = PageRequest::new(cursor, Some(CHUNK));
        let of = From {
            store,
            scope,
            format,
            preferences,
        };
        match self {
            List::Events(filter) => {
                let page = store.events(sight, filter, page).await?;
                let piece = written(&page.items, format, |it| rows::event(it, preferences));
                Ok(piece.followed_by(page.next_cursor))
            }
            List::Sessions(filter) => {
                let page = store.find_sessions(sight, filter, page).await?.page;
                let piece = written(&page.items, format, |it| rows::session(it, preferences));
                Ok(piece.followed_by(page.next_cursor))
            }
            List::Agents(criteria, now) => of.piece(criteria, *now, page, rows::agent).await,
            List::Owners(criteria, now) => of.piece(criteria, *now, page, rows::owner).await,
            List::Entities(criteria, now) => of.piece(criteria, *now, page, rows::entity).await,
            List::Users(criteria, now) => of.piece(criteria, *now, page, rows::user).await,
            List::Versions(criteria, now) => of.piece(criteria, *now, page, rows::version).await,
            List::Views(criteria, now) => of.piece(criteria, *now, page, rows::view).await,
            List::Tokens(criteria, now) => of.piece(criteria, *now, page, rows::token).await,
            List::Machines(criteria, now) => of.piece(criteria, *now, page, rows::machine).await,
            List::People(criteria, now) => of.piece(criteria, *now, page, rows::person).await,
            List::Keys(criteria, now) => of.piece(criteria, *now, page, rows::key).await,
            List::Signals(signal, filter) => {
                let page = store.signals(sight, *signal, filter, page).await?;
                let piece = written(&page.items, format, |it| rows::signal(it, preferences));
                Ok(piece.followed_by(page.next_cursor))
            }
            List::Audit(filter, only) => {
                let page = store.audited(scope, only.as_deref(), filter, page).await?;
                let piece = written(&page.items, format, |it| rows::audited(it, preferences));
                Ok(piece.followed_by(page.next_cursor))
            }
        }
    }
}

/// Where lists with a catalog are read from, and how they are written.
struct From<'a> {
    store: &'a Store,
    scope: Scope,
    format: Format,
    preferences: &'a Preferences,
}

impl From<'_> {
    async fn piece<T: Cataloged + Serialize>(
        &self,
        criteria: &Criteria,
        now: Timestamp,
        page: PageRequest,
        cells: fn(&T, &Preferences) -> Vec<String>,
    ) -> Result<Piece, StoreError> {
        let page = self
            .store
            .list::<T>(self.scope, criteria, now, page)
            .await?;
        let piece = written(&page.items, self.format, |it| cells(it, self.preferences));
        Ok(piece.followed_by(page.next_cursor))
    }
}

/// What entities are called where they are all of one kind.
fn nouns_of(criteria: &Criteria) -> &'static str {
    let kind = criteria.picks.iter().find(|pick| pick.facet == "kind");
    match kind.and_then(|kind| EntityKind::from_slug(&kind.value)) {
        Some(EntityKind::Tool) => "tools",
        Some(EntityKind::McpTool) => "mcp-tools",
        Some(EntityKind::Model) => "models",
        Some(EntityKind::WorkingDirectory) => "directories",
        None => "entities",
    }
}

fn written<T: Serialize>(items: &[T], format: Format, cells: impl Fn(&T) -> Vec<String>) -> Piece {
    let mut text = String::new();
    for item in items {
        match format {
            Format::Csv => text.push_str(&csv::line(&cells(item))),
            Format::Ndjson => {
                text.push_str(&serde_json::to_string(item).unwrap_or_default());
                text.push('\n');
            }
        }
    }
    Piece {
        text,
        rows: items.len(),
        next: None,
    }
}

impl Piece {
    fn followed_by(self, next: Option<String>) -> Piece {
        Piece { next, ..self }
    }
}
