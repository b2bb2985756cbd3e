//! By which rules an environment tells how its machines report. They are read whenever a state is told, so
//! that a change is in force everywhere at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::query::Query;
use super::{Scope, Store, StoreError};

/// Longest time without a heartbeat that can be called reporting: a day.
const MAX_REPORTING_SECONDS: i64 = 86_400;

/// Working days that can be looked at, at most: a quarter of a year.
const MAX_DAYS: i64 = 65;

/// Working days that are looked at unless the rules were changed; the row of a machine counts them.
pub(super) const USUAL_OF_DAYS: i64 = 10;

/// When a machine is late, and when it is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MachineRules {
    /// A machine is late when its latest heartbeat is older than so many seconds: 180 unless set.
    pub late_after_seconds: i64,
    /// It is silent after so many working days without a heartbeat: 2 unless set.
    pub silent_after_days: i64,
    /// If it was there before on at least so many working days: 5 unless set.
    pub usual_days: i64,
    /// Of so many up to its latest heartbeat: 10 unless set.
    pub usual_of_days: i64,
}

impl Default for MachineRules {
    fn default() -> MachineRules {
        MachineRules {
            late_after_seconds: 180,
            silent_after_days: 2,
            usual_days: 5,
            usual_of_days: USUAL_OF_DAYS,
        }
    }
}

impl MachineRules {
    /// Whether they can be followed.
    ///
    /// # Errors
    /// What is wrong, for whoever wrote them.
    pub fn check(&self) -> Result<(), &'static str> {
        // Edges send a heartbeat each minute.
        if !(60..=MAX_REPORTING_SECONDS).contains(&self.late_after_seconds) {
            return Err("machines are late after a minute at the least and a day at the most");
        }
        if !(1..=MAX_DAYS).contains(&self.silent_after_days) {
            return Err("machines are silent after 1 to 65 working days");
        }
        if !(1..=MAX_DAYS).contains(&self.usual_of_days) {
            return Err("1 to 65 working days tell what is usual");
        }
        if !(1..=self.usual_of_days).contains(&self.usual_days) {
            return Err(
                "a machine is usually there on at least one of these days, and on no more than all",
            );
        }
        Ok(())
    }
}

impl std::fmt::Display for MachineRules {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let MachineRules {
            late_after_seconds,
            silent_after_days,
            usual_days,
            usual_of_days,
        } = self;
        write!(
            out,
            "late after {late_after_seconds} s, silent after {silent_after_days} working days if there on \
             {usual_days} of {usual_of_days}"
        )
    }
}

impl Store {
    /// The rules of an environment.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn machine_rules(&self, scope: Scope) -> Result<MachineRules, StoreError> {
        let sql = "SELECT late_after_seconds, silent_after_days, usual_days, usual_of_days
            FROM machine_rules WHERE tenant = $1 AND environment = $2";
        let row = self.rows(Query::scoped(sql, scope)).await?.pop();
        let Some(mut row) = row else {
            return Ok(MachineRules::default());
        };
        Ok(MachineRules {
            late_after_seconds: row.take(0)?,
            silent_after_days: row.take(1)?,
            usual_days: row.take(2)?,
            usual_of_days: row.take(3)?,
        })
    }

    /// Sets them; they can be followed ([`MachineRules::check`]).
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn set_machine_rules(
        &self,
        scope: Scope,
        rules: MachineRules,
    ) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO machine_rules (tenant, environment, late_after_seconds, silent_after_days,
                usual_days, usual_of_days)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, environment) DO UPDATE SET
                late_after_seconds = excluded.late_after_seconds,
                silent_after_days = excluded.silent_after_days,
                usual_days = excluded.usual_days, usual_of_days = excluded.usual_of_days";
        let mut set = Query::scoped(sql, scope);
        set.values.extend([
            rules.late_after_seconds.into(),
            rules.silent_after_days.into(),
            rules.usual_days.into(),
            rules.usual_of_days.into(),
        ]);
        self.write(vec![set]).await?;
        Ok(())
    }
}
