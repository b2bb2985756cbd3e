//! Tenants and environments: their names, what is in them, and how they go.
//!
//! What is deleted is gone at once for everybody: no token, key or address leads there. Its rows go
//! afterwards in bites, so that nobody waits for the database meanwhile, from every table that has a
//! column `environment`; last goes the environment's own row, so that what was interrupted goes on.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::event::Timestamp;

use super::query::{Dialect, Query, Value};
use super::{Environment, Scope, Store, StoreError};

/// Rows that are deleted in one transaction.
const BITE: i64 = 2_000;

/// Begins the name of what is deleted, which no other name does.
const DELETED: &str = ".deleted-";

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tenant {
    /// Its name in addresses.
    pub tenant: String,
    /// The id that tokens carry as `tid`.
    pub tenant_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The names of its environments, in the order in which they were made.
    pub environments: Vec<String>,
}

/// How much there is in an environment, or in all of a tenant's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Environments.
    pub environments: i64,
    /// Events.
    pub events: i64,
    /// Resources of metrics and traces.
    pub signals: i64,
    /// Agents.
    pub agents: i64,
    /// Sessions.
    pub sessions: i64,
    /// Machines.
    pub machines: i64,
    /// Tokens that are neither revoked nor expired.
    pub live_tokens: i64,
    /// API keys.
    pub api_keys: i64,
}

impl fmt::Display for Contents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count: i64, one: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {one}s"),
        };
        let parts = [
            counted(self.environments, "environment"),
            counted(self.events, "event"),
            counted(self.signals, "metric or trace resource"),
            counted(self.agents, "agent"),
            counted(self.sessions, "session"),
            counted(self.machines, "machine"),
            counted(self.live_tokens, "live token"),
            counted(self.api_keys, "API key"),
        ];
        formatter.write_str(&parts.join(", "))
    }
}

/// What became of a new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renamed {
    /// It is in force.
    Done,
    /// There is nothing of the old name.
    Missing,
    /// The new name is another's.
    Taken,
}

