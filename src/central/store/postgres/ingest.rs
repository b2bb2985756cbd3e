//! The way in of events: what waits is stored together, by a few transactions at a time.
//!
//! A transaction inserts what is new, takes back which rows those were, and appends what they add to the
//! derived tables as deltas. Rows go in sorted by their keys, so that two transactions with the same
//! records wait for each other and cannot lock each other out.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use deadpool_postgres::{Pool, Transaction};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::central::materialize::{Deltas, NewEvent};
use crate::central::store::audit::encode_deltas;
use crate::central::store::event_row::EventKeys;
use crate::central::store::{Ingest, NewSignal, Scope, StoreError, Stored};

use super::SEQ_BASE;
use super::fold::DELTA_FORMAT;

/// Transactions of one replica that store events at once.
const WRITERS: usize = 2;

/// Requests that wait. Whoever comes later waits for a place.
const MAX_WAITING: usize = 256;

/// Requests in one transaction at most.
const MAX_GROUP: usize = 64;

/// Events after which no further request is taken into a transaction.
const MAX_GROUP_EVENTS: usize = 8_000;

/// Bits of an event's `seq` that number it within its transaction; those above are the transaction's.
const ORDINAL_BITS: u32 = 24;

struct Job {
    ingest: Ingest,
    done: oneshot::Sender<Result<Stored, StoreError>>,
}

/// Hands requests to the writers.
#[derive(Clone)]
pub(super) struct Collector {
    jobs: Arc<std::sync::Mutex<Option<mpsc::Sender<Job>>>>,
}

impl Collector {
    pub(super) fn start(pool: &Pool, tasks: &mut JoinSet<()>) -> Collector {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..WRITERS {
            tasks.spawn(write(pool.clone(), Arc::clone(&receiver)));
        }
        Collector {
            jobs: Arc::new(std::sync::Mutex::new(Some(sender))),
        }
    }

    pub(super) async fn ingest(&self, ingest: Ingest) -> Result<Stored, StoreError> {
        let sender = self
            .jobs
            .lock()
            .expect("no holder of this lock panics")
            .clone();
        let (done, stored) = oneshot::channel();
        sender
            .ok_or_else(closed)?
            .send(Job { ingest, done })
            .await
            .map_err(|_| closed())?;
        stored.await.map_err(|_| closed())?
    }

    /// Takes no further request; the writers end after those that wait.
    pub(super) fn close(&self) {
        self.jobs
            .lock()
            .expect("no holder of this lock panics")
            .take();
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

async fn write(pool: Pool, jobs: Arc<Mutex<mpsc::Receiver<Job>>>) {
    loop {
        let group = next_group(&mut *jobs.lock().await).await;
        if group.is_empty() {
            return;
        }
        commit(&pool, group).await;
    }
}

/// What waits, within bounds; empty when no more will come.
async fn next_group(jobs: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let mut group: Vec<Job> = Vec::new();
    let mut events = 0;
    let mut next = jobs.recv().await;
    while let Some(job) = next.take() {
        events += job.ingest.events.len();
        group.push(job);
        if group.len() < MAX_GROUP && events < MAX_GROUP_EVENTS {
            next = jobs.try_recv().ok();
        }
    }
    group
}

/// Stores all requests together; when that fails and there are several, each alone, so that one that
/// cannot be stored does not fail the others.
async fn commit(pool: &Pool, group: Vec<Job>) {
    let ingests: Vec<&Ingest> = group.iter().map(|job| &job.ingest).collect();
    match store(pool, &ingests).await {
        Ok(stored) => {
            for (job, stored) in group.into_iter().zip(stored) {
                // Whoever asked may be gone.
                let _ = job.done.send(Ok(stored));
            }
        }
        Err(error) if group.len() == 1 => {
            tracing::error!(%error, "a write failed");
            for job in group {
                let _ = job
                    .done
                    .send(Err(StoreError::Unavailable(error.to_string())));
            }
        }
        Err(_) => {
            for job in group {
                Box::pin(commit(pool, vec![job])).await;
            }
        }
    }
}

/// One event with where it came from.
struct Arrival<'a> {
    /// Index of its request.
    request: usize,
    ingest: &'a Ingest,
    event: &'a NewEvent,
    keys: EventKeys<'a>,
}

async fn store(pool: &Pool, ingests: &[&Ingest]) -> Result<Vec<Stored>, StoreError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let mut arrivals: Vec<Arrival<'_>> = Vec::new();
    for (request, ingest) in ingests.iter().enumerate() {
        arrivals.extend(ingest.events.iter().map(|event| Arrival {
            request,
            ingest,
            event,
            keys: EventKeys::of(event),
        }));
    }
    arrivals.sort_by(|a, b| a.key().cmp(&b.key()));
    insert_without_time(&transaction, &mut arrivals).await?;
    let new = insert_events(&transaction, &arrivals).await?;
    insert_content(&transaction, &new).await?;

