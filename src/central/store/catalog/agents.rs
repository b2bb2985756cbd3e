//! Agents: what an environment's list of them is told apart by.

use schemars::JsonSchema;
use serde::Serialize;

use crate::central::materialize::{Span, Subject};
use crate::central::store::StoreError;
use crate::central::store::event_row::dollars;
use crate::central::store::query::{Query, Row};
use crate::event::Timestamp;

use super::{Catalog, Cataloged, Facet, Of, Rows, Values};

/// What agents used, of some kinds.
macro_rules! used {
    ($kind:literal) => {
        Values::Many {
            table: "agent_entities",
            belong: concat!(
                "v.tenant = $1 AND v.environment = $2 AND v.agent = l.id AND v.kind ",
                $kind
            ),
            value: "v.name",
        }
    };
}

/// A person's Claude, as the inventory lists it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Agent {
    /// Stable id, derived from the identity, the same after a rebuild.
    pub id: String,
    /// `Cowork/<part of the e-mail before @>`, or `Cowork/<user.id>`.
    pub name: String,
    /// The e-mail, else the raw id.
    pub owner: String,
    /// The e-mail, trimmed and in lower case.
    pub user_email: Option<String>,
    /// The latest `user.id` seen: an installation, not a person.
    pub user_id: Option<String>,
    /// The latest `service.name`: `claude-code`, `cowork`, …
    pub service: Option<String>,
    /// Version of the client in its latest record.
    pub client_version: Option<String>,
    /// Earliest event time.
    pub first_seen: Timestamp,
    /// Latest event time.
    pub last_seen: Timestamp,
    /// How long ago that was.
    pub activity: Activeness,
    /// Events stored.
    pub event_count: i64,
    /// Sessions seen.
    pub session_count: i64,
    /// Of these, the ones that began within the last 7 days.
    pub session_count_7d: i64,
    /// Built-in tools used.
    pub tool_count: i64,
    /// MCP tools used.
    pub mcp_tool_count: i64,
    /// Models invoked.
    pub model_count: i64,
    /// The client's own estimate, in US dollars.
    pub cost_usd: f64,
    /// The same of the last 30 days, from the beginning of the first of them in UTC.
    pub cost_usd_30d: f64,
    /// Whether its records are all here, as far as that can be told; `None` without a record within the last
    /// 30 days.
    pub completeness: Option<Completeness>,
}

/// How long ago something was heard of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activeness {
    /// Within a day.
    Active,
    /// Within a week, but not within a day.
    Quiet,
    /// Not within a week.
    Silent,
}

/// Whether records are missing on the way that an agent's records of the last 30 days came by. An edge
/// numbers all records of its machine, so what is missing may be of another agent there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// Everything that its machines numbered is here.
    Complete,
    /// Some came without an edge, which nothing numbers: a loss cannot be seen.
    NotNumbered,
    /// A machine lost records, and says why.
    Dropped,
    /// Records of a machine are missing without a reason.
    Missing,
}

impl Cataloged for Agent {
    const CATALOG: Catalog<Agent> = Catalog {
        facets: &[
            Facet {
                name: "activity",
                title: "Activity",
                about: "How long ago its latest event was: within a day, within a week, or longer.",
                one_of: &["active", "quiet", "silent"],
                values: Values::One("l.activity"),
            },
            Facet {
                name: "records",
                title: "Records",
                about: "Whether records are missing on the way that its records of the last 30 days came by. \
                        Those that came without an edge are not numbered: a loss cannot be seen.",
                one_of: &["complete", "not numbered", "dropped", "missing"],
                values: Values::One(
                    "CASE l.standing WHEN 0 THEN 'complete' WHEN 1 THEN 'not numbered'
                         WHEN 2 THEN 'dropped' WHEN 3 THEN 'missing' END",
                ),
            },
            Facet {
                name: "platform",
                title: "Platform",
                about: "The client, as its latest record names it.",
                one_of: &[],
                values: Values::One("l.service"),
            },
            Facet {
                name: "known",
                title: "Known by",
                about: "Whether its records carry an e-mail, or the client's own id alone.",
                one_of: &["e-mail", "raw id"],
                values: Values::One("l.known"),
            },
            Facet {
                name: "version",
                title: "Client version",
                about: "The client's version in its latest record.",
                one_of: &[],
                values: Values::One("l.version"),
            },
            Facet {
                name: "model",
                title: "Model",
                about: "A model that it invoked.",
                one_of: &[],
                values: used!("= 'model'"),
            },
            Facet {
                name: "tool",
                title: "Tool",
                about: "A tool, or an MCP tool as server:tool, that it used.",
                one_of: &[],
                values: used!("IN ('tool', 'mcp_tool')"),
            },
            Facet {
                name: "mcp",
                title: "MCP server",
                about: "An MCP server of which it used a tool.",
                one_of: &[],
                values: Values::Many {
                    table: "(SELECT tenant, environment, agent, substr(name, 1, strpos(name, ':') - 1) AS server
                         FROM agent_entities WHERE kind = 'mcp_tool' AND strpos(name, ':') > 0)",
                    belong: "v.tenant = $1 AND v.environment = $2 AND v.agent = l.id",
                    value: "v.server",
                },
            },
            Facet {
                name: "dir",
                title: "Directory",
                about: "A directory that was given to it.",
                one_of: &[],
                values: used!("= 'working_directory'"),
            },
        ],
        searches: "Name, e-mail or id",
        of: &[],
        columns: &[
            ("name", "lower(l.name)"),
            ("owner", "lower(l.owner)"),
            ("last-activity", "l.last_seen"),
            ("client", "lower(coalesce(l.service, '') || ' ' || coalesce(l.version, ''))"),
            ("sessions-7-d", "l.sessions_7d"),
            ("sessions", "l.sessions"),
            ("tools", "l.tools"),
            ("mcp-tools", "l.mcp_tools"),
            ("models", "l.models"),
            ("events", "l.event_count"),
            ("cost-30-d", "l.cost_30d"),
            ("cost", "l.cost_micros"),
            ("records", "coalesce(l.standing, -1)"),
        ],
        order: "-last-activity",
        texts: &["l.name", "l.owner", "l.id", "coalesce(l.user_id, '')"],
        key: &["l.id"],
        rows: Rows::Selected(
            "l.id, l.name, l.owner, l.email, l.user_id, l.service, l.version, l.first_seen, l.last_seen,
            l.event_count, l.sessions, l.sessions_7d, l.tools, l.mcp_tools, l.models, l.cost_micros,
            l.cost_30d, l.standing, l.activity",
            read,
        ),
        source,
        key_of: |agent| vec![&agent.id],
    };
}

