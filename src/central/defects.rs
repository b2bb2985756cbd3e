//! Defects of clients' telemetry that are known: what a version does not send, so that nobody takes its silence
//! for quiet.

use schemars::JsonSchema;
use serde::Serialize;

/// What a client is known not to tell.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Defect {
    /// The version that has it; `None` when it is no single version's.
    pub version: Option<&'static str>,
    /// Where, when not everywhere: an operating system, or a way to use it.
    pub only: Option<&'static str>,
    /// What is missing.
    pub effect: &'static str,
    /// Where it was reported, at github.com.
    pub sources: &'static [&'static str],
}

/// All that are known to this version of fieldpost, the oldest first.
pub static DEFECTS: [Defect; 5] = [
    Defect {
        version: Some("2.1.113"),
        only: None,
        effect: "exports nothing, and does not say so",
        sources: &["anthropics/claude-code#71312"],
    },
    Defect {
        version: Some("2.1.122"),
        only: None,
        effect: "leaves out what requests cost (cost_usd)",
        sources: &["anthropics/claude-code#56098"],
    },
    Defect {
        version: Some("2.1.159"),
        only: Some("on Windows"),
        effect: "sends no events",
        sources: &["anthropics/claude-code#64396"],
    },
    Defect {
        version: Some("2.1.220"),
        only: None,
        effect: "sends no prompts (user_prompt)",
        sources: &["anthropics/claude-code#81859"],
    },
    Defect {
        version: None,
        only: Some("in resumed sessions"),
        effect: "stops sending events while metrics go on",
        sources: &[
            "anthropics/claude-code#89406",
            "anthropics/claude-code#64436",
        ],
    },
];

/// The defects of one version of the client.
pub fn of_version(version: &str) -> impl Iterator<Item = &'static Defect> {
    DEFECTS
        .iter()
        .filter(move |defect| defect.version == Some(version))
}

impl Defect {
    /// `sends no events, on Windows`.
    pub fn words(&self) -> String {
        let only = self.only.map_or(String::new(), |only| format!(", {only}"));
        format!("{}{only}", self.effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_its_own_defects_and_no_others() {
        let of = |version| -> Vec<String> { of_version(version).map(Defect::words).collect() };
        assert_eq!(of("2.1.159"), ["sends no events, on Windows"]);
        for version in ["2.1.15", "2.1.1590", "12.1.159", ""] {
            assert!(of(version).is_empty(), "{version}");
        }
    }
}
