//! Why somebody should look at a machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{DAY, Timestamp};

use super::Machine;
use super::machine_state::MachineState;

/// A token that ends within this time is a concern, in nanoseconds.
const EXPIRES_SOON: i64 = 30 * DAY;

/// Why somebody should look at a machine.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Concern {
    /// Records are missing without a reason.
    Unexplained,
    /// Records did not come, with a reason.
    Dropped,
    /// It was usually there, and is not.
    Silent,
    /// Records were refused for good and wait on the machine.
    Parked,
    /// Its token expires within 30 days, or has expired.
    Token,
    /// Its clock is off by more than five minutes.
    Clock,
}

impl Concern {
    /// All of them, the worst first.
    pub const ALL: [Concern; 6] = [
        Concern::Unexplained,
        Concern::Dropped,
        Concern::Silent,
        Concern::Parked,
        Concern::Token,
        Concern::Clock,
    ];

    /// The concern as addresses have it.
    pub fn slug(self) -> &'static str {
        match self {
            Concern::Unexplained => "unexplained",
            Concern::Dropped => "dropped",
            Concern::Silent => "silent",
            Concern::Parked => "parked",
            Concern::Token => "token",
            Concern::Clock => "clock",
        }
    }

    /// Why somebody should look at a machine that is as it is at `now`, the worst first: the same as
    /// `is_so` says in the database.
    pub fn of(machine: &Machine, now: Timestamp) -> impl Iterator<Item = Concern> {
        let is_expected = machine.state != MachineState::Retired;
        let ends = machine.token_expires_at;
        let expires_soon = ends.is_some_and(|at| expires_soon(at, now));
        Concern::ALL
            .into_iter()
            .filter(move |concern| match concern {
                Concern::Unexplained => machine.missing > 0,
                Concern::Dropped => {
                    let mut dropped = machine.dropped.iter();
                    dropped.any(|it| it.records > 0 || it.numbers > 0)
                }
                Concern::Silent => machine.state == MachineState::Silent,
                Concern::Parked => machine.parked_records.is_some_and(|parked| parked > 0),
                Concern::Token => expires_soon && is_expected,
                Concern::Clock => machine.clock_is_off && is_expected,
            })
    }

    /// What is so of a machine that it is about. A machine that was put aside is no longer expected to have a
    /// clock or a token.
    pub(super) fn is_so(self) -> &'static str {
        match self {
            Concern::Unexplained => "f.missing > 0",
            Concern::Dropped => "(f.dropped > 0 OR f.lost > 0)",
            Concern::Silent => "f.state = 'silent'",
            Concern::Parked => "f.parked > 0",
            Concern::Token => "(f.expires_soon = 1 AND f.state <> 'retired')",
            Concern::Clock => "(f.clock_is_off = 1 AND f.state <> 'retired')",
        }
    }
}

/// Whether a token that ends at `at` is a concern at `now`.
pub fn expires_soon(at: Timestamp, now: Timestamp) -> bool {
    at < soon(now)
}

/// A token that ends before this time is a concern at `now`.
pub(super) fn soon(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_add(EXPIRES_SOON))
}

/// What is so of machines that a concern of this name is about.
pub(super) fn concerned(slug: &str) -> String {
    let named = |concern: &Concern| slug == "any" || concern.slug() == slug;
    let about: Vec<&str> = Concern::ALL
        .iter()
        .filter(|it| named(it))
        .map(|it| it.is_so())
        .collect();
    match about.is_empty() {
        true => "false".to_owned(),
        false => about.join(" OR "),
    }
}
