//! The central service.
//!
//! ```text
//! router -> auth -> ingest -> store (-> materialize, in the same transaction)
//!        -> api, portal -> store
//! ```
//! API and pages share the store's calls; neither knows SQL.

pub mod config;
mod router;
mod auth;
mod ingest;
pub mod store;
pub mod materialize;
pub mod conversation;
mod api;
mod portal;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::event::{Identifier, Timestamp};
use crate::http::{Limits, Tcp, serve};
use crate::rate::Rates;
use crate::secret::{Secret, key_file, private_directory, random_digits};
use crate::shutdown::Shutdown;
use crate::supervisor::{News, tell};

use self::auth::{Claims, TOKEN_LIFETIME_SECONDS, TokenKeys};
use self::config::Config;
use self::store::{Environment, Installation, Location, Scope, Store, StoreError};

/// The path below which the integration's OTLP endpoint lies.
pub const OTLP_PREFIX: &str = "/v1/claude-cowork/otel";

/// What every handler of the service shares.
pub struct Central {
    /// The records and everything derived from them.
    pub store: Store,
    /// The address under which clients reach the service, without a slash at its end.
    pub public_url: String,
    max_body: usize,
    token_keys: TokenKeys,
    /// Requests of each token, by its id.
    rates: Rates<String>,
    identifier: Identifier,
}

impl Central {
    /// Opens the data directory, made when needed; a new one has one tenant and one environment.
    ///
    /// # Errors
    /// When the directory, the keys or the database cannot be used.
    pub async fn open(config: &Config, public_url: String) -> anyhow::Result<Central> {
        let directory: &Path = &config.data;
        private_directory(directory)
            .with_context(|| format!("cannot make the data folder {}", directory.display()))?;
        let store = Store::open(&config.database, directory)
            .await
            .with_context(|| match config.database {
                Location::DataDirectory => {
                    format!("cannot open the store in {}", directory.display())
                }
                Location::Postgres(_) => "cannot open the store in PostgreSQL".to_owned(),
            })?;
        let central = Central {
            store,
            public_url: public_url.trim_end_matches('/').to_owned(),
            max_body: config.max_body,
            rates: Rates::new(u64::from(config.requests_per_second)),
            token_keys: TokenKeys::open(&directory.join("signing-keys.json"))?,
            identifier: Identifier::new(key_file(&directory.join("identity.key"))?),
        };
        if central.store.environments().await?.is_empty() {
            central
                .store
                .create_environment("default", "default")
                .await?;
        }
        Ok(central)
    }

    /// Installs Claude Cowork, for the first time or again: a new token, shown once. Tokens issued
    /// before go on working until they are revoked.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn install(&self, environment: &Environment) -> Result<Installation, StoreError> {
        let now = Timestamp::now();
        let issued = now.0 / 1_000_000_000;
        let claims = Claims::new(environment, issued);
        let (token, key_id) = self.token_keys.sign(&claims);
        let expires = Timestamp(now.0.saturating_add(TOKEN_LIFETIME_SECONDS * 1_000_000_000));
        self.store
            .add_token(environment.scope, &claims.jti, &key_id, now, expires)
            .await?;
        Ok(Installation {
            endpoint: format!("{}{OTLP_PREFIX}/v1/logs", self.public_url),
            protocol: "http/json".to_owned(),
            authorization_header: format!("Bearer {token}"),
        })
    }

    /// Revokes a token; false when there is none to revoke.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn revoke_token(&self, scope: Scope, token_id: &str) -> Result<bool, StoreError> {
        self.store.revoke_token(scope, token_id).await
    }

    /// Makes an API key for an environment: shown once, kept as a hash.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn create_api_key(&self, scope: Scope, name: &str) -> Result<Secret, StoreError> {
        let key = Secret::new(format!("{}{}", auth::API_KEY_PREFIX, random_digits()));
        self.store
            .add_api_key(scope, &auth::api_key_hash(key.expose()), name)
            .await?;
        Ok(key)
    }

    /// Whether an API key is one of this service's.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn knows_api_key(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self
            .store
            .api_key_scope(&auth::api_key_hash(key))
            .await?
            .is_some())
    }
}

/// Serves until `shutdown`; then requests under way are finished and the store is closed.
pub async fn run(central: Arc<Central>, listener: TcpListener, shutdown: Shutdown) {
    tracing::info!(url = central.public_url, "central started");
    tell(News::Ready);
    let store = central.store.clone();
    store.start_work().await;
    serve(
        Tcp::new(listener, |_, _| ()),
        router::router(central),
        Limits::default(),
        shutdown,
    )
    .await;
    tell(News::Stopping);
    store.close().await;
    tracing::info!("central stopped");
}

/// A new id for something that has none of its own.
fn new_id() -> String {
    Uuid::new_v4().to_string()
}
