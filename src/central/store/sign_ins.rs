//! Browsers that are signed in, links that let somebody in once, and how often it was tried.

use serde::Serialize;

use crate::event::Timestamp;

use super::people::{PERSON, person};
use super::query::Query;
use super::{AuditEntry, Person, Store, StoreError};

/// A browser that is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// Who.
    pub person: Person,
    /// When the person signed in.
    pub created_at: Timestamp,
    /// When it was used last, to the minute.
    pub used_at: Timestamp,
    /// How the person signed in.
    pub how: String,
}

/// The same as its owner sees it in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignInRow {
    /// Names it, and says nothing about the cookie.
    pub id: String,
    /// When the person signed in.
    pub created_at: Timestamp,
    /// When it was used last.
    pub used_at: Timestamp,
    /// From which address it was made.
    pub address: String,
    /// What the browser called itself.
    pub client: String,
    /// How the person signed in.
    pub how: String,
}

impl Store {
    /// Notes a browser that signed in, and that it did; how is the entry's object. `secret` is a hash.
    ///
    /// # Errors
    /// [`StoreError`]; then nobody is signed in.
    pub async fn add_sign_in(
        &self,
        secret: &str,
        id: &str,
        person: &str,
        client: &str,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let add = Query::new(
            "INSERT INTO sign_ins (hash, id, person, created_at, used_at, address, client, how)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            [
                secret.into(),
                id.into(),
                person.into(),
                entry.time.into(),
                entry.time.into(),
                entry.address.as_str().into(),
                client.into(),
                entry.object.as_str().into(),
            ],
        );
        self.write(vec![entry.insert(), add]).await?;
        Ok(())
    }

    /// The sign-in with this hash.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn sign_in(&self, secret: &str) -> Result<Option<SignIn>, StoreError> {
        let query = Query::new(
            format!(
                "SELECT {PERSON}, s.created_at, s.used_at, s.how
                 FROM sign_ins s JOIN people p ON p.id = s.person WHERE s.hash = $1"
            ),
            [secret.into()],
        );
        let found = self.rows(query).await?.pop();
        found
            .map(|mut row| {
                Ok(SignIn {
                    person: person(&mut row)?,
                    created_at: row.take(4)?,
                    used_at: row.take(5)?,
                    how: row.take(6)?,
                })
            })
            .transpose()
    }

    /// Notes that a sign-in was used.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn use_sign_in(&self, secret: &str, now: Timestamp) -> Result<(), StoreError> {
        let used = Query::new(
            "UPDATE sign_ins SET used_at = $1 WHERE hash = $2",
            [now.into(), secret.into()],
        );
        self.write(vec![used]).await?;
        Ok(())
    }

    /// The browsers in which a person is signed in, the latest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn sign_ins(&self, person: &str) -> Result<Vec<SignInRow>, StoreError> {
        let query = Query::new(
            "SELECT id, created_at, used_at, address, client, how FROM sign_ins
             WHERE person = $1 ORDER BY created_at DESC, id",
            [person.into()],
        );
        let rows = self.rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(SignInRow {
                id: row.take(0)?,
                created_at: row.take(1)?,
                used_at: row.take(2)?,
                address: row.take(3)?,
                client: row.take(4)?,
                how: row.take(5)?,
            })
        })
        .collect()
    }

    /// Signs one browser out.
    ///
    /// # Errors
    /// [`StoreError`]; then it stays signed in.
    pub async fn end_sign_in(&self, secret: &str, entry: &AuditEntry) -> Result<(), StoreError> {
        let end = Query::new("DELETE FROM sign_ins WHERE hash = $1", [secret.into()]);
        self.write(vec![entry.insert(), end]).await?;
        Ok(())
    }

    /// Signs a person out everywhere, and takes links back. Gives how many browsers that were.
    ///
    /// # Errors
    /// [`StoreError`]; then they stay signed in.
    pub async fn end_sign_ins(
        &self,
        person: &str,
        entries: &[AuditEntry],
    ) -> Result<u64, StoreError> {
        let end = Query::new("DELETE FROM sign_ins WHERE person = $1", [person.into()]);
        let links = Query::new(
            "DELETE FROM sign_in_links WHERE person = $1",
            [person.into()],
        );
        let audit = entries.iter().map(AuditEntry::insert);
        let statements = [end, links].into_iter().chain(audit).collect();
        Ok(self.write(statements).await?[0])
    }

    /// Forgets sign-ins that ended by themselves: made before `made`, or last used before `used`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn forget_ended_sign_ins(
        &self,
        made: Timestamp,
        used: Timestamp,
    ) -> Result<(), StoreError> {
        let forget = Query::new(
            "DELETE FROM sign_ins WHERE created_at < $1 OR used_at < $2",
            [made.into(), used.into()],
        );
        self.write(vec![forget]).await?;
        Ok(())
    }

    /// Notes a link for a person, made at `now`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn add_sign_in_link(
        &self,
        secret: &str,
        person: &str,
        now: Timestamp,
        expires_at: Timestamp,
        entries: &[AuditEntry],
    ) -> Result<(), StoreError> {
        let old = Query::new(
            "DELETE FROM sign_in_links WHERE expires_at <= $1",
            [now.into()],
        );
        let add = Query::new(
            "INSERT INTO sign_in_links (hash, person, expires_at) VALUES ($1, $2, $3)",
            [secret.into(), person.into(), expires_at.into()],
        );
        let audit = entries.iter().map(AuditEntry::insert);
        self.write([old, add].into_iter().chain(audit).collect())
            .await?;
        Ok(())
    }

    /// Whose link this is, if it can still be used.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn sign_in_link(
        &self,
        secret: &str,
        now: Timestamp,
    ) -> Result<Option<Person>, StoreError> {
        let query = Query::new(
            format!(
                "SELECT {PERSON} FROM sign_in_links l JOIN people p ON p.id = l.person
                 WHERE l.hash = $1 AND l.expires_at > $2"
            ),
            [secret.into(), now.into()],
        );
        let found = self.rows(query).await?.pop();
        found.map(|mut row| person(&mut row)).transpose()
    }

    /// Uses a link up; of several who try at once, one is told that it was good.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn use_sign_in_link(&self, secret: &str, now: Timestamp) -> Result<bool, StoreError> {
        let take = Query::new(
            "DELETE FROM sign_in_links WHERE hash = $1 AND expires_at > $2",
            [secret.into(), now.into()],
        );
        Ok(self.write(vec![take]).await?[0] > 0)
    }

    /// Counts a try to sign in, in this span of time; false when there were `limit` of the subject already.
    /// Spans before it are forgotten.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn count_try(
        &self,
        subject: &str,
        span: i64,
        limit: i64,
    ) -> Result<bool, StoreError> {
        let old = Query::new("DELETE FROM sign_in_tries WHERE span < $1", [span.into()]);
        let count = Query::new(
            "INSERT INTO sign_in_tries (subject, span, tries) VALUES ($1, $2, 1)
             ON CONFLICT (subject, span) DO UPDATE SET tries = sign_in_tries.tries + 1
             WHERE sign_in_tries.tries < $3",
            [subject.into(), span.into(), limit.into()],
        );
        Ok(self.write(vec![old, count]).await?[1] > 0)
    }

    /// Forgets the tries of a subject.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn forget_tries(&self, subject: &str) -> Result<(), StoreError> {
        let forget = Query::new(
            "DELETE FROM sign_in_tries WHERE subject = $1",
            [subject.into()],
        );
        self.write(vec![forget]).await?;
        Ok(())
    }
}
