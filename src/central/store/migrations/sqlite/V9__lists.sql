-- By how many agents and in how many sessions each entity was used, and how many sessions each agent had:
-- lists show it without counting. Whoever changes the tables below changes it by these triggers.
CREATE TABLE used_by (
    tenant        INTEGER NOT NULL,
    environment   INTEGER NOT NULL,
    -- A kind of entity, or "agent".
    subject       TEXT NOT NULL,
    name          TEXT NOT NULL,
    agent_count   INTEGER NOT NULL,
    session_count INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, subject, name)
) WITHOUT ROWID;

INSERT INTO used_by
SELECT tenant, environment, kind, name, sum(agents), sum(sessions) FROM (
    SELECT tenant, environment, kind, name, 1 AS agents, 0 AS sessions FROM agent_entities
    UNION ALL
    SELECT tenant, environment, kind, name, 0, 1 FROM session_entities
    UNION ALL
    SELECT tenant, environment, 'agent', agent, 0, 1 FROM sessions WHERE agent <> '')
GROUP BY tenant, environment, kind, name;

CREATE TRIGGER agent_entities_added AFTER INSERT ON agent_entities BEGIN
    INSERT INTO used_by VALUES (new.tenant, new.environment, new.kind, new.name, 1, 0)
    ON CONFLICT (tenant, environment, subject, name) DO UPDATE SET agent_count = agent_count + 1;
END;
CREATE TRIGGER agent_entities_removed AFTER DELETE ON agent_entities BEGIN
    UPDATE used_by SET agent_count = agent_count - 1
    WHERE tenant = old.tenant AND environment = old.environment AND subject = old.kind AND name = old.name;
    DELETE FROM used_by
    WHERE tenant = old.tenant AND environment = old.environment AND subject = old.kind AND name = old.name
        AND agent_count <= 0 AND session_count <= 0;
END;

CREATE TRIGGER session_entities_added AFTER INSERT ON session_entities BEGIN
    INSERT INTO used_by VALUES (new.tenant, new.environment, new.kind, new.name, 0, 1)
    ON CONFLICT (tenant, environment, subject, name) DO UPDATE SET session_count = session_count + 1;
END;
CREATE TRIGGER session_entities_removed AFTER DELETE ON session_entities BEGIN
    UPDATE used_by SET session_count = session_count - 1
    WHERE tenant = old.tenant AND environment = old.environment AND subject = old.kind AND name = old.name;
    DELETE FROM used_by
    WHERE tenant = old.tenant AND environment = old.environment AND subject = old.kind AND name = old.name
        AND agent_count <= 0 AND session_count <= 0;
END;

CREATE TRIGGER sessions_added AFTER INSERT ON sessions WHEN new.agent <> '' BEGIN
    INSERT INTO used_by VALUES (new.tenant, new.environment, 'agent', new.agent, 0, 1)
    ON CONFLICT (tenant, environment, subject, name) DO UPDATE SET session_count = session_count + 1;
END;
CREATE TRIGGER sessions_removed AFTER DELETE ON sessions BEGIN
    UPDATE used_by SET session_count = session_count - 1
    WHERE tenant = old.tenant AND environment = old.environment AND subject = 'agent' AND name = old.agent;
    DELETE FROM used_by
    WHERE tenant = old.tenant AND environment = old.environment AND subject = 'agent' AND name = old.agent
        AND session_count <= 0;
END;
-- A session's agent becomes a better one when more is known of it.
CREATE TRIGGER sessions_changed AFTER UPDATE OF agent ON sessions WHEN new.agent <> old.agent BEGIN
    UPDATE used_by SET session_count = session_count - 1
    WHERE tenant = old.tenant AND environment = old.environment AND subject = 'agent' AND name = old.agent;
    DELETE FROM used_by
    WHERE tenant = old.tenant AND environment = old.environment AND subject = 'agent' AND name = old.agent
        AND session_count <= 0;
    INSERT INTO used_by
    SELECT new.tenant, new.environment, 'agent', new.agent, 0, 1 WHERE new.agent <> ''
    ON CONFLICT (tenant, environment, subject, name) DO UPDATE SET session_count = session_count + 1;
END;
