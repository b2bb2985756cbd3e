//! Stores a batch: inserts what is new, and adds to the derived tables what was inserted, in one
//! transaction. Whatever was stored before, by whichever request, adds nothing.

use rusqlite::{Transaction, params};

use crate::central::materialize::{Deltas, NewEvent};
use crate::event::{Timestamp, ToolKind};
use crate::otlp::Signal;

use super::{EntityKind, Scope, Store, StoreError, derived};

/// One request's records, ready to be stored.
#[derive(Clone, Debug)]
pub struct Ingest {
    /// The environment that the request's token names.
    pub scope: Scope,
    /// The token, whose use is counted.
    pub token_id: String,
    /// Where the request came from.
    pub address: String,
    /// When it came.
    pub received: Timestamp,
    /// Log records.
    pub events: Vec<NewEvent>,
    /// Metrics or spans.
    pub signals: Vec<NewSignal>,
}

/// One `ResourceMetrics` or `ResourceSpans`, kept whole.
#[derive(Clone, Debug)]
pub struct NewSignal {
    /// Metrics or traces.
    pub signal: Signal,
    /// Its identity.
    pub uid: String,
    /// The message, not yet compressed.
    pub message: Vec<u8>,
}

/// What became of a request's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Newly stored.
    pub new: usize,
    /// Stored before.
    pub known: usize,
}

impl Store {
    /// Stores a request's records, each once. When this returns, they are on disk.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: none of them was stored.
    pub async fn ingest(&self, ingest: Ingest) -> Result<Stored, StoreError> {
        self.writer
            .write(move |transaction| store(transaction, &ingest))
            .await
    }
}

fn store(transaction: &Transaction<'_>, ingest: &Ingest) -> rusqlite::Result<Stored> {
    let mut stored = Stored::default();
    let mut deltas = Deltas::default();
    for event in &ingest.events {
        if insert_event(transaction, ingest, event)? {
            deltas.add(event);
            stored.new += 1;
        } else {
            stored.known += 1;
        }
    }
    for signal in &ingest.signals {
        match insert_signal(transaction, ingest, signal)? {
            true => stored.new += 1,
            false => stored.known += 1,
        }
    }
    derived::add(transaction, ingest.scope, &deltas)?;
    count_use(transaction, ingest)?;
    Ok(stored)
}

/// Inserts an event; false when it is there already.
fn insert_event(
    transaction: &Transaction<'_>,
    ingest: &Ingest,
    event: &NewEvent,
) -> rusqlite::Result<bool> {
    let facts = &event.facts;
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO events (tenant, environment, time, uid, has_own_time, received, name,
                 activity, agent, session, prompt, sequence, tool_kind, tool, tool_use_id, model,
                 decision, decision_source, success, duration_ms, cost_micros, input_tokens,
                 output_tokens, redactions, machine, machine_seq, record)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            ingest.scope.tenant,
            ingest.scope.environment,
            event.time.0,
            facts.uid,
            facts.time.is_some(),
            ingest.received.0,
            facts.name,
            facts.activity.slug(),
            event.agent,
            facts.session,
            facts.prompt,
            facts.sequence,
            facts.tool.as_ref().map(|tool| match tool.kind {
                ToolKind::BuiltIn => EntityKind::Tool.slug(),
                ToolKind::Mcp => EntityKind::McpTool.slug(),
            }),
            facts.tool.as_ref().map(|tool| &tool.name),
            facts.tool_use_id,
            facts.model,
            facts.decision,
            facts.decision_source,
            facts.success,
            facts.duration_ms,
            facts.cost_micros,
            facts.input_tokens,
            facts.output_tokens,
            facts.redactions,
            facts.machine.as_ref().map(|machine| &machine.id),
            facts.machine.as_ref().and_then(|machine| machine.seq),
            event.record,
        ])?;
    if inserted == 0 {
        return Ok(false);
    }
    if !event.content.is_empty() {
        transaction
            .prepare_cached("INSERT INTO event_content (seq, content) VALUES (?, ?)")?
            .execute(params![transaction.last_insert_rowid(), event.content])?;
    }
    Ok(true)
}

fn insert_signal(
    transaction: &Transaction<'_>,
    ingest: &Ingest,
    signal: &NewSignal,
) -> rusqlite::Result<bool> {
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO signals (tenant, environment, signal, uid, received, message)
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            ingest.scope.tenant,
            ingest.scope.environment,
            signal.signal.word(),
            signal.uid,
            ingest.received.0,
            super::encoding::compress(&signal.message),
        ])?;
    Ok(inserted > 0)
}

fn count_use(transaction: &Transaction<'_>, ingest: &Ingest) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE tokens SET request_count = request_count + 1,
                 first_used = min(coalesce(first_used, ?4), ?4),
                 last_used = max(coalesce(last_used, ?4), ?4),
                 last_address = ?5
             WHERE tenant = ?1 AND environment = ?2 AND id = ?3",
        )?
        .execute(params![
            ingest.scope.tenant,
            ingest.scope.environment,
            ingest.token_id,
            ingest.received.0,
            ingest.address,
        ])?;
    Ok(())
}
