//! Decides by an attribute's key what happens to its value, and by the type of what is found what happens beside
//! the placeholder: the reader of `policy.toml` and of what a file of one's own says of the same.
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::allow::known_types;
use super::config::Identity;
use super::rules::{RuleError, is_name};

const BUILTIN: &str = include_str!("policy.toml");

/// What happens to an attribute's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict<'p> {
    /// It stays as it is.
    Pass,
    /// It is searched.
    Search,
    /// It is searched for tokens whose format is known, and for private keys.
    SearchFormats,
    /// It is searched for secrets, but says who or what this is and keeps its personal data.
    SearchSecrets,
    /// It says who this is, and is replaced whole.
    HideIdentity,
    /// It is replaced by `[REDACTED:<marker>]`.
    Drop(&'p str),
}

/// What happens to the value of one attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Treatment<'p> {
    pub(super) verdict: Verdict<'p>,
    /// So many bytes stay of what redaction leaves.
    pub(super) truncate: Option<usize>,
}

/// What happens where something of a type was found, beside its placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Consequence {
    /// The attribute's whole value is replaced.
    DropAttribute,
    /// Of the record only the times, the ids and the event's name stay.
    DropRecord,
}

/// The entries of `policy.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    #[serde(default)]
    attribute: Vec<Entry>,
    #[serde(default)]
    found: Vec<FoundEntry>,
    /// How many of the first entries drop what somebody's own file names.
    #[serde(skip)]
    own_drops: usize,
    #[serde(skip)]
    consequences: BTreeMap<String, Consequence>,
    #[serde(skip)]
    identity: Identity,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    action: Action,
    keys: Vec<String>,
    #[serde(default)]
    events: Vec<String>,
    /// What the placeholder says in place of a value that is dropped.
    #[serde(default = "default_marker")]
    marker: String,
    /// What is allowed passes whole, also tokens of known formats and private keys.
    #[serde(default)]
    force: bool,
    /// So many bytes stay of what redaction leaves.
    truncate: Option<usize>,
}

/// What happens where something of these types was found.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FoundEntry {
    types: Vec<String>,
    action: Consequence,
}

fn default_marker() -> String {
    "denied".to_owned()
}

/// No cut of a value is worth less than this.
const LEAST_KEPT: usize = 64;

impl Entry {
    /// Why this entry cannot stand in a file of somebody's own.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.keys.is_empty() || self.keys.iter().any(String::is_empty) {
            return Err("it names no key".to_owned());
        }
        if !is_name(&self.marker) {
            return Err("a marker has lower-case letters, digits and hyphens".to_owned());
        }
        if self.force && !matches!(self.action, Action::Allow) {
            return Err("force goes with action = \"allow\" only".to_owned());
        }
        if self.truncate.is_some() && !matches!(self.action, Action::Search) {
            return Err("truncate goes with action = \"search\" only".to_owned());
        }
        if self.truncate.is_some_and(|bytes| bytes < LEAST_KEPT) {
            return Err(format!("truncate keeps {LEAST_KEPT} bytes or more"));
        }
        Ok(())
    }
}

impl FoundEntry {
    /// Why this entry cannot stand, where these types are known.
    pub(super) fn check(&self, known: &BTreeSet<String>) -> Result<(), String> {
        if self.types.is_empty() {
            return Err("it names no type".to_owned());
        }
        known_types(&self.types, known)
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Identity,
    Person,
    Drop,
    Search,
    Allow,
}

impl Policy {
    pub(super) fn builtin() -> Result<Self, RuleError> {
        Ok(toml::from_str(BUILTIN)?)
    }

    /// The same, treating attributes that name a person as the configuration says.
    pub(super) fn with_identity(self, identity: Identity) -> Self {
        Self { identity, ..self }
    }

    /// Lets entries decide before those that are here, and what they drop before what they allow.
    pub(super) fn put_before(&mut self, entries: Vec<Entry>) {
        let (mut first, second): (Vec<Entry>, Vec<Entry>) = entries
            .into_iter()
            .partition(|entry| matches!(entry.action, Action::Drop));
        // Drops of an earlier file stay before what a later one allows.
        let own = std::mem::take(&mut self.own_drops);
        let earlier = std::mem::take(&mut self.attribute);
        let mut earlier = earlier.into_iter();
        first.extend(earlier.by_ref().take(own));
        self.own_drops = first.len();
        self.attribute = first.into_iter().chain(second).chain(earlier).collect();
    }