fn source(query: &mut Query, _: &Of, now: Timestamp) {
    let [day, week, month] = [1, 7, 30].map(|days| query.name(now.days_before(days)));
    let used = |kind: &str| {
        format!(
            "(SELECT count(*) FROM agent_entities n WHERE n.tenant = a.tenant
                 AND n.environment = a.environment AND n.agent = a.id AND n.kind = '{kind}')"
        )
    };
    let (tools, mcp_tools, models) = (used("tool"), used("mcp_tool"), used("model"));
    let (day_span, agent) = (Span::Day.seconds(), Subject::Agent.slug());
    let first_day = query.name(Span::Day.start_of(now.days_before(30)));
    query.push(&format!(
        "(SELECT a.id, a.name, a.owner, a.email, a.first_seen, a.last_seen, a.event_count, a.cost_micros,
             nullif(a.service, '') AS service, nullif(a.version, '') AS version,
             (SELECT value FROM identities i WHERE i.tenant = a.tenant AND i.environment = a.environment
                 AND i.agent = a.id AND i.key = 'user.id'
                 ORDER BY i.last_seen DESC, i.value DESC LIMIT 1) AS user_id,
             CASE WHEN a.last_seen > {day} THEN 'active'
                 WHEN a.last_seen > {week} THEN 'quiet' ELSE 'silent' END AS activity,
             CASE WHEN a.email IS NULL THEN 'raw id' ELSE 'e-mail' END AS known,
             coalesce((SELECT u.session_count FROM used_by u WHERE u.tenant = a.tenant
                 AND u.environment = a.environment AND u.subject = 'agent' AND u.name = a.id), 0) AS sessions,
             (SELECT count(*) FROM sessions s WHERE s.tenant = a.tenant AND s.environment = a.environment
                 AND s.agent = a.id AND s.started_at >= {week}) AS sessions_7d,
             coalesce((SELECT CAST(sum(r.cost_micros) AS bigint) FROM rollups r
                 WHERE r.tenant = a.tenant AND r.environment = a.environment AND r.span = {day_span}
                     AND r.subject = '{agent}' AND r.name = a.id AND r.start >= {first_day}), 0) AS cost_30d,
             {tools} AS tools, {mcp_tools} AS mcp_tools, {models} AS models,
             (SELECT max(CASE WHEN t.missing > 0 THEN 3 WHEN t.lost > 0 THEN 2
                     WHEN m.machine = '' THEN 1 ELSE 0 END)
                 FROM agent_machines m
                 LEFT JOIN machine_standing t ON t.tenant = m.tenant AND t.environment = m.environment
                     AND t.machine = m.machine
                 WHERE m.tenant = a.tenant AND m.environment = a.environment AND m.agent = a.id
                     AND m.last_seen >= {month}) AS standing
         FROM agents a WHERE a.tenant = $1 AND a.environment = $2) l"
    ));
}

fn read(mut row: Row) -> Result<Agent, StoreError> {
    let standing: Option<i64> = row.take(17)?;
    let activity: String = row.take(18)?;
    Ok(Agent {
        id: row.take(0)?,
        name: row.take(1)?,
        owner: row.take(2)?,
        user_email: row.take(3)?,
        user_id: row.take(4)?,
        service: row.take(5)?,
        client_version: row.take(6)?,
        first_seen: row.take(7)?,
        last_seen: row.take(8)?,
        activity: match activity.as_str() {
            "active" => Activeness::Active,
            "quiet" => Activeness::Quiet,
            _ => Activeness::Silent,
        },
        event_count: row.take(9)?,
        session_count: row.take(10)?,
        session_count_7d: row.take(11)?,
        tool_count: row.take(12)?,
        mcp_tool_count: row.take(13)?,
        model_count: row.take(14)?,
        cost_usd: dollars(row.take(15)?),
        cost_usd_30d: dollars(row.take(16)?),
        completeness: standing.map(|standing| match standing {
            3 => Completeness::Missing,
            2 => Completeness::Dropped,
            1 => Completeness::NotNumbered,
            _ => Completeness::Complete,
        }),
    })
}
