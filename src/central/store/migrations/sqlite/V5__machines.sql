-- What machines say of themselves in their latest heartbeat, as JSON (Report).
CREATE TABLE machine_reports (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    machine     TEXT NOT NULL,
    reported_at INTEGER NOT NULL,
    report      TEXT NOT NULL,
    PRIMARY KEY (tenant, environment, machine)
) WITHOUT ROWID;

-- Days with heartbeats, counted from 1970: whoever was there most days and then is not has fallen silent.
CREATE TABLE machine_days (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    machine     TEXT NOT NULL,
    day         INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, machine, day)
) WITHOUT ROWID;

-- Machines that somebody put aside. They come back by themselves when they report later than that.
CREATE TABLE retired_machines (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    machine     TEXT NOT NULL,
    retired_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, machine)
) WITHOUT ROWID;

-- What heartbeats said that are here already is read at the next start.
INSERT INTO store_state SELECT 'rebuild', 'machines' WHERE EXISTS (SELECT 1 FROM machines)
ON CONFLICT DO NOTHING;
