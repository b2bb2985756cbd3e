//! What the machines of an environment add up to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Timestamp;

use super::catalog::{Cataloged, Criteria};
use super::concern::Concern;
use super::machine_state::MachineState;
use super::query::{Query, Row};
use super::{Machine, Scope, Store, StoreError};

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
    /// How many run on each operating system, by its name, the most frequent 100; those that do not tell it are
    /// left out.
    pub systems: BTreeMap<String, i64>,
    /// How many run each version of the edge, the most frequent 100.
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

/// What is summed up, in the order in which [`Fleet::sum`] takes it.
const SUMS: [&str; 6] = [
    "appended", "stored", "waiting", "dropped", "missing", "parked",
];

impl Store {
    /// Counts the machines that criteria leave, as they are at `now`, and sums up their numbers.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn fleet(
        &self,
        scope: Scope,
        criteria: &Criteria,
        now: Timestamp,
    ) -> Result<Fleet, StoreError> {
        let catalog = const { &Machine::CATALOG };
        let tally = self.tally::<Machine>(scope, criteria, now).await?;
        let mut fleet = Fleet {
            machine_count: tally.row_count,
            ..Fleet::default()
        };
        for (facet, counts) in catalog.facets.iter().zip(tally.facets) {
            for (value, machines) in counts {
                fleet.count(facet.name, value, machines);
            }
        }
        let sums = SUMS.map(|of| format!("coalesce(CAST(sum(l.{of}) AS bigint), 0)"));
        let mut query = Query::scoped(format!("SELECT {} FROM ", sums.join(", ")), scope);
        catalog.push(&mut query, criteria, now, "")?;
        for row in self.rows(query).await? {
            fleet.sum(row)?;
        }
        Ok(fleet)
    }
}

impl Fleet {
    /// Takes how many machines have a value of a facet.
    fn count(&mut self, facet: &str, value: String, machines: i64) {
        match facet {
            "state" => {
                let state = MachineState::ALL.into_iter().find(|it| it.word() == value);
                self.states.extend(state.map(|state| (state, machines)));
            }
            "concern" if value == Concern::ANY => self.concerned_count = machines,
            "concern" => {
                let concern = Concern::ALL.into_iter().find(|it| it.slug() == value);
                self.concerns.extend(concern.map(|about| (about, machines)));
            }
            "system" => {
                self.systems.insert(value, machines);
            }
            _ => {
                self.versions.insert(value, machines);
            }
        }
    }

    /// Takes the sums of the one row that holds them.
    fn sum(&mut self, mut row: Row) -> Result<(), StoreError> {
        let sums = [
            &mut self.appended,
            &mut self.stored,
            &mut self.waiting,
            &mut self.dropped,
            &mut self.unexplained,
            &mut self.parked,
        ];
        for (column, sum) in sums.into_iter().enumerate() {
            *sum = row.take(column)?;
        }
        Ok(())
    }
}
