//! Tenants, environments, installations, tokens and API keys.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::event::Timestamp;

use super::{Environment, Integration, Scope, Store, StoreError, Token};

/// What the store knows of a token that is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// It was issued here, for this scope, and stands.
    Live(Scope),
    /// It was issued here, for this scope, and was revoked.
    Revoked(Scope),
    /// It was not issued here, or for another environment.
    Unknown,
}

/// The one platform so far.
const CLAUDE_COWORK: (&str, &str) = ("claude-cowork", "Claude Cowork");

impl Store {
    /// Whether something can be written right now.
    ///
    /// # Errors
    /// [`StoreError`] that says why not.
    pub async fn check_writable(&self) -> Result<(), StoreError> {
        self.writer
            .write(|transaction| {
                // Writes a page, as a record would.
                transaction.execute(
                    "UPDATE tenants SET created_at = created_at WHERE id = (SELECT min(id) FROM tenants)",
                    [],
                )?;
                Ok(())
            })
            .await
    }

    /// All environments, in the order in which they were made.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn environments(&self) -> Result<Vec<Environment>, StoreError> {
        self.readers.read(environments).await
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
        let (tenant, environment) = (tenant.to_owned(), environment.to_owned());
        let address = (tenant.clone(), environment.clone());
        self.writer
            .write(move |transaction| {
                let now = Timestamp::now().0;
                transaction.execute(
                    "INSERT INTO tenants (public_id, slug, created_at) VALUES (?, ?, ?)
                     ON CONFLICT (slug) DO NOTHING",
                    params![Uuid::new_v4().to_string(), tenant, now],
                )?;
                transaction.execute(
                    "INSERT INTO environments (tenant, public_id, slug, created_at)
                     SELECT id, ?, ?, ? FROM tenants WHERE slug = ?
                     ON CONFLICT (tenant, slug) DO NOTHING",
                    params![Uuid::new_v4().to_string(), environment, now, tenant],
                )?;
                Ok(())
            })
            .await?;
        self.environment(&address.0, &address.1)
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
        let (token_id, key_id) = (token_id.to_owned(), key_id.to_owned());
        self.writer
            .write(move |transaction| {
                transaction.execute(
                    "INSERT INTO installations VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    params![scope.tenant, scope.environment, CLAUDE_COWORK.0, issued_at.0],
                )?;
                transaction.execute(
                    "INSERT INTO tokens (tenant, environment, id, platform, key_id, issued_at, expires_at)
                     VALUES (?, ?, ?, ?, ?, ?, ?)",
                    params![
                        scope.tenant,
                        scope.environment,
                        token_id,
                        CLAUDE_COWORK.0,
                        key_id,
                        issued_at.0,
                        expires_at.0,
                    ],
                )?;
                Ok(())
            })
            .await
    }

    /// Revokes a token; false when there is none with this id, or it was revoked before.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn revoke_token(&self, scope: Scope, token_id: &str) -> Result<bool, StoreError> {
        let token_id = token_id.to_owned();
        self.writer
            .write(move |transaction| {
                let revoked = transaction.execute(
                    "UPDATE tokens SET revoked_at = ?
                     WHERE tenant = ? AND environment = ? AND id = ? AND revoked_at IS NULL",
                    params![
                        Timestamp::now().0,
                        scope.tenant,
                        scope.environment,
                        token_id
                    ],
                )?;
                Ok(revoked > 0)
            })
            .await
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
        let key = [tenant_id, environment_id, token_id].map(str::to_owned);
        self.readers
            .read(move |connection| {
                let found = connection
                    .prepare_cached(
                        "SELECT k.tenant, k.environment, k.revoked_at
                         FROM tenants t
                         JOIN environments e ON e.tenant = t.id
                         JOIN tokens k ON k.tenant = t.id AND k.environment = e.id
                         WHERE t.public_id = ?1 AND e.public_id = ?2 AND k.id = ?3",
                    )?
                    .query_row(key, |row| {
                        let scope = Scope {
                            tenant: row.get(0)?,
                            environment: row.get(1)?,
                        };
                        Ok((scope, row.get::<_, Option<i64>>(2)?))
                    })
                    .optional()?;
                Ok(match found {
                    None => TokenState::Unknown,
                    Some((scope, Some(_))) => TokenState::Revoked(scope),
                    Some((scope, None)) => TokenState::Live(scope),
                })
            })
            .await
    }

    /// The environment's integrations, installed or not.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn integrations(&self, scope: Scope) -> Result<Vec<Integration>, StoreError> {
        self.readers
            .read(move |connection| {
                let (platform, name) = CLAUDE_COWORK;
                let integration = connection
                    .prepare_cached(
                        "SELECT (SELECT installed_at FROM installations
                                 WHERE tenant = ?1 AND environment = ?2 AND platform = ?3),
                             count(*) FILTER (WHERE revoked_at IS NULL AND expires_at > ?4),
                             max(last_used)
                         FROM tokens WHERE tenant = ?1 AND environment = ?2 AND platform = ?3",
                    )?
                    .query_row(
                        params![
                            scope.tenant,
                            scope.environment,
                            platform,
                            Timestamp::now().0
                        ],
                        |row| {
                            Ok(Integration {
                                platform: platform.to_owned(),
                                name: name.to_owned(),
                                installed_at: row.get::<_, Option<i64>>(0)?.map(Timestamp),
                                live_tokens: row.get(1)?,
                                last_used: row.get::<_, Option<i64>>(2)?.map(Timestamp),
                            })
                        },
                    )?;
                Ok(vec![integration])
            })
            .await
    }

    /// The environment's tokens, the latest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn tokens(&self, scope: Scope) -> Result<Vec<Token>, StoreError> {
        self.readers
            .read(move |connection| tokens(connection, scope))
            .await
    }

    /// How many tokens that are neither revoked nor expired each key has signed, in all environments.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn live_tokens_by_key(&self) -> Result<BTreeMap<String, i64>, StoreError> {
        self.readers
            .read(|connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT key_id, count(*) FROM tokens
                     WHERE revoked_at IS NULL AND expires_at > ? GROUP BY key_id",
                )?;
                let counts = statement
                    .query_map([Timestamp::now().0], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect::<Result<_, _>>()?;
                Ok(counts)
            })
            .await
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
        let (hash, name) = (hash.to_owned(), name.to_owned());
        self.writer
            .write(move |transaction| {
                transaction.execute(
                    "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?)",
                    params![
                        hash,
                        scope.tenant,
                        scope.environment,
                        name,
                        Timestamp::now().0
                    ],
                )?;
                Ok(())
            })
            .await
    }

    /// The scope of the API key with this hash.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn api_key_scope(&self, hash: &str) -> Result<Option<Scope>, StoreError> {
        let hash = hash.to_owned();
        self.readers
            .read(move |connection| {
                Ok(connection
                    .prepare_cached("SELECT tenant, environment FROM api_keys WHERE hash = ?")?
                    .query_row([hash], |row| {
                        Ok(Scope {
                            tenant: row.get(0)?,
                            environment: row.get(1)?,
                        })
                    })
                    .optional()?)
            })
            .await
    }
}

