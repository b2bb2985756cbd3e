//! Serves a router on a listener until shutdown, with a limit on everything a peer can hold open.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::header::CONNECTION;
use axum::http::{Extensions, HeaderValue};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
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
    /// Time that open connections get for one more request once shutdown begins: its answer says that
    /// the connection ends. One that is closed without a word may have a request on its way.
    pub last_request: Duration,
    /// Time that requests under way then get to finish.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 1024,
            header_bytes: 64 << 10,
            header_read: Duration::from_secs(30),
            last_request: Duration::from_millis(250),
            drain: Duration::from_secs(10),
        }
    }
}

/// Where connections come from.
pub trait Listener: Send {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// The other end, for the log.
    type Peer: Display + Send + 'static;

    /// The next connection.
    fn accept(&self)
    -> impl Future<Output = io::Result<Accepted<Self::Stream, Self::Peer>>> + Send;
}

/// A new connection.
pub struct Accepted<S, P> {
    /// The connection itself.
    pub stream: S,
    /// The other end.
    pub peer: P,
    /// What every request of this connection has among its extensions.
    pub extensions: Extensions,
}

/// Connections over TCP. Requests have the peer's [`ConnectInfo`] among their extensions, and what
/// `describe` made of the peer's address and of the connection's address here.
pub struct Tcp<F> {
    listener: TcpListener,
    describe: F,
}

impl<F> Tcp<F> {
    /// Connections of `listener`.
    pub fn new(listener: TcpListener, describe: F) -> Tcp<F> {
        Tcp { listener, describe }
    }
}

impl<F, D> Listener for Tcp<F>
where
    F: Fn(SocketAddr, SocketAddr) -> D + Send + Sync,
    D: Clone + Send + Sync + 'static,
{
    type Stream = TcpStream;
    type Peer = SocketAddr;

    async fn accept(&self) -> io::Result<Accepted<TcpStream, SocketAddr>> {
        loop {
            let (stream, peer) = self.listener.accept().await?;
            let prepared = stream.local_addr().and_then(|local| {
                stream.set_nodelay(true)?;
                Ok(local)
            });
            let local = match prepared {
                Ok(local) => local,
                Err(error) => {
                    tracing::debug!(%peer, %error, "connection ended");
                    continue;
                }
            };
            let mut extensions = Extensions::new();
            extensions.insert(ConnectInfo(peer));
            extensions.insert((self.describe)(peer, local));
            return Ok(Accepted {
                stream,
                peer,
                extensions,
            });
        }
    }
}

/// Answers requests on `listener` with `router` until `shutdown`, then lets the requests under way
/// finish, within [`Limits::drain`].
pub async fn serve(listener: impl Listener, router: Router, limits: Limits, shutdown: Shutdown) {
    let (_sender, limits) = watch::channel(limits);
    serve_connections(listener, router, limits, shutdown).await;
}

/// The same; changed `limits` hold for new connections.
pub async fn serve_connections(
    listener: impl Listener,
    router: Router,
    mut limits: watch::Receiver<Limits>,
    mut shutdown: Shutdown,
) {
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
        let accepted = tokio::select! {
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
        let Accepted {
            stream,
            peer,
            extensions,
        } = accepted;
        let (router, limits) = (router.clone(), *limits.borrow());
        let connection = connection(stream, extensions, router, limits, shutdown.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    let Limits {
        last_request,
        drain,
        ..
    } = *limits.borrow();
    // Each connection holds one: to have them all is to have no connection.
    let all = permits.acquire_many(u32::try_from(granted).unwrap_or(u32::MAX));
    let _ = tokio::time::timeout(last_request, all).await;
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

fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    extensions: Extensions,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().extend(extensions.clone());
        let (router, shutdown) = (router.clone(), shutdown.clone());
        async move {
            let answer = router.oneshot(request.map(axum::body::Body::new)).await;
            let mut answer = answer.map_err(|never: Infallible| match never {})?;
            if shutdown.is_requested() {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_header_size(limits.header_bytes)
        .serve_connection(TokioIo::new(stream), service)
}
