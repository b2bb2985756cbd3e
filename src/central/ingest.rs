//! The OTLP endpoint: from a request to rows on disk.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;

use crate::event::{AgentIdentity, Facts, Identifier, Timestamp};
use crate::http::otlp::{Exchange, Refusal};
use crate::http::{BodyLimits, discard_body};
use crate::otlp::reply::PartialSuccess;
use crate::otlp::route::Target;
use crate::otlp::{self, Signal};

use super::auth::Writer;
use super::materialize::NewEvent;
use super::store::{Compressor, Dictionary, EventEncoder, Ingest, NewSignal, Stored};
use super::{Central, OTLP_PREFIX};

/// Takes telemetry on every path that ends in a signal's suffix, on the bare prefix and on `/`.
pub(super) async fn receive(
    State(central): State<Arc<Central>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    match central.admit(&head).await {
        Ok((exchange, writer)) => central.take(exchange, writer, peer, body).await,
        Err(refusal) => {
            discard_body(body).await;
            refusal.into_response()
        }
    }
}

impl Central {
    async fn admit(&self, head: &Parts) -> Result<(Exchange, Writer), Refusal> {
        let target = Target::of_path(head.uri.path(), Some(OTLP_PREFIX)).ok_or_else(|| {
            Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this address")
        })?;
        // The method before the token: whoever opens the endpoint in a browser should learn that it
        // is POST. The token before the body: strangers cost nothing.
        if head.method != Method::POST {
            return Err(Refusal::method_not_allowed());
        }
        let writer = self.authenticate(&head.headers).await?;
        self.rates
            .admit(writer.token_id.clone(), Instant::now())
            .map_err(|wait| {
                let message =
                    "this token sends more requests than it may; larger batches need fewer";
                Refusal::too_many(wait, message)
            })?;
        Ok((Exchange::open(target, head)?, writer))
    }

    /// Answers once the records are committed.
    async fn take(
        &self,
        exchange: Exchange,
        writer: Writer,
        peer: SocketAddr,
        body: Body,
    ) -> Response {
        let decoded = match exchange
            .read(body, BodyLimits::of_bytes(self.max_body))
            .await
        {
            Ok(decoded) => decoded,
            Err(refusal) => return refusal.into_response(),
        };
        let signal = decoded.request.signal();
        match self.store(writer, peer, decoded.request).await {
            Ok(stored) => {
                tracing::debug!(%signal, new = stored.new, known = stored.known, "stored");
                exchange.accept(signal, &PartialSuccess::unreadable(decoded.rejected))
            }
            Err(refusal) => exchange.refuse(refusal),
        }
    }

    /// Reads every record, off the threads that serve connections, and stores them.
    async fn store(
        &self,
        writer: Writer,
        peer: SocketAddr,
        request: otlp::Request,
    ) -> Result<Stored, Refusal> {
        let received = Timestamp::now();
        // Keyed per tenant: one tenant's records tell nothing about another's.
        let identifier = self
            .identifier
            .derive(&format!("tenant {}", writer.scope.tenant));
        let environment = writer.scope.environment;
        let dictionary = self.store.dictionary();
        let preparing = tokio::task::spawn_blocking(move || {
            prepare(&identifier, environment, received, request, &dictionary)
        });
        let (events, signals) = preparing.await.map_err(|error| {
            tracing::error!(%error, "the records of a request could not be read");
            Refusal::unavailable("the records could not be read")
        })?;
        let ingest = Ingest {
            scope: writer.scope,
            token_id: writer.token_id,
            address: peer.ip().to_string(),
            received,
            events,
            signals,
        };
        self.store.ingest(ingest).await.map_err(|error| {
            tracing::error!(%error, "a request was not stored");
            Refusal::unavailable("the store cannot take records right now")
        })
    }
}

fn prepare(
    identifier: &Identifier,
    environment: i64,
    received: Timestamp,
    request: otlp::Request,
    dictionary: &Dictionary,
) -> (Vec<NewEvent>, Vec<NewSignal>) {
    let compressor = &mut dictionary.compressor();
    match request {
        otlp::Request::Logs(logs) => (
            new_events(identifier, environment, received, logs, compressor),
            Vec::new(),
        ),
        otlp::Request::Metrics(metrics) => {
            let messages = &metrics.resource_metrics;
            (
                Vec::new(),
                new_signals(identifier, Signal::Metrics, messages, compressor),
            )
        }
        otlp::Request::Traces(traces) => {
            let messages = &traces.resource_spans;
            (
                Vec::new(),
                new_signals(identifier, Signal::Traces, messages, compressor),
            )
        }
    }
}

fn new_events(
    identifier: &Identifier,
    environment: i64,
    received: Timestamp,
    mut logs: ExportLogsServiceRequest,
    compressor: &mut Compressor<'_>,
) -> Vec<NewEvent> {
    identifier.identify(&mut logs);
    let mut events = Vec::new();
    for resource_logs in logs.resource_logs {
        let resource = resource_logs.resource.as_ref();
        let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
        for scope_logs in resource_logs.scope_logs {
            let scope = scope_logs.scope.as_ref();
            let mut encoder = EventEncoder::new(compressor, resource, scope);
            for record in scope_logs.log_records {
                let facts = Facts::read(&record, attributes, scope);
                let (record, content) = encoder.encode(record);
                events.push(NewEvent {
                    time: facts.time.unwrap_or(received),
                    agent: facts
                        .agent
                        .as_ref()
                        .map(|agent| agent_id(identifier, environment, agent)),
                    facts,
                    record,
                    content,
                });
            }
        }
    }
    events
}

fn new_signals<M: Message>(
    identifier: &Identifier,
    signal: Signal,
    messages: &[M],
    compressor: &mut Compressor<'_>,
) -> Vec<NewSignal> {
    identifier
        .identify_messages(messages)
        .into_iter()
        .zip(messages)
        .map(|(uid, message)| NewSignal::new(signal, uid, &message.encode_to_vec(), compressor))
        .collect()
}

/// An agent's id follows from its identity, so that it is the same after a rebuild; it is keyed, so
/// that it does not betray the e-mail.
fn agent_id(identifier: &Identifier, environment: i64, agent: &AgentIdentity) -> String {
    let (kind, value): (&[u8], &str) = match agent {
        AgentIdentity::Email(email) => (b"email", email),
        AgentIdentity::Id(id) => (b"id", id),
    };
    let mut id = identifier.id(&[b"agent", &environment.to_be_bytes(), kind, value.as_bytes()]);
    id.truncate(16);
    id
}
