//! Keys for the API: shown once when they are made, and kept as hashes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Timestamp;

use super::people::{PERSON, person};
use super::query::Query;
use super::{AuditEntry, Of, Person, Scope, Store, StoreError};

/// What a person or a key may do in an environment. Each may do what those before it may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read what the environment holds, but no content.
    Viewer,
    /// That, and change its tokens, its integrations and its keys; see content after a reveal with a reason.
    Admin,
    /// Everything: content, people, retention.
    Owner,
}

impl Role {
    /// The role as it is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Admin => "admin",
            Role::Owner => "owner",
        }
    }

    /// A role that a later version made, and this one does not know, may only read.
    pub(super) fn of(word: &str) -> Role {
        match word {
            "owner" => Role::Owner,
            "admin" => Role::Admin,
            _ => Role::Viewer,
        }
    }
}

/// What a key lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// One environment.
    Environment(Scope, Role),
    /// What stands above the environments: tenants, environments, signing keys, metrics. No records.
    Operator,
}

/// What is known of a key that is presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyAccess {
    /// What it lets in.
    pub access: Access,
    /// What it is called.
    pub name: String,
    /// Whose it is; `None` for one of the environment itself.
    pub person: Option<Person>,
    /// When it was used last, as far as that is noted.
    pub last_used: Option<Timestamp>,
}

/// A person's key to be noted; the audit's entry has its name.
#[derive(Clone, Copy, Debug)]
pub struct PersonalKey<'a> {
    /// What is kept of the key.
    pub hash: &'a str,
    /// Names it in lists.
    pub id: &'a str,
    /// Whose it is.
    pub person: &'a str,
    /// What it may do, as long as the person may.
    pub role: Role,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// A key, without the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ApiKey {
    /// Names it in lists, and to delete it.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// `viewer`, `admin`, `owner`, or `operator`.
    pub role: &'static str,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whose it is, by id; `None` for one of the environment itself, and for operators' keys.
    pub person_id: Option<String>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to the minute.
    pub last_used: Option<Timestamp>,
}

