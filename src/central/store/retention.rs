//! Deletes what is older than an environment keeps, in small bites.
//!
//! What deleted events add to the derived tables is kept, as one row of `retired`, so that sums stay as
//! they were and `verify` still holds. What was last seen before the cut, such as a session that ended
//! earlier, is forgotten in both; sums of metrics by hour stay.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::central::materialize::Deltas;
use crate::event::{DAY, Timestamp};

use super::audit::{decode_deltas, encode_deltas};
use super::machine_state::SECOND;
use super::query::{Query, Row, Value};
use super::repack::{take_out, without_content};
use super::{AuditEntry, Database, EntityKind, Scope, Store, StoreError};

/// Events in one bite.
const BITE: i64 = 1_000;

/// Blocks whose contents are erased in one bite.
const BLOCKS: i64 = 16;

/// How long an environment keeps its records; `None` is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Retention {
    /// Everything, in seconds.
    pub keep_seconds: Option<i64>,
    /// Prompts, responses and tool input, in seconds.
    pub content_seconds: Option<i64>,
}

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Expired {
    /// Events.
    pub events: u64,
    /// Contents of events that stay.
    pub contents: u64,
    /// Metrics and traces.
    pub signals: u64,
}

impl Store {
    /// How long an environment keeps its records.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn retention_of(&self, scope: Scope) -> Result<Retention, StoreError> {
        let sql = "SELECT keep_seconds, content_seconds FROM retention
            WHERE tenant = $1 AND environment = $2";
        let row = self.rows(Query::scoped(sql, scope)).await?.pop();
        let Some(mut row) = row else {
            return Ok(Retention::default());
        };
        Ok(Retention {
            keep_seconds: row.take(0)?,
            content_seconds: row.take(1)?,
        })
    }

    /// Sets how long an environment keeps its records.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn set_retention(
        &self,
        scope: Scope,
        retention: Retention,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO retention (tenant, environment, keep_seconds, content_seconds)
            VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, environment) DO UPDATE SET
                keep_seconds = excluded.keep_seconds, content_seconds = excluded.content_seconds";
        let mut set = Query::scoped(sql, scope);
        set.values.extend([
            Value::from(retention.keep_seconds),
            Value::from(retention.content_seconds),
        ]);
        self.write(vec![set]).await?;
        Ok(())
    }

    /// Deletes what every environment keeps no longer at `now`. `is_over` is asked between bites.
    ///
    /// # Errors
    /// The first [`StoreError`] of an environment; the others' are done all the same.
    pub async fn expire(
        &self,
        now: Timestamp,
        is_over: &(dyn Fn() -> bool + Sync),
    ) -> Result<Expired, StoreError> {
        let mut expired = Expired::default();
        self.load_dictionaries().await?;
        let mut failure = None;
        for environment in self.environments().await? {
            let scope = environment.scope;
            if let Err(error) = self.expire_in(scope, now, is_over, &mut expired).await {
                let place = AuditEntry::place_of(&environment);
                tracing::error!(place, %error, "what is too old was not deleted");
                failure.get_or_insert(error);
            }
        }
        failure.map_or(Ok(expired), Err)
    }

    /// The same in one environment.
    async fn expire_in(
        &self,
        scope: Scope,
        now: Timestamp,
        is_over: &(dyn Fn() -> bool + Sync),
        expired: &mut Expired,
    ) -> Result<(), StoreError> {
        let retention = self.retention_of(scope).await?;
        if let Some(seconds) = retention.keep_seconds {
            let cut = oldest_kept(now, seconds);
            while !is_over() {
                let bite = self.expire_events(scope, cut).await?;
                expired.events += bite;
                if bite == 0 {
                    self.forget(scope, cut).await?;
                    expired.signals += self.expire_signals(scope, cut).await?;
                    break;
                }
            }
        }
        if let Some(seconds) = retention.content_seconds {
            let cut = oldest_kept(now, seconds);
            while !is_over() {
                let bite = self.expire_content(scope, cut).await?
                    + self.expire_signal_content(scope, cut).await?;
                expired.contents += bite;
                if bite == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Deletes some events before `cut`, with their content and their words; gives how many.
    pub(super) async fn expire_events(
        &self,
        scope: Scope,
        cut: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut query = self.event_query(scope);
        query.push(" AND e.time < ").bind(cut);
        query.push(" ORDER BY e.time, e.uid LIMIT ").bind(BITE);
        let rows = self.rows(query).await?.into_iter();
        let seqs: BTreeSet<i64> = rows.map(|mut row| row.take(0)).collect::<Result<_, _>>()?;
        if seqs.is_empty() {
            return Ok(0);
        }
        let blocks = self
            .blocks_of(scope, seqs.iter().copied().collect())
            .await?;
        let mut deltas = Deltas::default();
        let mut gone = Vec::with_capacity(seqs.len());
        let mut changes = Vec::with_capacity(blocks.len());
        for block in blocks {
            let (events, change) = take_out(&self.dictionaries, self.dialect(), block, &seqs)?;
            changes.push(change);
            for (seq, event) in events {
                gone.push(Gone {
                    seq,
                    time: event.time.0,
                    uid: event.facts.uid.clone(),
                });
                deltas.add(&event.into_new());
            }
        }
        let count = gone.len() as u64;
        match &self.database {
            Database::Sqlite(sqlite) => sqlite.retire(scope, gone, changes, deltas).await?,
            Database::Postgres(postgres) => postgres.retire(scope, gone, changes, deltas).await?,
        }
        Ok(count)
    }

    /// Forgets what was last seen before `cut`: its events are gone.
    async fn forget(&self, scope: Scope, cut: Timestamp) -> Result<(), StoreError> {
        match &self.database {
            Database::Sqlite(sqlite) => sqlite.forget(scope, cut).await,
            Database::Postgres(postgres) => postgres.forget(scope, cut).await,
        }
    }

    /// Deletes some contents of events before `cut`, and their words from the index; gives how many.
    async fn expire_content(&self, scope: Scope, cut: Timestamp) -> Result<u64, StoreError> {
        let blocks = self.blocks_with_content(scope, cut.0, BLOCKS).await?;
        let mut changes = Vec::with_capacity(blocks.len());
        let mut count = 0;
        for block in blocks {
            let (erased, change) =
                without_content(&self.dictionaries, self.dialect(), block, cut.0)?;
            count += erased;
            changes.push(change);
        }
        match &self.database {
            Database::Sqlite(sqlite) => sqlite.change_blocks(changes).await?,
            Database::Postgres(postgres) => postgres.change_blocks(changes).await?,
        }
        Ok(count)
    }
}

/// An event that is to be deleted.
pub(super) struct Gone {
    pub(super) seq: i64,
    pub(super) time: i64,
    pub(super) uid: String,
}

/// The time before which nothing is kept at `now`.
pub fn oldest_kept(now: Timestamp, seconds: i64) -> Timestamp {
    let nanos = Duration::from_secs(seconds.max(0).cast_unsigned()).as_nanos();
    Timestamp(
        now.0
            .saturating_sub(i64::try_from(nanos).unwrap_or(i64::MAX)),
    )
}

/// A time in whole units of so many nanoseconds, rounded up: what lies before it does so in both. Seconds and
/// days of any date have room where nanoseconds of the year 2262 have none.
fn rounded_up(time: Timestamp, unit: i64) -> i64 {
    time.0.div_euclid(unit) + i64::from(time.0.rem_euclid(unit) > 0)
}

/// The retired row of an environment with what deleted events add.
pub(super) fn retired_with(row: Option<Vec<u8>>, deltas: Deltas) -> Result<Vec<u8>, StoreError> {
    let mut retired = row.map_or_else(|| Ok(Deltas::default()), |row| decode_deltas(&row))?;
    retired.merge(deltas);
    Ok(encode_deltas(&retired))
}

/// The retired row without what was forgotten: keys by table, as [`forget_statements`] gave them.
pub(super) fn retired_without(
    row: &[u8],
    forgotten: Vec<(&'static str, Vec<Row>)>,
    cut: Timestamp,
) -> Result<Vec<u8>, StoreError> {
    let mut retired = decode_deltas(row)?;
    let (seconds, days) = (rounded_up(cut, SECOND), rounded_up(cut, DAY));
    let rollups = &mut retired.rollups;
    rollups.retain(|(span, start, _), _| start.saturating_add(span.seconds()) >= seconds);
    retired
        .shapes
        .retain(|day, _| day.saturating_add(1) >= days);
    for (table, keys) in forgotten {
        for mut key in keys {
            forget_key(&mut retired, table, &mut key)?;
        }
    }
    Ok(encode_deltas(&retired))
}

fn forget_key(retired: &mut Deltas, table: &str, key: &mut Row) -> Result<(), StoreError> {
    let first: String = key.take(0)?;
    match table {
        "sessions" => {
            retired.sessions.remove(&first);
        }
        "machines" => {
            retired.machines.remove(&first);
            retired.reports.remove(&first);
        }
        "agents" => {
            retired.agents.remove(&first);
        }
        "metric_sessions" => {
            retired.metric_sessions.remove(&first);
        }
        "agent_machines" => {
            let machine: String = key.take(1)?;
            if let Some(machines) = retired.agent_machines.get_mut(&first) {
                machines.remove(&machine);
            }
        }
        "identities" => {
            let (name, value): (String, String) = (key.take(1)?, key.take(2)?);
            let agent = retired.agents.get_mut(&first);
            if let Some(values) = agent.and_then(|agent| agent.identities.get_mut(&name)) {
                values.remove(&value);
            }
        }
        "agent_entities" => {
            let (kind, name): (String, String) = (key.take(1)?, key.take(2)?);
            if let (Some(agent), Some(kind)) =
                (retired.agents.get_mut(&first), EntityKind::from_slug(&kind))
                && let Some(names) = agent.entities.get_mut(&kind)
            {
                names.remove(&name);
            }
        }
        _ => {
            let name: String = key.take(1)?;
            if let Some(kind) = EntityKind::from_slug(&first)
                && let Some(names) = retired.entities.get_mut(&kind)
            {
                names.remove(&name);
            }
        }
    }
    Ok(())
}

/// What deletes from the derived tables what was last seen before the cut, in order; with the table whose
/// keys it gives, where those must be forgotten in the retired row, too.
pub(super) fn forget_statements(
    scope: Scope,
    cut: Timestamp,
) -> Vec<(Query, Option<&'static str>)> {
    let of_parent = |child: &str, key: &str, parent: &str, last: &str| {
        let sql = format!(
            "DELETE FROM {child} WHERE tenant = $1 AND environment = $2 AND {key} IN (
                 SELECT id FROM {parent} WHERE tenant = $1 AND environment = $2 AND {last} < $3)"
        );
        (sql, None)
    };
    let own = |table: &'static str, last: &str, key: &str| {
        let sql = format!(
            "DELETE FROM {table} WHERE tenant = $1 AND environment = $2 AND {last} < $3 RETURNING {key}"
        );
        (sql, Some(table))
    };
    let session = |child| of_parent(child, "session", "sessions", "ended_at");
    let machine = |child| of_parent(child, "machine", "machines", "last_seen");
    let rollups =
        "DELETE FROM rollups WHERE tenant = $1 AND environment = $2 AND start + span < $3";
    let shapes = "DELETE FROM event_shapes WHERE tenant = $1 AND environment = $2 AND day + 1 < $3";
    let statements = [
        session("session_entities"),
        session("session_turns"),
        session("session_machines"),
        own("sessions", "ended_at", "id"),
        machine("machine_ranges"),
        machine("machine_losses"),
        machine("machine_loss_counts"),
        machine("machine_reports"),
        machine("machine_days"),
        machine("retired_machines"),
        machine("machine_standing"),
        own("machines", "last_seen", "id"),
        own("identities", "last_seen", "agent, key, value"),
        own("agent_entities", "last_seen", "agent, kind, name"),
        own("agents", "last_seen", "id"),
        own("entities", "last_seen", "kind, name"),
        own("metric_sessions", "last_seen", "session"),
        own("agent_machines", "last_seen", "agent, machine"),
    ];
    let with_cut = |sql: String, cut: Value| {
        let mut query = Query::scoped(sql, scope);
        query.values.push(cut);
        query
    };
    let statements = statements.map(|(sql, table)| (with_cut(sql, cut.into()), table));
    let rollups = with_cut(rollups.to_owned(), rounded_up(cut, SECOND).into());
    let shapes = with_cut(shapes.to_owned(), rounded_up(cut, DAY).into());
    let by_span = [(rollups, None), (shapes, None)];
    statements.into_iter().chain(by_span).collect()
}
