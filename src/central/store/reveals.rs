//! Content that was opened for one person for some time, and the audit of it: both are written by one
//! transaction, so that nothing is shown of which the audit does not tell.

use std::collections::BTreeSet;

use crate::event::Timestamp;

use super::query::Query;
use super::{AuditEntry, Scope, Store, StoreError};

/// What is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// One session, by its id.
    Session(String),
    /// One list, by its address without the place in it.
    List(String),
}

/// What is open for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reveals {
    /// Sessions, by id.
    pub sessions: BTreeSet<String>,
    /// Lists, by address.
    pub lists: BTreeSet<String>,
}

impl Opened {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Opened::Session(id) => ("session", id),
            Opened::List(address) => ("list", address),
        }
    }
}

impl Store {
    /// Opens content for a person until `expires_at`.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is opened.
    pub async fn reveal(
        &self,
        scope: Scope,
        person: &str,
        opened: &Opened,
        expires_at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let (kind, object) = opened.parts();
        let old = Query::new(
            "DELETE FROM reveals WHERE expires_at <= $1",
            [entry.time.into()],
        );
        let mut open = Query::scoped(
            "INSERT INTO reveals (tenant, environment, person, kind, object, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (tenant, environment, person, kind, object)
             DO UPDATE SET expires_at = excluded.expires_at",
            scope,
        );
        open.values
            .extend([person.into(), kind.into(), object.into(), expires_at.into()]);
        self.write(vec![entry.insert(), old, open]).await?;
        Ok(())
    }

    /// What is open for a person at `now`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn reveals(
        &self,
        scope: Scope,
        person: &str,
        now: Timestamp,
    ) -> Result<Reveals, StoreError> {
        let mut query = Query::scoped(
            "SELECT kind, object FROM reveals WHERE tenant = $1 AND environment = $2
             AND person = $3 AND expires_at > $4",
            scope,
        );
        query.values.extend([person.into(), now.into()]);
        let mut reveals = Reveals::default();
        for mut row in self.rows(query).await? {
            let (kind, object): (String, String) = (row.take(0)?, row.take(1)?);
            match &*kind {
                "session" => reveals.sessions.insert(object),
                _ => reveals.lists.insert(object),
            };
        }
        Ok(reveals)
    }
}
