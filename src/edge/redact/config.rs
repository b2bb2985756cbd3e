//! What is to be redacted: `[redact]` in the configuration.
use std::path::PathBuf;

use super::file::Refusal;
use super::load;
use super::pii::PiiKind;
use crate::config::{Mistakes, Reader, Setting};

/// `[redact]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedactConfig {
    /// Search for secrets. Without it, only the policy by attribute key acts.
    pub secrets: bool,
    /// Kinds of personal data to search for.
    pub pii: Vec<PiiKind>,
    /// How much is held back beside secrets.
    pub profile: Profile,
    /// What becomes of attributes that name a person.
    pub identity: Identity,
    /// What placeholders say.
    pub placeholder: Placeholder,
    /// Files with rules of one's own, in the format of the built-in ones; a later file overrides an earlier.
    pub rules: Vec<PathBuf>,
    /// Ids of rules that are off unless they are named here.
    pub enable: Vec<String>,
    /// Ids of rules that are switched off.
    pub disable: Vec<String>,
}

/// How much is held back beside secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// What `policy.toml` says.
    #[default]
    Standard,
    /// What `strict.toml` says before it.
    Strict,
}

/// What becomes of attributes that name a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// They stay.
    #[default]
    Keep,
    /// A keyed hash takes their place, the same for equal values of one machine.
    Hmac,
    /// Nothing is left of them.
    Drop,
}

/// What stands in the place of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// Its type.
    Type,
    /// Its type and a hash, the same for equal secrets of one machine.
    Hash,
}

impl Default for RedactConfig {
    fn default() -> Self {
        Self {
            secrets: true,
            pii: Vec::new(),
            profile: Profile::default(),
            identity: Identity::default(),
            placeholder: Placeholder::Type,
            rules: Vec::new(),
            enable: Vec::new(),
            disable: Vec::new(),
        }
    }
}

impl RedactConfig {
    /// Takes the keys of `[redact]`.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let default = Self::default();
        let rules = reader.texts("redact.rules").unwrap_or_default();
        Self {
            secrets: reader.flag("redact.secrets").unwrap_or(default.secrets),
            pii: pii(reader).unwrap_or_default(),
            profile: word(reader, "redact.profile", &PROFILES).unwrap_or(default.profile),
            identity: word(reader, "redact.identity", &IDENTITIES).unwrap_or(default.identity),
            placeholder: word(reader, "redact.placeholder", &PLACEHOLDERS)
                .unwrap_or(default.placeholder),
            rules: rules.into_iter().map(PathBuf::from).collect(),
            enable: reader.texts("redact.enable").unwrap_or_default(),
            disable: reader.texts("redact.disable").unwrap_or_default(),
        }
    }

    /// What of the configured rules would not be in force, and why.
    pub fn mistakes_in_rules(&self) -> Vec<Refusal> {
        match load::load(self) {
            Ok(loaded) => loaded.refusals,
            Err(error) => vec![error.into()],
        }
    }

    /// Reads this section alone of a configuration file's text; `variable` looks up the environment.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Mistakes> {
        let mut reader = Reader::parse(text, variable);
        let config = Self::read(&mut reader);
        reader.finish_section("redact")?;
        Ok(config)
    }
}

fn pii(reader: &mut Reader<'_>) -> Option<Vec<PiiKind>> {
    let names = PiiKind::ALL.map(|kind| format!("\"{kind}\"")).join(", ");
    let kinds = |list: &[&str]| list.iter().map(|name| name.trim().parse().ok()).collect();
    reader.parsed(
        "redact.pii",
        &format!("a list of {names}"),
        |value| match value {
            Setting::List(items) => {
                let names = items.iter().map(|item| match item {
                    Setting::Text(text) => Some(text.as_str()),
                    _ => None,
                });
                kinds(&names.collect::<Option<Vec<&str>>>()?)
            }
            Setting::Text(joined) => kinds(&joined.split(',').collect::<Vec<&str>>()),
            _ => None,
        },
    )
}

const PROFILES: [(&str, Profile); 2] =
    [("standard", Profile::Standard), ("strict", Profile::Strict)];
const IDENTITIES: [(&str, Identity); 3] = [
    ("keep", Identity::Keep),
    ("hmac", Identity::Hmac),
    ("drop", Identity::Drop),
];
const PLACEHOLDERS: [(&str, Placeholder); 2] =
    [("type", Placeholder::Type), ("hash", Placeholder::Hash)];

/// The meaning of the one word that stands under `key`.
fn word<T: Copy>(reader: &mut Reader<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
    let names: Vec<String> = words
        .iter()
        .map(|(name, _)| format!("\"{name}\""))
        .collect();
    reader.parsed(key, &names.join(" or "), |value| match value {
        Setting::Text(text) => words
            .iter()
            .find(|(name, _)| name == text)
            .map(|(_, meaning)| *meaning),
        _ => None,
    })
}
