//! A line to the real service that fails in every way a line can.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use fieldpost::otlp::compression::Coding;
use fieldpost::otlp::{Request, Signal};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::fieldpost::client;
use super::upstream::{attribute, broken_off};

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// It arrives, and so does its answer.
    Arrive,
    /// It arrives, and its answer comes only after this time.
    AnswerLate(Duration),
    /// It arrives, and its answer breaks off.
    AnswerCut,
    /// It does not arrive, and nothing is answered.
    Hang,
    /// It does not arrive, and is refused.
    Refuse(StatusCode),
}

/// The line; it ends when the value is dropped.
pub(crate) struct Relay {
    pub(crate) endpoint: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    client: reqwest::Client,
    target: String,
    decide: Mutex<Box<dyn FnMut() -> Fate + Send>>,
    /// How often each record, but for heartbeats, has arrived.
    arrived: Mutex<BTreeMap<String, usize>>,
}

impl Relay {
    /// Leads to the logs' endpoint `target`; `decide` is asked once for each request that holds more
    /// than heartbeats.
    pub(crate) async fn start(
        target: &str,
        decide: impl FnMut() -> Fate + Send + 'static,
    ) -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared {
            client: client(),
            target: target.to_owned(),
            decide: Mutex::new(Box::new(decide)),
            arrived: Mutex::default(),
        });
        let app = Router::new()
            .fallback(relay)
            .with_state(Arc::clone(&shared))
            .layer(axum::extract::DefaultBodyLimit::disable());
        let server = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("the line serves");
        });
        Relay {
            endpoint: format!("http://{address}/v1/logs"),
            shared,
            server,
        }
    }

    /// How often each record has arrived at the service.
    pub(crate) fn arrived(&self) -> BTreeMap<String, usize> {
        self.shared
            .arrived
            .lock()
            .expect("no handler panics")
            .clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn relay(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let message = Coding::Zstd.inflate(&body, 256 << 20).expect("zstd");
    let request = Request::decode_protobuf(Signal::Logs, &message).expect("OTLP");
    let uids = attribute(&request, "log.record.uid");
    let fate = match uids.is_empty() {
        true => Fate::Arrive,
        false => (shared.decide.lock().expect("no handler panics"))(),
    };
    match fate {
        Fate::Hang => std::future::pending().await,
        Fate::Refuse(status) => return status.into_response(),
        Fate::Arrive | Fate::AnswerLate(_) | Fate::AnswerCut => {}
    }
    let mut request = shared.client.post(&shared.target).body(body);
    for name in ["authorization", "content-type", "content-encoding"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    // Whether the sender waits for it or not, the request arrives.
    let sent = tokio::spawn(request.send()).await.expect("no panic");
    let Ok(answer) = sent else {
        // The service is down.
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let status = answer.status();
    let Ok(bytes) = answer.bytes().await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    if status.is_success() {
        let mut arrived = shared.arrived.lock().expect("no handler panics");
        for uid in uids {
            *arrived.entry(uid).or_default() += 1;
        }
    }
    match fate {
        Fate::AnswerCut => return broken_off(),
        Fate::AnswerLate(time) => tokio::time::sleep(time).await,
        _ => {}
    }
    (status, [("content-type", "application/x-protobuf")], bytes).into_response()
}
