//! What a check has to say.

use serde::Serialize;

use crate::edge::install::Step;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// It does not work.
    Fail,
    /// It could not be looked at.
    Skip,
}

/// A verdict, what was seen, and what to do.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to do about it.
    pub fix: Option<String>,
    /// What `doctor --fix` does about it: only what changes nothing but the edge's own files and units.
    pub(super) repairs: Vec<Step>,
}

impl Finding {
    pub(super) fn ok(seen: impl Into<String>) -> Finding {
        Finding {
            verdict: Verdict::Ok,
            seen: seen.into(),
            fix: None,
            repairs: Vec::new(),
        }
    }

    pub(super) fn warn(seen: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding {
            verdict: Verdict::Warn,
            seen: seen.into(),
            fix: Some(fix.into()),
            repairs: Vec::new(),
        }
    }

    pub(super) fn fail(seen: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding {
            verdict: Verdict::Fail,
            seen: seen.into(),
            fix: Some(fix.into()),
            repairs: Vec::new(),
        }
    }

    pub(super) fn skip(why: impl Into<String>) -> Finding {
        Finding {
            verdict: Verdict::Skip,
            seen: why.into(),
            fix: None,
            repairs: Vec::new(),
        }
    }

    /// `doctor --fix` does this about it.
    pub(super) fn repaired_by(mut self, step: Step) -> Finding {
        self.repairs.push(step);
        self
    }
}
