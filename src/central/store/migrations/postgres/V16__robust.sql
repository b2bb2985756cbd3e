-- Deltas that could not be folded into the derived tables, each with the reason. Nobody folds them; a rebuild,
-- which counts the events themselves, empties the table.
CREATE TABLE unfolded_deltas (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    format      smallint NOT NULL,
    delta       bytea NOT NULL,
    reason      text NOT NULL
);

-- Older versions left some content among the records: a body, text of attributes that are not known. Every block
-- of theirs is noted as one with content, in small steps (work.rs), and retention takes it out in time.
INSERT INTO store_state SELECT 'old_content', '0' WHERE EXISTS (SELECT 1 FROM event_blocks)
ON CONFLICT DO NOTHING;
