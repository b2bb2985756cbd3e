//! The machines of an environment as a list that the database narrows, sorts and counts: no request reads
//! more of them than it shows.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Timestamp;

use super::concern::{Concern, concerned, soon};
use super::inventory::like;
use super::machine_state::{DAY, MachineState, SECOND, silent_before};
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

/// What a row of the list is sorted by, for the cursor.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Key {
    Number(i64),
    Text(String),
}

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
        let soon = soon(now);
        let about: Vec<String> = Concern::ALL.map(|it| it.is_so(&soon)).to_vec();
        let any = about.join(" OR ");
        let counts = about
            .iter()
            .chain([&any])
            .map(|it| format!("sum(CASE WHEN {it} THEN 1 ELSE 0 END)"));
        let sums = [
            "appended", "stored", "waiting", "dropped", "missing", "parked",
        ]
        .map(|column| format!("CAST(sum(f.{column}) AS bigint)"));
        let columns: Vec<String> = ["f.state", "f.os", "f.version", "count(*)"]
            .map(str::to_owned)
            .into_iter()
            .chain(counts)
            .chain(sums)
            .collect();
        let rules = self.machine_rules(scope).await?;
        let mut query = Query::scoped(format!("SELECT {} FROM ", columns.join(", ")), scope);
        self.push_fleet(&mut query, filter, now, &rules);
        query.push(" GROUP BY f.state, f.os, f.version");
        let mut fleet = Fleet::default();
        for row in self.derived_rows(query).await? {
            fleet.add(row)?;
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
        let rules = self.machine_rules(scope).await?;
        let mut query = Query::scoped(format!("SELECT f.id, {column} FROM "), scope);
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
        let state = state_sql(self.dialect(), now, rules);
        query.push(&format!(
            "(SELECT p.id, p.name, p.os, p.version, p.last_seen, p.heartbeat_at, p.waiting, p.appended,
                 p.stored, p.missing, p.dropped, p.lost, p.parked, p.clock_is_off, p.token_expires_at,
                 {state} AS state
             FROM (SELECT m.tenant, m.environment, m.id,
                     CASE WHEN m.host_name = '' THEN m.id ELSE m.host_name END AS name,
                     m.os, m.version, m.last_seen, m.heartbeat_at,
                     CASE WHEN m.queue_records < 0 THEN 0
                         ELSE {least}(m.queue_records, 1000000000000) END AS waiting,
                     coalesce(s.present_at, m.last_seen) AS present_at, a.retired_at,
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
        let soon = soon(now);
        for term in &filter.terms {
            query.push(match term.is_excluded {
                true => " AND NOT (",
                false => " AND (",
            });
            match term.facet {
                MachineFacet::State => query.push("f.state = ").bind(&*term.value),
                MachineFacet::System => query.push("f.os = ").bind(&*term.value),
                MachineFacet::Version => query.push("f.version = ").bind(&*term.value),
                MachineFacet::Concern => query.push(&concerned(&term.value, &soon)),
            };
            query.push(")");
        }
    }
}

/// A machine's state at `now`, as [`super::machine_state`] has it, of a row `p`.
fn state_sql(dialect: Dialect, now: Timestamp, rules: &MachineRules) -> String {
    let reporting = now.0.saturating_sub(rules.late_after_seconds * SECOND);
    let silent = silent_before(now, rules).0;
    let (usual, of_days) = (rules.usual_days, rules.usual_of_days);
    // Working days in order, Monday to Friday of each week; a weekend counts as the Friday before.
    let least = dialect.least();
    let working_day = |day: &str| format!("(({day} + 3) / 7 * 5 + {least}(({day} + 3) % 7, 4))");
    let (present, there) = (format!("(p.present_at / {DAY})"), "d.day");
    format!(
        "CASE WHEN p.retired_at > p.present_at THEN 'retired'
             WHEN p.present_at >= {reporting} THEN 'reporting'
             WHEN p.present_at < {silent} AND (
                 SELECT count(*) FROM machine_days d WHERE d.tenant = p.tenant
                     AND d.environment = p.environment AND d.machine = p.id AND d.day <= {present}
                     AND (d.day + 3) % 7 < 5 AND {} > {} - {of_days}) >= {usual} THEN 'silent'
             ELSE 'late' END",
        working_day(there),
        working_day(&present),
    )
}

impl Fleet {
    /// Adds the machines of one state, system and version.
    fn add(&mut self, mut row: Row) -> Result<(), StoreError> {
        let state: String = row.take(0)?;
        let (system, version): (String, String) = (row.take(1)?, row.take(2)?);
        let machines: i64 = row.take(3)?;
        self.machine_count += machines;
        let state = MachineState::ALL.into_iter().find(|it| it.word() == state);
        if let Some(state) = state {
            *self.states.entry(state).or_default() += machines;
        }
        for (column, concern) in (4..).zip(Concern::ALL) {
            let about: i64 = row.take(column)?;
            if about > 0 {
                *self.concerns.entry(concern).or_default() += about;
            }
        }
        let next = 4 + Concern::ALL.len();
        self.concerned_count += row.take::<i64>(next)?;
        for (counts, value) in [(&mut self.systems, system), (&mut self.versions, version)] {
            if !value.is_empty() {
                *counts.entry(value).or_default() += machines;
            }
        }
        let sums = [
            &mut self.appended,
            &mut self.stored,
            &mut self.waiting,
            &mut self.dropped,
            &mut self.unexplained,
            &mut self.parked,
        ];
        for (column, sum) in (next + 1..).zip(sums) {
            *sum += row.take::<i64>(column)?;
        }
        Ok(())
    }
}

impl Row {
    /// A sort key, a number or a text.
    fn key(&mut self, column: usize) -> Result<Key, StoreError> {
        let number: Result<i64, _> = self.clone().take(column);
        match number {
            Ok(number) => Ok(Key::Number(number)),
            Err(_) => self.take(column).map(Key::Text),
        }
    }
}
