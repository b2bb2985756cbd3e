//! The daemon on each machine.
//!
//! ```text
//! receiver -> pipeline (identity, enrich, redact) -> queue <- forwarder (batch, verdict, retry, token)
//! ```
//! Receiver and forwarder meet only in the queue.

pub mod config;
mod receiver;
mod pipeline;
mod enrich;
pub mod redact;
pub mod queue;
mod forwarder;
mod upstream;
pub mod verdict;
mod retry;
mod token;
mod heartbeat;
mod state;

use std::io::ErrorKind;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::http::{Limits, serve};
use crate::shutdown::{Shutdown, channel};

use self::config::Config;
use self::enrich::Enricher;
use self::forwarder::Forwarder;
use self::pipeline::Pipeline;
use self::queue::Queue;
use self::redact::Redactor;
use self::state::State;
use self::upstream::Upstream;

/// Opens the configured addresses.
///
/// # Errors
/// When one cannot be opened; the message says who may hold it.
pub async fn listen(config: &Config) -> anyhow::Result<Vec<TcpListener>> {
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

/// Runs the edge on `listeners` until `shutdown`, then drains: what was acknowledged is on disk, and
/// stays there when it could not be forwarded.
///
/// # Errors
/// When the queue, the state or the rules cannot be opened, or another edge uses them.
pub async fn run(
    config: Config,
    listeners: Vec<TcpListener>,
    mut shutdown: Shutdown,
) -> anyhow::Result<()> {
    let state = State::open(&config.queue.directory)?;
    let queue = Queue::open(&config.queue.directory, config.queue.limits.clone())?;
    let pipeline = Arc::new(Pipeline::new(
        state.identifier(),
        Enricher::new(&state.edge_id, &config.enrich),
        Redactor::new(&config.redact)?,
    ));
    let upstream = Upstream::new(&config.upstream)?;
    let receiver = receiver::router(&config.listen, Arc::clone(&pipeline), queue.clone());
    tracing::info!(
        edge = state.edge_id,
        upstream = config.upstream.endpoint,
        "edge started"
    );

    // The forwarder and the heartbeat stop after the receiver, so that the last records get their try.
    let (stop_sending, sending) = channel();
    let mut receivers = JoinSet::new();
    for listener in listeners {
        receivers.spawn(serve(
            listener,
            receiver.clone(),
            Limits::default(),
            shutdown.clone(),
        ));
    }
    let mut forwarder = tokio::spawn(Forwarder::new(queue.clone(), upstream).run(sending.clone()));
    let heartbeat = tokio::spawn(heartbeat::run(pipeline, queue.clone(), sending));

    tokio::select! {
        () = shutdown.requested() => {}
        ended = &mut forwarder => {
            // Whoever supervises the daemon starts it again; what was acknowledged is on disk.
            ended.context("the forwarder failed")?;
            anyhow::bail!("the forwarder ended although nobody asked it to");
        }
    }
    while receivers.join_next().await.is_some() {}
    stop_sending.stop();
    heartbeat.await.context("the heartbeat failed")?;
    forwarder.await.context("the forwarder failed")?;
    queue.close().await;
    tracing::info!("edge stopped");
    Ok(())
}
