//! The OTLP endpoint: from a request to rows on disk.
//!
//! One path for OTLP/HTTP and OTLP/gRPC: who asks, is there room, what does it say, store it, answer.
//! What a request holds in memory is held until its records are stored; when too much is held, further
//! requests are told to come back.

mod prepare;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::{Semaphore, SemaphorePermit};
use tower_http::catch_panic::CatchPanicLayer;

use crate::event::Timestamp;
use crate::http::grpc::{self, Call};
use crate::http::otlp::{Exchange, Refusal};
use crate::http::{BodyLimits, Reservation, discard_body};
use crate::otlp::Signal;
use crate::otlp::reply::PartialSuccess;
use crate::otlp::route::Target;

use super::auth::Writer;
use super::counters::Protocol;
use super::people::origin;
use super::rejection::{Rejected, Rejection};
use super::store::{Ingest, oldest_kept};
use super::usage::Brought;
use super::{Central, OTLP_PREFIX};

use prepare::{Prepared, Preparing};

/// Bytes that a decoded request and what is made of it take in memory, for each byte of the inflated body: of
/// usual records. What a request of many small ones takes is counted.
const MEMORY_PER_BYTE: usize = 4;

/// Requests that are read and stored at once. Further ones wait for their turn as they came, which takes
/// less memory: a fleet comes back with a request on every connection.
pub(super) const MAX_TAKING: usize = 256;

/// How long a request waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(20);

/// A request as its protocol has it.
#[derive(Clone, Copy)]
enum Dialect {
    Http(Exchange),
    Grpc(Call),
}

/// Takes telemetry on every path that ends in a signal's suffix, on the bare prefix and on `/`, and as
/// calls of gRPC.
pub(super) async fn receive(
    State(central): State<Arc<Central>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let protocol = match grpc::is_call(&head) {
        true => Protocol::Grpc,
        false => Protocol::Http,
    };
    let outcome = match central.admit(&head, protocol).await {
        Ok((dialect, writer)) => {
            let address = origin(peer, &head.headers).address;
            let taken = central.take(dialect, writer, address, body).await;
            taken.map_err(|refusal| dialect.name(refusal))
        }
        Err(refusal) => {
            discard_body(body).await;
            Err(refusal)
        }
    };
    let status = outcome
        .as_ref()
        .map_or_else(Refusal::status, |_| StatusCode::OK);
    central.counters.answered(protocol, status.as_u16());
    outcome.unwrap_or_else(|refusal| match protocol {
        Protocol::Http => refusal.into_response(),
        Protocol::Grpc => grpc::refuse(&refusal),
    })
}

/// Answers a request in whose handling the service itself failed: with 503, since a client loses its
/// batch on 500. The panic is in the log.
pub(super) fn catch_panics() -> CatchPanicLayer<fn(Box<dyn std::any::Any + Send>) -> Response> {
    CatchPanicLayer::custom(|_| {
        Refusal::unavailable("the service failed on this request; its log says more")
            .into_response()
    })
}

impl Dialect {
    fn open(head: &Parts, protocol: Protocol) -> Result<Dialect, Refusal> {
        match protocol {
            Protocol::Grpc => Call::open(head).map(Dialect::Grpc),
            Protocol::Http => {
                let target = target(head)?;
                Exchange::open(target, head).map(Dialect::Http)
            }
        }
    }

    async fn receive(
        self,
        body: &mut Body,
        limits: BodyLimits,
        room: &mut Reservation,
    ) -> Result<Bytes, Refusal> {
        match self {
            Dialect::Http(exchange) => exchange.receive(body, limits, room).await,
            Dialect::Grpc(call) => call.receive(body, limits, room).await,
        }
    }

    fn accept(self, signal: Signal, partial: &PartialSuccess) -> Response {
        match self {
            Dialect::Http(exchange) => exchange.accept(signal, partial),
            Dialect::Grpc(call) => call.accept(partial),
        }
    }

    /// `refusal` in the request's own encoding.
    fn name(self, refusal: Refusal) -> Refusal {
        match self {
            Dialect::Http(exchange) => exchange.name(refusal),
            Dialect::Grpc(_) => refusal,
        }
    }
}

/// A turn, for a while at most: whoever waited longer would not hear the answer any more.
async fn turn(turns: &Semaphore) -> Result<SemaphorePermit<'_>, Refusal> {
    let turn = tokio::time::timeout(TURN_TIMEOUT, turns.acquire()).await;
    let turn = turn.map_err(|_| Refusal::unavailable("the store is behind; come back later"))?;
    Ok(turn.expect("the semaphore is never closed"))
}

