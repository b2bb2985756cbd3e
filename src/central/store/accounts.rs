//! Tenants, environments, installations, tokens and API keys.

use uuid::Uuid;

use crate::event::Timestamp;

use super::query::{Query, Value};
use super::{Environment, Integration, Scope, Store, StoreError, Token};

/// What the store knows of a token that is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// It was issued here, for this scope, and stands.
    Live(Scope),
    /// It was revoked.
    Revoked,
    /// It was not issued here, or for another environment.
    Unknown,
}

/// The one platform so far.
const CLAUDE_COWORK: (&str, &str) = ("claude-cowork", "Claude Cowork");

impl Store {
    /// All environments, in the order in which they were made.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn environments(&self) -> Result<Vec<Environment>, StoreError> {
        let sql = "SELECT t.id, e.id, t.slug, e.slug, t.public_id, e.public_id
            FROM environments e JOIN tenants t ON t.id = e.tenant ORDER BY e.id";
        let rows = self.rows(Query::new(sql, [])).await?.into_iter();
        rows.map(|mut row| {
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
        })
        .collect()
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
        issued_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut install = Query::scoped("INSERT INTO installations VALUES ($1, $2, ", scope);
        install.bind(CLAUDE_COWORK.0).push(", ").bind(issued_at);
        install.push(") ON CONFLICT DO NOTHING");
        let mut issue = Query::scoped(
            "INSERT INTO tokens (tenant, environment, id, platform, key_id, issued_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            scope,
        );
        issue.values.extend([
            token_id.into(),
            CLAUDE_COWORK.0.into(),
            key_id.into(),
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
            "SELECT k.tenant, k.environment, k.revoked_at
             FROM tenants t
             JOIN environments e ON e.tenant = t.id
             JOIN tokens k ON k.tenant = t.id AND k.environment = e.id
             WHERE t.public_id = $1 AND e.public_id = $2 AND k.id = $3",
            [tenant_id.into(), environment_id.into(), token_id.into()],
        );
        let Some(mut row) = self.rows(query).await?.pop() else {
            return Ok(TokenState::Unknown);
        };
        Ok(match row.take::<Option<i64>>(2)? {
            Some(_) => TokenState::Revoked,
            None => TokenState::Live(Scope {
                tenant: row.take(0)?,
                environment: row.take(1)?,
            }),
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

    /// The environment's tokens, the latest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn tokens(&self, scope: Scope) -> Result<Vec<Token>, StoreError> {
        let sql = "SELECT k.id, k.platform, k.key_id, k.issued_at, k.expires_at, k.revoked_at,
                u.first_used, u.last_used, coalesce(u.request_count, 0), nullif(u.last_address, '')
            FROM tokens k
            LEFT JOIN token_use u ON u.tenant = k.tenant AND u.environment = k.environment
                AND u.token = k.id
            WHERE k.tenant = $1 AND k.environment = $2 ORDER BY k.issued_at DESC, k.id";
        let rows = self
            .derived_rows(Query::scoped(sql, scope))
            .await?
            .into_iter();
        rows.map(|mut row| {
            Ok(Token {
                id: row.take(0)?,
                platform: row.take(1)?,
                key_id: row.take(2)?,
                issued_at: row.take(3)?,
                expires_at: row.take(4)?,
                revoked_at: row.take(5)?,
                first_used: row.take(6)?,
                last_used: row.take(7)?,
                request_count: row.take(8)?,
                last_address: row.take(9)?,
            })
        })
        .collect()
    }

    /// Notes an API key by its hash.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn add_api_key(
        &self,
        scope: Scope,
        hash: &str,
        name: &str,
    ) -> Result<(), StoreError> {
        let mut insert = Query::scoped(
            "INSERT INTO api_keys (tenant, environment, hash, name, created_at)
             VALUES ($1, $2, $3, $4, $5)",
            scope,
        );
        insert
            .values
            .extend([hash.into(), name.into(), Timestamp::now().into()]);
        self.write(vec![insert]).await?;
        Ok(())
    }

    /// The scope of the API key with this hash.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn api_key_scope(&self, hash: &str) -> Result<Option<Scope>, StoreError> {
        let query = Query::new(
            "SELECT tenant, environment FROM api_keys WHERE hash = $1",
            [hash.into()],
        );
        let row = self.rows(query).await?.pop();
        row.map(|mut row| {
            Ok(Scope {
                tenant: row.take(0)?,
                environment: row.take(1)?,
            })
        })
        .transpose()
    }
}
