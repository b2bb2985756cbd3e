//! Writes what a batch adds to the derived tables: every statement takes a minimum, a maximum, a sum, a
//! set or the latest value, so that order makes no difference.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ToSql, params, params_from_iter};

use crate::central::materialize::{AgentDelta, Deltas, EntityDelta, MachineDelta, SessionDelta};
use crate::event::AgentIdentity;

use super::{EntityKind, Scope};

/// Adds what newly stored events bring to every derived table.
pub(super) fn add(connection: &Connection, scope: Scope, deltas: &Deltas) -> rusqlite::Result<()> {
    for (id, delta) in &deltas.agents {
        add_agent(connection, scope, id, delta)?;
    }
    for ((agent, key, value), seen) in &deltas.identities {
        connection
            .prepare_cached(
                "INSERT INTO identities VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
                     first_seen = min(first_seen, excluded.first_seen),
                     last_seen = max(last_seen, excluded.last_seen)",
            )?
            .execute(params![
                scope.tenant,
                scope.environment,
                agent,
                key,
                value,
                seen.first.0,
                seen.last.0
            ])?;
    }
    for ((kind, name), delta) in &deltas.entities {
        add_entity(connection, scope, None, (*kind, name), delta)?;
    }
    for ((agent, kind, name), delta) in &deltas.agent_entities {
        add_entity(connection, scope, Some(agent), (*kind, name), delta)?;
    }
    for (id, delta) in &deltas.sessions {
        add_session(connection, scope, id, delta)?;
    }
    for (session, kind, name) in &deltas.session_entities {
        connection
            .prepare_cached(
                "INSERT INTO session_entities VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                scope.tenant,
                scope.environment,
                session,
                kind.slug(),
                name
            ])?;
    }
    for (session, prompt) in &deltas.session_turns {
        connection
            .prepare_cached("INSERT INTO session_turns VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")?
            .execute(params![scope.tenant, scope.environment, session, prompt])?;
    }
    for (session, machine) in &deltas.session_machines {
        connection
            .prepare_cached(
                "INSERT INTO session_machines VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            )?
            .execute(params![scope.tenant, scope.environment, session, machine])?;
    }
    for (id, delta) in &deltas.machines {
        add_machine(connection, scope, id, delta)?;
    }
    Ok(())
}

fn add_agent(
    connection: &Connection,
    scope: Scope,
    id: &str,
    delta: &AgentDelta,
) -> rusqlite::Result<()> {
    let email = match &delta.identity {
        AgentIdentity::Email(email) => Some(email),
        AgentIdentity::Id(_) => None,
    };
    connection
        .prepare_cached(&format!(
            "INSERT INTO agents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET
                 first_seen = min(first_seen, excluded.first_seen),
                 last_seen = max(last_seen, excluded.last_seen),
                 event_count = event_count + excluded.event_count,
                 cost_micros = cost_micros + excluded.cost_micros,
                 {version},
                 {service}",
            version = keep_latest("version"),
            service = keep_latest("service"),
        ))?
        .execute(params![
            scope.tenant,
            scope.environment,
            id,
            email,
            delta.identity.name(),
            delta.identity.owner(),
            delta.seen.first.0,
            delta.seen.last.0,
            delta.events,
            delta.cost_micros,
            delta.version.at,
            delta.version.value,
            delta.service.at,
            delta.service.value,
        ])?;
    Ok(())
}

/// Adds to an entity of the environment, or of one agent.
fn add_entity(
    connection: &Connection,
    scope: Scope,
    agent: Option<&str>,
    (kind, name): (EntityKind, &str),
    delta: &EntityDelta,
) -> rusqlite::Result<()> {
    const UPSERT: &str = "ON CONFLICT DO UPDATE SET
        first_seen = min(first_seen, excluded.first_seen),
        last_seen = max(last_seen, excluded.last_seen),
        event_count = event_count + excluded.event_count,
        use_count = use_count + excluded.use_count,
        denied_count = denied_count + excluded.denied_count";
    let (table, agent_column, agent_value) = match agent {
        None => ("entities", "", ""),
        Some(_) => ("agent_entities", "agent, ", "?9, "),
    };
    let sql = format!(
        "INSERT INTO {table} (tenant, environment, {agent_column}kind, name, first_seen, last_seen,
             event_count, use_count, denied_count)
         VALUES (?1, ?2, {agent_value}?3, ?4, ?5, ?6, ?7, ?8, ?{}) {UPSERT}",
        if agent.is_some() { 10 } else { 9 },
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let seen = (delta.seen.first.0, delta.seen.last.0);
    match agent {
        None => statement.execute(params![
            scope.tenant,
            scope.environment,
            kind.slug(),
            name,
            seen.0,
            seen.1,
            delta.events,
            delta.uses,
            delta.denied,
        ])?,
        Some(agent) => statement.execute(params![
            scope.tenant,
            scope.environment,
            kind.slug(),
            name,
            seen.0,
            seen.1,
            delta.events,
            delta.uses,
            agent,
            delta.denied,
        ])?,
    };
    Ok(())
}

