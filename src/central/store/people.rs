//! People, and what they are in which environment.
//!
//! An environment that has an owner keeps one: no statement here takes its last one away. Whoever's role
//! changes is signed out by the same transaction that changes it, and that writes the audit.

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Timestamp;

use super::accounts::{ENVIRONMENT, environment};
use super::query::{Query, Row};
use super::{AuditEntry, Environment, Role, Scope, Store, StoreError};

/// Somebody who can sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Person {
    /// Stays when the name changes.
    pub id: String,
    /// The name to sign in with: an e-mail address, or a word.
    pub name: String,
    /// Whether there is a password; without one, only links let the person in.
    pub has_password: bool,
    /// When the account was made.
    pub created_at: Timestamp,
}

/// What a person is in one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Member {
    /// Who.
    #[serde(flatten)]
    pub person: Person,
    /// What.
    pub role: Role,
    /// When the person was last seen here, as far as it is remembered: until the session ends.
    pub last_seen: Option<Timestamp>,
    /// Browsers that are signed in.
    pub sign_in_count: i64,
    /// Whether the identity provider knows the person.
    pub has_single_sign_on: bool,
    /// Whether the role follows from groups there.
    pub is_by_groups: bool,
}

/// An environment of a person's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Where.
    pub environment: Environment,
    /// What the person is there.
    pub role: Role,
    /// When the identity provider said last that the role follows from the person's groups; `None` where it
    /// was given by hand.
    pub by_groups_at: Option<Timestamp>,
}

/// What became of a change to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// It is in force.
    Done,
    /// The person is not in this environment, or is what it should become already.
    Nothing,
    /// The environment would have no owner any more.
    LastOwner,
}

/// An account to be made, with its first environments.
#[derive(Clone, Debug)]
pub struct NewPerson {
    /// A new id.
    pub id: String,
    /// The name to sign in with.
    pub name: String,
    /// The hash of the password, if there is one.
    pub password: Option<String>,
    /// What the person is where.
    pub roles: Vec<(Scope, Role)>,
}

/// The columns that [`person`] reads.
pub(super) const PERSON: &str =
    "p.id, p.name, CASE WHEN p.password IS NULL THEN 0 ELSE 1 END, p.created_at";

/// Holds for a member `m` who is not the only owner.
const NOT_LAST_OWNER: &str = "(m.role <> 'owner' OR EXISTS (SELECT 1 FROM memberships o
    WHERE o.tenant = m.tenant AND o.environment = m.environment AND o.role = 'owner'
        AND o.person <> m.person))";

