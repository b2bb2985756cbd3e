//! The derived tables: which columns each has, and how a row that is there and a row that is added become
//! one. Both databases' upserts, `rebuild` and `verify` follow from this page.

use std::fmt::Write;

use crate::central::materialize::{
    AgentDelta, Counts, Deltas, EntityDelta, Latest, MachineDelta, Named, ReportDelta, Runs, Seen,
    SessionDelta,
};

use super::EntityKind;
use super::query::{Dialect, Value};

/// A derived table. Tenant and environment stand before its columns and lead its key.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [Column],
}

/// A column of a derived table.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) is_text: bool,
    merge: Merge,
}

/// How two rows of one key become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Merge {
    /// The column belongs to the key.
    Key,
    /// It follows from the key.
    Fixed,
    Least,
    Greatest,
    Sum,
    /// These columns, of which this is one, come from the row where they are greatest, taken together.
    GreatestOf(&'static [&'static str]),
    /// The same where they are least.
    LeastOf(&'static [&'static str]),
}

use Merge::{Fixed, Greatest, GreatestOf, Key, Least, LeastOf, Sum};

const fn text(name: &'static str, merge: Merge) -> Column {
    Column {
        name,
        is_text: true,
        merge,
    }
}

const fn int(name: &'static str, merge: Merge) -> Column {
    Column {
        name,
        is_text: false,
        merge,
    }
}

const FIRST_SEEN: Column = int("first_seen", Least);
const LAST_SEEN: Column = int("last_seen", Greatest);
const VERSION: &[&str] = &["version_at", "version"];
const SERVICE: &[&str] = &["service_at", "service"];
const HOST_NAME: &[&str] = &["host_name_at", "host_name"];
const OS: &[&str] = &["os_at", "os"];
const HEARTBEAT: &[&str] = &["heartbeat_at", "queue_records", "queue_bytes"];
const REPORT: &[&str] = &["reported_at", "report"];
const BEST_AGENT: &[&str] = &["agent_rank", "agent_at", "agent"];
const LAST_USE: &[&str] = &["last_used", "last_address"];

const AGENTS: Table = Table {
    name: "agents",
    columns: &[
        text("id", Key),
        text("email", Fixed),
        text("name", Fixed),
        text("owner", Fixed),
        FIRST_SEEN,
        LAST_SEEN,
        int("event_count", Sum),
        int("cost_micros", Sum),
        int("version_at", GreatestOf(VERSION)),
        text("version", GreatestOf(VERSION)),
        int("service_at", GreatestOf(SERVICE)),
        text("service", GreatestOf(SERVICE)),
    ],
};

const IDENTITIES: Table = Table {
    name: "identities",
    columns: &[
        text("agent", Key),
        text("key", Key),
        text("value", Key),
        FIRST_SEEN,
        LAST_SEEN,
    ],
};

const ENTITIES: Table = Table {
    name: "entities",
    columns: &[
        text("kind", Key),
        text("name", Key),
        FIRST_SEEN,
        LAST_SEEN,
        int("event_count", Sum),
        int("use_count", Sum),
        int("denied_count", Sum),
    ],
};

const AGENT_ENTITIES: Table = Table {
    name: "agent_entities",
    columns: &[
        text("agent", Key),
        text("kind", Key),
        text("name", Key),
        FIRST_SEEN,
        LAST_SEEN,
        int("event_count", Sum),
        int("use_count", Sum),
        int("denied_count", Sum),
    ],
};

const SESSIONS: Table = Table {
    name: "sessions",
    columns: &[
        text("id", Key),
        int("started_at", Least),
        int("ended_at", Greatest),
        int("event_count", Sum),
        int("tool_count", Sum),
        int("denied_count", Sum),
        int("error_count", Sum),
        int("request_count", Sum),
        int("input_tokens", Sum),
        int("output_tokens", Sum),
        int("cache_read_tokens", Sum),
        int("cache_creation_tokens", Sum),
        int("cost_micros", Sum),
        int("redactions", Sum),
        int("version_at", GreatestOf(VERSION)),
        text("version", GreatestOf(VERSION)),
        int("service_at", GreatestOf(SERVICE)),
        text("service", GreatestOf(SERVICE)),
        int("agent_rank", LeastOf(BEST_AGENT)),
        int("agent_at", LeastOf(BEST_AGENT)),
        text("agent", LeastOf(BEST_AGENT)),
    ],
};

