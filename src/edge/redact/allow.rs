//! Finds that stay, because a file of one's own says so of the texts in them: `[[allow]]`.
use std::collections::BTreeSet;

use serde::Deserialize;

use super::spans::Rank;

/// A shorter text would stand in a secret by chance.
const SHORTEST: usize = 5;

/// Whatever is found and holds one of these texts stays.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Allowed {
    texts: Vec<String>,
    /// Finds of these types only; of any, unless given.
    #[serde(default)]
    types: Vec<String>,
    /// Tokens of known formats and private keys stay, too.
    #[serde(default)]
    force: bool,
}

impl Allowed {
    /// Why this entry cannot stand, where these types are known.
    pub(super) fn check(&self, known: &BTreeSet<String>) -> Result<(), String> {
        if self.texts.is_empty() {
            return Err("it names no text".to_owned());
        }
        if self.texts.iter().any(|text| text.len() < SHORTEST) {
            return Err(format!(
                "a text has {SHORTEST} bytes or more: a shorter one stands in secrets by chance"
            ));
        }
        known_types(&self.types, known)
    }

    /// Whether a find stays.
    pub(super) fn lets(&self, kind: &str, rank: Rank, secret: &str) -> bool {
        (self.force || rank != Rank::Format)
            && (self.types.is_empty() || self.types.iter().any(|one| one == kind))
            && self.texts.iter().any(|text| secret.contains(text.as_str()))
    }
}

/// Whether some rule finds each of these types.
pub(super) fn known_types(types: &[String], known: &BTreeSet<String>) -> Result<(), String> {
    match types.iter().find(|kind| !known.contains(*kind)) {
        Some(kind) => Err(format!(
            "no rule finds the type {kind:?}; fieldpost edge redact --rules lists them"
        )),
        None => Ok(()),
    }
}
