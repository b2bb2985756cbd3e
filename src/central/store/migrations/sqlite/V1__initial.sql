-- Times are nanoseconds since the Unix epoch; money is millionths of a US dollar.
-- Tenant and environment lead every key and stand in every query.

CREATE TABLE tenants (
    id          INTEGER PRIMARY KEY,
    public_id   TEXT NOT NULL UNIQUE,
    slug        TEXT NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL
);

CREATE TABLE environments (
    id          INTEGER PRIMARY KEY,
    tenant      INTEGER NOT NULL REFERENCES tenants (id),
    public_id   TEXT NOT NULL UNIQUE,
    slug        TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    UNIQUE (tenant, slug)
);

CREATE TABLE installations (
    tenant       INTEGER NOT NULL,
    environment  INTEGER NOT NULL,
    platform     TEXT NOT NULL,
    installed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, platform)
) WITHOUT ROWID;

CREATE TABLE tokens (
    tenant        INTEGER NOT NULL,
    environment   INTEGER NOT NULL,
    id            TEXT NOT NULL,
    platform      TEXT NOT NULL,
    key_id        TEXT NOT NULL,
    issued_at     INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    revoked_at    INTEGER,
    first_used    INTEGER,
    last_used     INTEGER,
    request_count INTEGER NOT NULL DEFAULT 0,
    last_address  TEXT,
    PRIMARY KEY (tenant, environment, id)
) WITHOUT ROWID;

CREATE TABLE api_keys (
    hash        TEXT PRIMARY KEY,
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    name        TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) WITHOUT ROWID;

-- The log is the truth; every table below it is derived and can be made again.
CREATE TABLE events (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant          INTEGER NOT NULL,
    environment     INTEGER NOT NULL,
    time            INTEGER NOT NULL,
    uid             TEXT NOT NULL,
    has_own_time    INTEGER NOT NULL,
    received        INTEGER NOT NULL,
    name            TEXT NOT NULL,
    activity        TEXT NOT NULL,
    agent           TEXT,
    session         TEXT,
    prompt          TEXT,
    sequence        INTEGER,
    tool_kind       TEXT,
    tool            TEXT,
    tool_use_id     TEXT,
    model           TEXT,
    decision        TEXT,
    decision_source TEXT,
    success         INTEGER,
    duration_ms     INTEGER,
    cost_micros     INTEGER,
    input_tokens    INTEGER,
    output_tokens   INTEGER,
    redactions      INTEGER NOT NULL,
    machine         TEXT,
    machine_seq     INTEGER,
    record          BLOB NOT NULL
);

-- A retry carries the same time, so it falls on the same key, at the right edge of the index.
CREATE UNIQUE INDEX events_identity ON events (tenant, environment, time, uid);
-- A record without a time gets the time of its arrival, which a retry does not share.
CREATE UNIQUE INDEX events_identity_without_time ON events (tenant, environment, uid) WHERE has_own_time = 0;
-- An event's own page knows only its identity.
CREATE INDEX events_by_uid ON events (tenant, environment, uid);
CREATE INDEX events_by_time ON events (tenant, environment, time);
CREATE INDEX events_by_agent ON events (tenant, environment, agent, time);
CREATE INDEX events_by_session ON events (tenant, environment, session, time);
CREATE INDEX events_by_activity ON events (tenant, environment, activity, time);
CREATE INDEX events_by_tool ON events (tenant, environment, tool, time) WHERE tool IS NOT NULL;

-- Prompts, responses, tool input: apart, so that they can be kept shorter and erased.
CREATE TABLE event_content (
    seq     INTEGER PRIMARY KEY REFERENCES events (seq),
    content BLOB NOT NULL
);

-- Metrics and traces, whole: one row for each ResourceMetrics or ResourceSpans.
CREATE TABLE signals (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    signal      TEXT NOT NULL,
    uid         TEXT NOT NULL,
    received    INTEGER NOT NULL,
    message     BLOB NOT NULL,
    PRIMARY KEY (tenant, environment, signal, uid)
) WITHOUT ROWID;

CREATE TABLE agents (
    tenant       INTEGER NOT NULL,
    environment  INTEGER NOT NULL,
    id           TEXT NOT NULL,
    email        TEXT,
    name         TEXT NOT NULL,
    owner        TEXT NOT NULL,
    first_seen   INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL,
    event_count  INTEGER NOT NULL,
    cost_micros  INTEGER NOT NULL,
    version_at   INTEGER NOT NULL,
    version      TEXT NOT NULL,
    service_at   INTEGER NOT NULL,
    service      TEXT NOT NULL,
    PRIMARY KEY (tenant, environment, id)
) WITHOUT ROWID;
CREATE INDEX agents_by_activity ON agents (tenant, environment, last_seen, id);

