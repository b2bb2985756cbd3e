//! The way to a PostgreSQL server.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::{ClientWrapper, Hook, HookError, Manager, Pool, Runtime};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::central::store::explain;
use crate::secret::Secret;

use super::unpacked;

mod migrations {
    refinery::embed_migrations!("src/central/store/migrations/postgres");
}

/// Connections of one replica at most.
const MAX_CONNECTIONS: usize = 16;

/// How long a request waits for a connection, or a connection for the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server whose machine or network is gone says nothing: after so long without a word it is asked, at
/// most so often, and what it was sent must be acknowledged in time.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
const SERVER_TIMEOUT: Duration = Duration::from_secs(20);

/// Advisory lock of whoever migrates.
const MIGRATION_LOCK: i64 = 0x6669_656c_6470_0001;

/// Where the database is, and how to be let in.
#[derive(Clone, Debug)]
pub struct Connection {
    url: Secret,
    password: Option<Secret>,
    ca_file: Option<PathBuf>,
}

/// The text is no address of a PostgreSQL database.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected an address such as \"postgres://fieldpost@db.example.com/fieldpost?sslmode=require\""
)]
pub struct UrlError;

impl Connection {
    /// The database at `url` (libpq's form). `password` goes before one in it; `ca_file` holds the
    /// authorities that the server's certificate is checked against, instead of the system's.
    ///
    /// # Errors
    /// [`UrlError`], which does not repeat the address: there may be a password in it.
    pub fn new(
        url: Secret,
        password: Option<Secret>,
        ca_file: Option<PathBuf>,
    ) -> Result<Connection, UrlError> {
        Config::from_str(url.expose()).map_err(|_| UrlError)?;
        Ok(Connection {
            url,
            password,
            ca_file,
        })
    }

    fn config(&self) -> Config {
        let mut config =
            Config::from_str(self.url.expose()).expect("the address was read when it was given");
        if let Some(password) = &self.password {
            config.password(password.expose());
        }
        if config.get_application_name().is_none() {
            config.application_name("fieldpost");
        }
        config.connect_timeout(CONNECT_TIMEOUT);
        config.keepalives_idle(KEEPALIVE_IDLE);
        config.keepalives_interval(CONNECT_TIMEOUT);
        config.keepalives_retries(KEEPALIVE_RETRIES);
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SERVER_TIMEOUT);
        }
        config
    }

    fn tls(&self) -> anyhow::Result<MakeRustlsConnect> {
        let mut roots = RootCertStore::empty();
        match &self.ca_file {
            Some(file) => add_authorities(&mut roots, file)?,
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(MakeRustlsConnect::new(config))
    }

    /// Connections, made when they are needed and again when they broke.
    pub(super) fn pool(&self) -> anyhow::Result<Pool> {
        let manager = Manager::new(self.config(), self.tls()?);
        let pool = Pool::builder(manager)
            .max_size(MAX_CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .recycle_timeout(Some(CONNECT_TIMEOUT))
            .post_create(Hook::async_fn(|client, _| Box::pin(prepare(client))))
            .build();
        pool.context("cannot set up the connections")
    }
}

/// Our statements end within milliseconds. Where PostgreSQL thinks that one will take long, it compiles it first,
/// which takes more than a hundred.
async fn prepare(client: &ClientWrapper) -> Result<(), HookError> {
    let set = client.batch_execute("SET jit = off").await;
    set.map_err(HookError::Backend)
}

fn add_authorities(roots: &mut RootCertStore, file: &Path) -> anyhow::Result<()> {
    let context = || format!("cannot read certificates from {}", file.display());
    for certificate in CertificateDer::pem_file_iter(file).with_context(context)? {
        roots
            .add(certificate.with_context(context)?)
            .with_context(context)?;
    }
    Ok(())
}

/// Brings the database to the newest form; gives the migrations that were missing. Replicas that start
/// at once wait for each other here.
pub(in crate::central::store) async fn migrate(
    connection: &Connection,
) -> anyhow::Result<Vec<String>> {
    let pool = connection.pool()?;
    let mut client = pool
        .get()
        .await
        .context("cannot connect to the database; check database.url and its password")?;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK])
        .await?;
    let report = migrations::migrations::runner()
        .run_async(&mut **client)
        .await
        .map_err(explain);
    let packed = match &report {
        Ok(_) => unpacked::pack_old_events(&mut client).await,
        Err(_) => Ok(()),
    };
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&MIGRATION_LOCK])
        .await?;
    let report = report?;
    packed?;
    let applied = report.applied_migrations().iter();
    Ok(applied.map(ToString::to_string).collect())
}