const SESSION_ENTITIES: Table = Table {
    name: "session_entities",
    columns: &[text("session", Key), text("kind", Key), text("name", Key)],
};

const SESSION_TURNS: Table = Table {
    name: "session_turns",
    columns: &[text("session", Key), text("prompt", Key)],
};

const SESSION_MACHINES: Table = Table {
    name: "session_machines",
    columns: &[text("session", Key), text("machine", Key)],
};

const MACHINES: Table = Table {
    name: "machines",
    columns: &[
        text("id", Key),
        FIRST_SEEN,
        LAST_SEEN,
        int("host_name_at", GreatestOf(HOST_NAME)),
        text("host_name", GreatestOf(HOST_NAME)),
        int("os_at", GreatestOf(OS)),
        text("os", GreatestOf(OS)),
        int("version_at", GreatestOf(VERSION)),
        text("version", GreatestOf(VERSION)),
        int("heartbeat_at", GreatestOf(HEARTBEAT)),
        int("queue_records", GreatestOf(HEARTBEAT)),
        int("queue_bytes", GreatestOf(HEARTBEAT)),
    ],
};

const MACHINE_LOSS_COUNTS: Table = Table {
    name: "machine_loss_counts",
    columns: &[
        text("machine", Key),
        text("reason", Key),
        int("records", Greatest),
    ],
};

const MACHINE_REPORTS: Table = Table {
    name: "machine_reports",
    columns: &[
        text("machine", Key),
        int("reported_at", GreatestOf(REPORT)),
        text("report", GreatestOf(REPORT)),
    ],
};

const MACHINE_DAYS: Table = Table {
    name: "machine_days",
    columns: &[text("machine", Key), int("day", Key)],
};

const ROLLUPS: Table = Table {
    name: "rollups",
    columns: &[
        int("span", Key),
        int("start", Key),
        text("subject", Key),
        text("name", Key),
        int("event_count", Sum),
        int("tool_count", Sum),
        int("denied_count", Sum),
        int("error_count", Sum),
        int("request_count", Sum),
        int("input_tokens", Sum),
        int("output_tokens", Sum),
        int("cache_read_tokens", Sum),
        int("cache_creation_tokens", Sum),
        int("cost_micros", Sum),
        int("redactions", Sum),
    ],
};

const METRIC_HOURS: Table = Table {
    name: "metric_hours",
    columns: &[
        text("metric", Key),
        text("owner", Key),
        text("kind", Key),
        text("model", Key),
        int("hour", Key),
        int("series", Key),
        int("started", Key),
        int("added_micros", Sum),
        int("reached_micros", Greatest),
    ],
};

/// How tokens are used: merged like the others, but counted from requests, not from events.
pub(super) static TOKEN_USE: Table = Table {
    name: "token_use",
    columns: &[
        text("token", Key),
        int("request_count", Sum),
        int("first_used", Least),
        int("last_used", GreatestOf(LAST_USE)),
        text("last_address", GreatestOf(LAST_USE)),
    ],
};

/// The tables that can be made anew from what is stored, but for those of runs.
pub(super) static TABLES: [Table; 14] = [
    AGENTS,
    IDENTITIES,
    ENTITIES,
    AGENT_ENTITIES,
    SESSIONS,
    SESSION_ENTITIES,
    SESSION_TURNS,
    SESSION_MACHINES,
    MACHINES,
    MACHINE_LOSS_COUNTS,
    MACHINE_REPORTS,
    MACHINE_DAYS,
    ROLLUPS,
    METRIC_HOURS,
];

