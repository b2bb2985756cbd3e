//! Serves a router on a listener until shutdown, with a limit on everything a peer can hold open.
//!
//! Each connection has a task of its own, which ends in one of these ways: the peer leaves; no request
//! comes for too long; others wait for a place and this one has nothing to do; the service stops, and
//! what was under way is answered.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::CONNECTION;
use axum::http::{Extensions, HeaderValue, Version};
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::shutdown::Shutdown;

use super::idle::{Requests, UnderWay};

/// Smallest buffer that hyper reads into. It is kept for as long as the connection is; without a bound it grows
/// to 400 KiB where bodies come fast.
const MIN_BUFFER: usize = 8 << 10;

/// What a server grants its peers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at once; further ones wait in the listener's backlog.
    pub connections: usize,
    /// Longest head of a request, in bytes.
    pub header_bytes: usize,
    /// Time for a connection to be secured, for a request's head to arrive, and for an idle connection
    /// to stay open.
    pub header_read: Duration,
    /// Time that open connections get for one more request once shutdown begins: its answer says that
    /// the connection ends. One that is closed without a word may have a request on its way.
    pub last_request: Duration,
    /// Time that requests under way then get to finish.
    pub drain: Duration,
    /// HTTP/2 as well, by ALPN or by prior knowledge; `None` where only HTTP/1.1 is spoken.
    pub http2: Option<Http2>,
}

/// What a server grants on one HTTP/2 connection.
#[derive(Clone, Copy, Debug)]
pub struct Http2 {
    /// Requests at once.
    pub streams: u32,
    /// Bytes that may arrive before somebody reads them, of one request and of all of them.
    pub window: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 1024,
            header_bytes: 64 << 10,
            header_read: Duration::from_secs(30),
            last_request: Duration::from_millis(250),
            drain: Duration::from_secs(10),
            http2: None,
        }
    }
}

/// Where connections come from.
pub trait Listener: Send {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// The other end, for the log.
    type Peer: Display + Send + 'static;
    /// What is left to do before a connection can be used. It takes the time of the peer, and nobody
    /// else's.
    type Opening: Future<Output = io::Result<Self::Stream>> + Send + 'static;

    /// The next connection.
    fn accept(
        &self,
    ) -> impl Future<Output = io::Result<Accepted<Self::Opening, Self::Peer>>> + Send;
}

/// A new connection.
pub struct Accepted<O, P> {
    /// Becomes the connection itself.
    pub opening: O,
    /// The other end.
    pub peer: P,
    /// What every request of this connection has among its extensions.
    pub extensions: Extensions,
}

/// Connections that may wait to be accepted, as far as the system lets them: a fleet comes back at once.
#[cfg(feature = "central")]
const BACKLOG: u32 = 4096;

/// Listens for a fleet on `address`.
///
/// # Errors
/// When the address is taken, or not one of this machine.
#[cfg(feature = "central")]
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4(),
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
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
    type Opening = std::future::Ready<io::Result<TcpStream>>;

    async fn accept(&self) -> io::Result<Accepted<Self::Opening, SocketAddr>> {
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
                opening: std::future::ready(Ok(stream)),
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
    let (crowd, crowded) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        let wanted = limits.borrow().connections;
        permits.add_permits(wanted.saturating_sub(granted));
        // Those in use are taken back later, when their connections have ended.
        let surplus = permits.forget_permits(granted.saturating_sub(wanted));
        granted = granted.max(wanted) - surplus;
        // Others may be waiting from the moment when the last place is taken.
        let free = permits.available_permits();
        crowd.send_if_modified(|is_crowded| {
            let was = *is_crowded;
            *is_crowded = free == 0 || (was && free <= granted / 8);
            *is_crowded != was
        });
        let permit = tokio::select! {
            () = changed(&mut limits) => continue,
            Some(_) = connections.join_next() => continue,
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
            opening,
            peer,
            extensions,
        } = accepted;
        let serving = Serving {
            router: router.clone(),
            extensions,
            limits: *limits.borrow(),
            crowded: crowded.clone(),
            shutdown: shutdown.clone(),
        };
        connections.spawn(async move {
            if let Err(error) = serving.run(opening).await {
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
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(last_request + drain, ended)
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

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

/// What one connection is served with.
struct Serving {
    router: Router,
    extensions: Extensions,
    limits: Limits,
    /// Whether others wait for a place.
    crowded: watch::Receiver<bool>,
    shutdown: Shutdown,
}

impl Serving {
    async fn run<S>(
        self,
        opening: impl Future<Output = io::Result<S>>,
    ) -> Result<(), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Serving {
            router,
            extensions,
            limits,
            crowded,
            mut shutdown,
        } = self;
        let stream = tokio::time::timeout(limits.header_read, opening).await??;
        let requests = Requests::default();
        let service = {
            let (requests, shutdown) = (requests.clone(), shutdown.clone());
            hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
                request.extensions_mut().extend(extensions.clone());
                let (router, under_way) = (router.clone(), requests.begin());
                let shutdown = shutdown.clone();
                async move {
                    let version = request.version();
                    let answer = router.oneshot(request.map(Body::new)).await;
                    let mut answer = answer.map_err(|never: Infallible| match never {})?;
                    if version != Version::HTTP_2 && shutdown.is_requested() {
                        let close = HeaderValue::from_static("close");
                        answer.headers_mut().insert(CONNECTION, close);
                    }
                    Ok::<_, Infallible>(until_sent(answer, version, under_way))
                }
            })
        };
        let io = TokioIo::new(stream);
        let end = async {
            tokio::select! {
                () = async {
                    shutdown.requested().await;
                    tokio::time::sleep(limits.last_request).await;
                } => {}
                () = requests.idle(limits.header_read, crowded) => {}
            }
        };
        match limits.http2 {
            None => drive(http1(&limits).serve_connection(io, service), end, limits).await,
            Some(http2) => {
                let builder = either(&limits, http2);
                drive(builder.serve_connection(io, service), end, limits).await
            }
        }
    }
}

/// Serves a connection until it ends, or until `end`: then what is under way is finished.
async fn drive<C>(
    connection: C,
    end: impl Future<Output = ()>,
    limits: Limits,
) -> Result<(), ConnectionError>
where
    C: GracefulConnection,
    C::Error: Into<ConnectionError>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended.map_err(Into::into),
        () = end => connection.as_mut().graceful_shutdown(),
    }
    let longest = limits.drain.max(limits.header_read);
    match tokio::time::timeout(longest, connection).await {
        Ok(ended) => ended.map_err(Into::into),
        Err(elapsed) => Err(elapsed.into()),
    }
}

fn http1(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(MIN_BUFFER));
    builder
}

/// HTTP/1.1 or HTTP/2, as the peer begins.
fn either(limits: &Limits, http2: Http2) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_buf_size(limits.header_bytes.max(MIN_BUFFER));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(http2.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(http2.window)
        .initial_connection_window_size(http2.window)
        .max_send_buf_size(http2.window as usize)
        // A peer that is gone without a word is found out.
        .keep_alive_interval(limits.header_read)
        .keep_alive_timeout(limits.header_read);
    builder
}

/// The answer; over HTTP/2 its request is under way until all of it is sent. Over HTTP/1.1 hyper itself
/// waits for that, and would have to chunk a body of which it does not know the length.
fn until_sent(answer: Response, version: Version, under_way: UnderWay) -> Response {
    if version != Version::HTTP_2 {
        return answer;
    }
    answer.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _ = &under_way;
            frame
        }))
    })
}
