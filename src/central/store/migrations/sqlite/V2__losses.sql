-- What edges say was lost on their side, with the reason.

-- Numbers that will not come, as contiguous runs for each reason.
CREATE TABLE machine_losses (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    machine     TEXT NOT NULL,
    reason      TEXT NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, machine, reason, first)
) WITHOUT ROWID;

-- How many records, those without numbers too: the most that any heartbeat said.
CREATE TABLE machine_loss_counts (
    tenant      INTEGER NOT NULL,
    environment INTEGER NOT NULL,
    machine     TEXT NOT NULL,
    reason      TEXT NOT NULL,
    records     INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment, machine, reason)
) WITHOUT ROWID;
