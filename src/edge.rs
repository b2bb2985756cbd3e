//! The daemon on each machine.
//!
//! ```text
//! receiver -> pipeline (identity, enrich, redact) -> queue <- forwarder (batch, verdict, retry, token)
//! ```
//! Receiver and forwarder meet only in the queue. Whoever wants to know how it goes looks `inside`,
//! through the [`control`] socket or at `/metrics`.

pub mod config;
mod receiver;
mod guard;
mod quota;
mod memory;
mod foreign;
pub mod intake;
mod pipeline;
mod owner;
mod places;
mod enrich;
pub mod redact;
pub mod queue;
pub mod link;
mod forwarder;
mod upstream;
pub mod verdict;
mod retry;
mod token;
mod heartbeat;
mod state;
mod settings;
mod reloader;
mod origins;
mod inside;
pub mod status;
mod metrics;
mod plain;
mod tail;
pub mod control;
mod progress;
mod rounds;
pub mod install;
pub mod doctor;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener as Handed};
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::{Tcp, serve_connections};
use crate::logging;
use crate::reload::{Slot, Swap};
use crate::shutdown::{Shutdown, channel};
use crate::supervisor::{News, tell};

pub use self::pipeline::Pipeline;
pub use self::reloader::Source;

use self::config::{Config, LOOPBACK_ONLY, is_local};
use self::forwarder::Forwarder;
use self::inside::{Fixed, Inside};
use self::intake::Intake;
use self::link::Link;
use self::owner::Connection;
use self::places::{Places, Seated};
use self::queue::Queue;
use self::receiver::Door;
use self::reloader::Reloader;
use self::settings::Settings;
use self::state::State;
use self::upstream::Upstream;

/// What a running edge tells of itself, for whoever looks inside. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// The way upstream.
    pub link: Link,
    /// What was not taken.
    pub intake: Intake,
}

/// Takes the sockets that a supervisor has handed over, or else opens the configured addresses.
///
/// # Errors
/// When one cannot be opened, and the message says who may hold it; or when others than this machine's
/// programs could reach it.
pub async fn listen(config: &Config, handed: Vec<Handed>) -> anyhow::Result<Vec<TcpListener>> {
    if !handed.is_empty() {
        return take(config, handed);
    }
    let mut listeners = Vec::new();
    for address in &config.listen.addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(listener),
            // Machines without IPv6 are common, and [::1] is among the defaults.
            Err(error) if address.is_ipv6() && error.kind() == ErrorKind::AddrNotAvailable => {
                tracing::warn!(%address, "not listening there: this machine has no IPv6");
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    format!(
                        "cannot listen on {address}; another collector may hold the port: \
                         see `ss -ltnp` or choose another with listen.addresses"
                    )
                });
            }
        }
    }
    anyhow::ensure!(!listeners.is_empty(), "there is no address to listen on");
    Ok(listeners)
}

/// Where clients are to go is then the supervisor's to say.
fn take(config: &Config, handed: Vec<Handed>) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for listener in handed {
        listener.set_nonblocking(true)?;
        listeners.push(TcpListener::from_std(listener)?);
    }
    let elsewhere = addresses(&listeners)?;
    if let Some(remote) = elsewhere.iter().find(|address| !is_local(address)) {
        anyhow::bail!(
            "the supervisor listens on {remote}; see ListenStream= of fieldpost-edge.socket, or Sockets of the \
             launchd job: as with listen.addresses, {LOOPBACK_ONLY}"
        );
    }
    if elsewhere
        .iter()
        .any(|address| !config.listen.addresses.contains(address))
    {
        tracing::warn!(
            ?elsewhere,
            "listening where the supervisor does, and not where listen.addresses says"
        );
    }
    Ok(listeners)
}

/// Runs the edge on `listeners` until `shutdown`, then drains: what was acknowledged is on disk, and
/// stays there when it could not be forwarded.
///
/// # Errors
/// When the queue, the state or the rules cannot be opened, or another edge uses them.
pub async fn run(
    config: Config,
    listeners: Vec<TcpListener>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    run_reloading(config, None, Gauges::default(), listeners, shutdown).await
}