/// A derived table with contiguous runs of numbers, `first` to `last`, which unite where they touch.
#[derive(Debug)]
pub(super) struct RunTable {
    pub(super) name: &'static str,
    /// Its key besides tenant and environment, all text.
    pub(super) key: &'static [&'static str],
}

/// Numbers of a machine's records that are here.
pub(super) static MACHINE_RANGES: RunTable = RunTable {
    name: "machine_ranges",
    key: &["machine"],
};

/// Numbers of a machine's records that will not come.
pub(super) static MACHINE_LOSSES: RunTable = RunTable {
    name: "machine_losses",
    key: &["machine", "reason"],
};

impl Table {
    /// `INSERT INTO … (…)`, up to the rows.
    pub(super) fn insert(&self) -> String {
        format!(
            "INSERT INTO {} (tenant, environment, {})",
            self.name,
            self.names()
        )
    }

    /// The names of its columns, with commas between.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        names.join(", ")
    }

    /// What follows the rows: how those merge that are there already.
    pub(super) fn on_conflict(&self, dialect: Dialect) -> String {
        let is_key = |column: &&Column| column.merge == Key;
        let key: Vec<&str> = self
            .columns
            .iter()
            .filter(is_key)
            .map(|it| it.name)
            .collect();
        let changes: Vec<String> = self
            .columns
            .iter()
            .filter_map(|column| self.change(column, dialect))
            .collect();
        let mut sql = format!(" ON CONFLICT (tenant, environment, {}) DO ", key.join(", "));
        match changes.is_empty() {
            true => sql.push_str("NOTHING"),
            false => {
                write!(sql, "UPDATE SET {}", changes.join(", ")).expect("a string grows as needed");
            }
        }
        sql
    }

    fn change(&self, column: &Column, dialect: Dialect) -> Option<String> {
        let (table, name) = (self.name, column.name);
        let (least, greatest) = (dialect.least(), dialect.greatest());
        let best = |order: &str, names: &[&str]| {
            let all = |of: &str| {
                let names: Vec<String> = names.iter().map(|name| format!("{of}.{name}")).collect();
                names.join(", ")
            };
            format!(
                "CASE WHEN ({}) {order} ({}) THEN excluded.{name} ELSE {table}.{name} END",
                all("excluded"),
                all(table),
            )
        };
        let value = match column.merge {
            Key | Fixed => return None,
            Least => format!("{least}({table}.{name}, excluded.{name})"),
            Greatest => format!("{greatest}({table}.{name}, excluded.{name})"),
            Sum => format!("{table}.{name} + excluded.{name}"),
            GreatestOf(names) => best(">", names),
            LeastOf(names) => best("<", names),
        };
        Some(format!("{name} = {value}"))
    }
}

/// The rows that `deltas` add, without tenant and environment, table by table. Within a table no two
/// have one key.
pub(super) fn rows(deltas: &Deltas) -> Vec<(&'static Table, Vec<Vec<Value>>)> {
    let agents = &deltas.agents;
    let sessions = &deltas.sessions;
    let machines = &deltas.machines;
    let agent_entities = agents.iter().flat_map(|(id, agent)| {
        let with_agent = |row: Vec<Value>| [vec![id.as_str().into()], row].concat();
        entity_rows(&agent.entities).map(with_agent)
    });
    let rows: [Vec<Vec<Value>>; 14] = [
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
    ];
    TABLES.iter().zip(rows).collect()
}

/// The rows of [`TOKEN_USE`] that `deltas` add.
pub(super) fn token_rows(deltas: &Deltas) -> Vec<Vec<Value>> {
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
pub(super) fn run_rows(deltas: &Deltas) -> Vec<(&'static RunTable, Vec<Value>, &Runs)> {
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

fn sets<'a>(
    sets: impl Iterator<Item = (&'a String, &'a std::collections::BTreeSet<String>)>,
) -> Vec<Vec<Value>> {
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

fn named<T>(named: &Named<T>) -> impl Iterator<Item = (EntityKind, &str, &T)> {
    named.iter().flat_map(|(kind, names)| {
        names
            .iter()
            .map(move |(name, value)| (*kind, name.as_str(), value))
    })
}