fn environments(connection: &Connection) -> Result<Vec<Environment>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT t.id, e.id, t.slug, e.slug, t.public_id, e.public_id
         FROM environments e JOIN tenants t ON t.id = e.tenant ORDER BY e.id",
    )?;
    let environments = statement
        .query_map([], |row| {
            Ok(Environment {
                scope: Scope {
                    tenant: row.get(0)?,
                    environment: row.get(1)?,
                },
                tenant: row.get(2)?,
                environment: row.get(3)?,
                tenant_id: row.get(4)?,
                environment_id: row.get(5)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(environments)
}

fn tokens(connection: &Connection, scope: Scope) -> Result<Vec<Token>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, platform, key_id, issued_at, expires_at, revoked_at, first_used, last_used,
             request_count, last_address
         FROM tokens WHERE tenant = ?1 AND environment = ?2 ORDER BY issued_at DESC, id",
    )?;
    let tokens = statement
        .query_map(params![scope.tenant, scope.environment], |row| {
            Ok(Token {
                id: row.get(0)?,
                platform: row.get(1)?,
                key_id: row.get(2)?,
                issued_at: Timestamp(row.get(3)?),
                expires_at: Timestamp(row.get(4)?),
                revoked_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
                first_used: row.get::<_, Option<i64>>(6)?.map(Timestamp),
                last_used: row.get::<_, Option<i64>>(7)?.map(Timestamp),
                request_count: row.get(8)?,
                last_address: row.get(9)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(tokens)
}
