//! One transaction of the way in.
//!
//! It inserts what is new, takes back which rows those were, and appends what they add to the
//! derived tables as deltas. Rows go in sorted by their keys, so that two transactions with the same
//! records wait for each other and cannot lock each other out.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use deadpool_postgres::{Object, Transaction};

use crate::central::materialize::{Deltas, NewEvent};
use crate::central::store::audit::encode_deltas;
use crate::central::store::block::NewBlock;
use crate::central::store::dictionary::Dictionaries;
use crate::central::store::event_row::EventKeys;
use crate::central::store::keys::uid_key;
use crate::central::store::{Ingest, NewSignal, Scope, StoreError, Stored};
use crate::event::Timestamp;

use super::fold::DELTA_FORMAT;
use super::{SEQ_BASE, blocks};

/// Bits of an event's `seq` that number it within its transaction; those above are the transaction's.
const ORDINAL_BITS: u32 = 24;

/// One event with where it came from.
struct Arrival<'a> {
    /// Its place among all events of the transaction, in the order in which their requests came. The
    /// events of a block follow each other.
    ordinal: usize,
    ingest: &'a Ingest,
    event: &'a NewEvent,
    keys: EventKeys<'a>,
}

/// Stores the records of requests, each once; tells of each request what of it was new.
pub(super) async fn store(
    client: &mut Object,
    ingests: &[&Ingest],
    dictionaries: &Dictionaries,
) -> Result<Vec<Stored>, StoreError> {
    let transaction = client.transaction().await?;
    let events = ingests
        .iter()
        .flat_map(|ingest| ingest.events.iter().map(move |event| (*ingest, event)));
    let mut arrivals: Vec<Arrival<'_>> = events
        .enumerate()
        .map(|(ordinal, (ingest, event))| Arrival {
            ordinal,
            ingest,
            event,
            keys: EventKeys::of(event),
        })
        .collect();
    let mut seqs = vec![None; arrivals.len()];
    arrivals.sort_by_key(Arrival::key);
    insert_without_time(&transaction, &mut arrivals).await?;
    insert_events(&transaction, &arrivals, &mut seqs).await?;

    let mut stored = Vec::with_capacity(ingests.len());
    let mut deltas: BTreeMap<Scope, Deltas> = BTreeMap::new();
    let mut new_blocks = Vec::new();
    let mut rest = seqs.as_slice();
    for ingest in ingests {
        let (of_request, after) = rest.split_at(ingest.events.len());
        rest = after;
        let deltas = deltas.entry(ingest.scope).or_default();
        let new = ingest.events.iter().zip(of_request);
        let new = new.filter(|(_, seq)| seq.is_some());
        let count = new.map(|(event, _)| deltas.add(event)).count();
        stored.push(Stored {
            new: count,
            known: ingest.events.len() - count,
        });
        add_blocks(ingest, of_request, dictionaries, &mut new_blocks);
    }
    blocks::insert(&transaction, &new_blocks).await?;
    insert_signals(&transaction, ingests, &mut stored, &mut deltas).await?;
    for ingest in ingests {
        let deltas = deltas.entry(ingest.scope).or_default();
        deltas.add_use(&ingest.token_id, ingest.received, &ingest.address);
    }
    append_deltas(&transaction, &deltas).await?;
    transaction.commit().await?;
    Ok(stored)
}

/// Adds a request's blocks; one in which something was known is packed anew.
fn add_blocks<'a>(
    ingest: &'a Ingest,
    mut seqs: &[Option<i64>],
    dictionaries: &Dictionaries,
    blocks: &mut Vec<(Scope, i64, Cow<'a, NewBlock>)>,
) {
    for block in &ingest.blocks {
        let (of_block, rest) = seqs.split_at(block.events);
        seqs = rest;
        let places = of_block.iter().enumerate();
        let new: Vec<(usize, i64)> = places
            .filter_map(|(place, seq)| Some((place, (*seq)?)))
            .collect();
        let Some((_, last)) = new.last() else {
            continue;
        };
        if new.len() == block.events {
            blocks.push((ingest.scope, *last, Cow::Borrowed(block)));
        } else if let Some((seq, block)) = block.only(dictionaries, &new) {
            blocks.push((ingest.scope, seq, Cow::Owned(block)));
        }
    }
}

