-- By how many agents and in how many sessions each entity was used, and how many sessions each agent had:
-- lists show it without counting. Whoever changes the tables below changes it by these triggers.
CREATE TABLE used_by (
    tenant        bigint NOT NULL,
    environment   bigint NOT NULL,
    -- A kind of entity, or "agent".
    subject       text COLLATE "C" NOT NULL,
    name          text COLLATE "C" NOT NULL,
    agent_count   bigint NOT NULL,
    session_count bigint NOT NULL,
    PRIMARY KEY (tenant, environment, subject, name)
);

-- A replica of the version before may fold meanwhile; it goes on when the triggers are there.
LOCK TABLE agent_entities, session_entities, sessions IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO used_by
SELECT tenant, environment, kind, name, sum(agents), sum(sessions) FROM (
    SELECT tenant, environment, kind, name, 1 AS agents, 0 AS sessions FROM agent_entities
    UNION ALL
    SELECT tenant, environment, kind, name, 0, 1 FROM session_entities
    UNION ALL
    SELECT tenant, environment, 'agent', agent, 0, 1 FROM sessions WHERE agent <> '') used
GROUP BY tenant, environment, kind, name;

CREATE FUNCTION count_agents() RETURNS trigger LANGUAGE plpgsql AS $count$
BEGIN
    INSERT INTO used_by AS u
    SELECT tenant, environment, kind, name, CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END, 0
    FROM changed GROUP BY tenant, environment, kind, name
    ON CONFLICT (tenant, environment, subject, name)
    DO UPDATE SET agent_count = u.agent_count + excluded.agent_count;
    IF TG_OP = 'DELETE' THEN
        DELETE FROM used_by u USING changed c
        WHERE u.tenant = c.tenant AND u.environment = c.environment AND u.subject = c.kind
            AND u.name = c.name AND u.agent_count <= 0 AND u.session_count <= 0;
    END IF;
    RETURN NULL;
END
$count$;
CREATE TRIGGER agent_entities_added AFTER INSERT ON agent_entities
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_agents();
CREATE TRIGGER agent_entities_removed AFTER DELETE ON agent_entities
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_agents();

CREATE FUNCTION count_sessions() RETURNS trigger LANGUAGE plpgsql AS $count$
BEGIN
    INSERT INTO used_by AS u
    SELECT tenant, environment, kind, name, 0, CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END
    FROM changed GROUP BY tenant, environment, kind, name
    ON CONFLICT (tenant, environment, subject, name)
    DO UPDATE SET session_count = u.session_count + excluded.session_count;
    IF TG_OP = 'DELETE' THEN
        DELETE FROM used_by u USING changed c
        WHERE u.tenant = c.tenant AND u.environment = c.environment AND u.subject = c.kind
            AND u.name = c.name AND u.agent_count <= 0 AND u.session_count <= 0;
    END IF;
    RETURN NULL;
END
$count$;
CREATE TRIGGER session_entities_added AFTER INSERT ON session_entities
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_sessions();
CREATE TRIGGER session_entities_removed AFTER DELETE ON session_entities
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_sessions();

CREATE FUNCTION count_sessions_of_agents() RETURNS trigger LANGUAGE plpgsql AS $count$
BEGIN
    INSERT INTO used_by AS u
    SELECT tenant, environment, 'agent', agent, 0, CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END
    FROM changed WHERE agent <> '' GROUP BY tenant, environment, agent
    ON CONFLICT (tenant, environment, subject, name)
    DO UPDATE SET session_count = u.session_count + excluded.session_count;
    IF TG_OP = 'DELETE' THEN
        DELETE FROM used_by u USING changed c
        WHERE u.tenant = c.tenant AND u.environment = c.environment AND u.subject = 'agent'
            AND u.name = c.agent AND u.session_count <= 0;
    END IF;
    RETURN NULL;
END
$count$;
CREATE TRIGGER sessions_added AFTER INSERT ON sessions
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_sessions_of_agents();
CREATE TRIGGER sessions_removed AFTER DELETE ON sessions
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_sessions_of_agents();

-- A session's agent becomes a better one when more is known of it.
CREATE FUNCTION move_sessions_of_agents() RETURNS trigger LANGUAGE plpgsql AS $count$
BEGIN
    INSERT INTO used_by AS u
    SELECT tenant, environment, 'agent', agent, 0, sum(sessions) FROM (
        SELECT tenant, environment, agent, -1 AS sessions FROM before
        UNION ALL
        SELECT tenant, environment, agent, 1 FROM after) moved
    WHERE agent <> '' GROUP BY tenant, environment, agent HAVING sum(sessions) <> 0
    ON CONFLICT (tenant, environment, subject, name)
    DO UPDATE SET session_count = u.session_count + excluded.session_count;
    DELETE FROM used_by u USING before b
    WHERE u.tenant = b.tenant AND u.environment = b.environment AND u.subject = 'agent'
        AND u.name = b.agent AND u.session_count <= 0;
    RETURN NULL;
END
$count$;
CREATE TRIGGER sessions_changed AFTER UPDATE ON sessions
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION move_sessions_of_agents();

-- Events of one session are few and read together: without their times, equal keys take a few bytes each.
DROP INDEX events_by_session;
CREATE INDEX events_by_session ON events (session) WHERE session IS NOT NULL;