CREATE TABLE identities (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    agent       TEXT NOT NULL,
    key         TEXT NOT NULL,
    value       TEXT NOT NULL,
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, agent, key, value)
) WITHOUT ROWID;

CREATE TABLE entities (
    tenant       INTEGER NOT NULL,
    environment  INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    first_seen   INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL,
    event_count  INTEGER NOT NULL,
    use_count    INTEGER NOT NULL,
    denied_count INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, kind, name)
) WITHOUT ROWID;

CREATE TABLE agent_entities (
    tenant       INTEGER NOT NULL,
    environment  INTEGER NOT NULL,
    agent        TEXT NOT NULL,
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    first_seen   INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL,
    event_count  INTEGER NOT NULL,
    use_count    INTEGER NOT NULL,
    denied_count INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, agent, kind, name)
) WITHOUT ROWID;
CREATE INDEX agent_entities_by_name ON agent_entities (tenant, environment, kind, name);

CREATE TABLE sessions (
    tenant                INTEGER NOT NULL,
    environment           INTEGER NOT NULL,
    id                    TEXT NOT NULL,
    started_at            INTEGER NOT NULL,
    ended_at              INTEGER NOT NULL,
    event_count           INTEGER NOT NULL,
    tool_count            INTEGER NOT NULL,
    denied_count          INTEGER NOT NULL,
    error_count           INTEGER NOT NULL,
    request_count         INTEGER NOT NULL,
    input_tokens          INTEGER NOT NULL,
    output_tokens         INTEGER NOT NULL,
    cache_read_tokens     INTEGER NOT NULL,
    cache_creation_tokens INTEGER NOT NULL,
    cost_micros           INTEGER NOT NULL,
    redactions            INTEGER NOT NULL,
    version_at            INTEGER NOT NULL,
    version               TEXT NOT NULL,
    service_at            INTEGER NOT NULL,
    service               TEXT NOT NULL,
    -- The agent: one known by e-mail before one known by id, then the earliest, then by id.
    agent_rank            INTEGER NOT NULL,
    agent_at              INTEGER NOT NULL,
    agent                 TEXT NOT NULL,
    PRIMARY KEY (tenant, environment, id)
) WITHOUT ROWID;
CREATE INDEX sessions_by_start ON sessions (tenant, environment, started_at, id);
CREATE INDEX sessions_by_agent ON sessions (tenant, environment, agent, started_at, id);

CREATE TABLE session_entities (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    session     TEXT NOT NULL,
    kind        TEXT NOT NULL,
    name        TEXT NOT NULL,
    PRIMARY KEY (tenant, environment, session, kind, name)
) WITHOUT ROWID;
CREATE INDEX session_entities_by_name ON session_entities (tenant, environment, kind, name, session);

CREATE TABLE session_turns (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    session     TEXT NOT NULL,
    prompt      TEXT NOT NULL,
    PRIMARY KEY (tenant, environment, session, prompt)
) WITHOUT ROWID;

CREATE TABLE session_machines (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    session     TEXT NOT NULL,
    machine     TEXT NOT NULL,
    PRIMARY KEY (tenant, environment, session, machine)
) WITHOUT ROWID;

CREATE TABLE machines (
    tenant        INTEGER NOT NULL,
    environment   INTEGER NOT NULL,
    id            TEXT NOT NULL,
    first_seen    INTEGER NOT NULL,
    last_seen     INTEGER NOT NULL,
    host_name_at  INTEGER NOT NULL,
    host_name     TEXT NOT NULL,
    os_at         INTEGER NOT NULL,
    os            TEXT NOT NULL,
    version_at    INTEGER NOT NULL,
    version       TEXT NOT NULL,
    -- The latest heartbeat; all -1 until there is one.
    heartbeat_at  INTEGER NOT NULL,
    queue_records INTEGER NOT NULL,
    queue_bytes   INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, id)
) WITHOUT ROWID;

-- The numbers that are here, as contiguous runs: a few bytes a run, whatever the volume.
CREATE TABLE machine_ranges (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    machine     TEXT NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, machine, first)
) WITHOUT ROWID;
