-- Records lie in blocks of many (block.rs); the rows of events are an index to them. What is here already
-- is packed when the migration is done (unpacked.rs).

DROP INDEX events_identity;
DROP INDEX events_by_agent;
DROP INDEX events_by_session;
DROP INDEX events_by_activity;
DROP INDEX events_by_tool;
DROP INDEX events_by_seq;
DO $rename$
DECLARE
    part text;
BEGIN
    FOR part IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('events'::regclass, 'event_content'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', part, 'unpacked_' || part);
    END LOOP;
END
$rename$;
ALTER TABLE events RENAME TO unpacked_events;
ALTER TABLE event_content RENAME TO unpacked_content;
CREATE INDEX unpacked_events_by_seq ON unpacked_events (seq);

CREATE TABLE event_blocks (
    tenant       integer NOT NULL,
    environment  integer NOT NULL,
    -- Of the last event: what follows the store goes by it, and never past a transaction that is open.
    seq          bigint NOT NULL,
    first_time   bigint NOT NULL,
    last_time    bigint NOT NULL,
    -- The time of the earliest event with content.
    content_from bigint,
    event_count  integer NOT NULL,
    contents     bytea,
    records      bytea NOT NULL,
    PRIMARY KEY (tenant, environment, seq)
);
-- They are compressed before they come here.
ALTER TABLE event_blocks ALTER COLUMN contents SET STORAGE EXTERNAL;
ALTER TABLE event_blocks ALTER COLUMN records SET STORAGE EXTERNAL;
CREATE INDEX event_blocks_by_seq ON event_blocks (seq);
CREATE INDEX event_blocks_with_content ON event_blocks (tenant, environment, content_from)
    WHERE content_from IS NOT NULL;

-- Columns in an order that leaves no gaps between them.
CREATE TABLE events (
    time        bigint NOT NULL,
    -- The transaction, and the place in it.
    seq         bigint NOT NULL,
    -- The first 64 bits of the identity: with the time it is enough to tell events apart.
    uid         bigint NOT NULL,
    agent       bigint,
    session     bigint,
    tenant      integer NOT NULL,
    environment integer NOT NULL,
    name        integer NOT NULL,
    model       integer,
    activity    smallint NOT NULL,
    is_mcp      smallint,
    tool        text COLLATE "C"
) PARTITION BY RANGE (time);
-- A retry carries the same time, so it falls on the same key, at the right edge of the index.
CREATE UNIQUE INDEX events_identity ON events (tenant, environment, time, uid);
-- Keys of agents and sessions are of one environment, but for chance: what leads them would tell nothing more.
CREATE INDEX events_by_agent ON events (agent, time) WHERE agent IS NOT NULL;
CREATE INDEX events_by_session ON events (session, time) WHERE session IS NOT NULL;
-- Of what is rare: prompts, responses, tools, decisions and requests (event_row.rs) are found soon by time.
CREATE INDEX events_by_activity ON events (tenant, environment, activity, time)
    WHERE activity NOT IN (2, 3, 4, 5, 6);
CREATE INDEX events_by_tool ON events (tenant, environment, tool, time) WHERE tool IS NOT NULL;
-- By what has no order of its own, or the order in which rows lie: a few bytes for a range of pages.
CREATE INDEX events_by_seq ON events USING brin (seq) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX events_by_uid ON events USING brin (uid int8_bloom_ops (n_distinct_per_range = 3000))
    WITH (pages_per_range = 32, autosummarize = on);
CREATE TABLE events_other PARTITION OF events DEFAULT;
INSERT INTO events (time, seq, uid, agent, session, tenant, environment, name, model, activity, is_mcp, tool)
SELECT time, seq, ('x' || encode(substring(uid FROM 1 FOR 8), 'hex'))::bit(64)::bigint, agent, session,
    tenant, environment, name, model, activity, is_mcp, tool
FROM unpacked_events;

-- The text index: words and marks of each block (words.rs).
DROP TABLE event_text;
CREATE TABLE event_text (
    tenant      integer NOT NULL,
    environment integer NOT NULL,
    seq         bigint NOT NULL,
    first_time  bigint NOT NULL,
    last_time   bigint NOT NULL,
    words       text NOT NULL,
    -- A Bloom filter of ids, which hardly two blocks have in common: as words they would be most of the index.
    ids         bytea NOT NULL,
    PRIMARY KEY (tenant, environment, seq)
);
CREATE INDEX event_text_by_time ON event_text (tenant, environment, last_time, seq);
CREATE INDEX event_text_words ON event_text
    USING gin (array_to_tsvector(string_to_array(words, ' ')));
DELETE FROM store_state WHERE key = 'indexed';
