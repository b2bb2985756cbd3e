//! The central service.
//!
//! ```text
//! router -> auth -> ingest -> store (-> materialize, in the same transaction)
//!        -> api, portal -> store
//! ```
//! API and pages share the store's calls; neither knows SQL.

pub mod config;
mod router;
mod request_id;
mod identity;
mod guard;
mod health;
mod metrics;
mod counters;
mod watched;
mod progress;
pub mod keys;
pub mod auth;
mod ingest;
mod rejection;
mod usage;
mod streams;
pub mod accounts;
mod fleet;
pub mod views;
pub mod defects;
mod drift;
pub mod tenancy;
pub mod people;
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
use crate::secret::private_directory;
use crate::shutdown::Shutdown;
use crate::supervisor::{News, tell};

use self::auth::VerifiedTokens;
use self::config::Config;
use self::counters::Counters;
use self::health::Readiness;
use self::keys::TokenKeys;
use self::people::{Clock, Passwords, SessionLimits, SingleSignOn};
use self::store::{Location, Store};
use self::streams::Streams;
use self::usage::Usage;
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
    /// Requests to the API, of each key and each person.
    api_requests: Rates<String>,
    /// What requests hold in memory.
    admission: Admission,
    /// One for each core, for reading requests.
    workers: Arc<Semaphore>,
    /// One permit for each request that is being read and stored.
    taking: Semaphore,
    identifier: Identifier,
    counters: Counters,
    usage: Usage,
    readiness: Readiness,
    clock: Clock,
    passwords: Passwords,
    sessions: SessionLimits,
    /// Whether passwords let people in.
    has_passwords: bool,
    single_sign_on: Option<SingleSignOn>,
    /// Answers that go on for long, by person.
    streams: Streams,
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
            api_requests: Rates::new(u64::from(config.api_requests_per_second)),
            admission: Admission::new(config.ingest.max_in_flight),
            taking: Semaphore::new(ingest::MAX_TAKING),
            workers: Arc::new(Semaphore::new(
                std::thread::available_parallelism().map_or(1, NonZero::get),
            )),
            counters: Counters::default(),
            usage: Usage::default(),
            readiness: Readiness::default(),
            clock: config.clock.clone(),
            passwords: Passwords::default(),
            sessions: config.sessions,
            has_passwords: config.has_passwords,
            single_sign_on: config
                .oidc
                .clone()
                .map(|oidc| SingleSignOn::new(oidc, &public_url))
                .transpose()
                .context("[oidc] cannot be used")?,
            streams: Streams::default(),
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
    tell(News::Ready);
    central.store.start_work().await;
    let background = tokio::spawn(keep(Arc::clone(&central)));
    let tcp = Tcp::new(listener, |_, _| ());
    let identity = central
        .certificate
        .as_ref()
        .map(|certificate| Arc::clone(&certificate.identity));
    let (router, limits) = (router::router(Arc::clone(&central)), central.limits);
    match identity {
        None => serve(tcp, router, limits, shutdown).await,
        Some(identity) => serve(Tls::new(tcp, identity), router, limits, shutdown).await,
    }
    tell(News::Stopping);
    background.abort();
    if let Err(error) = central.write_usage().await {
        tracing::warn!(%error, "the last second of tokens' use was not written");
    }
    central.store.close().await;
    tracing::info!("central stopped");
}

/// What is done beside the requests, as long as it is polled.
async fn keep(central: Arc<Central>) {
    tokio::join!(
        watch_files(&central),
        progress::run(&central.store),
        central.keep_usage(),
        central.keep_sweeping()
    );
}

/// Takes changed certificates and signing keys into force, as long as it is polled.
async fn watch_files(central: &Central) {
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
