-- What edges say was lost on their side, with the reason.

-- Numbers that will not come, as contiguous runs for each reason.
CREATE TABLE machine_losses (
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    machine     text COLLATE "C" NOT NULL,
    reason      text COLLATE "C" NOT NULL,
    first       bigint NOT NULL,
    last        bigint NOT NULL,
    PRIMARY KEY (tenant, environment, machine, reason, first)
);

-- How many records, those without numbers too: the most that any heartbeat said.
CREATE TABLE machine_loss_counts (
    tenant      bigint NOT NULL,
    environment bigint NOT NULL,
    machine     text COLLATE "C" NOT NULL,
    reason      text COLLATE "C" NOT NULL,
    records     bigint NOT NULL,
    PRIMARY KEY (tenant, environment, machine, reason)
);
