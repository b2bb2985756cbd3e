//! How much is held back beside secrets: `redact.profile`.
use serde::Deserialize;

use super::{pii::PiiKind, policy::Policy, rules::RuleError};

const STRICT: &str = include_str!("strict.toml");

/// What a profile adds to the configuration and to the policy.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Profile {
    /// Kinds of personal data to search for, beside those that the configuration names.
    #[serde(default)]
    pub(super) pii: Vec<PiiKind>,
    /// Rules that are off otherwise.
    #[serde(default)]
    pub(super) enable: Vec<String>,
    #[serde(flatten)]
    pub(super) policy: Policy,
}

impl Profile {
    /// Whoever wants less to leave the machine than the standard.
    pub(super) fn strict() -> Result<Self, RuleError> {
        Ok(toml::from_str(STRICT)?)
    }
}
