//! The localhost OTLP endpoint.
//!
//! Every path that ends in a signal's suffix, and `/`, takes records by POST. A record is durable
//! before its request is answered with 200. `/healthz`, `/readyz` and `/metrics` say how the edge is.

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;

use crate::event::Timestamp;
use crate::http::otlp::{Exchange, Refusal};
use crate::http::{BodyLimits, Limits, discard_body};
use crate::metrics::CONTENT_TYPE;
use crate::otlp::decode::Decoded;
use crate::otlp::route::Target;
use crate::otlp::{self, Signal, reply::PartialSuccess};
use crate::reload::Swap;

use super::config::{Config, Listen};
use super::foreign;
use super::guard::Guard;
use super::inside::Inside;
use super::memory::Memory;
use super::metrics;
use super::origins::{self, Origin};
use super::owner::{Connection, Owner};
use super::pipeline::Pipeline;
use super::queue::AppendError;
use super::quota::Quota;
use super::redact::Redacted;
use super::tail::Line;

/// Longer requests are processed away from the runtime's threads. A shorter one takes a millisecond or two;
/// to wake another thread for it, whose memory is cold, adds a good part of that.
const INLINE_MAX_BYTES: usize = 128 << 10;

/// What is let in.
pub(super) struct Door {
    guard: Guard,
    quota: Quota,
    body: BodyLimits,
    signals: Vec<Signal>,
    keeps_foreign: bool,
}

impl Door {
    /// Reads the local token, if one is configured.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn new(config: &Config) -> anyhow::Result<Door> {
        Ok(Door {
            guard: Guard::new(&config.listen)?,
            quota: Quota::new(&config.listen),
            body: BodyLimits {
                bytes: config.listen.max_body,
                time: config.listen.body_timeout,
                inflate_ratio: config.listen.max_inflate_ratio,
                takes_room_ahead: false,
            },
            signals: config.upstream.signals.clone(),
            keeps_foreign: config.listen.keeps_foreign,
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
    pipeline: Arc<Pipeline>,
    inside: Arc<Inside>,
    /// One for each core, for long requests. More requests at a time would be ready no sooner, and take memory meanwhile.
    workers: Arc<Semaphore>,
    memory: Memory,
}

/// What is left of a request once it is decoded and redacted.
struct Processed {
    signal: Signal,
    rejected: usize,
    /// `None` when there is nothing to keep.
    records: Option<Redacted>,
    shown: Shown,
}

/// What is told of records once they are on disk.
#[derive(Default)]
struct Shown {
    /// To those who watch.
    lines: Vec<Line>,
    /// To those who ask who sends anything.
    origins: Vec<Origin>,
}

/// The routes of the localhost endpoint.
pub(super) fn router(
    door: Arc<Swap<Door>>,
    pipeline: Arc<Pipeline>,
    inside: Arc<Inside>,
) -> Router {
    let receiver = Receiver {
        door,
        pipeline,
        inside,
        workers: Arc::new(Semaphore::new(
            std::thread::available_parallelism().map_or(1, NonZero::get),
        )),
        memory: Memory::new(),
    };
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(receive)
        .with_state(Arc::new(receiver))
}

/// Whether records are taken.
async fn readyz(State(receiver): State<Arc<Receiver>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = receiver.door.load().guard.admit(&headers) {
        return refusal.into_response();
    }
    match receiver.inside.not_ready() {
        None => {
            let found = receiver.inside.findings.list().into_iter();
            let found: String = found.map(|check| format!("{check}\n")).collect();
            format!("ready\n{found}").into_response()
        }
        Some((reason, _)) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
        }
    }
}

/// Numbers, for whoever may post.
async fn metrics(State(receiver): State<Arc<Receiver>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = receiver.door.load().guard.admit(&headers) {
        return refusal.into_response();
    }
    let page = metrics::text(&receiver.inside.status().await);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response()
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    Extension(connection): Extension<Arc<Connection>>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    // The same for all of a request, whatever is reloaded meanwhile.
    let door = receiver.door.load();
    let (signal, response) = match door.admit(&head) {
        Ok(exchange) => {
            Arc::clone(&receiver)
                .take(exchange, door, &connection, body)
                .await
        }
        Err(refusal) => {
            discard_body(body).await;
            (None, refusal.into_response())
        }
    };
    let intake = &receiver.inside.intake;
    intake.answered(signal, response.status().as_u16());
    response
}

impl Drop for Receiver {
    fn drop(&mut self) {
        for (signal, records) in self.inside.intake.untaken().discarded {
            tracing::info!(%signal, records, "were discarded, as upstream.signals says");
        }
    }
}

impl Receiver {
    /// Answers once the records are durable. Says which signal they are of, where that became known.
    async fn take(
        self: Arc<Self>,
        exchange: Exchange,
        door: Arc<Door>,
        connection: &Connection,
        mut body: Body,
    ) -> (Option<Signal>, Response) {
        let owner = connection.owner().await;
        let uid = owner.map(|owner| owner.uid);
        if let Err(wait) = door.quota.admit(uid, Instant::now()) {
            discard_body(body).await;
            return (None, exchange.refuse(self.refuse_account(uid, wait)));
        }
        let mut room = self.memory.enter();
        let received = exchange.receive(&mut body, door.body, &mut room).await;
        let body = match received {
            Ok(received) => received,
            Err(refusal) => {
                // Whoever is to come again has to hear it.
                if refusal.retry_after().is_some() {
                    discard_body(body).await;
                }
                return (None, refusal.into_response());
            }
        };
        let bytes = exchange.inflated_at_most(&body, door.body);
        let _in_flight = self.memory.in_flight(bytes).await;
        let processed = if bytes <= INLINE_MAX_BYTES {
            let process = || {
                let body = exchange.inflate(&body, door.body)?;
                self.process(exchange, &door, &body, owner)
            };
            let processed = catch_unwind(AssertUnwindSafe(process)).ok();
            drop((body, room));
            processed
        } else {
            let owner = owner.cloned();
            let permit = Arc::clone(&self.workers).acquire_owned().await;
            let permit = permit.expect("the semaphore is never closed");
            let receiver = Arc::clone(&self);
            let processing = tokio::task::spawn_blocking(move || {
                let _held = (permit, room);
                let body = exchange.inflate(&body, door.body)?;
                let _decoded = receiver.memory.decoded(exchange, &body)?;
                receiver.process(exchange, &door, &body, owner.as_ref())
            });
            processing.await.ok()
        };
        // Whatever goes wrong while redacting, nothing unredacted goes on from here.
        let processed = processed.unwrap_or_else(|| {
            tracing::error!(
                "a request was refused: an internal error while processing its records"
            );
            let refusal = Refusal::unavailable("the records could not be processed");
            Err(refusal)
        });
        let Processed {
            signal,
            rejected,
            records,
            shown,
        } = match processed {
            Ok(processed) => processed,
            Err(refusal) => return (None, exchange.refuse(refusal)),
        };
        if let Some(records) = records
            && let Err(refusal) = self.append(uid, records, shown).await
        {
            return (Some(signal), exchange.refuse(refusal));
        }
        let partial = PartialSuccess::unreadable(rejected);
        (Some(signal), exchange.accept(signal, &partial))
    }

