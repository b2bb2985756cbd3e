-- Events by day (counted from 1970), client, version and name; and which attributes they carry, a bit each:
-- where a kind of event or an attribute falls away, it shows here.
CREATE TABLE event_shapes (
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    day         bigint NOT NULL,
    client      text COLLATE "C" NOT NULL,
    version     text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    shape       bigint NOT NULL,
    event_count bigint NOT NULL,
    PRIMARY KEY (tenant, environment, day, client, version, name, shape)
);

-- Sessions of which metrics came, and when they say that something happened: those without events are told.
CREATE TABLE metric_sessions (
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    session     text COLLATE "C" NOT NULL,
    first_seen  bigint NOT NULL,
    last_seen   bigint NOT NULL,
    PRIMARY KEY (tenant, environment, session)
);
CREATE INDEX metric_sessions_by_last ON metric_sessions (tenant, environment, last_seen);

-- Whose sessions came by a machine.
CREATE INDEX session_machines_by_machine ON session_machines (tenant, environment, machine, session);

-- What is here already is counted at the next start.
INSERT INTO store_state SELECT 'rebuild', 'drift'
WHERE EXISTS (SELECT 1 FROM agents) OR EXISTS (SELECT 1 FROM metric_hours)
ON CONFLICT DO NOTHING;