impl Store {
    /// Whether anybody can sign in by more than a link.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn has_people_with_a_way_in(&self) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM people WHERE password IS NOT NULL
            UNION ALL SELECT person FROM person_identities LIMIT 1";
        let rows = self.rows(Query::new(sql, []));
        Ok(!rows.await?.is_empty())
    }

    /// The person of this name, with the hash of the password.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn person(&self, name: &str) -> Result<Option<(Person, Option<String>)>, StoreError> {
        let sql = format!("SELECT {PERSON}, p.password FROM people p WHERE p.name = $1");
        let found = self.rows(Query::new(sql, [name.into()])).await?.pop();
        found
            .map(|mut row| Ok((person(&mut row)?, row.take(4)?)))
            .transpose()
    }

    /// Makes an account; false when the name is taken.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed.
    pub async fn add_person(
        &self,
        new: &NewPerson,
        entries: &[AuditEntry],
    ) -> Result<bool, StoreError> {
        let now = entries.first().map_or(Timestamp(0), |entry| entry.time);
        let add = Query::new(
            "INSERT INTO people (id, name, password, created_at)
             VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING",
            [
                new.id.as_str().into(),
                new.name.as_str().into(),
                new.password.clone().into(),
                now.into(),
            ],
        );
        let mut statements = vec![add];
        for (scope, role) in &new.roles {
            let mut join = Query::scoped(
                "INSERT INTO memberships (tenant, environment, person, role, created_at)
                 SELECT CAST($1 AS bigint), CAST($2 AS bigint), p.id, ",
                *scope,
            );
            join.push("CAST(")
                .bind(role.word())
                .push(" AS text), p.created_at FROM people p WHERE p.id = ");
            join.bind(new.id.as_str());
            statements.push(join);
        }
        for entry in entries {
            let mut made = Query::new("", []);
            made.push("EXISTS (SELECT 1 FROM people p WHERE p.id = ");
            made.bind(new.id.as_str()).push(")");
            statements.push(entry.insert_if(made));
        }
        Ok(self.write(statements).await?[0] > 0)
    }

    /// The environments of a person, in the order in which they were made.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn memberships(&self, person: &str) -> Result<Vec<Membership>, StoreError> {
        let query = Query::new(
            format!(
                "SELECT {ENVIRONMENT}, m.role, m.by_groups_at
                 FROM memberships m
                 JOIN environments e ON e.tenant = m.tenant AND e.id = m.environment
                 JOIN tenants t ON t.id = e.tenant
                 WHERE m.person = $1 AND e.deleted_at IS NULL ORDER BY e.id"
            ),
            [person.into()],
        );
        let rows = self.rows(query).await?.into_iter();
        rows.map(|mut row| {
            let role: String = row.take(6)?;
            Ok(Membership {
                environment: environment(&mut row)?,
                role: Role::of(&role),
                by_groups_at: row.take(7)?,
            })
        })
        .collect()
    }

    /// Lets a person into an environment, or gives another role there.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed.
    pub async fn set_member(
        &self,
        scope: Scope,
        person: &str,
        role: Role,
        entry: &AuditEntry,
    ) -> Result<MemberChange, StoreError> {
        let known = self.memberships(person).await?;
        if known.iter().any(|it| it.environment.scope == scope) {
            return self.change_member(scope, person, Some(role), entry).await;
        }
        let mut add = Query::scoped(
            "INSERT INTO memberships (tenant, environment, person, role, created_at)
             VALUES ($1, $2, ",
            scope,
        );
        add.bind(person).push(", ").bind(role.word());
        add.push(", ").bind(entry.time);
        add.push(") ON CONFLICT DO NOTHING");
        let mut entry = entry.clone();
        entry.became = role.word().to_owned();
        let changed = self.write(vec![entry.insert(), add]).await?;
        Ok(match changed[1] {
            0 => MemberChange::Nothing,
            _ => MemberChange::Done,
        })
    }

    /// Takes a person out of an environment. The account goes with its last environment.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed.
    pub async fn remove_member(
        &self,
        scope: Scope,
        person: &str,
        entry: &AuditEntry,
    ) -> Result<MemberChange, StoreError> {
        self.change_member(scope, person, None, entry).await
    }

    async fn change_member(
        &self,
        scope: Scope,
        person: &str,
        role: Option<Role>,
        entry: &AuditEntry,
    ) -> Result<MemberChange, StoreError> {
        let known = self.memberships(person).await?;
        let was = known.iter().find(|it| it.environment.scope == scope);
        let Some(was) = was.filter(|was| Some(was.role) != role) else {
            return Ok(MemberChange::Nothing);
        };
        let entry = AuditEntry {
            was: was.role.word().to_owned(),
            became: role.map_or("", Role::word).to_owned(),
            ..entry.clone()
        };
        // Whoever changes this environment's people at the same time waits here.
        let lock = Query::scoped(
            "UPDATE environments SET slug = slug WHERE tenant = $1 AND id = $2",
            scope,
        );
        let mut allowed = format!(
            "FROM memberships m WHERE m.tenant = $1 AND m.environment = $2 AND m.person = $3
             AND m.role = $4 AND {}",
            match role {
                Some(Role::Owner) => "1 = 1",
                _ => NOT_LAST_OWNER,
            }
        );
        let about = |sql: String| {
            let mut query = Query::scoped(sql, scope);
            let values = [person.into(), was.role.word().into()];
            query.values.extend(values);
            query
        };
        let sign_out = about(format!(
            "DELETE FROM sign_ins WHERE person = $3 AND EXISTS (SELECT 1 {allowed})"
        ));
        let audit = entry.insert_if(about(format!("EXISTS (SELECT 1 {allowed})")));
        allowed = allowed.replacen("FROM memberships m WHERE", "", 1);
        let change = match role {
            None => about(format!("DELETE FROM memberships AS m WHERE {allowed}")),
            Some(role) => {
                let mut change = about("UPDATE memberships AS m SET role = ".to_owned());
                change.bind(role.word());
                change.push(&format!(" WHERE {allowed}"));
                change
            }
        };
        let changed = self.write(vec![lock, sign_out, audit, change]).await?;
        if changed[3] == 0 {
            return Ok(MemberChange::LastOwner);
        }
        if role.is_none() {
            self.forget_strangers().await?;
        }
        Ok(MemberChange::Done)
    }

    /// Sets a password, or takes it away, and ends every session but `kept`.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed.
    pub async fn set_password(
        &self,
        person: &str,
        password: Option<String>,
        kept: Option<&str>,
        entries: &[AuditEntry],
    ) -> Result<(), StoreError> {
        let set = Query::new(
            "UPDATE people SET password = $1 WHERE id = $2",
            [password.into(), person.into()],
        );
        let end = Query::new(
            "DELETE FROM sign_ins WHERE person = $1 AND hash <> $2",
            [person.into(), kept.unwrap_or_default().into()],
        );
        let links = Query::new(
            "DELETE FROM sign_in_links WHERE person = $1",
            [person.into()],
        );
        let audit = entries.iter().map(AuditEntry::insert);
        self.write([set, end, links].into_iter().chain(audit).collect())
            .await?;
        Ok(())
    }

    /// Forgets people who are in no environment any more, with their sessions and links; and of everybody what
    /// they had in environments that they are not in any more: whoever is let in again begins anew.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn forget_strangers(&self) -> Result<(), StoreError> {
        let of_strangers = |table: &str, column: &str| {
            Query::new(
                format!(
                    "DELETE FROM {table} WHERE {column} IS NOT NULL AND NOT EXISTS
                         (SELECT 1 FROM memberships m WHERE m.person = {table}.{column})"
                ),
                [],
            )
        };
        let of_former_members = |table: &str| {
            let sql = format!(
                "DELETE FROM {table} WHERE person IS NOT NULL AND NOT EXISTS
                     (SELECT 1 FROM memberships m WHERE m.tenant = {table}.tenant
                         AND m.environment = {table}.environment AND m.person = {table}.person)"
            );
            Query::new(sql, [])
        };
        let mut private_views = of_former_members("saved_views");
        private_views.push(" AND is_shared = 0");
        self.write(vec![
            of_strangers("sign_ins", "person"),
            of_strangers("sign_in_links", "person"),
            of_former_members("api_keys"),
            of_former_members("reveals"),
            of_strangers("person_identities", "person"),
            private_views,
            of_strangers("people", "id"),
        ])
        .await?;
        Ok(())
    }
}

/// Reads the columns of [`PERSON`].
pub(super) fn person(row: &mut Row) -> Result<Person, StoreError> {
    Ok(Person {
        id: row.take(0)?,
        name: row.take(1)?,
        has_password: row.take::<i64>(2)? != 0,
        created_at: row.take(3)?,
    })
}
