//! Decides by an attribute's key what happens to its value: the reader of `policy.toml`.
use serde::Deserialize;

use super::rules::RuleError;

const BUILTIN: &str = include_str!("policy.toml");

/// What happens to an attribute's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict<'p> {
    /// It stays as it is.
    Pass,
    /// It is searched.
    Search,
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
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    action: Action,
    keys: Vec<String>,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    marker: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Identity,
    Drop,
}

impl Policy {
    pub(super) fn builtin() -> Result<Self, RuleError> {
        Ok(toml::from_str(BUILTIN)?)
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