    let mut stored: Vec<Stored> = ingests
        .iter()
        .map(|ingest| Stored {
            new: 0,
            known: ingest.events.len(),
        })
        .collect();
    let mut deltas: BTreeMap<Scope, Deltas> = BTreeMap::new();
    for arrival in new {
        deltas
            .entry(arrival.ingest.scope)
            .or_default()
            .add(arrival.event);
        stored[arrival.request].new += 1;
        stored[arrival.request].known -= 1;
    }
    insert_signals(&transaction, ingests, &mut stored, &mut deltas).await?;
    for ingest in ingests {
        let deltas = deltas.entry(ingest.scope).or_default();
        deltas.add_use(&ingest.token_id, ingest.received, &ingest.address);
    }
    append_deltas(&transaction, &deltas).await?;
    transaction.commit().await?;
    Ok(stored)
}

impl Arrival<'_> {
    fn key(&self) -> (i64, i64, i64, &[u8]) {
        let scope = self.ingest.scope;
        (
            scope.tenant,
            scope.environment,
            self.event.time.0,
            &self.keys.uid,
        )
    }
}

/// Notes the identities of events that have no time of their own, and leaves out those that were known:
/// a retry has another time of arrival.
async fn insert_without_time(
    transaction: &Transaction<'_>,
    arrivals: &mut Vec<Arrival<'_>>,
) -> Result<(), StoreError> {
    let mut timeless: Vec<&Arrival<'_>> = arrivals
        .iter()
        .filter(|arrival| arrival.event.facts.time.is_none())
        .collect();
    if timeless.is_empty() {
        return Ok(());
    }
    timeless.sort_by_key(|arrival| (arrival.ingest.scope, &arrival.keys.uid, arrival.event.time));
    timeless.dedup_by_key(|arrival| (arrival.ingest.scope, &arrival.keys.uid));
    let statement = transaction
        .prepare_cached(
            "INSERT INTO events_without_time
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[])
             ON CONFLICT DO NOTHING RETURNING tenant, environment, uid, time",
        )
        .await?;
    let tenants: Vec<i64> = timeless.iter().map(|it| it.ingest.scope.tenant).collect();
    let environments: Vec<i64> = timeless
        .iter()
        .map(|it| it.ingest.scope.environment)
        .collect();
    let uids: Vec<&[u8]> = timeless.iter().map(|it| it.keys.uid.as_slice()).collect();
    let times: Vec<i64> = timeless.iter().map(|it| it.event.time.0).collect();
    let rows = transaction
        .query(&statement, &[&tenants, &environments, &uids, &times])
        .await?;
    let new: HashSet<(i64, i64, Vec<u8>, i64)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect();
    arrivals.retain(|arrival| {
        let scope = arrival.ingest.scope;
        let uid = arrival.keys.uid.clone();
        arrival.event.facts.time.is_some()
            || new.contains(&(scope.tenant, scope.environment, uid, arrival.event.time.0))
    });
    Ok(())
}