/// The same, with a configuration that is read again from `source` when it changes, and on SIGHUP,
/// and with `gauges` to look at meanwhile.
///
/// # Errors
/// As [`run`]. A configuration that becomes bad later is no error: the last good one stays.
pub async fn run_reloading(
    config: Config,
    source: Option<Source>,
    gauges: Gauges,
    listeners: Vec<TcpListener>,
    mut shutdown: Shutdown,
) -> anyhow::Result<()> {
    let state = State::open(&config.queue.directory)?;
    let queue = Queue::open(&config.queue.directory, config.queue.limits.clone())?;
    let extras = config.upstream.extras;
    let pipeline = Pipeline::new(&config, &state.edge_id, state.identity_key)?;
    let pipeline = Arc::new(pipeline);
    // What the daemon says passes the rules that are in force, now and after each change.
    logging::clean_with({
        let pipeline = Arc::clone(&pipeline);
        move |text| pipeline.clean(text)
    });
    pipeline.tell_refused_rules();
    let upstream = Upstream::new(&config.upstream, &gauges.link)?;
    let replacement = Arc::new(Slot::default());
    let forwarder = Forwarder::new(
        queue.clone(),
        upstream,
        Arc::clone(&replacement),
        gauges.link.clone(),
    );
    let settings = Settings::new(&config, source.as_ref().map(|source| source.path.clone()));
    let fixed = Fixed {
        edge_id: state.edge_id.clone(),
        listening: addresses(&listeners)?,
        directory: config.queue.directory.clone(),
        extras,
    };
    let inside = Inside::new(
        fixed,
        Arc::clone(&pipeline),
        queue.clone(),
        gauges,
        settings.clone(),
    );
    let inside = Arc::new(inside);
    let door = Arc::new(Swap::new(Door::new(&config)?));
    let receiver = receiver::router(
        Arc::clone(&door),
        Arc::clone(&pipeline),
        Arc::clone(&inside),
    );
    tracing::info!(
        edge = state.edge_id,
        upstream = config.upstream.shown_endpoint(),
        "edge started"
    );

    // The forwarder and the heartbeat stop after the receiver, so that the last records get their try.
    let (stop_sending, sending) = channel();
    let (limits_sender, limits) = watch::channel(receiver::limits(&config.listen));
    let control = tokio::spawn(control::run(
        config.control.clone(),
        Arc::clone(&inside),
        Arc::clone(&pipeline),
        sending.clone(),
    ));
    if let Some(source) = source {
        let findings = inside.findings.clone();
        tokio::spawn(rounds::run(source.path.clone(), findings, sending.clone()));
        let reloader = Reloader {
            source,
            config,
            tried: Vec::new(),
            edge_id: state.edge_id,
            pipeline: Arc::clone(&pipeline),
            door,
            limits: limits_sender,
            upstream: replacement,
            link: inside.link.clone(),
            settings,
        };
        tokio::spawn(reloader.run(sending.clone()));
    }
    let mut receivers = JoinSet::new();
    for listener in listeners {
        let connections = Tcp::new(listener, |peer, local| {
            Arc::new(Connection::new(peer, local))
        });
        let places = Places::new(limits.clone(), inside.intake.clone());
        receivers.spawn(serve_connections(
            Seated::new(connections, places),
            receiver.clone(),
            limits.clone(),
            shutdown.clone(),
        ));
    }
    tokio::spawn(pipeline.keep_facts_fresh(sending.clone()));
    let mut forwarder = tokio::spawn(forwarder.run(sending.clone()));
    tokio::spawn(progress::run(Arc::clone(&inside), sending.clone()));
    let heartbeat = extras.then(|| tokio::spawn(heartbeat::run(pipeline, inside, sending)));
    if !extras {
        queue.count_losses_only();
    }
    tell(News::Ready);

    tokio::select! {
        () = shutdown.requested() => {}
        ended = &mut forwarder => {
            // Whoever supervises the daemon starts it again; what was acknowledged is on disk.
            ended.context("the forwarder failed")?;
            anyhow::bail!("the forwarder ended although nobody asked it to");
        }
        () = queue.failed() => {
            anyhow::bail!("the queue stopped after an internal error; the edge is to be started anew");
        }
    }
    tell(News::Stopping);
    while receivers.join_next().await.is_some() {}
    stop_sending.stop();
    if let Some(heartbeat) = heartbeat {
        heartbeat.await.context("the heartbeat failed")?;
    }
    forwarder.await.context("the forwarder failed")?;
    control.await.context("the control socket failed")?;
    queue.close().await;
    tracing::info!("edge stopped");
    Ok(())
}

fn addresses(listeners: &[TcpListener]) -> anyhow::Result<Vec<SocketAddr>> {
    let addresses = listeners.iter().map(TcpListener::local_addr);
    Ok(addresses.collect::<std::io::Result<_>>()?)
}
