//! The derived tables, as the migrations make them.

use super::Merge::{Added, Fixed, Greatest, GreatestOf, Key, Least, LeastOf, Sum};
use super::{Column, Merge, RunTable, Table};

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

const EVENT_SHAPES: Table = Table {
    name: "event_shapes",
    columns: &[
        int("day", Key),
        text("client", Key),
        text("version", Key),
        text("name", Key),
        int("shape", Key),
        int("event_count", Sum),
    ],
};

const METRIC_SESSIONS: Table = Table {
    name: "metric_sessions",
    columns: &[text("session", Key), FIRST_SEEN, LAST_SEEN],
};

const AGENT_MACHINES: Table = Table {
    name: "agent_machines",
    columns: &[
        text("agent", Key),
        text("machine", Key),
        FIRST_SEEN,
        LAST_SEEN,
    ],
};

/// How tokens are used: merged like the others, but counted from requests, not from events.
pub(in crate::central::store) static TOKEN_USE: Table = Table {
    name: "token_use",
    columns: &[
        text("token", Key),
        int("request_count", Sum),
        int("first_used", Least),
        int("last_used", GreatestOf(LAST_USE)),
        text("last_address", GreatestOf(LAST_USE)),
    ],
};

/// Where machines stand: counted anew from the other tables of a machine whenever one of them changes.
pub(in crate::central::store) static MACHINE_STANDING: Table = Table {
    name: "machine_standing",
    columns: &[
        text("machine", Key),
        int("present_at", Added),
        int("days_there", Added),
        int("appended", Added),
        int("stored", Added),
        int("missing", Added),
        int("dropped", Added),
        int("lost", Added),
        int("parked", Added),
        int("clock_is_off", Added),
        int("token_expires_at", Added),
    ],
};

/// The tables that can be made anew from what is stored, but for those of runs.
pub(in crate::central::store) static TABLES: [Table; 17] = [
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
    EVENT_SHAPES,
    METRIC_SESSIONS,
    AGENT_MACHINES,
];

/// Numbers of a machine's records that are here.
pub(in crate::central::store) static MACHINE_RANGES: RunTable = RunTable {
    name: "machine_ranges",
    key: &["machine"],
};

/// Numbers of a machine's records that will not come.
pub(in crate::central::store) static MACHINE_LOSSES: RunTable = RunTable {
    name: "machine_losses",
    key: &["machine", "reason"],
};

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