    /// Decodes and redacts what a body holds that is inflated.
    fn process(
        &self,
        exchange: Exchange,
        door: &Door,
        body: &[u8],
        owner: Option<&Owner>,
    ) -> Result<Processed, Refusal> {
        let Decoded {
            mut request,
            rejected,
            bytes,
        } = exchange.decode_inflated(body)?;
        let uid = owner.map(|owner| owner.uid);
        let count = request.record_count();
        door.quota
            .charge(uid, count + rejected, bytes, Instant::now());
        let signal = request.signal();
        if !door.keeps_foreign {
            self.drop_foreign(&mut request);
        }
        let mut processed = Processed {
            signal,
            rejected,
            records: None,
            shown: Shown::default(),
        };
        if !door.signals.contains(&signal) {
            self.discard(&request);
        } else if request.record_count() > 0 {
            let records = self.pipeline.process_from(request, owner);
            processed.shown = Shown {
                lines: self.inside.tail.lines(records.request()),
                origins: origins::seen(records.request(), owner, Timestamp::now()),
            };
            processed.records = Some(records);
        }
        Ok(processed)
    }

    /// A client whose signal nobody wants is told that all is well: it would only send it again.
    fn discard(&self, request: &otlp::Request) {
        let (signal, records) = (request.signal(), request.record_count() as u64);
        if self.inside.intake.discarded(signal, records) {
            tracing::info!(
                %signal,
                records,
                "a client sends what upstream.signals leaves out; it is discarded and counted"
            );
        }
    }

    /// Other programs are told that all is well, too.
    fn drop_foreign(&self, request: &mut otlp::Request) {
        let records = foreign::take_out(request);
        if records > 0 && self.inside.intake.foreign(request.signal(), records) {
            tracing::info!(
                records,
                "a program that is not Claude sends telemetry; as listen.foreign says, it is dropped and counted"
            );
        }
    }

    fn refuse_account(&self, uid: Option<u32>, wait: Duration) -> Refusal {
        if self.inside.intake.over_quota(uid) {
            tracing::warn!(
                uid,
                "an account sends more than listen.records_per_second or listen.bytes_per_second; \
                 it is told to wait, from now on silently"
            );
        }
        let message = "this account sends more than listen.records_per_second and \
                       listen.bytes_per_second let it";
        Refusal::too_many(wait, message)
    }

    async fn append(
        &self,
        uid: Option<u32>,
        records: Redacted,
        shown: Shown,
    ) -> Result<(), Refusal> {
        let (signal, count) = (records.signal(), records.record_count() as u64);
        let appended = self.inside.queue.append_of(uid, records).await;
        let intake = &self.inside.intake;
        intake.appended(signal, count, appended.as_ref().err());
        if appended.is_ok() {
            self.inside.tail.show(shown.lines);
            self.inside.origins.add(shown.origins);
        }
        appended.map(drop).map_err(|error| match error {
            AppendError::Full => {
                tracing::warn!("a request was refused: the queue is full");
                Refusal::unavailable("the queue is full until the upstream takes records")
            }
            // It can never fit: a client that is told so does not send it again and again.
            AppendError::TooLarge(_) => {
                tracing::warn!(%error, "a request was refused");
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
            }
            error => {
                tracing::error!(%error, "a request was refused: it could not be written to the queue");
                Refusal::unavailable("the queue cannot take records right now")
            }
        })
    }
}
