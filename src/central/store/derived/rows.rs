//! What deltas add, as rows of the derived tables.

use std::collections::{BTreeMap, BTreeSet};

use crate::central::materialize::{
    AgentDelta, Counts, Deltas, EntityDelta, Latest, MachineDelta, Named, ReportDelta, Runs, Seen,
    SessionDelta,
};
use crate::central::store::EntityKind;
use crate::central::store::query::Value;

use super::tables::{MACHINE_LOSSES, MACHINE_RANGES, TABLES};
use super::{RunTable, Table};

/// The rows that `deltas` add, without tenant and environment, table by table. Within a table no two
/// have one key.
pub(in crate::central::store) fn rows(deltas: &Deltas) -> Vec<(&'static Table, Vec<Vec<Value>>)> {
    let agents = &deltas.agents;
    let sessions = &deltas.sessions;
    let machines = &deltas.machines;
    let agent_entities = agents.iter().flat_map(|(id, agent)| {
        let with_agent = |row: Vec<Value>| [vec![id.as_str().into()], row].concat();
        entity_rows(&agent.entities).map(with_agent)
    });
    let rows: [Vec<Vec<Value>>; 17] = [
        agents.iter().map(agent_row).collect(),
        agents.iter().flat_map(identity_rows).collect(),
        entity_rows(&deltas.entities).collect(),
        agent_entities.collect(),
        sessions.iter().map(session_row).collect(),
        sessions.iter().flat_map(session_entity_rows).collect(),
        sets(sessions.iter().map(|(id, session)| (id, &session.turns))),
        sets(sessions.iter().map(|(id, session)| (id, &session.machines))),
        machines.iter().map(machine_row).collect(),
        machines.iter().flat_map(loss_count_rows).collect(),
        deltas.reports.iter().map(report_row).collect(),
        deltas.reports.iter().flat_map(report_days).collect(),
        rollup_rows(deltas),
        metric_rows(deltas),
        shape_rows(deltas),
        deltas
            .metric_sessions
            .iter()
            .map(metric_session_row)
            .collect(),
        deltas
            .agent_machines
            .iter()
            .flat_map(agent_machine_rows)
            .collect(),
    ];
    TABLES.iter().zip(rows).collect()
}

/// The rows of [`TOKEN_USE`] that `deltas` add.
pub(in crate::central::store) fn token_rows(deltas: &Deltas) -> Vec<Vec<Value>> {
    let rows = deltas.tokens.iter().map(|(id, token)| {
        vec![
            id.as_str().into(),
            token.requests.into(),
            token.seen.first.into(),
            token.seen.last.into(),
            token.address.value.as_str().into(),
        ]
    });
    rows.collect()
}

/// The runs that `deltas` add, with the keys they stand under.
pub(in crate::central::store) fn run_rows(
    deltas: &Deltas,
) -> Vec<(&'static RunTable, Vec<Value>, &Runs)> {
    let ranges = deltas.machines.iter().map(|(id, machine)| {
        let key = vec![id.as_str().into()];
        (&MACHINE_RANGES, key, &machine.seqs)
    });
    let losses = deltas.machines.iter().flat_map(|(id, machine)| {
        machine.lost.iter().map(|(reason, runs)| {
            let key = vec![id.as_str().into(), reason.as_str().into()];
            (&MACHINE_LOSSES, key, runs)
        })
    });
    ranges
        .chain(losses)
        .filter(|(_, _, runs)| !runs.is_empty())
        .collect()
}

/// The rows of `used_by`, which the database's triggers keep: by how many agents and in how many sessions everything was
/// used, and the sessions of each agent.
pub(in crate::central::store) fn used_by_rows(deltas: &Deltas) -> Vec<[Value; 4]> {
    let mut counts: BTreeMap<(&str, &str), [i64; 2]> = BTreeMap::new();
    for (kind, names) in deltas.agents.values().flat_map(|agent| &agent.entities) {
        for name in names.keys() {
            counts.entry((kind.slug(), name)).or_default()[0] += 1;
        }
    }
    for session in deltas.sessions.values() {
        for (kind, names) in &session.entities {
            for name in names.keys() {
                counts.entry((kind.slug(), name)).or_default()[1] += 1;
            }
        }
        if let Some((_, _, agent)) = &session.agent {
            counts.entry(("agent", agent)).or_default()[1] += 1;
        }
    }
    let rows = counts
        .into_iter()
        .map(|((subject, name), [agents, sessions])| {
            [subject.into(), name.into(), agents.into(), sessions.into()]
        });
    rows.collect()
}

fn latest(latest: &Latest) -> [Value; 2] {
    [latest.at.into(), latest.value.as_str().into()]
}

fn seen(seen: Seen) -> [Value; 2] {
    [seen.first.into(), seen.last.into()]
}

fn agent_row((id, agent): (&String, &AgentDelta)) -> Vec<Value> {
    let mut row: Vec<Value> = vec![
        id.as_str().into(),
        agent.email.as_deref().into(),
        agent.name.as_str().into(),
        agent.owner.as_str().into(),
    ];
    row.extend(seen(agent.seen));
    row.extend([agent.events.into(), agent.cost_micros.into()]);
    row.extend(latest(&agent.version));
    row.extend(latest(&agent.service));
    row
}

fn identity_rows<'a>(
    (id, agent): (&'a String, &'a AgentDelta),
) -> impl Iterator<Item = Vec<Value>> + 'a {
    agent.identities.iter().flat_map(move |(key, values)| {
        values.iter().map(move |(value, times)| {
            let key = [id, key, value].map(|part| Value::from(part.as_str()));
            [&key[..], &seen(*times)].concat()
        })
    })
}

