//! Why somebody should look at a machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{DAY, Timestamp};

use super::Machine;
use super::machine_state::MachineState;

/// A token that ends within this time is a concern, in nanoseconds.
const EXPIRES_SOON: i64 = 30 * DAY;

/// What is so of a machine that a concern is about, as text of a statement.
macro_rules! is_so {
    (Unexplained) => {
        "l.missing > 0"
    };
    (Dropped) => {
        "(l.dropped > 0 OR l.lost > 0)"
    };
    (Silent) => {
        "l.state = 'silent'"
    };
    (Parked) => {
        "l.parked > 0"
    };
    (Token) => {
        "(l.expires_soon = 1 AND l.state <> 'retired')"
    };
    (Clock) => {
        "(l.clock_is_off = 1 AND l.state <> 'retired')"
    };
    (any) => {
        concat!(
            is_so!(Unexplained),
            " OR ",
            is_so!(Dropped),
            " OR ",
            is_so!(Silent),
            " OR ",
            is_so!(Parked),
            " OR ",
            is_so!(Token),
            " OR ",
            is_so!(Clock)
        )
    };
}

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
    /// The name of all of them together.
    pub const ANY: &str = "any";

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
    pub const fn slug(self) -> &'static str {
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

    /// What is so of a machine, a row `l` of the list, that it is about. A machine that was put aside is no
    /// longer expected to have a clock or a token.
    const fn is_so(self) -> &'static str {
        match self {
            Concern::Unexplained => is_so!(Unexplained),
            Concern::Dropped => is_so!(Dropped),
            Concern::Silent => is_so!(Silent),
            Concern::Parked => is_so!(Parked),
            Concern::Token => is_so!(Token),
            Concern::Clock => is_so!(Clock),
        }
    }
}

/// Choices among machines: any concern, then each.
const CHOICE_COUNT: usize = 1 + Concern::ALL.len();

/// The names of the choices, and what is so of a machine that each of them is about.
pub(super) const CHOICES: ([&str; CHOICE_COUNT], [&str; CHOICE_COUNT]) = {
    let (mut names, mut are_so) = ([Concern::ANY; CHOICE_COUNT], [is_so!(any); CHOICE_COUNT]);
    let mut place = 1;
    while place < CHOICE_COUNT {
        names[place] = Concern::ALL[place - 1].slug();
        are_so[place] = Concern::ALL[place - 1].is_so();
        place += 1;
    }
    (names, are_so)
};

/// Whether a token that ends at `at` is a concern at `now`.
pub fn expires_soon(at: Timestamp, now: Timestamp) -> bool {
    at < soon(now)
}

/// A token that ends before this time is a concern at `now`.
pub(super) fn soon(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_add(EXPIRES_SOON))
}
