-- What metrics and traces are found by. A row without a time was stored by an older version, and is read in the
-- background (signals.rs); until then its arrival stands in.
ALTER TABLE signals ADD COLUMN time INTEGER;
-- The same time, of traces that hold content.
ALTER TABLE signals ADD COLUMN content_at INTEGER;
CREATE INDEX signals_by_time ON signals (tenant, environment, signal, coalesce(time, received), uid);
CREATE INDEX signals_by_arrival ON signals (tenant, environment, received);
CREATE INDEX signals_unread ON signals (received) WHERE time IS NULL;
CREATE INDEX signals_with_content ON signals (tenant, environment, content_at) WHERE content_at IS NOT NULL;

-- Which messages have spans of a trace, whose key is a hash of its id.
CREATE TABLE signal_traces (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    trace       INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    uid         TEXT NOT NULL,
    PRIMARY KEY (tenant, environment, trace, time, uid)
) WITHOUT ROWID;
