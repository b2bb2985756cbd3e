-- Where each machine stands, so that lists of machines are narrowed, sorted and counted without reading their
-- ranges. Each row is written anew with whatever adds to a machine; those that are missing, at the next start.
CREATE TABLE machine_standing (
    tenant           INTEGER NOT NULL,
    environment      INTEGER NOT NULL,
    machine          TEXT NOT NULL,
    -- When it was there last, by a clock that is right.
    present_at       INTEGER NOT NULL,
    appended         INTEGER NOT NULL,
    stored           INTEGER NOT NULL,
    missing          INTEGER NOT NULL,
    -- Records that its edge says will not come, and numbers among them that are not here.
    dropped          INTEGER NOT NULL,
    lost             INTEGER NOT NULL,
    parked           INTEGER NOT NULL,
    clock_is_off     INTEGER NOT NULL,
    -- The greatest number where it is not known.
    token_expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, machine)
) WITHOUT ROWID;
