//! The machines of an environment as a list that the database narrows, sorts and counts: no request reads
//! more of them than it shows.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::{DAY, Timestamp};

use super::catalog::Key;
use super::concern::{Concern, concerned, soon};
use super::inventory::like;
use super::machine_rules::USUAL_OF_DAYS;
use super::machine_state::{MachineState, SECOND, silent_before};
use super::query::{Dialect, Query, Row};
use super::{MachineRules, Page, PageRequest, Scope, Store, StoreError};

/// What machines are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineFacet {
    /// How they report: a [`MachineState`].
    State,
    /// Why somebody should look at them: a [`Concern`], or `any`.
    Concern,
    /// The operating system.
    System,
    /// The edge's version.
    Version,
}

/// A value that machines must have, or must not.
#[derive(Clone, Debug)]
pub struct MachineTerm {
    /// What the value is of.
    pub facet: MachineFacet,
    /// The value.
    pub value: String,
    /// Whether machines must not have it.
    pub is_excluded: bool,
}

/// Which machines are asked for, and in which order.
#[derive(Clone, Debug, Default)]
pub struct MachineFilter {
    /// A part of the host's name or of the edge's id.
    pub text: String,
    /// Each must hold.
    pub terms: Vec<MachineTerm>,
    /// A column of [`MachineFilter::COLUMNS`], with a `-` before it the greatest first; else the latest seen
    /// first.
    pub sort: String,
}

impl MachineFilter {
    /// What machines can be sorted by.
    pub const COLUMNS: [&'static str; 10] = [
        "machine",
        "system",
        "last-seen",
        "last-heartbeat",
        "edge",
        "appended",
        "stored",
        "waiting",
        "dropped",
        "unexplained",
    ];

    /// Whether `sort` names a column.
    pub fn has_order(&self) -> bool {
        let column = self.sort.strip_prefix('-').unwrap_or(&self.sort);
        MachineFilter::COLUMNS.contains(&column)
    }

    /// What holds a column's values, and whether the greatest come first.
    fn order(&self) -> (&'static str, bool) {
        let (column, is_descending) = match self.sort.strip_prefix('-') {
            Some(column) => (column, true),
            None => (self.sort.as_str(), false),
        };
        let key = match column {
            "machine" => "lower(f.name)",
            "system" => "lower(f.os)",
            "last-seen" => "f.last_seen",
            "last-heartbeat" => "f.heartbeat_at",
            "edge" => "f.version",
            "appended" => "f.appended",
            "stored" => "f.stored",
            "waiting" => "f.waiting",
            "dropped" => "f.dropped",
            "unexplained" => "f.missing",
            _ => return ("f.last_seen", true),
        };
        (key, is_descending)
    }
}

/// How many machines there are, and what their numbers add up to.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Fleet {
    /// Machines.
    pub machine_count: i64,
    /// Of these, the ones that somebody should look at for any reason.
    pub concerned_count: i64,
    /// How many are in each state; states without a machine are left out.
    pub states: BTreeMap<MachineState, i64>,
    /// How many each concern is about; concerns without a machine are left out.
    pub concerns: BTreeMap<Concern, i64>,
    /// How many run on each operating system, by its name; those that do not tell it are left out.
    pub systems: BTreeMap<String, i64>,
    /// How many run each version of the edge.
    pub versions: BTreeMap<String, i64>,
    /// Records that edges are known to have numbered.
    pub appended: i64,
    /// Of these, the ones that are here.
    pub stored: i64,
    /// Records that waited on the machines at their latest heartbeats.
    pub waiting: i64,
    /// Records that edges say will not come.
    pub dropped: i64,
    /// Records that are missing without a reason.
    pub unexplained: i64,
    /// Records that were refused for good and that edges keep.
    pub parked: i64,
}

/// What is summed up, in the order in which [`Fleet::count`] takes it.
const SUMS: [&str; 6] = [
    "appended", "stored", "waiting", "dropped", "missing", "parked",
];

