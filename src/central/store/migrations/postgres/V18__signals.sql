-- What metrics and traces are found by. A row without a time was stored by an older version, and is read in the
-- background (signals.rs); until then its arrival stands in.
ALTER TABLE signals ADD COLUMN time bigint;
-- The same time, of traces that hold content.
ALTER TABLE signals ADD COLUMN content_at bigint;
CREATE INDEX signals_by_time ON signals (tenant, environment, signal, coalesce(time, received), uid);
CREATE INDEX signals_by_arrival ON signals (tenant, environment, received);
CREATE INDEX signals_unread ON signals (received) WHERE time IS NULL;
CREATE INDEX signals_with_content ON signals (tenant, environment, content_at) WHERE content_at IS NOT NULL;

-- Which messages have spans of a trace, whose key is a hash of its id.
CREATE TABLE signal_traces (
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    trace       bigint NOT NULL,
    time        bigint NOT NULL,
    uid         text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, environment, trace, time, uid)
);
