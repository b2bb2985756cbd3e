//! Serves a router on a listener until shutdown, with a limit on everything a peer can hold open.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;

use crate::shutdown::Shutdown;

/// What a server grants its peers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at once; further ones wait in the listener's backlog.
    pub connections: usize,
    /// Longest head of a request, in bytes.
    pub header_bytes: usize,
    /// Time for a request's head to arrive, and for an idle connection to stay open.
    pub header_read: Duration,
    /// Time that requests under way get to finish once shutdown begins.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 1024,
            header_bytes: 64 << 10,
            header_read: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// Answers requests on `listener` with `router` until `shutdown`, then lets the requests under way
/// finish, within [`Limits::drain`].
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, shutdown: Shutdown) {
    let (_sender, limits) = watch::channel(limits);
    serve_connections(listener, router, limits, |_, _| (), shutdown).await;
}

/// The same, and every request of a connection has among its extensions what `describe` made of the
/// peer's address and of the connection's address here. Changed `limits` hold for new connections.
pub async fn serve_connections<D>(
    listener: TcpListener,
    router: Router,
    mut limits: watch::Receiver<Limits>,
    describe: impl Fn(SocketAddr, SocketAddr) -> D,
    mut shutdown: Shutdown,
) where
    D: Clone + Send + Sync + 'static,
{
    let mut granted = limits.borrow().connections;
    let permits = Arc::new(Semaphore::new(granted));
    let graceful = GracefulShutdown::new();
    loop {
        let wanted = limits.borrow().connections;
        permits.add_permits(wanted.saturating_sub(granted));
        // Those in use are taken back later, when their connections have ended.
        let surplus = permits.forget_permits(granted.saturating_sub(wanted));
        granted = granted.max(wanted) - surplus;
        let permit = tokio::select! {
            () = changed(&mut limits) => continue,
            permit = Arc::clone(&permits).acquire_owned() => {
                permit.expect("the semaphore is never closed")
            }
            () = shutdown.requested() => break,
        };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of file descriptors, most likely: let some connections end first.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = shutdown.requested() => break,
        };
        let description = match stream.local_addr() {
            Ok(local) => describe(peer, local),
            Err(error) => {
                tracing::debug!(%peer, %error, "connection ended");
                continue;
            }
        };
        let (router, limits) = (router.clone(), *limits.borrow());
        let connection = graceful.watch(connection(stream, peer, description, router, limits));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    let drain = limits.borrow().drain;
    if tokio::time::timeout(drain, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were still under way when the time to drain was over");
    }
}

/// Ends when there are other limits; never when nobody is left to set any.
async fn changed(limits: &mut watch::Receiver<Limits>) {
    if limits.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn connection<D: Clone + Send + Sync + 'static>(
    stream: TcpStream,
    peer: SocketAddr,
    description: D,
    router: Router,
    limits: Limits,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot switch off Nagle's algorithm");
    }
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(description.clone());
        let router = router.clone();
        async move {
            let answer = router.oneshot(request.map(axum::body::Body::new)).await;
            answer.map_err(|never: Infallible| match never {})
        }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_header_size(limits.header_bytes)
        .serve_connection(TokioIo::new(stream), service)
}
