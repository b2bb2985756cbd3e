//! An upstream that does as it is told: the world outside, under control.

use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use fieldpost::event::Attributes;
use fieldpost::otlp::compression::Coding;
use fieldpost::otlp::{Request, Signal};
use hyper::body::Frame;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Decides on a request from what is in it.
type Judge = Box<dyn FnMut(&Received) -> Option<Response> + Send>;

/// One request that arrived, decoded.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) encoding: Option<String>,
    pub(crate) request: Request,
    pub(crate) accepted: bool,
}

/// A scripted OTLP endpoint; it ends when the value is dropped.
pub(crate) struct Upstream {
    pub(crate) endpoint: String,
    shared: Arc<Mutex<Shared>>,
    server: JoinHandle<()>,
}

struct Shared {
    judge: Judge,
    received: Vec<Received>,
}

impl Upstream {
    /// Accepts everything.
    pub(crate) async fn start() -> Upstream {
        Upstream::judging(|_| None).await
    }

    /// Accepts a request, heartbeats always, unless `judge` answers otherwise.
    pub(crate) async fn judging(
        judge: impl FnMut(&Received) -> Option<Response> + Send + 'static,
    ) -> Upstream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        Upstream::on(listener, format!("http://{address}"), judge)
    }

    /// The same behind any listener, which clients reach at `base`.
    pub(crate) fn on<L>(
        listener: L,
        base: String,
        mut judge: impl FnMut(&Received) -> Option<Response> + Send + 'static,
    ) -> Upstream
    where
        L: axum::serve::Listener,
        L::Addr: std::fmt::Debug,
    {
        let shared = Arc::new(Mutex::new(Shared {
            judge: Box::new(move |received| {
                let has_test_records = !attribute(&received.request, "event.name").is_empty()
                    || received.request.signal() != Signal::Logs;
                if has_test_records {
                    judge(received)
                } else {
                    None
                }
            }),
            received: Vec::new(),
        }));
        let app = Router::new()
            .fallback(receive)
            .with_state(Arc::clone(&shared))
            .layer(axum::extract::DefaultBodyLimit::disable());
        let server = tokio::spawn(async move {
            axum::serve(listener, app)
                .await
                .expect("the upstream serves");
        });
        Upstream {
            endpoint: format!("{base}/v1/logs"),
            shared,
            server,
        }
    }

    /// Every request so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared
            .lock()
            .expect("no handler panics")
            .received
            .clone()
    }

    /// The attribute `key` of every log record in accepted requests, in order of arrival, without
    /// those of heartbeats.
    pub(crate) fn accepted(&self, key: &str) -> Vec<String> {
        let received = self.received();
        let accepted = received.iter().filter(|received| received.accepted);
        accepted
            .flat_map(|received| attribute(&received.request, key))
            .collect()
    }
}

/// Keeps answers back until it is opened: their heads come, and their bodies do not.
#[derive(Clone)]
pub(crate) struct Gate(watch::Sender<bool>);

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate(watch::channel(false).0)
    }

    /// Lets everything through, now and later.
    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    /// A 200 that is not over before the gate is open.
    pub(crate) fn answer(&self) -> Response {
        let mut opened = self.0.subscribe();
        let wait = Box::pin(async move {
            let opened = opened.wait_for(|is_open| *is_open).await;
            opened.map(drop).map_err(|_| "the gate is gone")
        });
        Body::new(Rest(Some(wait))).into_response()
    }
}

/// A 200 whose body never comes.
pub(crate) fn hanging() -> Response {
    Body::new(Rest(Some(Box::pin(std::future::pending())))).into_response()
}

/// A 200 that breaks off in the middle of its body.
pub(crate) fn broken_off() -> Response {
    let body = Body::new(Rest(Some(Box::pin(async { Err("broken off") }))));
    ([("content-length", "100")], body).into_response()
}

/// The empty rest of a body, which ends well or badly.
struct Rest(Option<End>);

type End = Pin<Box<dyn Future<Output = Result<(), &'static str>> + Send>>;

impl hyper::body::Body for Rest {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let Some(rest) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let ended = std::task::ready!(rest.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(ended.err().map(Err))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The attribute `key` of a request's log records, without heartbeats.
pub(crate) fn attribute(request: &Request, key: &str) -> Vec<String> {
    let Request::Logs(logs) = request else {
        return Vec::new();
    };
    logs.resource_logs
        .iter()
        .flat_map(|resource| &resource.scope_logs)
        .flat_map(|scope| &scope.log_records)
        .map(|record| Attributes::new(&record.attributes, &[]))
        .filter(|attributes| {
            attributes.text("event.name").as_deref() != Some(fieldpost::event::HEARTBEAT)
        })
        .filter_map(|attributes| attributes.text(key))
        .collect()
}

async fn receive(
    State(shared): State<Arc<Mutex<Shared>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let encoding = text("content-encoding");
    let coding = Coding::of_header(encoding.as_deref()).expect("a known encoding");
    let message = coding
        .inflate(&body, 256 << 20)
        .expect("a body that inflates");
    let signal = Signal::ALL
        .into_iter()
        .find(|signal| uri.path().ends_with(signal.word()))
        .unwrap_or(Signal::Logs);
    let mut received = Received {
        path: uri.path().to_owned(),
        authorization: text("authorization"),
        encoding,
        request: Request::decode_protobuf(signal, &message).expect("OTLP protobuf"),
        accepted: false,
    };
    let mut shared = shared.lock().expect("no handler panics");
    let answer = (shared.judge)(&received).unwrap_or_else(|| StatusCode::OK.into_response());
    received.accepted = answer.status().is_success();
    shared.received.push(received);
    answer
}
