//! The central service.
//!
//! ```text
//! router -> auth -> ingest -> store (-> materialize, in the same transaction)
//!        -> api, portal -> store
//! ```
//! API and pages share the store's calls; neither knows SQL.

pub mod config;
mod router;
mod guard;
mod health;
mod metrics;
mod counters;
mod watched;
pub mod keys;
pub mod auth;
mod ingest;
mod rejection;
pub mod store;
pub mod materialize;
pub mod conversation;
mod api;
mod portal;

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::event::{Identifier, Timestamp};
use crate::http::tls::{Identity, IdentityFiles, Tls};
use crate::http::{Admission, Limits, Tcp, serve};
use crate::rate::Rates;
use crate::reload::Swap;
use crate::secret::{Secret, private_directory, random_digits};
use crate::shutdown::Shutdown;

use self::auth::{Claims, TOKEN_LIFETIME_SECONDS, VerifiedTokens};
use self::config::Config;
use self::counters::Counters;
use self::health::Readiness;
use self::keys::{KeyChangeError, SigningKey, TokenKeys};
use self::store::{Environment, Installation, Scope, Store, StoreError};
use self::watched::Watched;

/// The path below which the integration's OTLP endpoint lies.
pub const OTLP_PREFIX: &str = "/v1/claude-cowork/otel";

/// What every handler of the service shares.
pub struct Central {
    /// The records and everything derived from them.
    pub store: Store,
    /// The address under which clients reach the service, without a slash at its end.
    pub public_url: String,
    started: Timestamp,
    limits: Limits,
    certificate: Option<Certificate>,
    max_body: usize,
    body_timeout: Duration,
    ingest: config::Ingest,
    token_keys: TokenKeys,
    verified: VerifiedTokens,
    /// Requests of each token, by its id.
    requests: Rates<String>,
    /// Bytes of each token, by its id.
    bytes: Rates<String>,
    /// What requests hold in memory.
    admission: Admission,
    /// One for each core, for reading requests.
    workers: Arc<Semaphore>,
    identifier: Identifier,
    counters: Counters,
    readiness: Readiness,
}

/// The certificate that is shown, and where it comes from.
struct Certificate {
    files: IdentityFiles,
    identity: Arc<Swap<Identity>>,
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
        let store = Store::open(directory)
            .with_context(|| format!("cannot open the store in {}", directory.display()))?;
        let central = Central {
            store,
            public_url: public_url.trim_end_matches('/').to_owned(),
            started: Timestamp::now(),
            limits: config.limits,
            certificate: Certificate::load(config.tls.as_ref())?,
            max_body: config.max_body,
            body_timeout: config.body_timeout,
            ingest: config.ingest,
            token_keys: TokenKeys::open(config.keys.signing(directory))?,
            verified: VerifiedTokens::default(),
            requests: Rates::new(u64::from(config.ingest.requests_per_second)),
            bytes: Rates::new(config.ingest.bytes_per_second),
            admission: Admission::new(config.ingest.max_in_flight),
            workers: Arc::new(Semaphore::new(
                std::thread::available_parallelism().map_or(1, NonZero::get),
            )),
            counters: Counters::default(),
            readiness: Readiness::default(),
            identifier: Identifier::new(config.keys.identity(directory)?),
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
        let revoked = self.store.revoke_token(scope, token_id).await;
        // Other processes ask again within a second.
        self.verified.forget();
        revoked
    }

    /// The keys that sign tokens, without their secrets.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        let live = self.store.live_tokens_by_key().await?;
        Ok(self.token_keys.ring().list(&live))
    }

    /// Makes a key that signs from now on; tokens signed by others stay good. Gives its id.
    ///
    /// # Errors
    /// [`KeyChangeError`]
    pub fn rotate_signing_key(&self) -> Result<String, KeyChangeError> {
        self.token_keys.rotate()
    }

    /// Forgets a key: tokens signed by it stop working. One that live tokens were signed by is only
    /// retired when that is `agreed`.
    ///
    /// # Errors
    /// [`KeyChangeError`]
    pub async fn retire_signing_key(&self, id: &str, agreed: bool) -> Result<(), KeyChangeError> {
        let live = self.store.live_tokens_by_key().await?;
        match live.get(id) {
            Some(&live) if live > 0 && !agreed => Err(KeyChangeError::InUse {
                id: id.to_owned(),
                live,
            }),
            _ => self.token_keys.retire(id),
        }
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

impl Certificate {
    fn load(files: Option<&IdentityFiles>) -> anyhow::Result<Option<Certificate>> {
        let Some(files) = files else {
            return Ok(None);
        };
        let identity = files
            .load()
            .context("the certificate under [tls] cannot be used")?;
        Ok(Some(Certificate {
            files: files.clone(),
            identity: Arc::new(Swap::new(identity)),
        }))
    }
}

/// Serves until `shutdown`; then requests under way are finished and the store is closed.
pub async fn run(central: Arc<Central>, listener: TcpListener, shutdown: Shutdown) {
    tracing::info!(url = central.public_url, "central started");
    let (store, limits) = (central.store.clone(), central.limits);
    let watching = tokio::spawn(watch_files(Arc::clone(&central)));
    let tcp = Tcp::new(listener, |_, _| ());
    let identity = central
        .certificate
        .as_ref()
        .map(|certificate| Arc::clone(&certificate.identity));
    let router = router::router(central);
    match identity {
        None => serve(tcp, router, limits, shutdown).await,
        Some(identity) => serve(Tls::new(tcp, identity), router, limits, shutdown).await,
    }
    watching.abort();
    store.close().await;
    tracing::info!("central stopped");
}

/// Takes changed certificates and signing keys into force, as long as it is polled.
async fn watch_files(central: Arc<Central>) {
    let certificates = async {
        let Some(Certificate { files, identity }) = &central.certificate else {
            return;
        };
        let mut watched = Watched::new(vec![files.certificate.clone(), files.key.clone()]);
        loop {
            watched.changed().await;
            match files.load() {
                Ok(new) => {
                    identity.store(new);
                    tracing::info!("the certificate was read again and is in force");
                }
                Err(error) => {
                    tracing::error!(%error, "the old certificate stays in force");
                }
            }
        }
    };
    let keys = async {
        let Some(file) = central.token_keys.file().map(PathBuf::from) else {
            return;
        };
        let mut watched = Watched::new(vec![file]);
        loop {
            watched.changed().await;
            match central.token_keys.reread() {
                Ok(true) => tracing::info!("the signing keys were read again and are in force"),
                Ok(false) => {}
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(error, "the old signing keys stay in force");
                }
            }
        }
    };
    tokio::join!(certificates, keys);
}

/// A new id for something that has none of its own.
fn new_id() -> String {
    Uuid::new_v4().to_string()
}