/// Holds what a request will take: as usual for its length, as it came and inflated, or as counted, where that is
/// more. One that is counted to take more than all the room there is, and more than the longest body does, is
/// refused for good: it would be no smaller the next time.
fn hold(
    room: &mut Reservation,
    (body, inflated): (usize, usize),
    counted: usize,
    longest: usize,
) -> Result<(), Refusal> {
    let usual = |bytes: usize| bytes.saturating_mul(MEMORY_PER_BYTE);
    if counted > usual(longest).max(room.limit()) {
        let message = "the request holds more records, or parts of records, than there is memory for; \
                       send fewer at once";
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    match room.hold(body.saturating_add(usual(inflated).max(counted))) {
        true => Ok(()),
        false => Err(Refusal::unavailable("too much is being received at once")),
    }
}

fn target(head: &Parts) -> Result<Target, Refusal> {
    Target::of_path(head.uri.path(), Some(OTLP_PREFIX))
        .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this address"))
}

impl Central {
    async fn admit(&self, head: &Parts, protocol: Protocol) -> Result<(Dialect, Writer), Refusal> {
        if protocol == Protocol::Http {
            target(head)?;
        }
        // The method before the token: whoever opens the endpoint in a browser should learn that it
        // is POST. The token before the body: strangers cost nothing.
        if head.method != Method::POST {
            return Err(Refusal::method_not_allowed());
        }
        let writer = self.authenticate(&head.headers).await?;
        let now = Instant::now();
        let token = || writer.token_id.clone();
        self.requests
            .admit(token(), now)
            .and_then(|()| self.bytes.check(token(), now))
            .map_err(|wait| {
                self.counters.refused("rate");
                self.usage
                    .refused(writer.scope, &writer.token_id, "rate", Timestamp::now());
                let message = "this token sends more than ingest.requests_per_second and \
                               ingest.bytes_per_second let it; larger batches need fewer requests";
                Refusal::too_many(wait, message)
            })?;
        Ok((Dialect::open(head, protocol)?, writer))
    }

    /// Answers once the records are committed.
    async fn take(
        &self,
        dialect: Dialect,
        writer: Writer,
        address: String,
        mut body: Body,
    ) -> Result<Response, Refusal> {
        let limits = BodyLimits {
            time: self.body_timeout,
            ..BodyLimits::of_bytes(self.max_body)
        };
        let mut room = self.admission.enter();
        let body = dialect.receive(&mut body, limits, &mut room).await?;
        self.counters.received(body.len());
        let _turn = turn(&self.taking).await?;
        let received = Timestamp::now();
        let preparing = Preparing {
            dialect,
            limits,
            // Keyed per tenant: one tenant's records tell nothing about another's.
            identifier: self
                .identifier
                .derive(&format!("tenant {}", writer.scope.tenant)),
            environment: writer.scope.environment,
            received,
            oldest: writer
                .keep_seconds
                .map(|seconds| oldest_kept(received, seconds)),
            max_record: self.ingest.max_record,
            dictionary: self.store.dictionary(),
        };
        let (prepared, _room) = self.prepare(preparing, body, room).await?;
        self.bytes
            .charge(writer.token_id.clone(), prepared.bytes, Instant::now());
        self.store(writer, address, prepared)
            .await
            .map(|(signal, partial)| dialect.accept(signal, &partial))
    }

    /// Reads every record, off the threads that serve connections: one request for each core, since
    /// more at once would be ready no sooner and take memory meanwhile.
    async fn prepare(
        &self,
        preparing: Preparing,
        body: Bytes,
        mut room: Reservation,
    ) -> Result<(Prepared, Reservation), Refusal> {
        let permit = Arc::clone(&self.workers).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let working = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let inflated = preparing.inflate(&body)?;
            let lengths = (body.len(), inflated.len());
            let most = preparing.limits.bytes;
            hold(&mut room, lengths, preparing.weigh(&inflated), most)?;
            let decoded = preparing.decode(&inflated)?;
            let events = prepare::weight_of_events(&decoded.request);
            hold(&mut room, lengths, events, most)?;
            Ok((preparing.read(decoded), room))
        });
        working.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the records of a request could not be read");
            Err(Refusal::unavailable("the records could not be read"))
        })
    }

    async fn store(
        &self,
        writer: Writer,
        address: String,
        prepared: Prepared,
    ) -> Result<(Signal, PartialSuccess), Refusal> {
        let Prepared {
            signal,
            received,
            events,
            blocks,
            signals,
            rejected,
            ..
        } = prepared;
        let Writer {
            scope, token_id, ..
        } = writer;
        let mut brought = Brought::of(&events, &address, received, rejected);
        let ingest = Ingest {
            scope,
            token_id: token_id.clone(),
            address: address.clone(),
            received,
            events,
            blocks,
            signals,
        };
        let stored = self.store.ingest(ingest).await.map_err(|error| {
            tracing::error!(%error, "a request was not stored");
            Refusal::unavailable("the store cannot take records right now")
        })?;
        if signal == Signal::Logs {
            brought.events = stored.new;
        }
        self.usage.used(scope, &token_id, brought);
        tracing::debug!(%signal, new = stored.new, known = stored.known, "stored");
        self.counters.stored(signal, stored);
        self.count_rejected(rejected);
        Ok((signal, rejected.tell(self.ingest.max_record)))
    }

    fn count_rejected(&self, rejected: Rejected) {
        for reason in Rejection::ALL {
            if rejected.of(reason) > 0 {
                self.counters.rejected(reason.word(), rejected.of(reason));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::post;
    use tokio::time::{Instant, sleep};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_503_and_never_500() {
        async fn fail() {
            panic!("as if the service had a mistake");
        }
        let router: Router = Router::new()
            .route("/v1/logs", post(fail))
            .layer(catch_panics());
        let request = Request::post("/v1/logs").body(Body::empty());
        let request = request.expect("a request");
        let answer = router.oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "1");
    }
    #[tokio::test(start_paused = true)]
    async fn a_request_that_waits_too_long_for_its_turn_is_told_to_come_back() {
        let turns = Semaphore::new(2);
        let first = turn(&turns).await.expect("a turn");
        let _second = turn(&turns).await.expect("a turn");
        let begun = Instant::now();
        let refused = turn(&turns).await.expect_err("nobody gives a turn back");
        assert_eq!(begun.elapsed(), TURN_TIMEOUT);
        let answer = refused.into_response();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));

        let (taken, ()) = tokio::join!(turn(&turns), async {
            sleep(TURN_TIMEOUT - Duration::from_millis(1)).await;
            drop(first);
        });
        assert!(taken.is_ok(), "just in time");
    }
}
