//! Who people are at the identity provider, and the roles that follow from their groups there.

use crate::event::Timestamp;

use super::people::{PERSON, person};
use super::query::Query;
use super::{AuditEntry, Person, Role, Scope, Store, StoreError};

/// Somebody whom the provider has just signed in, and what that changes. All of it is written at once, with
/// the audit.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The provider.
    pub issuer: String,
    /// Who it is there.
    pub subject: String,
    /// The person's id, a new one for a new account.
    pub person: String,
    /// What the person is called from now on.
    pub name: String,
    /// When the provider said so.
    pub now: Timestamp,
    /// The roles that follow from the groups, new and old ones.
    pub roles: Vec<(Scope, Role)>,
    /// The environments where none follows any more.
    pub gone: Vec<Scope>,
    /// Whether a role changed or went, which ends every session.
    pub signs_out: bool,
    /// What the audit tells.
    pub entries: Vec<AuditEntry>,
}

impl Store {
    /// Whom the provider calls by this subject.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn person_of_identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<Person>, StoreError> {
        let sql = format!(
            "SELECT {PERSON} FROM person_identities i JOIN people p ON p.id = i.person
             WHERE i.issuer = $1 AND i.subject = $2"
        );
        let query = Query::new(sql, [issuer.into(), subject.into()]);
        let found = self.rows(query).await?.pop();
        found.map(|mut row| person(&mut row)).transpose()
    }

    /// Whether a person is known at a provider.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn has_identity(&self, person: &str) -> Result<bool, StoreError> {
        let query = Query::new(
            "SELECT person FROM person_identities WHERE person = $1",
            [person.into()],
        );
        Ok(!self.rows(query).await?.is_empty())
    }

    /// Lets an arrival's changes come into force. The groups stand above the rule that an environment keeps
    /// an owner: whoever is put out at the provider is out, and the command line makes a new owner.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed.
    pub async fn arrive(&self, arrival: &Arrival) -> Result<(), StoreError> {
        let id = || arrival.person.as_str().into();
        let mut statements: Vec<Query> = arrival.entries.iter().map(AuditEntry::insert).collect();
        statements.push(Query::new(
            "INSERT INTO people (id, name, created_at) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name",
            [id(), arrival.name.as_str().into(), arrival.now.into()],
        ));
        statements.push(Query::new(
            "INSERT INTO person_identities (issuer, subject, person) VALUES ($1, $2, $3)
             ON CONFLICT (issuer, subject) DO NOTHING",
            [
                arrival.issuer.as_str().into(),
                arrival.subject.as_str().into(),
                id(),
            ],
        ));
        for (scope, role) in &arrival.roles {
            let mut give = Query::scoped(
                "INSERT INTO memberships (tenant, environment, person, role, created_at, by_groups_at)
                 VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (tenant, environment, person)
                 DO UPDATE SET role = excluded.role, by_groups_at = excluded.by_groups_at
                 WHERE memberships.by_groups_at IS NOT NULL",
                *scope,
            );
            give.values
                .extend([id(), role.word().into(), arrival.now.into()]);
            statements.push(give);
        }
        for scope in &arrival.gone {
            let mut take = Query::scoped(
                "DELETE FROM memberships WHERE tenant = $1 AND environment = $2 AND person = $3
                     AND by_groups_at IS NOT NULL",
                *scope,
            );
            take.values.push(id());
            statements.push(take);
        }
        if arrival.signs_out {
            let end = "DELETE FROM sign_ins WHERE person = $1";
            statements.push(Query::new(end, [id()]));
        }
        self.write(statements).await?;
        if !arrival.gone.is_empty() {
            self.forget_strangers().await?;
        }
        Ok(())
    }
}
