-- Where each machine stands, so that lists of machines are narrowed, sorted and counted without reading their
-- ranges. Each row is written anew with whatever adds to a machine; those that are missing, at the next start.
CREATE TABLE machine_standing (
    tenant           bigint NOT NULL,
    environment      bigint NOT NULL,
    machine          text COLLATE "C" NOT NULL,
    -- When it was there last, by a clock that is right.
    present_at       bigint NOT NULL,
    appended         bigint NOT NULL,
    stored           bigint NOT NULL,
    missing          bigint NOT NULL,
    -- Records that its edge says will not come, and numbers among them that are not here.
    dropped          bigint NOT NULL,
    lost             bigint NOT NULL,
    parked           bigint NOT NULL,
    clock_is_off     bigint NOT NULL,
    -- The greatest number where it is not known.
    token_expires_at bigint NOT NULL,
    PRIMARY KEY (tenant, environment, machine)
);