impl Store {
    /// Counts the machines that a filter leaves.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn fleet(
        &self,
        scope: Scope,
        filter: &MachineFilter,
        now: Timestamp,
    ) -> Result<Fleet, StoreError> {
        let states = MachineState::ALL.map(|it| format!("f.state = '{}'", it.word()));
        let about = Concern::ALL.map(|it| it.is_so().to_owned());
        let any = about.join(" OR ");
        let counts = ["true".to_owned()]
            .iter()
            .chain(&states)
            .chain(&about)
            .chain([&any])
            .map(|it| format!("coalesce(sum(CASE WHEN {it} THEN 1 ELSE 0 END), 0)"))
            .collect::<Vec<_>>();
        let sums = SUMS.map(|column| format!("coalesce(CAST(sum(f.{column}) AS bigint), 0)"));
        let columns = [counts, sums.to_vec()].concat().join(", ");
        let rules = self.machine_rules(scope).await?;
        let mut query = Query::scoped(format!("SELECT {columns} FROM "), scope);
        self.push_fleet(&mut query, filter, now, &rules);
        let mut fleet = Fleet::default();
        for row in self.derived_rows(query).await? {
            fleet.count(row)?;
        }
        // Apart from the sums, which need no order of the rows.
        let mut query = Query::scoped("SELECT f.os, f.version, count(*) FROM ", scope);
        self.push_fleet(&mut query, filter, now, &rules);
        query.push(" GROUP BY f.os, f.version");
        for mut row in self.rows(query).await? {
            let (system, version): (String, String) = (row.take(0)?, row.take(1)?);
            let machines: i64 = row.take(2)?;
            for (counts, value) in [(&mut fleet.systems, system), (&mut fleet.versions, version)] {
                if !value.is_empty() {
                    *counts.entry(value).or_default() += machines;
                }
            }
        }
        Ok(fleet)
    }

    /// The ids of the machines on a page of the list.
    pub(super) async fn listed_machines(
        &self,
        scope: Scope,
        filter: &MachineFilter,
        now: Timestamp,
        page: PageRequest,
    ) -> Result<Page<String>, StoreError> {
        let (column, is_descending) = filter.order();
        let mut query = Query::scoped(format!("SELECT f.id, {column} FROM "), scope);
        let rules = self.machine_rules(scope).await?;
        self.push_fleet(&mut query, filter, now, &rules);
        if let Some((sort, key, id)) = page.after::<(String, Key, String)>()? {
            if sort != filter.sort {
                return Err(StoreError::BadCursor);
            }
            let order = if is_descending { "<" } else { ">" };
            query.push(&format!(" AND ({column}, f.id) {order} ("));
            match key {
                Key::Number(number) => query.bind(number),
                Key::Text(text) => query.bind(text),
            };
            query.push(", ").bind(id).push(")");
        }
        let way = if is_descending { "DESC" } else { "ASC" };
        query.push(&format!(" ORDER BY {column} {way}, f.id {way} LIMIT "));
        query.bind(page.limit_to_read());
        let mut rows: Vec<(String, Key)> = Vec::new();
        for mut row in self.derived_rows(query).await? {
            let id = row.take(0)?;
            rows.push((id, row.key(1)?));
        }
        let listed = page.page(rows, |(id, key)| {
            (filter.sort.clone(), key.clone(), id.clone())
        });
        Ok(Page {
            items: listed.items.into_iter().map(|(id, _)| id).collect(),
            next_cursor: listed.next_cursor,
        })
    }

    /// `(…) f WHERE …`: the machines of the query's scope that a filter leaves, as they are at `now`.
    fn push_fleet(
        &self,
        query: &mut Query,
        filter: &MachineFilter,
        now: Timestamp,
        rules: &MachineRules,
    ) {
        let least = self.dialect().least();
        // Bound, as everything that differs from one time to the next: prepared statements are kept by their text.
        let state = state_sql(query, self.dialect(), now, rules);
        let soon = query.name(soon(now));
        query.push(&format!(
            "(SELECT p.id, p.name, p.os, p.version, p.last_seen, p.heartbeat_at, p.waiting, p.appended,
                 p.stored, p.missing, p.dropped, p.lost, p.parked, p.clock_is_off, p.token_expires_at,
                 CASE WHEN p.token_expires_at < {soon} THEN 1 ELSE 0 END AS expires_soon,
                 {state} AS state
             FROM (SELECT m.tenant, m.environment, m.id,
                     CASE WHEN m.host_name = '' THEN m.id ELSE m.host_name END AS name,
                     m.os, m.version, m.last_seen, m.heartbeat_at,
                     CASE WHEN m.queue_records < 0 THEN 0
                         ELSE {least}(m.queue_records, 1000000000000) END AS waiting,
                     coalesce(s.present_at, m.last_seen) AS present_at, a.retired_at,
                     coalesce(s.days_there, 0) AS days_there,
                     coalesce(s.appended, 0) AS appended, coalesce(s.stored, 0) AS stored,
                     coalesce(s.missing, 0) AS missing, coalesce(s.dropped, 0) AS dropped,
                     coalesce(s.lost, 0) AS lost, coalesce(s.parked, 0) AS parked,
                     coalesce(s.clock_is_off, 0) AS clock_is_off,
                     coalesce(s.token_expires_at, 9223372036854775807) AS token_expires_at
                 FROM machines m
                 LEFT JOIN machine_standing s ON s.tenant = m.tenant
                     AND s.environment = m.environment AND s.machine = m.id
                 LEFT JOIN retired_machines a ON a.tenant = m.tenant
                     AND a.environment = m.environment AND a.machine = m.id
                 WHERE m.tenant = $1 AND m.environment = $2) p) f
             WHERE true"
        ));
        let text = filter.text.trim().to_lowercase();
        if !text.is_empty() {
            let pattern = like(&text);
            query.push(" AND (lower(f.name) LIKE ").bind(&*pattern);
            query.push(" ESCAPE '!' OR lower(f.id) LIKE ").bind(pattern);
            query.push(" ESCAPE '!')");
        }
        for term in &filter.terms {
            query.push(match term.is_excluded {
                true => " AND NOT (",
                false => " AND (",
            });
            match term.facet {
                MachineFacet::State => query.push("f.state = ").bind(&*term.value),
                MachineFacet::System => query.push("f.os = ").bind(&*term.value),
                MachineFacet::Version => query.push("f.version = ").bind(&*term.value),
                MachineFacet::Concern => query.push(&concerned(&term.value)),
            };
            query.push(")");
        }
    }
}

