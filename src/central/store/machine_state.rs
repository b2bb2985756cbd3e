//! Whether a machine reports as it should, by the rules of its environment.
//!
//! A closed laptop is normal; a machine that was there on most working days and then is not, is not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Timestamp;

use super::MachineRules;

pub(super) const SECOND: i64 = 1_000_000_000;

/// How a machine reports.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum MachineState {
    /// Its latest heartbeat is not older than the rules say, three minutes unless they were changed.
    Reporting,
    /// It is older: a closed laptop is normal.
    Late,
    /// It was there on most days, five of its last ten working days unless the rules were changed, and then
    /// not for two.
    Silent,
    /// It was put aside by somebody, and has not reported since.
    Retired,
}

impl MachineState {
    /// All of them, the best first.
    pub const ALL: [MachineState; 4] = [
        MachineState::Reporting,
        MachineState::Late,
        MachineState::Silent,
        MachineState::Retired,
    ];

    /// The state as it is shown.
    pub fn word(self) -> &'static str {
        match self {
            MachineState::Reporting => "reporting",
            MachineState::Late => "late",
            MachineState::Silent => "silent",
            MachineState::Retired => "retired",
        }
    }
}

/// When a machine was there.
#[derive(Debug)]
pub(super) struct Presence<'a> {
    /// Its latest record, by a clock that is right.
    pub(super) last: Timestamp,
    /// Days with heartbeats, counted from the Unix epoch, in order.
    pub(super) days: &'a [i64],
    /// When it was put aside.
    pub(super) retired_at: Option<Timestamp>,
}

impl Presence<'_> {
    /// The state at `now`.
    pub(super) fn state(&self, now: Timestamp, rules: &MachineRules) -> MachineState {
        if self.retired_at.is_some_and(|retired| retired > self.last) {
            return MachineState::Retired;
        }
        if now.0.saturating_sub(self.last.0) <= rules.late_after_seconds * SECOND {
            return MachineState::Reporting;
        }
        let (last, today) = (self.last.day(), now.day());
        // The days between are over; this one is not.
        let missed = (last + 1..today).filter(|day| is_working_day(*day));
        let silent = usize::try_from(rules.silent_after_days).unwrap_or(usize::MAX);
        let is_missed = missed.take(silent).count() == silent;
        match is_missed && self.days_there(rules.usual_of_days) >= rules.usual_days {
            true => MachineState::Silent,
            false => MachineState::Late,
        }
    }

    /// On how many it was there of so many working days up to its latest record.
    pub(super) fn days_there(&self, of: i64) -> i64 {
        let last = self.last.day();
        let usual = (0..=last).rev().filter(|day| is_working_day(*day));
        let there = usual
            .take(usize::try_from(of).unwrap_or(usize::MAX))
            .filter(|day| self.days.binary_search(day).is_ok());
        i64::try_from(there.count()).unwrap_or(i64::MAX)
    }
}

/// Which working day a day is, counted from the Monday before the epoch; a day of a weekend is its Friday.
pub(super) fn working_day(day: i64) -> i64 {
    let monday = day + 3;
    monday.div_euclid(7) * 5 + monday.rem_euclid(7).min(4)
}

/// Monday to Friday; 1 January 1970 was a Thursday.
fn is_working_day(day: i64) -> bool {
    (day + 3).rem_euclid(7) < 5
}

#[cfg(test)]
mod tests {
    use crate::event::DAY;

    use super::*;

    /// Noon, so many days after Monday, 5 January 1970.
    fn noon(day: i64) -> Timestamp {
        Timestamp((4 + day) * DAY + DAY / 2)
    }

    fn state(last: i64, days: &[i64], now: Timestamp) -> MachineState {
        state_by(&MachineRules::default(), last, days, now)
    }

    fn state_by(rules: &MachineRules, last: i64, days: &[i64], now: Timestamp) -> MachineState {
        let days: Vec<i64> = days.iter().map(|day| 4 + day).collect();
        let presence = Presence {
            last: noon(last),
            days: &days,
            retired_at: None,
        };
        presence.state(now, rules)
    }

    #[test]
    fn a_machine_that_was_usually_there_is_missed_after_two_working_days() {
        let every_day = [0, 1, 2, 3, 4, 7, 8, 9, 10, 11];
        let minutes = |count: i64| Timestamp(noon(11).0 + count * 60 * SECOND);
        assert_eq!(state(11, &every_day, minutes(3)), MachineState::Reporting);
        assert_eq!(state(11, &every_day, minutes(4)), MachineState::Late);
        // The weekend does not count, nor does a day that is not over.
        assert_eq!(state(11, &every_day, noon(15)), MachineState::Late);
        assert_eq!(state(11, &every_day, noon(16)), MachineState::Silent);
        // Whoever works two days a week is not missed.
        assert_eq!(state(11, &[3, 4, 10, 11], noon(30)), MachineState::Late);
    }

    #[test]
    fn working_days_are_counted_without_weekends() {
        let counted = |day: i64| working_day(day) - working_day(-3);
        assert_eq!(
            (-3..11).map(counted).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 9, 9, 9]
        );
        let is_one = |day: &i64| counted(*day) > counted(day - 1);
        assert!((-30..30).all(|day| is_one(&day) == is_working_day(day)));
    }

    #[test]
    fn an_environment_may_have_other_rules() {
        let rules = MachineRules {
            late_after_seconds: 3_600,
            silent_after_days: 3,
            usual_days: 2,
            usual_of_days: 5,
        };
        let twice_a_week = [3, 4, 10, 11];
        let minutes = |count: i64| Timestamp(noon(11).0 + count * 60 * SECOND);
        let state = |now| state_by(&rules, 11, &twice_a_week, now);
        assert_eq!(state(minutes(60)), MachineState::Reporting);
        assert_eq!(state(minutes(61)), MachineState::Late);
        assert_eq!(state(noon(16)), MachineState::Late);
        assert_eq!(state(noon(17)), MachineState::Silent);
        let once = state_by(&rules, 11, &[11], noon(17));
        assert_eq!(once, MachineState::Late, "nobody misses it");
    }

    #[test]
    fn a_retired_machine_comes_back_by_itself() {
        let mut presence = Presence {
            last: noon(3),
            days: &[],
            retired_at: Some(noon(4)),
        };
        assert_eq!(
            presence.state(noon(9), &MachineRules::default()),
            MachineState::Retired
        );
        presence.last = noon(5);
        assert_eq!(
            presence.state(noon(9), &MachineRules::default()),
            MachineState::Late
        );
    }
}
