-- When an agent's records came by a machine; the machine is empty for records that came without an edge. Lists of
-- agents tell by it whether records are missing, without reading sessions.
CREATE TABLE agent_machines (
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    agent       text COLLATE "C" NOT NULL,
    machine     text COLLATE "C" NOT NULL,
    first_seen  bigint NOT NULL,
    last_seen   bigint NOT NULL,
    PRIMARY KEY (tenant, environment, agent, machine)
);

-- The sums of one agent, or of one entity: lists of agents add up what their days cost.
CREATE INDEX rollups_by_name ON rollups (tenant, environment, span, subject, name, start);

-- What is here already is counted at the next start.
INSERT INTO store_state SELECT 'rebuild', 'machines of agents' WHERE EXISTS (SELECT 1 FROM agents)
ON CONFLICT DO NOTHING;