impl Store {
    /// All tenants, in the order in which they were made.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        let environments = self.environments().await?;
        let sql = "SELECT slug, public_id, created_at FROM tenants
            WHERE deleted_at IS NULL ORDER BY id";
        let rows = self.rows(Query::new(sql, [])).await?.into_iter();
        rows.map(|mut row| {
            let tenant: String = row.take(0)?;
            let of_tenant = environments.iter().filter(|it| it.tenant == tenant);
            Ok(Tenant {
                environments: of_tenant.map(|it| it.environment.clone()).collect(),
                tenant_id: row.take(1)?,
                created_at: row.take(2)?,
                tenant,
            })
        })
        .collect()
    }

    /// Gives a tenant another name.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn rename_tenant(&self, from: &str, to: &str) -> Result<Renamed, StoreError> {
        let rename = Query::new(
            "UPDATE tenants SET slug = $1 WHERE slug = $2
             AND NOT EXISTS (SELECT 1 FROM tenants o WHERE o.slug = $3)",
            [to.into(), from.into(), to.into()],
        );
        if self.write(vec![rename]).await?[0] > 0 {
            return Ok(Renamed::Done);
        }
        let is_there = self.tenants().await?.iter().any(|it| it.tenant == from);
        Ok(match is_there {
            true => Renamed::Taken,
            false => Renamed::Missing,
        })
    }

    /// Gives an environment another name within its tenant.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn rename_environment(&self, scope: Scope, to: &str) -> Result<Renamed, StoreError> {
        let [tenant, environment] = [scope.tenant, scope.environment].map(Value::from);
        let rename = Query::new(
            "UPDATE environments SET slug = $1
             WHERE tenant = $2 AND id = $3 AND deleted_at IS NULL
                 AND NOT EXISTS (SELECT 1 FROM environments o WHERE o.tenant = $4 AND o.slug = $5)",
            [to.into(), tenant.clone(), environment, tenant, to.into()],
        );
        if self.write(vec![rename]).await?[0] > 0 {
            return Ok(Renamed::Done);
        }
        let known = self.environments().await?;
        Ok(match known.iter().any(|it| it.scope == scope) {
            true => Renamed::Taken,
            false => Renamed::Missing,
        })
    }

    /// What is in these environments.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn contents(&self, environments: &[Environment]) -> Result<Contents, StoreError> {
        let mut contents = Contents::default();
        for Environment { scope, .. } in environments {
            let mut live = Query::scoped(
                "SELECT count(*) FROM tokens WHERE tenant = $1 AND environment = $2
                 AND revoked_at IS NULL AND expires_at > $3",
                *scope,
            );
            live.values.push(Timestamp::now().into());
            contents.environments += 1;
            contents.events += self.count_rows("events", *scope).await?;
            contents.signals += self.count_rows("signals", *scope).await?;
            contents.agents += self.count_rows("agents", *scope).await?;
            contents.sessions += self.count_rows("sessions", *scope).await?;
            contents.machines += self.count_rows("machines", *scope).await?;
            contents.api_keys += self.count_rows("api_keys", *scope).await?;
            contents.live_tokens += self.rows(live).await?[0].take::<i64>(0)?;
        }
        Ok(contents)
    }

    async fn count_rows(&self, table: &str, scope: Scope) -> Result<i64, StoreError> {
        let sql = format!("SELECT count(*) FROM {table} WHERE tenant = $1 AND environment = $2");
        self.derived_rows(Query::scoped(sql, scope)).await?[0].take(0)
    }

    /// Makes an environment gone for everybody; its rows go with [`Store::sweep`]. False when there is
    /// none.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn delete_environment(&self, scope: Scope) -> Result<bool, StoreError> {
        let delete = Query::new(
            "UPDATE environments SET deleted_at = $1, slug = $2
             WHERE tenant = $3 AND id = $4 AND deleted_at IS NULL",
            [
                Timestamp::now().into(),
                gone().into(),
                scope.tenant.into(),
                scope.environment.into(),
            ],
        );
        Ok(self.write(vec![delete]).await?[0] > 0)
    }

    /// The same for a tenant with all its environments.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn delete_tenant(&self, tenant: &str) -> Result<bool, StoreError> {
        let now = Timestamp::now();
        let environments = Query::new(
            "UPDATE environments SET deleted_at = $1, slug = $2 || public_id
             WHERE deleted_at IS NULL AND tenant = (SELECT id FROM tenants WHERE slug = $3)",
            [now.into(), DELETED.into(), tenant.into()],
        );
        let delete = Query::new(
            "UPDATE tenants SET deleted_at = $1, slug = $2
             WHERE slug = $3 AND deleted_at IS NULL",
            [now.into(), gone().into(), tenant.into()],
        );
        Ok(self.write(vec![environments, delete]).await?[1] > 0)
    }

    /// Deletes one bite of the rows of what was deleted at least `age` ago, by which time nothing is
    /// written there any more. True when there may be more.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn sweep(&self, age: Duration) -> Result<bool, StoreError> {
        let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
        let before = Timestamp(Timestamp::now().0.saturating_sub(age));
        let query = Query::new(
            "SELECT tenant, id FROM environments WHERE deleted_at <= $1 ORDER BY id LIMIT 1",
            [before.into()],
        );
        let Some(mut row) = self.rows(query).await?.pop() else {
            let tenants = Query::new(
                "DELETE FROM tenants WHERE deleted_at <= $1
                 AND NOT EXISTS (SELECT 1 FROM environments e WHERE e.tenant = tenants.id)",
                [before.into()],
            );
            self.write(vec![tenants]).await?;
            return Ok(false);
        };
        let scope = Scope {
            tenant: row.take(0)?,
            environment: row.take(1)?,
        };
        // First the events, with their content and their words.
        self.load_dictionaries().await?;
        if self.expire_events(scope, Timestamp(i64::MAX)).await? > 0 {
            return Ok(true);
        }
        for table in self.tables_of_environments().await? {
            let deleted = self.write(vec![self.bite(&table, scope).await?]).await?;
            if deleted[0] > 0 {
                return Ok(true);
            }
        }
        let last = Query::new(
            "DELETE FROM environments WHERE tenant = $1 AND id = $2",
            [scope.tenant.into(), scope.environment.into()],
        );
        self.write(vec![last]).await?;
        Ok(true)
    }

    /// Every table whose rows belong to an environment.
    async fn tables_of_environments(&self) -> Result<Vec<String>, StoreError> {
        let sql = match self.dialect() {
            Dialect::Sqlite => {
                "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
                 WHERE m.type = 'table' AND c.name = 'environment' ORDER BY m.name"
            }
            // A partitioned table stands for its parts.
            Dialect::Postgres => {
                "SELECT CAST(r.relname AS text) FROM pg_class r
                 JOIN pg_attribute a ON a.attrelid = r.oid AND a.attname = 'environment'
                 WHERE r.relnamespace = CAST(current_schema() AS regnamespace)
                     AND r.relkind IN ('r', 'p') AND NOT r.relispartition
                 ORDER BY 1"
            }
        };
        let rows = self.rows(Query::new(sql, [])).await?.into_iter();
        rows.map(|mut row| row.take(0)).collect()
    }

    /// Deletes some rows of one table.
    async fn bite(&self, table: &str, scope: Scope) -> Result<Query, StoreError> {
        if self.dialect() == Dialect::Postgres {
            let sql = format!(
                "DELETE FROM {table} WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM {table}
                     WHERE tenant = $1 AND environment = $2 LIMIT {BITE})"
            );
            return Ok(Query::scoped(sql, scope));
        }
        let sql = "SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk";
        let rows = self.rows(Query::new(sql, [table.into()])).await?;
        let names = rows.into_iter().map(|mut row| row.take(0));
        let key = names
            .collect::<Result<Vec<String>, StoreError>>()?
            .join(", ");
        let sql = format!(
            "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table}
                 WHERE tenant = $1 AND environment = $2 ORDER BY {key} LIMIT {BITE})"
        );
        Ok(Query::scoped(sql, scope))
    }
}

/// A name that nothing else has.
fn gone() -> String {
    format!("{DELETED}{}", Uuid::new_v4())
}
