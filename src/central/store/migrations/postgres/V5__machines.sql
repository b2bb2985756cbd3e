-- What machines say of themselves in their latest heartbeat, as JSON (Report).
CREATE TABLE machine_reports (
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    machine     text COLLATE "C" NOT NULL,
    reported_at bigint NOT NULL,
    report      text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, environment, machine)
);

-- Days with heartbeats, counted from 1970: whoever was there most days and then is not has fallen silent.
CREATE TABLE machine_days (
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    machine     text COLLATE "C" NOT NULL,
    day         bigint NOT NULL,
    PRIMARY KEY (tenant, environment, machine, day)
);

-- Machines that somebody put aside. They come back by themselves when they report later than that.
CREATE TABLE retired_machines (
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    machine     text COLLATE "C" NOT NULL,
    retired_at  bigint NOT NULL,
    PRIMARY KEY (tenant, environment, machine)
);

-- What heartbeats said that are here already is read at the next start.
INSERT INTO store_state SELECT 'rebuild', 'machines' WHERE EXISTS (SELECT 1 FROM machines)
ON CONFLICT DO NOTHING;
