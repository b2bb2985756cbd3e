-- Records lie in blocks of many (block.rs); the rows of events are an index to them. first_half is a
-- function of the program. What is here already is packed when the migration is done (unpacked.rs).

DROP INDEX events_identity;
DROP INDEX events_by_agent;
DROP INDEX events_by_session;
DROP INDEX events_by_activity;
DROP INDEX events_by_tool;
ALTER TABLE events RENAME TO unpacked_events;
ALTER TABLE event_content RENAME TO unpacked_content;

CREATE TABLE event_blocks (
    -- Of the last event: what follows the store goes by it.
    seq          INTEGER PRIMARY KEY,
    tenant       INTEGER NOT NULL,
    environment  INTEGER NOT NULL,
    first_time   INTEGER NOT NULL,
    last_time    INTEGER NOT NULL,
    -- The time of the earliest event with content.
    content_from INTEGER,
    event_count  INTEGER NOT NULL,
    contents     BLOB,
    records      BLOB NOT NULL
);
CREATE UNIQUE INDEX event_blocks_by_scope ON event_blocks (tenant, environment, seq);
CREATE INDEX event_blocks_with_content ON event_blocks (tenant, environment, content_from)
    WHERE content_from IS NOT NULL;

CREATE TABLE events (
    -- In order of commit, from latest_seq.
    seq         INTEGER PRIMARY KEY,
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    -- The first 64 bits of the identity: with the time it is enough to tell events apart.
    uid         INTEGER NOT NULL,
    activity    INTEGER NOT NULL,
    name        INTEGER NOT NULL,
    agent       INTEGER,
    session     INTEGER,
    model       INTEGER,
    tool        TEXT,
    is_mcp      INTEGER
);
INSERT INTO events
SELECT seq, tenant, environment, time, first_half(uid), activity, name, agent, session, model, tool, is_mcp
FROM unpacked_events ORDER BY seq;

-- A retry carries the same time, so it falls on the same key, at the right edge of the index.
CREATE UNIQUE INDEX events_identity ON events (tenant, environment, time, uid);
-- With uid, by which lists are ordered, too: else SQLite would go through all events in their order.
CREATE INDEX events_by_agent ON events (tenant, environment, agent, time, uid) WHERE agent IS NOT NULL;
CREATE INDEX events_by_session ON events (tenant, environment, session, time, uid)
    WHERE session IS NOT NULL;
CREATE INDEX events_by_activity ON events (tenant, environment, activity, time, uid);
CREATE INDEX events_by_tool ON events (tenant, environment, tool, time, uid) WHERE tool IS NOT NULL;

-- No number is given twice, not even that of an event that is gone.
CREATE TABLE latest_seq (seq INTEGER NOT NULL);
INSERT INTO latest_seq
SELECT max(coalesce((SELECT max(seq) FROM unpacked_events), 0),
    coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'unpacked_events'), 0));
