-- By which rules an environment tells how its machines report; without a row, by those of machine_rules.rs.
CREATE TABLE machine_rules (
    tenant             bigint NOT NULL,
    environment        bigint NOT NULL,
    late_after_seconds bigint NOT NULL,
    silent_after_days  bigint NOT NULL,
    usual_days         bigint NOT NULL,
    usual_of_days      bigint NOT NULL,
    PRIMARY KEY (tenant, environment)
);