impl Store {
    /// Notes a key by its hash and its id.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn add_api_key(
        &self,
        access: Access,
        hash: &str,
        id: &str,
        name: &str,
    ) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let insert = match access {
            Access::Environment(scope, role) => {
                let mut insert = Query::scoped(
                    "INSERT INTO api_keys (tenant, environment, hash, id, name, role, created_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    scope,
                );
                insert.values.extend([
                    hash.into(),
                    id.into(),
                    name.into(),
                    role.word().into(),
                    now.into(),
                ]);
                insert
            }
            Access::Operator => Query::new(
                "INSERT INTO operator_keys (hash, id, name, created_at) VALUES ($1, $2, $3, $4)",
                [hash.into(), id.into(), name.into(), now.into()],
            ),
        };
        self.write(vec![insert]).await?;
        Ok(())
    }

    /// Notes a person's key by its hash, and that it was made.
    ///
    /// # Errors
    /// [`StoreError`]; then there is none.
    pub async fn add_personal_key(
        &self,
        scope: Scope,
        key: &PersonalKey<'_>,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let mut insert = Query::scoped(
            "INSERT INTO api_keys
                 (tenant, environment, hash, id, name, role, created_at, person, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            scope,
        );
        insert.values.extend([
            key.hash.into(),
            key.id.into(),
            entry.object.as_str().into(),
            key.role.word().into(),
            entry.time.into(),
            key.person.into(),
            key.expires_at.into(),
        ]);
        self.write(vec![entry.insert(), insert]).await?;
        Ok(())
    }

    /// Deletes a person's key by its id; false when the person has none of it.
    ///
    /// # Errors
    /// [`StoreError`]; then it stays.
    pub async fn delete_personal_key(
        &self,
        scope: Scope,
        person: &str,
        id: &str,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let about = |sql: &str| {
            let mut query = Query::scoped(sql, scope);
            query.values.extend([id.into(), person.into()]);
            query
        };
        let audit = entry.insert_if(about(
            "EXISTS (SELECT 1 FROM api_keys WHERE tenant = $1 AND environment = $2 AND id = $3
                 AND person = $4)",
        ));
        let delete = about(
            "DELETE FROM api_keys WHERE tenant = $1 AND environment = $2 AND id = $3
             AND person = $4",
        );
        Ok(self.write(vec![audit, delete]).await?[1] > 0)
    }

    /// Notes that a key was used, unless that was noted after `stale`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn use_api_key(
        &self,
        hash: &str,
        now: Timestamp,
        stale: Timestamp,
    ) -> Result<(), StoreError> {
        let used = Query::new(
            "UPDATE api_keys SET last_used = $1
             WHERE hash = $2 AND (last_used IS NULL OR last_used < $3)",
            [now.into(), hash.into(), stale.into()],
        );
        self.write(vec![used]).await?;
        Ok(())
    }

    /// What the key with this hash lets in at `now`; `None` when there is none, it has expired, or its
    /// environment is gone. A person's key may do no more than the person; where that follows from groups,
    /// the identity provider must have said so after `confirmed`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn api_key_access(
        &self,
        hash: &str,
        now: Timestamp,
        confirmed: Timestamp,
    ) -> Result<Option<ApiKeyAccess>, StoreError> {
        let query = Query::new(
            format!(
                "SELECT {PERSON}, k.tenant, k.environment, k.role, k.name, m.role, k.person, k.last_used
             FROM api_keys k
             JOIN environments e ON e.id = k.environment AND e.tenant = k.tenant
             LEFT JOIN memberships m ON m.tenant = k.tenant AND m.environment = k.environment
                 AND m.person = k.person
             LEFT JOIN people p ON p.id = m.person
             WHERE k.hash = $1 AND e.deleted_at IS NULL
                 AND (k.expires_at IS NULL OR k.expires_at > $2)
                 AND (m.by_groups_at IS NULL OR m.by_groups_at > $3)"
            ),
            [hash.into(), now.into(), confirmed.into()],
        );
        if let Some(mut row) = self.rows(query).await?.pop() {
            let scope = Scope {
                tenant: row.take(4)?,
                environment: row.take(5)?,
            };
            let (role, name): (String, String) = (row.take(6)?, row.take(7)?);
            let person_role: Option<String> = row.take(8)?;
            let of_person: Option<String> = row.take(9)?;
            let mut role = Role::of(&role);
            let mut who = None;
            if of_person.is_some() {
                let Some(person_role) = person_role else {
                    return Ok(None);
                };
                role = role.min(Role::of(&person_role));
                who = Some(person(&mut row)?);
            }
            return Ok(Some(ApiKeyAccess {
                access: Access::Environment(scope, role),
                name,
                person: who,
                last_used: row.take(10)?,
            }));
        }
        let query = Query::new(
            "SELECT name FROM operator_keys WHERE hash = $1",
            [hash.into()],
        );
        let operator = self.rows(query).await?.pop();
        operator
            .map(|mut row| {
                Ok(ApiKeyAccess {
                    access: Access::Operator,
                    name: row.take(0)?,
                    person: None,
                    last_used: None,
                })
            })
            .transpose()
    }

    /// One key of an environment.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn api_key(&self, scope: Scope, id: &str) -> Result<Option<ApiKey>, StoreError> {
        let (key, now) = (vec![id.to_owned()], Timestamp::now());
        let mut found = self.with_keys(scope, &Of::Environment, &[key], now).await?;
        Ok(found.pop())
    }

    /// The operators' keys, in the order in which they were made.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn operator_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let sql = "SELECT id, name, created_at FROM operator_keys ORDER BY created_at, id";
        let rows = self.rows(Query::new(sql, [])).await?.into_iter();
        rows.map(|mut row| {
            Ok(ApiKey {
                id: row.take(0)?,
                name: row.take(1)?,
                role: "operator",
                created_at: row.take(2)?,
                person_id: None,
                expires_at: None,
                last_used: None,
            })
        })
        .collect()
    }

    /// Deletes a key of an environment by its id; false when there is none.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn delete_api_key(&self, scope: Scope, id: &str) -> Result<bool, StoreError> {
        let mut delete = Query::scoped(
            "DELETE FROM api_keys WHERE tenant = $1 AND environment = $2 AND id = $3",
            scope,
        );
        delete.values.push(id.into());
        Ok(self.write(vec![delete]).await?[0] > 0)
    }

    /// Deletes an operator's key by its id; false when there is none.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn delete_operator_key(&self, id: &str) -> Result<bool, StoreError> {
        let delete = Query::new("DELETE FROM operator_keys WHERE id = $1", [id.into()]);
        Ok(self.write(vec![delete]).await?[0] > 0)
    }
}
