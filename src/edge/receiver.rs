//! The localhost OTLP endpoint.
//!
//! Every path that ends in a signal's suffix, and `/`, takes records by POST. A record is durable
//! before its request is answered with 200.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::http::discard_body;
use crate::http::otlp::{Exchange, Refusal};
use crate::otlp::route::Target;
use crate::otlp::{self, reply::PartialSuccess};

use super::config::Listen;
use super::pipeline::Pipeline;
use super::queue::{AppendError, Queue};

struct Receiver {
    hosts: Vec<String>,
    max_body: usize,
    pipeline: Arc<Pipeline>,
    queue: Queue,
}

/// The routes of the localhost endpoint.
pub(super) fn router(config: &Listen, pipeline: Arc<Pipeline>, queue: Queue) -> Router {
    let receiver = Receiver {
        hosts: config.hosts.clone(),
        max_body: config.max_body,
        pipeline,
        queue,
    };
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .fallback(receive)
        .with_state(Arc::new(receiver))
}

async fn receive(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match receiver.admit(&head) {
        Ok(exchange) => receiver.take(exchange, body).await,
        Err(refusal) => {
            discard_body(body).await;
            refusal.into_response()
        }
    }
}

impl Receiver {
    fn admit(&self, head: &Parts) -> Result<Exchange, Refusal> {
        self.guard(&head.headers)?;
        let target = Target::of_path(head.uri.path(), None).ok_or_else(|| {
            Refusal::new(
                StatusCode::NOT_FOUND,
                "OTLP is taken at /v1/logs, /v1/metrics and /v1/traces",
            )
        })?;
        Exchange::open(target, head)
    }

    /// Answers once the records are durable.
    async fn take(&self, exchange: Exchange, body: Body) -> Response {
        let decoded = match exchange.read(body, self.max_body).await {
            Ok(decoded) => decoded,
            Err(refusal) => return refusal.into_response(),
        };
        let signal = decoded.request.signal();
        if decoded.request.record_count() > 0
            && let Err(refusal) = self.append(decoded.request).await
        {
            return exchange.refuse(refusal);
        }
        exchange.accept(signal, &PartialSuccess::unreadable(decoded.rejected))
    }

    /// Browsers can reach a localhost port, also under names that an attacker's DNS gives it: a
    /// request must be addressed to loopback, and must not come from a web page.
    fn guard(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if headers.contains_key(header::ORIGIN) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "requests from web pages are refused",
            ));
        }
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        // HTTP/1.0 clients send no Host; browsers always do.
        match host {
            Some(host) if !self.is_own_host(host) => Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "the Host header names another machine; if it is this one's, add it to listen.hosts",
            )),
            _ => Ok(()),
        }
    }

    fn is_own_host(&self, host: &str) -> bool {
        if let Ok(address) = host.parse::<SocketAddr>() {
            return address.ip().is_loopback();
        }
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || bare
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    async fn append(&self, request: otlp::Request) -> Result<(), Refusal> {
        let pipeline = Arc::clone(&self.pipeline);
        let processing = tokio::task::spawn_blocking(move || pipeline.process(request));
        // Whatever goes wrong while redacting, nothing unredacted goes on from here.
        let redacted = processing.await.map_err(|error| {
            tracing::error!(%error, "a request was refused: its records could not be processed");
            Refusal::unavailable("the records could not be processed")
        })?;
        let appended = self.queue.append(redacted).await;
        appended.map(drop).map_err(|error| match error {
            AppendError::Full => {
                tracing::warn!("a request was refused: the queue is full");
                Refusal::unavailable("the queue is full until the upstream takes records")
            }
            error => {
                tracing::error!(%error, "a request was refused: it could not be written to the queue");
                Refusal::unavailable("the queue cannot take records right now")
            }
        })
    }
}
