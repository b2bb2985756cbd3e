//! Decides by an attribute's key what happens to its value: the reader of `policy.toml`.
use serde::Deserialize;

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
    /// It is replaced by `[REDACTED:<marker>]`.
    Drop(&'p str),
}

/// The entries of `policy.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    attribute: Vec<Entry>,
    /// How many of the first entries drop what somebody's own file names.
    #[serde(skip)]
    own_drops: usize,
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
}

fn default_marker() -> String {
    "denied".to_owned()
}

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
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Identity,
    Drop,
    Search,
    Allow,
}

impl Policy {
    pub(super) fn builtin() -> Result<Self, RuleError> {
        Ok(toml::from_str(BUILTIN)?)
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

    /// Every word that a placeholder may say in place of a dropped value.
    pub(super) fn markers(&self) -> Vec<String> {
        let drops = |entry: &&Entry| matches!(entry.action, Action::Drop);
        self.attribute
            .iter()
            .filter(drops)
            .map(|entry| entry.marker.clone())
            .collect()
    }

    /// The verdict on an attribute of a record of `event`; `value` is given when it is text.
    pub(super) fn verdict(&self, event: &str, key: &str, value: Option<&str>) -> Verdict<'_> {
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
        match self.attribute.iter().find(named) {
            None => Verdict::Search,
            Some(entry) => match entry.action {
                Action::Drop => Verdict::Drop(&entry.marker),
                Action::Search => Verdict::Search,
                Action::Allow if entry.force => Verdict::Pass,
                Action::Allow => Verdict::SearchFormats,
                Action::Identity if value.is_some_and(is_identity) => Verdict::Pass,
                Action::Identity => Verdict::SearchSecrets,
            },
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