/// Inserts events; gives those that were not there.
async fn insert_events<'a, 'b>(
    transaction: &Transaction<'_>,
    arrivals: &'b [Arrival<'a>],
) -> Result<Vec<&'b Arrival<'a>>, StoreError> {
    if arrivals.is_empty() {
        return Ok(Vec::new());
    }
    let statement = transaction
        .prepare_cached(
            &format!(
            "INSERT INTO events (tenant, environment, time, received, agent, session, name, model,
                 activity, is_mcp, uid, tool, record, seq)
             SELECT tenant, environment, time, received, agent, session, name, model, activity, is_mcp,
                 uid, tool, record, ({base} + (pg_current_xact_id()::text::bigint << 24)) | (number - 1)
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                 $6::bigint[], $7::integer[], $8::integer[], $9::smallint[], $10::smallint[],
                 $11::bytea[], $12::text[], $13::bytea[]) WITH ORDINALITY
                 AS a (tenant, environment, time, received, agent, session, name, model, activity,
                     is_mcp, uid, tool, record, number)
             ON CONFLICT DO NOTHING RETURNING seq", base = SEQ_BASE),
        )
        .await?;
    let int =
        |get: &dyn Fn(&Arrival<'_>) -> i64| -> Vec<i64> { arrivals.iter().map(get).collect() };
    let rows = transaction
        .query(
            &statement,
            &[
                &int(&|it| it.ingest.scope.tenant),
                &int(&|it| it.ingest.scope.environment),
                &int(&|it| it.event.time.0),
                &int(&|it| it.ingest.received.0),
                &arrivals.iter().map(|it| it.keys.agent).collect::<Vec<_>>(),
                &arrivals
                    .iter()
                    .map(|it| it.keys.session)
                    .collect::<Vec<_>>(),
                &arrivals
                    .iter()
                    .map(|it| it.keys.name as i32)
                    .collect::<Vec<_>>(),
                &arrivals
                    .iter()
                    .map(|it| it.keys.model.map(|key| key as i32))
                    .collect::<Vec<_>>(),
                &arrivals
                    .iter()
                    .map(|it| it.keys.activity as i16)
                    .collect::<Vec<_>>(),
                &arrivals
                    .iter()
                    .map(|it| it.keys.is_mcp.map(|key| key as i16))
                    .collect::<Vec<_>>(),
                &arrivals
                    .iter()
                    .map(|it| it.keys.uid.as_slice())
                    .collect::<Vec<_>>(),
                &arrivals.iter().map(|it| it.keys.tool).collect::<Vec<_>>(),
                &arrivals
                    .iter()
                    .map(|it| it.event.record.as_slice())
                    .collect::<Vec<_>>(),
            ],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| {
            let ordinal = row.get::<_, i64>(0) & ((1 << ORDINAL_BITS) - 1);
            &arrivals[ordinal as usize]
        })
        .collect())
}

async fn insert_content(
    transaction: &Transaction<'_>,
    new: &[&Arrival<'_>],
) -> Result<(), StoreError> {
    let with_content: Vec<&&Arrival<'_>> = new
        .iter()
        .filter(|it| !it.event.content.is_empty())
        .collect();
    if with_content.is_empty() {
        return Ok(());
    }
    let statement = transaction
        .prepare_cached(
            "INSERT INTO event_content (tenant, environment, time, uid, content)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[])",
        )
        .await?;
    let tenants: Vec<i64> = with_content
        .iter()
        .map(|it| it.ingest.scope.tenant)
        .collect();
    let environments: Vec<i64> = with_content
        .iter()
        .map(|it| it.ingest.scope.environment)
        .collect();
    let times: Vec<i64> = with_content.iter().map(|it| it.event.time.0).collect();
    let uids: Vec<&[u8]> = with_content
        .iter()
        .map(|it| it.keys.uid.as_slice())
        .collect();
    let contents: Vec<&[u8]> = with_content
        .iter()
        .map(|it| it.event.content.as_slice())
        .collect();
    transaction
        .execute(
            &statement,
            &[&tenants, &environments, &times, &uids, &contents],
        )
        .await?;
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
                "INSERT INTO signals (tenant, environment, signal, uid, received, message)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            )
            .await?;
        let inserted = transaction
            .execute(
                &statement,
                &[
                    &scope.tenant,
                    &scope.environment,
                    &signal.signal.word(),
                    &signal.uid,
                    &ingests[request].received.0,
                    &signal.message,
                ],
            )
            .await?;
        if inserted == 0 {
            stored[request].known += 1;
        } else {
            stored[request].new += 1;
            deltas.entry(scope).or_default().merge(signal.adds.clone());
        }
    }
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