/// A machine's state at `now`, as [`super::machine_state`] has it, of a row `p`.
fn state_sql(query: &mut Query, dialect: Dialect, now: Timestamp, rules: &MachineRules) -> String {
    let reporting = query.name(now.0.saturating_sub(rules.late_after_seconds * SECOND));
    let silent = query.name(silent_before(now, rules));
    let there = days_there(query, dialect, rules.usual_of_days);
    let usual = query.name(rules.usual_days);
    format!(
        "CASE WHEN p.retired_at > p.present_at THEN 'retired'
             WHEN p.present_at >= {reporting} THEN 'reporting'
             WHEN p.present_at < {silent} AND {there} >= {usual} THEN 'silent'
             ELSE 'late' END"
    )
}

/// On how many it was there of so many working days up to its latest heartbeat. The row says it of as many
/// as are looked at unless the rules were changed; else its days are counted.
fn days_there(query: &mut Query, dialect: Dialect, of: i64) -> String {
    if of == USUAL_OF_DAYS {
        return "p.days_there".to_owned();
    }
    // Working days in order, Monday to Friday of each week; a weekend counts as the Friday before.
    let least = dialect.least();
    let working_day = |day: &str| format!("(({day} + 3) / 7 * 5 + {least}(({day} + 3) % 7, 4))");
    let present = format!("(p.present_at / {DAY})");
    let of = query.name(of);
    format!(
        "(SELECT count(*) FROM machine_days d WHERE d.tenant = p.tenant
             AND d.environment = p.environment AND d.machine = p.id AND d.day <= {present}
             AND (d.day + 3) % 7 < 5 AND {} > {} - {of})",
        working_day("d.day"),
        working_day(&present),
    )
}

impl Fleet {
    /// Takes the sums of the one row that holds them.
    fn count(&mut self, mut row: Row) -> Result<(), StoreError> {
        let mut columns = 0..;
        let mut next = || -> Result<i64, StoreError> { row.take(columns.next().unwrap_or(0)) };
        self.machine_count = next()?;
        for state in MachineState::ALL {
            let machines = next()?;
            if machines > 0 {
                self.states.insert(state, machines);
            }
        }
        for concern in Concern::ALL {
            let machines = next()?;
            if machines > 0 {
                self.concerns.insert(concern, machines);
            }
        }
        self.concerned_count = next()?;
        self.appended = next()?;
        self.stored = next()?;
        self.waiting = next()?;
        self.dropped = next()?;
        self.unexplained = next()?;
        self.parked = next()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_about_machines_reads_the_same_at_any_time() {
        let scope = Scope {
            tenant: 1,
            environment: 2,
        };
        for days in [USUAL_OF_DAYS, USUAL_OF_DAYS + 1] {
            let rules = MachineRules {
                usual_of_days: days,
                ..MachineRules::default()
            };
            let at = |now| {
                let mut query = Query::scoped("", scope);
                let state = state_sql(&mut query, Dialect::Postgres, Timestamp(now), &rules);
                (state, query.values)
            };
            let (first, then) = (at(1_000 * DAY), at(2_000 * DAY + 7));
            assert_eq!(first.0, then.0);
            assert_ne!(first.1, then.1);
        }
    }
}