    /// Adds what another policy says to the front of this one.
    pub(super) fn put_policy_before(&mut self, other: Policy) {
        self.put_before(other.attribute);
        self.found.extend(other.found);
    }

    /// Lets a type have a consequence; the harder one stays where there are two.
    pub(super) fn add_found(&mut self, entry: FoundEntry) {
        self.found.push(entry);
    }

    /// Makes the consequences ready to be asked for.
    pub(super) fn finish(&mut self) {
        for entry in &self.found {
            for kind in &entry.types {
                let known = self.consequences.get(kind).copied();
                let harder = known.map_or(entry.action, |known| known.max(entry.action));
                self.consequences.insert(kind.clone(), harder);
            }
        }
    }

    /// What happens beside the placeholders where these types were found.
    pub(super) fn consequence<'k>(
        &self,
        mut found: impl Iterator<Item = &'k str>,
    ) -> Option<(Consequence, &'k str)> {
        if self.consequences.is_empty() {
            return None;
        }
        let mut hardest = None;
        for kind in found.by_ref() {
            let here = self.consequences.get(kind).map(|here| (*here, kind));
            hardest = hardest.max(here);
        }
        hardest
    }

    /// Every word that a placeholder may say in place of a dropped value.
    pub(super) fn markers(&self) -> Vec<String> {
        let drops = |entry: &&Entry| matches!(entry.action, Action::Drop);
        self.attribute
            .iter()
            .filter(drops)
            .map(|entry| entry.marker.clone())
            .collect()
    }

    /// What happens to an attribute of a record of `event`; `value` is given when it is text.
    pub(super) fn treatment(&self, event: &str, key: &str, value: Option<&str>) -> Treatment<'_> {
        let named = |entry: &&Entry| {
            (entry.events.is_empty() || entry.events.iter().any(|name| name == event))
                && entry
                    .keys
                    .iter()
                    .any(|pattern| match pattern.strip_suffix('*') {
                        Some(prefix) => key.starts_with(prefix),
                        None => pattern == key,
                    })
        };
        let Some(entry) = self.attribute.iter().find(named) else {
            return Treatment {
                verdict: Verdict::Search,
                truncate: None,
            };
        };
        let verdict = match entry.action {
            Action::Drop => Verdict::Drop(&entry.marker),
            Action::Search => Verdict::Search,
            Action::Allow if entry.force => Verdict::Pass,
            Action::Allow => Verdict::SearchFormats,
            Action::Person if self.identity != Identity::Keep => Verdict::HideIdentity,
            Action::Identity | Action::Person if value.is_some_and(is_identity) => Verdict::Pass,
            Action::Identity | Action::Person => Verdict::SearchSecrets,
        };
        Treatment {
            verdict,
            truncate: entry.truncate,
        }
    }
}

/// An identifier that could not be a token: a UUID, a digest, a number, a time, a version, a name of a few letters,
/// an e-mail address, or one of Claude's own identifiers.
fn is_identity(value: &str) -> bool {
    const CLAUDE: [&str; 8] = [
        "user_", "req_", "toolu_", "msg_", "session_", "wf_", "org_", "file_",
    ];
    let all = |test: fn(&u8) -> bool| value.as_bytes().iter().all(test);
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
    if value.len() > 128 {
        return false;
    }
    all(|b| b.is_ascii_hexdigit() || b"-:.TZ".contains(b))
        || (value.len() <= 20 && all(plain_byte))
        || CLAUDE.iter().any(|prefix| {
            value.strip_prefix(prefix).is_some_and(|rest| {
                rest.len() <= 40 && rest.bytes().all(|b| b.is_ascii_alphanumeric())
            })
        })
        || value.split_once('@').is_some_and(|(name, domain)| {
            let local = |b: u8| plain(&b) || b == b'+';
            !name.is_empty()
                && name.len() <= 64
                && name.bytes().all(local)
                && domain.contains('.')
                && domain.bytes().all(|b| plain(&b))
        })
}

fn plain_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._- ".contains(byte)
}
