//! Both halves on one machine, ready in a moment: for developers, for trying things out, for tests.

mod sample;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::central::people::Actor;
use crate::central::store::{Access, Role};
use crate::central::{self, Central};
use crate::edge;
use crate::rollout::{Format, Rollout};
use crate::secret;
use crate::shutdown::{self, Shutdown};

/// What to start, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port of the edge on 127.0.0.1; 0 picks a free one.
    pub edge_port: u16,
    /// Port of the central service on 127.0.0.1; 0 picks a free one.
    pub central_port: u16,
    /// Directory for all data.
    pub data: PathBuf,
    /// Whether to replay the captured sessions.
    pub sample: bool,
}

/// Where everything is, once both halves are ready.
#[derive(Clone, Debug, Serialize)]
pub struct Addresses {
    /// The portal, for a browser: a link that signs its owner in, once.
    pub portal: String,
    /// The API, without a slash at its end.
    pub api: String,
    /// The edge's OTLP endpoint, without a suffix.
    pub otlp: String,
    /// The central service's OTLP endpoint for logs.
    pub central_otlp: String,
    /// `Bearer <jwt>`, for clients that post to the central service themselves.
    pub authorization_header: String,
    /// For `/api/v1`: `Authorization: Bearer <api_key>`.
    pub api_key: String,
}

impl Addresses {
    /// The lines to paste into the shell that Claude is started from.
    pub fn exports(&self) -> String {
        let rollout = Rollout {
            content: true,
            ..Rollout::edge(&self.otlp)
        };
        rollout.render(Format::Shell)
    }
}

/// What a second start needs to go on with the same data: both are shown only once by the service.
#[derive(Serialize, Deserialize)]
struct Credentials {
    authorization_header: String,
    api_key: String,
}

/// Runs both halves until `shutdown`; `ready` is told the addresses once both take requests and the
/// sample, if asked for, has arrived.
///
/// # Errors
/// When a port is taken, or the data directory cannot be used.
pub async fn run(
    options: Options,
    mut shutdown: Shutdown,
    ready: impl FnOnce(&Addresses),
) -> anyhow::Result<()> {
    let central_listener = bind(options.central_port, "--central-port").await?;
    let edge_listener = bind(options.edge_port, "--edge-port").await?;
    let central_url = format!("http://{}", central_listener.local_addr()?);
    let edge_address = edge_listener.local_addr()?;

    let config = central::config::Config {
        address: central_listener.local_addr()?,
        data: options.data.join("central"),
        ..central::config::Config::default()
    };
    let central = Arc::new(Central::open(&config, central_url.clone()).await?);
    let credentials = credentials(&central, &options.data.join("dev.json")).await?;
    let addresses = Addresses {
        portal: central.developer_link().await?.url.expose().to_owned(),
        api: format!("{central_url}/api/v1"),
        otlp: format!("http://{edge_address}"),
        central_otlp: format!("{central_url}{}/v1/logs", central::OTLP_PREFIX),
        authorization_header: credentials.authorization_header.clone(),
        api_key: credentials.api_key,
    };
    let edge_config = edge_config(&options.data, edge_address, &addresses)?;

    // The edge stops first, so that what it received last still finds the central service there.
    let (stop_edge, edge_shutdown) = shutdown::channel();
    let (stop_central, central_shutdown) = shutdown::channel();
    let central = tokio::spawn(central::run(central, central_listener, central_shutdown));
    let mut edge = tokio::spawn(edge::run(edge_config, vec![edge_listener], edge_shutdown));

    let work = async {
        if options.sample {
            tokio::select! {
                replayed = sample::replay(&addresses) => {
                    replayed.context("the sample could not be replayed")?;
                }
                () = shutdown.requested() => return Ok(()),
            }
        }
        ready(&addresses);
        shutdown.requested().await;
        anyhow::Ok(())
    };
    let (outcome, edge_ended) = tokio::select! {
        outcome = work => (outcome, None),
        ended = &mut edge => (Ok(()), Some(ended)),
    };
    stop_edge.stop();
    let edge_outcome = match edge_ended {
        Some(ended) => ended,
        None => edge.await,
    };
    stop_central.stop();
    central.await.context("the central service failed")?;
    edge_outcome.context("the edge failed")??;
    outcome
}

async fn bind(port: u16, flag: &str) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; another program may hold the port: try {flag} 0")
    })
}

/// The token and the API key of this data directory, made at its first start.
async fn credentials(central: &Central, file: &Path) -> anyhow::Result<Credentials> {
    if file.exists() {
        let text = secret::read_file(file)?;
        let credentials: Credentials = serde_json::from_str(text.expose())
            .with_context(|| format!("{} cannot be read; delete it", file.display()))?;
        if central.knows_api_key(&credentials.api_key).await? {
            return Ok(credentials);
        }
    }
    let environments = central.store.environments().await?;
    let environment = environments
        .first()
        .context("the store has no environment")?;
    let installation = central
        .install(environment, "fieldpost dev", &Actor::command_line())
        .await?;
    let api_key = central
        .create_api_key(
            Access::Environment(environment.scope, Role::Owner),
            "fieldpost dev",
        )
        .await?;
    let credentials = Credentials {
        authorization_header: installation.authorization_header,
        api_key: api_key.expose().to_owned(),
    };
    secret::write_file(file, &serde_json::to_string_pretty(&credentials)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(credentials)
}

fn edge_config(
    data: &Path,
    address: SocketAddr,
    addresses: &Addresses,
) -> anyhow::Result<edge::config::Config> {
    let directory = data.join("edge");
    secret::private_directory(&directory)?;
    let token_file = directory.join("token");
    let token = secret::bare_token(&addresses.authorization_header);
    secret::write_file(&token_file, token)
        .with_context(|| format!("cannot write {}", token_file.display()))?;
    let queue = directory.join("queue");
    Ok(edge::config::Config {
        control: edge::config::Control::beside(&queue),
        listen: edge::config::Listen {
            addresses: vec![address],
            ..edge::config::Listen::default()
        },
        upstream: edge::config::Upstream {
            token: vec![edge::config::TokenSource::File(token_file)],
            ..edge::config::Upstream::to(addresses.central_otlp.clone())
        },
        queue: edge::config::Queue {
            directory: queue,
            limits: edge::queue::Limits::default(),
        },
        enrich: Default::default(),
        redact: edge::redact::RedactConfig::default(),
    })
}
