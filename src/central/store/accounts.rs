//! Tenants, environments, installations and tokens.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::event::Timestamp;

use super::query::{Query, Row, Value};
use super::token_use::TABLES;
use super::{Environment, Integration, Of, Scope, Store, StoreError, Token, TokenLife};

/// What the store knows of a token that is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// It was issued here, for this scope, and stands; how long the scope keeps records, in seconds.
    Live(Scope, Option<i64>),
    /// It was issued here, for this scope, and was revoked.
    Revoked(Scope),
    /// It was not issued here, or for another environment.
    Unknown,
}

/// The one platform so far.
const CLAUDE_COWORK: (&str, &str) = ("claude-cowork", "Claude Cowork");

/// The columns of an environment `e` of a tenant `t`, as [`environment`] reads them.
pub(super) const ENVIRONMENT: &str = "t.id, e.id, t.slug, e.slug, t.public_id, e.public_id";

impl Store {
    /// All environments, in the order in which they were made.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn environments(&self) -> Result<Vec<Environment>, StoreError> {
        let sql = format!(
            "SELECT {ENVIRONMENT}
            FROM environments e JOIN tenants t ON t.id = e.tenant
            WHERE e.deleted_at IS NULL ORDER BY e.id"
        );
        let rows = self.rows(Query::new(sql, [])).await?.into_iter();
        rows.map(|mut row| environment(&mut row)).collect()
    }

    /// The environment with this address.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn environment(
        &self,
        tenant: &str,
        environment: &str,
    ) -> Result<Option<Environment>, StoreError> {
        let found = self.environments().await?;
        Ok(found
            .into_iter()
            .find(|known| known.tenant == tenant && known.environment == environment))
    }

    /// The environment with this address, with its tenant, made when it does not exist yet.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn create_environment(
        &self,
        tenant: &str,
        environment: &str,
    ) -> Result<Environment, StoreError> {
        let now = Value::from(Timestamp::now());
        let id = || Value::from(Uuid::new_v4().to_string());
        self.write(vec![
            Query::new(
                "INSERT INTO tenants (public_id, slug, created_at) VALUES ($1, $2, $3)
                 ON CONFLICT (slug) DO NOTHING",
                [id(), tenant.into(), now.clone()],
            ),
            Query::new(
                "INSERT INTO environments (tenant, public_id, slug, created_at)
                 SELECT id, $1, $2, $3 FROM tenants WHERE slug = $4
                 ON CONFLICT (tenant, slug) DO NOTHING",
                [id(), environment.into(), now, tenant.into()],
            ),
        ])
        .await?;
        self.environment(tenant, environment)
            .await?
            .ok_or_else(|| StoreError::Unavailable("the environment was not made".to_owned()))
    }

    /// Notes a token that was issued, and with it that the integration is installed.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn add_token(
        &self,
        scope: Scope,
        token_id: &str,
        key_id: &str,
        (name, created_by): (&str, &str),
        issued_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut install = Query::scoped("INSERT INTO installations VALUES ($1, $2, ", scope);
        install.bind(CLAUDE_COWORK.0).push(", ").bind(issued_at);
        install.push(") ON CONFLICT DO NOTHING");
        let mut issue = Query::scoped(
            "INSERT INTO tokens
                 (tenant, environment, id, platform, key_id, name, created_by, issued_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            scope,
        );
        issue.values.extend([
            token_id.into(),
            CLAUDE_COWORK.0.into(),
            key_id.into(),
            name.into(),
            created_by.into(),
            issued_at.into(),
            expires_at.into(),
        ]);
        self.write(vec![install, issue]).await?;
        Ok(())
    }

    /// Revokes a token; false when there is none with this id, or it was revoked before.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn revoke_token(&self, scope: Scope, token_id: &str) -> Result<bool, StoreError> {
        let revoke = Query::new(
            "UPDATE tokens SET revoked_at = $1
             WHERE tenant = $2 AND environment = $3 AND id = $4 AND revoked_at IS NULL",
            [
                Timestamp::now().into(),
                scope.tenant.into(),
                scope.environment.into(),
                token_id.into(),
            ],
        );
        Ok(self.write(vec![revoke]).await?[0] > 0)
    }

    /// What is known of a token, by what it says of itself.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn token_state(
        &self,
        tenant_id: &str,
        environment_id: &str,
        token_id: &str,
    ) -> Result<TokenState, StoreError> {
        let query = Query::new(
            "SELECT k.tenant, k.environment, k.revoked_at, r.keep_seconds
             FROM tenants t
             JOIN environments e ON e.tenant = t.id
             JOIN tokens k ON k.tenant = t.id AND k.environment = e.id
             LEFT JOIN retention r ON r.tenant = t.id AND r.environment = e.id
             WHERE t.public_id = $1 AND e.public_id = $2 AND k.id = $3
                 AND e.deleted_at IS NULL",
            [tenant_id.into(), environment_id.into(), token_id.into()],
        );
        let Some(mut row) = self.rows(query).await?.pop() else {
            return Ok(TokenState::Unknown);
        };
        let scope = Scope {
            tenant: row.take(0)?,
            environment: row.take(1)?,
        };
        Ok(match row.take::<Option<i64>>(2)? {
            Some(_) => TokenState::Revoked(scope),
            None => TokenState::Live(scope, row.take(3)?),
        })
    }

    /// The environment's integrations, installed or not.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn integrations(&self, scope: Scope) -> Result<Vec<Integration>, StoreError> {
        let (platform, name) = CLAUDE_COWORK;
        let mut query = Query::scoped(
            "SELECT (SELECT installed_at FROM installations
                     WHERE tenant = $1 AND environment = $2 AND platform = $3),
                 count(*) FILTER (WHERE k.revoked_at IS NULL AND k.expires_at > $4),
                 max(u.last_used)
             FROM tokens k
             LEFT JOIN token_use u ON u.tenant = k.tenant AND u.environment = k.environment
                 AND u.token = k.id
             WHERE k.tenant = $1 AND k.environment = $2 AND k.platform = $3",
            scope,
        );
        query
            .values
            .extend([platform.into(), Timestamp::now().into()]);
        let rows = self.derived_rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(Integration {
                platform: platform.to_owned(),
                name: name.to_owned(),
                installed_at: row.take(0)?,
                live_tokens: row.take(1)?,
                last_used: row.take(2)?,
            })
        })
        .collect()
    }

    /// One token, as it is at `now`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn token(
        &self,
        scope: Scope,
        token_id: &str,
        now: Timestamp,
    ) -> Result<Option<Token>, StoreError> {
        let key = vec![token_id.to_owned()];
        let mut found = self.with_keys(scope, &Of::Environment, &[key], now).await?;
        Ok(found.pop())
    }

    /// When each of the environment's tokens ends, the latest made first: without a look at who sends with it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn token_lives(&self, scope: Scope) -> Result<Vec<TokenLife>, StoreError> {
        let query = Query::scoped(
            "SELECT id, expires_at, revoked_at FROM tokens
             WHERE tenant = $1 AND environment = $2 ORDER BY issued_at DESC, id",
            scope,
        );
        let rows = self.rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(TokenLife {
                id: row.take(0)?,
                expires_at: row.take(1)?,
                revoked_at: row.take(2)?,
            })
        })
        .collect()
    }

    /// Gives a token another name; false when there is none with this id.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn rename_token(
        &self,
        scope: Scope,
        token_id: &str,
        name: &str,
    ) -> Result<bool, StoreError> {
        let rename = Query::new(
            "UPDATE tokens SET name = $1 WHERE tenant = $2 AND environment = $3 AND id = $4",
            [
                name.into(),
                scope.tenant.into(),
                scope.environment.into(),
                token_id.into(),
            ],
        );
        Ok(self.write(vec![rename]).await?[0] > 0)
    }

    /// Forgets a token that is revoked or expired, and what is known of its use; false when there is no
    /// such token.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn delete_dead_token(
        &self,
        scope: Scope,
        token_id: &str,
    ) -> Result<bool, StoreError> {
        let mut delete = Query::scoped(
            "DELETE FROM tokens WHERE tenant = $1 AND environment = $2 AND id = $3
             AND (revoked_at IS NOT NULL OR expires_at <= $4)",
            scope,
        );
        delete
            .values
            .extend([token_id.into(), Timestamp::now().into()]);
        let mut statements = vec![delete];
        for table in TABLES {
            let mut of_token = Query::scoped(
                format!(
                    "DELETE FROM {table} WHERE tenant = $1 AND environment = $2 AND token = $3
                     AND NOT EXISTS (SELECT 1 FROM tokens k WHERE k.tenant = {table}.tenant
                         AND k.environment = {table}.environment AND k.id = {table}.token)"
                ),
                scope,
            );
            of_token.values.push(token_id.into());
            statements.push(of_token);
        }
        Ok(self.write(statements).await?[0] > 0)
    }

    /// Takes the integration away, and revokes its tokens. Gives how many were live.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn uninstall(&self, scope: Scope) -> Result<u64, StoreError> {
        let now = Timestamp::now();
        let [tenant, environment] = [scope.tenant, scope.environment].map(Value::from);
        let revoke = |condition: &str| {
            Query::new(
                format!(
                    "UPDATE tokens SET revoked_at = $1 WHERE tenant = $2 AND environment = $3
                     AND platform = $4 AND revoked_at IS NULL AND expires_at {condition} $5"
                ),
                [
                    now.into(),
                    tenant.clone(),
                    environment.clone(),
                    CLAUDE_COWORK.0.into(),
                    now.into(),
                ],
            )
        };
        let mut remove = Query::scoped(
            "DELETE FROM installations WHERE tenant = $1 AND environment = $2 AND platform = $3",
            scope,
        );
        remove.values.push(CLAUDE_COWORK.0.into());
        let changed = self.write(vec![revoke(">"), revoke("<="), remove]).await?;
        Ok(changed[0])
    }

    /// How many tokens that are neither revoked nor expired each key has signed, in all environments.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn live_tokens_by_key(&self) -> Result<BTreeMap<String, i64>, StoreError> {
        let query = Query::new(
            "SELECT k.key_id, count(*) FROM tokens k
             JOIN environments e ON e.tenant = k.tenant AND e.id = k.environment
             WHERE k.revoked_at IS NULL AND k.expires_at > $1 AND e.deleted_at IS NULL
             GROUP BY k.key_id",
            [Timestamp::now().into()],
        );
        let rows = self.rows(query).await?.into_iter();
        rows.map(|mut row| Ok((row.take(0)?, row.take(1)?)))
            .collect()
    }
}

/// The environment in a row that begins with [`ENVIRONMENT`].
pub(super) fn environment(row: &mut Row) -> Result<Environment, StoreError> {
    Ok(Environment {
        scope: Scope {
            tenant: row.take(0)?,
            environment: row.take(1)?,
        },
        tenant: row.take(2)?,
        environment: row.take(3)?,
        tenant_id: row.take(4)?,
        environment_id: row.take(5)?,
    })
}
