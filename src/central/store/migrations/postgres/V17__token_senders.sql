-- Who made a token, by name; empty of those that were made before it was kept.
ALTER TABLE tokens ADD COLUMN created_by text COLLATE "C" NOT NULL DEFAULT '';

-- Events that came with a token, by the day (counted from 1970) on which they came.
CREATE TABLE token_days (
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    token       text COLLATE "C" NOT NULL,
    day         bigint NOT NULL,
    event_count bigint NOT NULL,
    PRIMARY KEY (tenant, environment, token, day)
);

-- Who sends with a token: agents, and machines by their edges' ids.
CREATE TABLE token_agents (
    tenant        bigint NOT NULL,
    environment   bigint NOT NULL,
    token         text COLLATE "C" NOT NULL,
    agent         text COLLATE "C" NOT NULL,
    first_used    bigint NOT NULL,
    last_used     bigint NOT NULL,
    request_count bigint NOT NULL,
    PRIMARY KEY (tenant, environment, token, agent)
);
-- Whether they send with another one since.
CREATE INDEX token_agents_by_agent ON token_agents (tenant, environment, agent, last_used);

CREATE TABLE token_machines (
    tenant        bigint NOT NULL,
    environment   bigint NOT NULL,
    token         text COLLATE "C" NOT NULL,
    machine       text COLLATE "C" NOT NULL,
    first_used    bigint NOT NULL,
    last_used     bigint NOT NULL,
    request_count bigint NOT NULL,
    PRIMARY KEY (tenant, environment, token, machine)
);
CREATE INDEX token_machines_by_machine ON token_machines (tenant, environment, machine, last_used);

-- Records that came with a token and were rejected while the rest of their request was stored, by reason.
CREATE TABLE token_rejections (
    tenant         bigint NOT NULL,
    environment    bigint NOT NULL,
    token          text COLLATE "C" NOT NULL,
    reason         text COLLATE "C" NOT NULL,
    first_rejected bigint NOT NULL,
    last_rejected  bigint NOT NULL,
    record_count   bigint NOT NULL,
    PRIMARY KEY (tenant, environment, token, reason)
);