impl Arrival<'_> {
    fn key(&self) -> (i64, i64, i64, i64) {
        let scope = self.ingest.scope;
        (
            scope.tenant,
            scope.environment,
            self.event.time.0,
            self.keys.uid,
        )
    }
}

/// Notes the identities of events that have no time of their own, and leaves out those that were known:
/// a retry has another time of arrival.
async fn insert_without_time(
    transaction: &Transaction<'_>,
    arrivals: &mut Vec<Arrival<'_>>,
) -> Result<(), StoreError> {
    let timeless = arrivals
        .iter()
        .filter(|arrival| arrival.event.facts.time.is_none());
    let mut timeless: Vec<(&Arrival<'_>, Vec<u8>)> = timeless
        .map(|arrival| (arrival, uid_key(&arrival.event.facts.uid)))
        .collect();
    if timeless.is_empty() {
        return Ok(());
    }
    timeless.sort_by(|(a, a_uid), (b, b_uid)| {
        (a.ingest.scope, a_uid, a.event.time).cmp(&(b.ingest.scope, b_uid, b.event.time))
    });
    timeless.dedup_by(|(a, a_uid), (b, b_uid)| (a.ingest.scope, a_uid) == (b.ingest.scope, b_uid));
    let statement = transaction
        .prepare_cached(
            "INSERT INTO events_without_time
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[])
             ON CONFLICT DO NOTHING RETURNING tenant, environment, uid, time",
        )
        .await?;
    let scopes = timeless.iter().map(|(it, _)| it.ingest.scope);
    let tenants: Vec<i64> = scopes.clone().map(|scope| scope.tenant).collect();
    let environments: Vec<i64> = scopes.map(|scope| scope.environment).collect();
    let uids: Vec<&[u8]> = timeless.iter().map(|(_, uid)| uid.as_slice()).collect();
    let times: Vec<i64> = timeless.iter().map(|(it, _)| it.event.time.0).collect();
    let rows = transaction
        .query(&statement, &[&tenants, &environments, &uids, &times])
        .await?;
    let new: HashSet<(i64, i64, Vec<u8>, i64)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect();
    arrivals.retain(|arrival| {
        let scope = arrival.ingest.scope;
        let uid = uid_key(&arrival.event.facts.uid);
        arrival.event.facts.time.is_some()
            || new.contains(&(scope.tenant, scope.environment, uid, arrival.event.time.0))
    });
    Ok(())
}

/// Inserts events; notes the `seq`s of those that were not there.
async fn insert_events(
    transaction: &Transaction<'_>,
    arrivals: &[Arrival<'_>],
    seqs: &mut [Option<i64>],
) -> Result<(), StoreError> {
    if arrivals.is_empty() {
        return Ok(());
    }
    let statement = transaction
        .prepare_cached(&format!(
            "INSERT INTO events (tenant, environment, time, uid, agent, session, name, model, activity,
                 is_mcp, tool, seq)
             SELECT tenant, environment, time, uid, agent, session, name, model, activity, is_mcp, tool,
                 ({SEQ_BASE} + (pg_current_xact_id()::text::bigint << {ORDINAL_BITS})) | ordinal
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                 $6::bigint[], $7::integer[], $8::integer[], $9::smallint[], $10::smallint[],
                 $11::text[], $12::bigint[])
                 AS a (tenant, environment, time, uid, agent, session, name, model, activity, is_mcp,
                     tool, ordinal)
             ON CONFLICT DO NOTHING RETURNING seq"
        ))
        .await?;
    fn of<'a, T>(arrivals: &'a [Arrival<'a>], get: impl Fn(&'a Arrival<'a>) -> T) -> Vec<T> {
        arrivals.iter().map(get).collect()
    }
    let rows = transaction
        .query(
            &statement,
            &[
                &of(arrivals, |it| it.ingest.scope.tenant),
                &of(arrivals, |it| it.ingest.scope.environment),
                &of(arrivals, |it| it.event.time.0),
                &of(arrivals, |it| it.keys.uid),
                &of(arrivals, |it| it.keys.agent),
                &of(arrivals, |it| it.keys.session),
                &of(arrivals, |it| it.keys.name as i32),
                &of(arrivals, |it| it.keys.model.map(|key| key as i32)),
                &of(arrivals, |it| it.keys.activity as i16),
                &of(arrivals, |it| it.keys.is_mcp.map(|key| key as i16)),
                &of(arrivals, |it| it.keys.tool),
                &of(arrivals, |it| it.ordinal as i64),
            ],
        )
        .await?;
    for row in rows {
        let seq: i64 = row.get(0);
        let ordinal = seq & ((1 << ORDINAL_BITS) - 1);
        seqs[ordinal as usize] = Some(seq);
    }
    Ok(())
}

