-- Events become narrow: identity, time, and short keys of what is filtered by; everything else is read
-- from the record. record_key, agent_key, text_key and word_key are functions of the program (keys.rs).

CREATE TABLE narrow_events (
    -- In order of commit: what follows the store goes by it.
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    uid         BLOB NOT NULL,
    received    INTEGER NOT NULL,
    activity    INTEGER NOT NULL,
    name        INTEGER NOT NULL,
    agent       INTEGER,
    session     INTEGER,
    model       INTEGER,
    -- As text: an MCP tool is named by content, which may be gone one day.
    tool        TEXT,
    is_mcp      INTEGER,
    record      BLOB NOT NULL
);

INSERT INTO narrow_events
SELECT seq, tenant, environment, time, record_key(uid), received, activity_key(activity), word_key(name),
    agent_key(agent), text_key(session), word_key(model), tool, tool_kind = 'mcp_tool', record
FROM events ORDER BY seq;

-- A record without a time gets the time of its arrival, which a retry does not share.
CREATE TABLE events_without_time (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    uid         BLOB NOT NULL,
    time        INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, uid)
) WITHOUT ROWID;

INSERT INTO events_without_time
SELECT tenant, environment, record_key(uid), time FROM events WHERE has_own_time = 0;

CREATE TABLE content (
    seq     INTEGER PRIMARY KEY,
    content BLOB NOT NULL
);
INSERT INTO content SELECT seq, content FROM event_content;
DROP TABLE event_content;
ALTER TABLE content RENAME TO event_content;

DROP TABLE events;
ALTER TABLE narrow_events RENAME TO events;

-- A retry carries the same time, so it falls on the same key, at the right edge of the index.
CREATE UNIQUE INDEX events_identity ON events (tenant, environment, time, uid);
CREATE INDEX events_by_agent ON events (tenant, environment, agent, time) WHERE agent IS NOT NULL;
CREATE INDEX events_by_session ON events (tenant, environment, session, time) WHERE session IS NOT NULL;
CREATE INDEX events_by_activity ON events (tenant, environment, activity, time);
CREATE INDEX events_by_tool ON events (tenant, environment, tool, time) WHERE tool IS NOT NULL;

-- What records are compressed with; old ones stay, for what was compressed with them.
CREATE TABLE dictionaries (
    id         INTEGER PRIMARY KEY,
    made_at    INTEGER NOT NULL,
    dictionary BLOB NOT NULL
);

-- How tokens are used, by accepted requests.
CREATE TABLE token_use (
    tenant        INTEGER NOT NULL,
    environment   INTEGER NOT NULL,
    token         TEXT NOT NULL,
    request_count INTEGER NOT NULL,
    first_used    INTEGER NOT NULL,
    last_used     INTEGER NOT NULL,
    last_address  TEXT NOT NULL,
    PRIMARY KEY (tenant, environment, token)
) WITHOUT ROWID;
INSERT INTO token_use
SELECT tenant, environment, id, request_count, first_used, last_used, coalesce(last_address, '')
FROM tokens WHERE first_used IS NOT NULL;
ALTER TABLE tokens DROP COLUMN request_count;
ALTER TABLE tokens DROP COLUMN first_used;
ALTER TABLE tokens DROP COLUMN last_used;
ALTER TABLE tokens DROP COLUMN last_address;

-- Sums by hour and day, so that no page counts events. Spans and their starts are in seconds.
CREATE TABLE rollups (
    tenant                INTEGER NOT NULL,
    environment           INTEGER NOT NULL,
    span                  INTEGER NOT NULL,
    start                 INTEGER NOT NULL,
    subject               TEXT NOT NULL,
    name                  TEXT NOT NULL,
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
    PRIMARY KEY (tenant, environment, span, subject, start, name)
) WITHOUT ROWID;

-- Facts about the store itself, such as what is still to be done after a migration.
CREATE TABLE store_state (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
-- The roll-ups of what is here already are made at the next start.
INSERT INTO store_state SELECT 'rebuild', 'roll-ups'
WHERE EXISTS (SELECT 1 FROM events) OR EXISTS (SELECT 1 FROM signals);

-- What events that retention has deleted add to the derived tables: they count along for ever.
CREATE TABLE retired (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    delta       BLOB NOT NULL,
    PRIMARY KEY (tenant, environment)
);

-- How long records are kept, in seconds; NULL is for ever. Content can be kept shorter than the rest.
CREATE TABLE retention (
    tenant          INTEGER NOT NULL,
    environment     INTEGER NOT NULL,
    keep_seconds    INTEGER,
    content_seconds INTEGER,
    PRIMARY KEY (tenant, environment)
) WITHOUT ROWID;

-- Claude's metrics by hour, in millionths: differences added up, and of running totals the most that each
-- reached. Of differences, series and started are 0.
CREATE TABLE metric_hours (
    tenant         INTEGER NOT NULL,
    environment    INTEGER NOT NULL,
    metric         TEXT NOT NULL,
    owner          TEXT NOT NULL,
    kind           TEXT NOT NULL,
    model          TEXT NOT NULL,
    hour           INTEGER NOT NULL,
    series         INTEGER NOT NULL,
    started        INTEGER NOT NULL,
    added_micros   INTEGER NOT NULL,
    reached_micros INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, metric, hour, owner, kind, model, series, started)
) WITHOUT ROWID;
