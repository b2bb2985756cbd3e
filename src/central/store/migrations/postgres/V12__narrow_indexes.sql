-- Of each index as few bytes as tell what it is asked for.

-- A key of the tool in its environment in place of all three: PostgreSQL splits the pages of an index of two
-- numbers at its end where rows come in order, those of a wider one in the middle, which leaves them half
-- empty. Whoever asks for a tool names the same expression (search.rs).
DROP INDEX events_by_tool;
CREATE INDEX events_by_tool ON events (hashtextextended(tool, tenant::bigint * 4294967296 + environment), time)
    WHERE tool IS NOT NULL;
-- MCP tools are asked for by their server, too, which is how their names begin.
CREATE INDEX events_by_mcp_tool ON events (tenant, environment, tool, time) WHERE is_mcp = 1;

-- What waits to be sorted in takes as much room, for good.
ALTER INDEX event_text_words SET (gin_pending_list_limit = 512);
