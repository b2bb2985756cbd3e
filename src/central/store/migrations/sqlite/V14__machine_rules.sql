-- By which rules an environment tells how its machines report; without a row, by those of machine_rules.rs.
CREATE TABLE machine_rules (
    tenant             INTEGER NOT NULL,
    environment        INTEGER NOT NULL,
    late_after_seconds INTEGER NOT NULL,
    silent_after_days  INTEGER NOT NULL,
    usual_days         INTEGER NOT NULL,
    usual_of_days      INTEGER NOT NULL,
    PRIMARY KEY (tenant, environment)
) WITHOUT ROWID;
