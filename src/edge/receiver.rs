//! The localhost OTLP endpoint.
//!
//! Every path that ends in a signal's suffix, and `/`, takes records by POST. A record is durable
//! before its request is answered with 200.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;

use crate::http::otlp::{Exchange, Refusal};
use crate::http::{BodyLimits, Limits, discard_body};
use crate::otlp::decode::Decoded;
use crate::otlp::route::Target;
use crate::otlp::{self, Signal, reply::PartialSuccess};
use crate::reload::Swap;

use super::config::{Config, Listen};
use super::guard::Guard;
use super::owner::{Connection, Owner};
use super::pipeline::Pipeline;
use super::queue::{AppendError, Queue};
use super::redact::Redacted;

/// What is let in.
pub(super) struct Door {
    guard: Guard,
    body: BodyLimits,
    signals: Vec<Signal>,
}

impl Door {
    /// Reads the local token, if one is configured.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn new(config: &Config) -> anyhow::Result<Door> {
        Ok(Door {
            guard: Guard::new(&config.listen)?,
            body: BodyLimits {
                bytes: config.listen.max_body,
                time: config.listen.body_timeout,
                inflate_ratio: config.listen.max_inflate_ratio,
            },
            signals: config.upstream.signals.clone(),
        })
    }

    fn admit(&self, head: &Parts) -> Result<Exchange, Refusal> {
        self.guard.admit(&head.headers)?;
        let target = Target::of_path(head.uri.path(), None).ok_or_else(|| {
            Refusal::new(
                StatusCode::NOT_FOUND,
                "OTLP is taken at /v1/logs, /v1/metrics and /v1/traces",
            )
        })?;
        Exchange::open(target, head)
    }
}

/// What a connection may hold open.
pub(super) fn limits(config: &Listen) -> Limits {
    Limits {
        connections: config.max_connections,
        header_bytes: config.max_header,
        header_read: config.header_timeout,
        ..Limits::default()
    }
}

struct Receiver {
    door: Arc<Swap<Door>>,
    /// Records of signals that are switched off.
    discarded: AtomicU64,
    pipeline: Arc<Pipeline>,
    queue: Queue,
    /// One for each core. More requests at a time would be ready no sooner, and take memory meanwhile.
    workers: Arc<Semaphore>,
}

/// What is left of a request once it is decoded and redacted.
struct Processed {
    signal: Signal,
    rejected: usize,
    /// `None` when there is nothing to keep.
    records: Option<Redacted>,
}

/// The routes of the localhost endpoint.
pub(super) fn router(door: Arc<Swap<Door>>, pipeline: Arc<Pipeline>, queue: Queue) -> Router {
    let receiver = Receiver {
        door,
        discarded: AtomicU64::new(0),
        pipeline,
        queue,
        workers: Arc::new(Semaphore::new(
            std::thread::available_parallelism().map_or(1, NonZero::get),
        )),
    };
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .fallback(receive)
        .with_state(Arc::new(receiver))
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    Extension(connection): Extension<Arc<Connection>>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    // The same for all of a request, whatever is reloaded meanwhile.
    let door = receiver.door.load();
    match door.admit(&head) {
        Ok(exchange) => receiver.take(exchange, door, &connection, body).await,
        Err(refusal) => {
            discard_body(body).await;
            refusal.into_response()
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let records = self.discarded.load(Ordering::Relaxed);
        if records > 0 {
            tracing::info!(records, "were discarded, as upstream.signals says");
        }
    }
}

impl Receiver {
    /// Answers once the records are durable.
    async fn take(
        self: Arc<Self>,
        exchange: Exchange,
        door: Arc<Door>,
        connection: &Connection,
        body: Body,
    ) -> Response {
        let body = match exchange.receive(body, door.body).await {
            Ok(body) => body,
            Err(refusal) => return refusal.into_response(),
        };
        let owner = connection.owner().await.cloned();
        let permit = Arc::clone(&self.workers).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let receiver = Arc::clone(&self);
        let processing = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            receiver.process(exchange, &door, &body, owner.as_ref())
        });
        // Whatever goes wrong while redacting, nothing unredacted goes on from here.
        let processed = processing.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request was refused: its records could not be processed");
            let refusal = Refusal::unavailable("the records could not be processed");
            Err(refusal)
        });
        let Processed {
            signal,
            rejected,
            records,
        } = match processed {
            Ok(processed) => processed,
            Err(refusal) => return exchange.refuse(refusal),
        };
        if let Some(records) = records
            && let Err(refusal) = self.append(records).await
        {
            return exchange.refuse(refusal);
        }
        exchange.accept(signal, &PartialSuccess::unreadable(rejected))
    }

    fn process(
        &self,
        exchange: Exchange,
        door: &Door,
        body: &[u8],
        owner: Option<&Owner>,
    ) -> Result<Processed, Refusal> {
        let Decoded { request, rejected } = exchange.decode(body, door.body)?;
        let signal = request.signal();
        let records = if !door.signals.contains(&signal) {
            self.discard(&request);
            None
        } else {
            (request.record_count() > 0).then(|| self.pipeline.process_from(request, owner))
        };
        Ok(Processed {
            signal,
            rejected,
            records,
        })
    }

    /// A client whose signal nobody wants is told that all is well: it would only send it again.
    fn discard(&self, request: &otlp::Request) {
        let records = request.record_count() as u64;
        let before = self.discarded.fetch_add(records, Ordering::Relaxed);
        if before == 0 {
            tracing::info!(
                signal = %request.signal(),
                records,
                "a client sends what upstream.signals leaves out; it is discarded, from now on silently"
            );
        }
    }

    async fn append(&self, records: Redacted) -> Result<(), Refusal> {
        let appended = self.queue.append(records).await;
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
