//! Machines: by what an environment's list of them is told apart. A row of numbers about each says where it
//! stands, so that no request reads more machines whole than it shows.

use crate::central::store::Machine;
use crate::central::store::concern::{CHOICES, soon};
use crate::central::store::machine_rules::{MachineRules, USUAL_OF_DAYS};
use crate::central::store::machine_state::{SECOND, working_day};
use crate::central::store::query::Query;
use crate::event::{DAY, Timestamp};

use super::{Catalog, Cataloged, Facet, Of, Rows, Values};

impl Cataloged for Machine {
    const CATALOG: Catalog<Machine> = Catalog {
        facets: &[
            Facet {
                name: "state",
                title: "State",
                about: "How it reports.",
                one_of: &["reporting", "late", "silent", "retired"],
                values: Values::One("l.state"),
            },
            Facet {
                name: "concern",
                title: "Look at",
                about: "Why somebody should look at it; any is for one reason or more.",
                one_of: &CHOICES.0,
                values: Values::Each(&CHOICES.1),
            },
            Facet {
                name: "system",
                title: "System",
                about: "The operating system, as the machine tells it.",
                one_of: &[],
                values: Values::One("l.os"),
            },
            Facet {
                name: "version",
                title: "Edge version",
                about: "The edge's version.",
                one_of: &[],
                values: Values::One("l.version"),
            },
        ],
        searches: "Host name or edge id",
        of: &[],
        columns: &[
            ("machine", "lower(l.name)"),
            ("system", "lower(coalesce(l.os, ''))"),
            ("last-seen", "l.last_seen"),
            ("last-heartbeat", "l.heartbeat_at"),
            ("edge", "coalesce(l.version, '')"),
            ("appended", "l.appended"),
            ("stored", "l.stored"),
            ("waiting", "l.waiting"),
            ("dropped", "l.dropped"),
            ("unexplained", "l.missing"),
            ("parked", "l.parked"),
            ("token-expires", "l.token_expires_at"),
        ],
        order: "-last-seen",
        texts: &["l.name", "l.id"],
        key: &["l.id"],
        rows: Rows::Whole(|store, scope, keys, now| {
            Box::pin(async move {
                let ids: Vec<&str> = keys.iter().flatten().map(String::as_str).collect();
                store.machines_by_id(scope, &ids, now).await
            })
        }),
        source,
        key_of: |machine| vec![&machine.id],
    };
}

fn source(query: &mut Query, _: &Of, now: Timestamp) {
    // Bound, as everything that differs from one time to the next: prepared statements are kept by their text.
    let soon = query.name(soon(now));
    let rules = rules(query, now);
    query.push(&format!(
        "(SELECT p.id, p.name, p.os, p.version, p.last_seen, p.heartbeat_at, p.waiting, p.appended,
             p.stored, p.missing, p.dropped, p.lost, p.parked, p.clock_is_off, p.token_expires_at,
             CASE WHEN p.token_expires_at < {soon} THEN 1 ELSE 0 END AS expires_soon,
             CASE WHEN p.retired_at > p.present_at THEN 'retired'
                 WHEN p.present_at >= p.reporting_since THEN 'reporting'
                 WHEN p.present_at < p.silent_before AND {there} >= p.usual_days THEN 'silent'
                 ELSE 'late' END AS state
         FROM (SELECT m.tenant, m.environment, m.id,
                 CASE WHEN m.host_name = '' THEN m.id ELSE m.host_name END AS name,
                 nullif(m.os, '') AS os, nullif(m.version, '') AS version, m.last_seen, m.heartbeat_at,
                 CASE WHEN m.queue_records < 0 THEN 0
                     WHEN m.queue_records > 1000000000000 THEN 1000000000000
                     ELSE m.queue_records END AS waiting,
                 coalesce(s.present_at, m.last_seen) AS present_at, a.retired_at,
                 coalesce(s.days_there, 0) AS days_there,
                 coalesce(s.appended, 0) AS appended, coalesce(s.stored, 0) AS stored,
                 coalesce(s.missing, 0) AS missing, coalesce(s.dropped, 0) AS dropped,
                 coalesce(s.lost, 0) AS lost, coalesce(s.parked, 0) AS parked,
                 coalesce(s.clock_is_off, 0) AS clock_is_off,
                 coalesce(s.token_expires_at, 9223372036854775807) AS token_expires_at,
                 r.reporting_since, r.silent_before, r.usual_days, r.usual_of_days
             FROM {rules} r
             CROSS JOIN machines m
             LEFT JOIN machine_standing s ON s.tenant = m.tenant
                 AND s.environment = m.environment AND s.machine = m.id
             LEFT JOIN retired_machines a ON a.tenant = m.tenant
                 AND a.environment = m.environment AND a.machine = m.id
             WHERE m.tenant = $1 AND m.environment = $2) p) l",
        there = days_there()
    ));
}

/// `(SELECT …)`: the one row of what the environment's rules say of this moment, so that a machine's state is
/// what [`super::super::machine_state`] tells.
fn rules(query: &mut Query, now: Timestamp) -> String {
    let MachineRules {
        late_after_seconds,
        silent_after_days,
        usual_days,
        usual_of_days,
    } = MachineRules::default();
    let now_is = query.name(now);
    // The first of so many working days that are over, and this one is not.
    let today = query.name(working_day(now.day() - 1) + 1);
    let missed = format!("({today} - coalesce(max(silent_after_days), {silent_after_days}))");
    format!(
        "(SELECT {now_is} - coalesce(max(late_after_seconds), {late_after_seconds}) * {SECOND} AS reporting_since,
             ({missed} / 5 * 7 + {missed} % 5 - 3) * {DAY} AS silent_before,
             coalesce(max(usual_days), {usual_days}) AS usual_days,
             coalesce(max(usual_of_days), {usual_of_days}) AS usual_of_days
         FROM machine_rules WHERE tenant = $1 AND environment = $2)"
    )
}

/// On how many it was there, a row `p`, of so many working days up to its latest heartbeat. The row says it of as
/// many as are looked at unless the rules were changed; else its days are counted.
fn days_there() -> String {
    // As `working_day` of a state counts.
    let working_day = |day: &str| {
        format!(
            "(({day} + 3) / 7 * 5 + CASE WHEN ({day} + 3) % 7 > 4 THEN 4 ELSE ({day} + 3) % 7 END)"
        )
    };
    let present = working_day(&format!("p.present_at / {DAY}"));
    let counted = working_day("d.day");
    format!(
        "CASE WHEN p.usual_of_days = {USUAL_OF_DAYS} THEN p.days_there
             ELSE (SELECT count(*) FROM machine_days d WHERE d.tenant = p.tenant
                 AND d.environment = p.environment AND d.machine = p.id
                 AND d.day <= p.present_at / {DAY} AND (d.day + 3) % 7 < 5
                 AND {counted} > {present} - p.usual_of_days) END"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::central::store::Scope;

    #[test]
    fn a_statement_about_machines_reads_the_same_at_any_time() {
        let scope = Scope {
            tenant: 1,
            environment: 2,
        };
        let at = |now| {
            let mut query = Query::scoped("", scope);
            source(&mut query, &Of::Environment, Timestamp(now));
            (query.sql, query.values)
        };
        let (first, then) = (at(1_000 * DAY), at(2_000 * DAY + 7));
        assert_eq!(first.0, then.0);
        assert_ne!(first.1, then.1);
    }
}