fn add_session(
    connection: &Connection,
    scope: Scope,
    id: &str,
    delta: &SessionDelta,
) -> rusqlite::Result<()> {
    /// Greater than every real rank, so that any agent comes before none.
    const NO_AGENT: i64 = 9;
    let (rank, agent_at, agent) = match &delta.agent {
        Some((rank, at, agent)) => (*rank, at.0, agent.as_str()),
        None => (NO_AGENT, 0, ""),
    };
    connection
        .prepare_cached(&format!(
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET
                 started_at = min(started_at, excluded.started_at),
                 ended_at = max(ended_at, excluded.ended_at),
                 event_count = event_count + excluded.event_count,
                 tool_count = tool_count + excluded.tool_count,
                 denied_count = denied_count + excluded.denied_count,
                 error_count = error_count + excluded.error_count,
                 request_count = request_count + excluded.request_count,
                 input_tokens = input_tokens + excluded.input_tokens,
                 output_tokens = output_tokens + excluded.output_tokens,
                 cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
                 cache_creation_tokens = cache_creation_tokens + excluded.cache_creation_tokens,
                 cost_micros = cost_micros + excluded.cost_micros,
                 redactions = redactions + excluded.redactions,
                 {version},
                 {service},
                 {agent}",
            version = keep_latest("version"),
            service = keep_latest("service"),
            agent = keep_best("<", &["agent_rank", "agent_at", "agent"]),
        ))?
        .execute(params![
            scope.tenant,
            scope.environment,
            id,
            delta.seen.first.0,
            delta.seen.last.0,
            delta.events,
            delta.tools,
            delta.denied,
            delta.errors,
            delta.requests,
            delta.tokens[0],
            delta.tokens[1],
            delta.tokens[2],
            delta.tokens[3],
            delta.cost_micros,
            delta.redactions,
            delta.version.at,
            delta.version.value,
            delta.service.at,
            delta.service.value,
            rank,
            agent_at,
            agent,
        ])?;
    Ok(())
}

fn add_machine(
    connection: &Connection,
    scope: Scope,
    id: &str,
    delta: &MachineDelta,
) -> rusqlite::Result<()> {
    let (heartbeat_at, queue_records, queue_bytes) = delta.heartbeat.unwrap_or((-1, -1, -1));
    connection
        .prepare_cached(&format!(
            "INSERT INTO machines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET
                 first_seen = min(first_seen, excluded.first_seen),
                 last_seen = max(last_seen, excluded.last_seen),
                 {host_name},
                 {os},
                 {version},
                 {heartbeat}",
            host_name = keep_latest("host_name"),
            os = keep_latest("os"),
            version = keep_latest("version"),
            heartbeat = keep_best(">", &["heartbeat_at", "queue_records", "queue_bytes"]),
        ))?
        .execute(params![
            scope.tenant,
            scope.environment,
            id,
            delta.seen.first.0,
            delta.seen.last.0,
            delta.host_name.at,
            delta.host_name.value,
            delta.os.at,
            delta.os.value,
            delta.version.at,
            delta.version.value,
            heartbeat_at,
            queue_records,
            queue_bytes,
        ])?;
    let machine: [(&str, &dyn ToSql); 3] = [
        ("tenant", &scope.tenant),
        ("environment", &scope.environment),
        ("machine", &id),
    ];
    for run in runs(delta.seqs.iter().copied()) {
        add_run(connection, "machine_ranges", &machine, run)?;
    }
    for (reason, first, last) in &delta.lost {
        let key = [&machine[..], &[("reason", reason as &dyn ToSql)]].concat();
        add_run(connection, "machine_losses", &key, (*first, *last))?;
    }
    for (reason, records) in &delta.lost_counts {
        connection
            .prepare_cached(
                "INSERT INTO machine_loss_counts VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET records = max(records, excluded.records)",
            )?
            .execute(params![
                scope.tenant,
                scope.environment,
                id,
                reason,
                records
            ])?;
    }
    Ok(())
}

/// The assignments of an upsert that keep the value with the latest time.
fn keep_latest(column: &str) -> String {
    keep_best(">", &[&format!("{column}_at"), column])
}

/// The assignments of an upsert that keep, of the row there and the row given, the columns that
/// compare as `order` says, taken together.
fn keep_best(order: &str, columns: &[&str]) -> String {
    let present = columns.join(", ");
    let given = columns
        .iter()
        .map(|column| format!("excluded.{column}"))
        .collect::<Vec<_>>()
        .join(", ");
    columns
        .iter()
        .map(|column| {
            format!(
                "{column} = CASE WHEN ({given}) {order} ({present})
                     THEN excluded.{column} ELSE {column} END"
            )
        })
        .collect::<Vec<_>>()
        .join(", ")
}

/// Contiguous runs of ascending numbers.
fn runs(numbers: impl Iterator<Item = i64>) -> Vec<(i64, i64)> {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}

/// Unites a run with those of `table` under `key` that it meets or touches.
fn add_run(
    connection: &Connection,
    table: &str,
    key: &[(&str, &dyn ToSql)],
    (first, last): (i64, i64),
) -> rusqlite::Result<()> {
    let names: Vec<&str> = key.iter().map(|(name, _)| *name).collect();
    let is_same = names.join(" = ? AND ");
    let marks = "?, ".repeat(key.len());
    let with = |run: [i64; 2]| -> Vec<ToSqlOutput<'_>> {
        let key = key.iter().filter_map(|(_, value)| value.to_sql().ok());
        key.chain(run.map(ToSqlOutput::from)).collect()
    };
    let touched = format!(
        "SELECT min(first), max(last) FROM {table}
         WHERE {is_same} = ? AND last >= ? AND first <= ?"
    );
    let touched: (Option<i64>, Option<i64>) = connection.prepare_cached(&touched)?.query_row(
        params_from_iter(with([first.saturating_sub(1), last.saturating_add(1)])),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let run = [
        touched.0.map_or(first, |start| start.min(first)),
        touched.1.map_or(last, |end| end.max(last)),
    ];
    connection
        .prepare_cached(&format!(
            "DELETE FROM {table} WHERE {is_same} = ? AND first >= ? AND last <= ?"
        ))?
        .execute(params_from_iter(with(run)))?;
    connection
        .prepare_cached(&format!(
            "INSERT INTO {table} ({}, first, last) VALUES ({marks}?, ?)",
            names.join(", ")
        ))?
        .execute(params_from_iter(with(run)))?;
    Ok(())
}
