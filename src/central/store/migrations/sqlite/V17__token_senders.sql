-- Who made a token, by name; empty of those that were made before it was kept.
ALTER TABLE tokens ADD COLUMN created_by TEXT NOT NULL DEFAULT '';

-- Events that came with a token, by the day (counted from 1970) on which they came.
CREATE TABLE token_days (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    token       TEXT NOT NULL,
    day         INTEGER NOT NULL,
    event_count INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, token, day)
) WITHOUT ROWID;

-- Who sends with a token: agents, and machines by their edges' ids.
CREATE TABLE token_agents (
    tenant        INTEGER NOT NULL,
    environment   INTEGER NOT NULL,
    token         TEXT NOT NULL,
    agent         TEXT NOT NULL,
    first_used    INTEGER NOT NULL,
    last_used     INTEGER NOT NULL,
    request_count INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, token, agent)
) WITHOUT ROWID;
-- Whether they send with another one since.
CREATE INDEX token_agents_by_agent ON token_agents (tenant, environment, agent, last_used);

CREATE TABLE token_machines (
    tenant        INTEGER NOT NULL,
    environment   INTEGER NOT NULL,
    token         TEXT NOT NULL,
    machine       TEXT NOT NULL,
    first_used    INTEGER NOT NULL,
    last_used     INTEGER NOT NULL,
    request_count INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, token, machine)
) WITHOUT ROWID;
CREATE INDEX token_machines_by_machine ON token_machines (tenant, environment, machine, last_used);

-- Records that came with a token and were rejected while the rest of their request was stored, by reason.
CREATE TABLE token_rejections (
    tenant         INTEGER NOT NULL,
    environment    INTEGER NOT NULL,
    token          TEXT NOT NULL,
    reason         TEXT NOT NULL,
    first_rejected INTEGER NOT NULL,
    last_rejected  INTEGER NOT NULL,
    record_count   INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, token, reason)
) WITHOUT ROWID;