async fn insert_signals(
    transaction: &Transaction<'_>,
    ingests: &[&Ingest],
    stored: &mut [Stored],
    deltas: &mut BTreeMap<Scope, Deltas>,
) -> Result<(), StoreError> {
    let mut signals: Vec<(Scope, &NewSignal, usize)> = Vec::new();
    for (request, ingest) in ingests.iter().enumerate() {
        signals.extend(
            ingest
                .signals
                .iter()
                .map(|signal| (ingest.scope, signal, request)),
        );
    }
    signals.sort_by_key(|(scope, signal, _)| (*scope, signal.signal.word(), &signal.uid));
    for (scope, signal, request) in signals {
        let statement = transaction
            .prepare_cached(
                "INSERT INTO signals (tenant, environment, signal, uid, received, message, time,
                     content_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
            )
            .await?;
        let received = ingests[request].received;
        let time = signal.time(received);
        let inserted = transaction
            .execute(
                &statement,
                &[
                    &scope.tenant,
                    &scope.environment,
                    &signal.signal.word(),
                    &signal.uid,
                    &received.0,
                    &signal.message,
                    &time.0,
                    &signal.keys.has_content.then_some(time.0),
                ],
            )
            .await?;
        if inserted == 0 {
            stored[request].known += 1;
        } else {
            stored[request].new += 1;
            insert_traces(transaction, scope, signal, time).await?;
            deltas.entry(scope).or_default().merge(signal.adds.clone());
        }
    }
    Ok(())
}

/// Notes which traces a message that was new has spans of.
async fn insert_traces(
    transaction: &Transaction<'_>,
    scope: Scope,
    signal: &NewSignal,
    time: Timestamp,
) -> Result<(), StoreError> {
    if signal.keys.traces.is_empty() {
        return Ok(());
    }
    let statement = transaction
        .prepare_cached(
            "INSERT INTO signal_traces (tenant, environment, trace, time, uid)
             SELECT $1, $2, trace, $4, $5 FROM unnest($3::bigint[]) AS t (trace)
             ON CONFLICT DO NOTHING",
        )
        .await?;
    let Scope {
        tenant,
        environment,
    } = scope;
    let traces = &signal.keys.traces;
    transaction
        .execute(
            &statement,
            &[&tenant, &environment, traces, &time.0, &signal.uid],
        )
        .await?;
    Ok(())
}

async fn append_deltas(
    transaction: &Transaction<'_>,
    deltas: &BTreeMap<Scope, Deltas>,
) -> Result<(), StoreError> {
    let statement = transaction
        .prepare_cached(
            "INSERT INTO deltas (tenant, environment, format, delta) VALUES ($1, $2, $3, $4)",
        )
        .await?;
    for (scope, deltas) in deltas {
        let encoded = encode_deltas(deltas);
        transaction
            .execute(
                &statement,
                &[&scope.tenant, &scope.environment, &DELTA_FORMAT, &encoded],
            )
            .await?;
    }
    Ok(())
}
