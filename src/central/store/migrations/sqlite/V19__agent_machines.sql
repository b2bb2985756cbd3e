-- When an agent's records came by a machine; the machine is empty for records that came without an edge. Lists of
-- agents tell by it whether records are missing, without reading sessions.
CREATE TABLE agent_machines (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    agent       TEXT NOT NULL,
    machine     TEXT NOT NULL,
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, agent, machine)
) WITHOUT ROWID;

-- The sums of one agent, or of one entity. Lists of agents add up what their days cost from the index alone: to one
-- without it, SQLite prefers the table's own key, and reads the days of everybody.
CREATE INDEX rollups_by_name ON rollups (tenant, environment, span, subject, name, start, cost_micros);

-- What is here already is counted at the next start.
INSERT INTO store_state SELECT 'rebuild', 'machines of agents' WHERE EXISTS (SELECT 1 FROM agents)
ON CONFLICT DO NOTHING;