fn entity_rows(entities: &Named<EntityDelta>) -> impl Iterator<Item = Vec<Value>> + '_ {
    named(entities).map(|(kind, name, entity)| {
        let key = [kind.slug().into(), name.into()];
        let counts = [entity.events, entity.uses, entity.denied].map(Value::from);
        [&key[..], &seen(entity.seen), &counts].concat()
    })
}

fn counts(counts: &Counts) -> [Value; 11] {
    [
        counts.events,
        counts.tools,
        counts.denied,
        counts.errors,
        counts.requests,
        counts.tokens[0],
        counts.tokens[1],
        counts.tokens[2],
        counts.tokens[3],
        counts.cost_micros,
        counts.redactions,
    ]
    .map(Value::from)
}

fn session_row((id, session): (&String, &SessionDelta)) -> Vec<Value> {
    /// Greater than every real rank, so that any agent comes before none.
    const NO_AGENT: i64 = 9;
    let agent: [Value; 3] = match &session.agent {
        Some((rank, at, agent)) => [(*rank).into(), (*at).into(), agent.as_str().into()],
        None => [NO_AGENT.into(), Value::Int(0), "".into()],
    };
    let mut row: Vec<Value> = vec![id.as_str().into()];
    row.extend(seen(session.seen));
    row.extend(counts(&session.counts));
    row.extend(latest(&session.version));
    row.extend(latest(&session.service));
    row.extend(agent);
    row
}

fn session_entity_rows<'a>(
    (id, session): (&'a String, &'a SessionDelta),
) -> impl Iterator<Item = Vec<Value>> + 'a {
    named(&session.entities)
        .map(move |(kind, name, ())| vec![id.as_str().into(), kind.slug().into(), name.into()])
}

fn sets<'a>(sets: impl Iterator<Item = (&'a String, &'a BTreeSet<String>)>) -> Vec<Vec<Value>> {
    let rows = sets.flat_map(|(id, members)| {
        members
            .iter()
            .map(move |member| vec![id.as_str().into(), member.as_str().into()])
    });
    rows.collect()
}

fn machine_row((id, machine): (&String, &MachineDelta)) -> Vec<Value> {
    let (heartbeat_at, queue_records, queue_bytes) = machine.heartbeat.unwrap_or((-1, -1, -1));
    let mut row: Vec<Value> = vec![id.as_str().into()];
    row.extend(seen(machine.seen));
    row.extend(latest(&machine.host_name));
    row.extend(latest(&machine.os));
    row.extend(latest(&machine.version));
    row.extend([heartbeat_at, queue_records, queue_bytes].map(Value::from));
    row
}

fn loss_count_rows<'a>(
    (id, machine): (&'a String, &'a MachineDelta),
) -> impl Iterator<Item = Vec<Value>> + 'a {
    machine.lost_counts.iter().map(move |(reason, records)| {
        vec![
            id.as_str().into(),
            reason.as_str().into(),
            (*records).into(),
        ]
    })
}

fn report_row((id, report): (&String, &ReportDelta)) -> Vec<Value> {
    let mut row: Vec<Value> = vec![id.as_str().into()];
    row.extend(latest(&report.latest));
    row
}

fn report_days<'a>(
    (id, report): (&'a String, &'a ReportDelta),
) -> impl Iterator<Item = Vec<Value>> + 'a {
    let days = report.days.iter();
    days.map(move |day| vec![id.as_str().into(), (*day).into()])
}

fn rollup_rows(deltas: &Deltas) -> Vec<Vec<Value>> {
    let rows = deltas
        .rollups
        .iter()
        .flat_map(|((span, start, subject), names)| {
            names.iter().map(move |(name, sums)| {
                let key: [Value; 4] = [
                    span.seconds().into(),
                    (*start).into(),
                    subject.slug().into(),
                    name.as_str().into(),
                ];
                [&key[..], &counts(sums)].concat()
            })
        });
    rows.collect()
}

fn metric_rows(deltas: &Deltas) -> Vec<Vec<Value>> {
    let rows = deltas.metrics.iter().map(|(key, sum)| {
        vec![
            key.metric.as_str().into(),
            key.owner.as_str().into(),
            key.kind.as_str().into(),
            key.model.as_str().into(),
            key.hour.into(),
            key.series.into(),
            key.started.into(),
            sum.added.into(),
            sum.reached.into(),
        ]
    });
    rows.collect()
}

fn shape_rows(deltas: &Deltas) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for (day, clients) in &deltas.shapes {
        for (client, versions) in clients {
            for (version, names) in versions {
                for (name, shapes) in names {
                    let texts = [client, version, name].map(|text| Value::from(text.as_str()));
                    let key = [&[Value::from(*day)][..], &texts].concat();
                    let row = |(shape, events): (&i64, &i64)| {
                        [&key[..], &[Value::from(*shape), Value::from(*events)]].concat()
                    };
                    rows.extend(shapes.iter().map(row));
                }
            }
        }
    }
    rows
}

fn metric_session_row((session, times): (&String, &Seen)) -> Vec<Value> {
    let mut row: Vec<Value> = vec![session.as_str().into()];
    row.extend(seen(*times));
    row
}

fn agent_machine_rows<'a>(
    (agent, machines): (&'a String, &'a BTreeMap<String, Seen>),
) -> impl Iterator<Item = Vec<Value>> + 'a {
    machines.iter().map(move |(machine, times)| {
        let key = [agent, machine].map(|part| Value::from(part.as_str()));
        [&key[..], &seen(*times)].concat()
    })
}

fn named<T>(named: &Named<T>) -> impl Iterator<Item = (EntityKind, &str, &T)> {
    named.iter().flat_map(|(kind, names)| {
        names
            .iter()
            .map(move |(name, value)| (*kind, name.as_str(), value))
    })
}
