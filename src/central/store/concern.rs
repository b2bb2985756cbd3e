//! Why somebody should look at a machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Timestamp;

use super::machine_state::DAY;

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

    /// What is so of a machine that it is about, of which `soon` is a time. A machine that was put aside is no
    /// longer expected to have a clock or a token.
    pub(super) fn is_so(self, soon: &str) -> String {
        match self {
            Concern::Unexplained => "f.missing > 0".to_owned(),
            Concern::Dropped => "(f.dropped > 0 OR f.lost > 0)".to_owned(),
            Concern::Silent => "f.state = 'silent'".to_owned(),
            Concern::Parked => "f.parked > 0".to_owned(),
            Concern::Token => format!("(f.token_expires_at < {soon} AND f.state <> 'retired')"),
            Concern::Clock => "(f.clock_is_off = 1 AND f.state <> 'retired')".to_owned(),
        }
    }
}

/// A token that ends before this time, as a number in a statement, is a concern at `now`.
pub(super) fn soon(now: Timestamp) -> String {
    now.0.saturating_add(EXPIRES_SOON).to_string()
}

/// What is so of machines that a concern of this name is about.
pub(super) fn concerned(slug: &str, soon: &str) -> String {
    let named = |concern: &Concern| slug == "any" || concern.slug() == slug;
    let about: Vec<String> = Concern::ALL
        .iter()
        .filter(|it| named(it))
        .map(|it| it.is_so(soon))
        .collect();
    match about.is_empty() {
        true => "false".to_owned(),
        false => about.join(" OR "),
    }
}
