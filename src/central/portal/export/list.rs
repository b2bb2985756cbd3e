//! What can be taken away as a file, and how its rows are read: as the page reads them.

use serde::Serialize;

use crate::central::Central;
use crate::central::portal::browse::{From, Wish, all};
use crate::central::portal::preferences::Preferences;
use crate::central::store::{
    AuditFilter, EntityKind, EventFilter, MachineFilter, PageRequest, Sight, StoreError,
};
use crate::event::Timestamp;

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
    Agents(Wish),
    Owners(Wish),
    Entities(EntityKind, Wish),
    /// As they are at this time.
    Machines(MachineFilter, Timestamp),
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
            List::Agents(_) => "agents",
            List::Owners(_) => "owners",
            List::Entities(EntityKind::Tool, _) => "tools",
            List::Entities(EntityKind::McpTool, _) => "mcp-tools",
            List::Entities(EntityKind::Model, _) => "models",
            List::Entities(EntityKind::WorkingDirectory, _) => "directories",
            List::Machines(..) => "machines",
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
            List::Agents(_)
            | List::Owners(_)
            | List::Entities(..)
            | List::Machines(..)
            | List::Audit(..) => {}
        }
        Ok(())
    }

    /// The first line of the file.
    pub(super) fn head(&self, format: Format) -> String {
        let columns = match self {
            List::Events(_) => &rows::EVENT_COLUMNS[..],
            List::Sessions(_) => &rows::SESSION_COLUMNS[..],
            List::Agents(_) => &rows::AGENT_COLUMNS[..],
            List::Owners(_) => &rows::OWNER_COLUMNS[..],
            List::Entities(..) => &rows::ENTITY_COLUMNS[..],
            List::Machines(..) => &rows::MACHINE_COLUMNS[..],
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
        let of = |which| From {
            store,
            scope,
            which,
        };
        let page = PageRequest::new(cursor, Some(CHUNK));
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
            List::Agents(wish) => {
                let agents = all(of(()), wish).await?;
                Ok(written(&agents, format, |it| rows::agent(it, preferences)))
            }
            List::Owners(wish) => {
                let owners = all(of(()), wish).await?;
                Ok(written(&owners, format, |it| rows::owner(it, preferences)))
            }
            List::Entities(kind, wish) => {
                let which = *kind;
                let entities = all(
                    From {
                        store,
                        scope,
                        which,
                    },
                    wish,
                )
                .await?;
                Ok(written(&entities, format, |it| {
                    rows::entity(it, preferences)
                }))
            }
            List::Machines(filter, now) => {
                let page = store.machines(scope, filter, *now, page).await?;
                let piece = written(&page.items, format, |it| rows::machine(it, preferences));
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
