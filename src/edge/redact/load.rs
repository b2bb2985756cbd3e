//! Puts the rules together: those that fieldpost brings along, and those of the configuration's own files.
//!
//! A file of rules has the format of `rules.toml` and `policy.toml` in one: `[[rule]]`, `[[attribute]]`, `[[found]]`, and more words
//! for the lists of `[keys]` and `[providers]`. A later rule takes the place of an earlier one with its id. What cannot work is refused,
//! with its file, its line and the reason, and everything else stands. A file that cannot be read, or that is not TOML,
//! is an error as a whole: nobody knows which rules are missing.
use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, de::DeserializeOwned};
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::{
    config::{self, RedactConfig},
    engine::Engine,
    pii::PiiKind,
    policy::{Entry, FoundEntry, Policy},
    profile::Profile,
    providers::Providers,
    rules::{BUILTIN, Rule, RuleError, RuleText},
    values::KeyWords,
};

/// Something of a file of rules that is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The file; `None` for what the configuration itself says.
    pub file: Option<PathBuf>,
    /// Where it begins in the file, counted from 1.
    pub line: Option<usize>,
    /// The rule's id, if it has one.
    pub rule: Option<String>,
    /// Why, and what would be right.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(formatter, "{}:", file.display())?;
        }
        if let Some(line) = self.line {
            write!(formatter, "{line}:")?;
        }
        let blank = if self.file.is_some() { " " } else { "" };
        write!(formatter, "{blank}{}", self.reason)
    }
}

impl From<RuleError> for Refusal {
    /// For a file that is refused as a whole.
    fn from(error: RuleError) -> Self {
        let (file, line, reason) = match error {
            RuleError::File { path, line, reason } => (Some(path), Some(line), reason),
            error => (None, None, error.to_string()),
        };
        Self {
            file,
            line,
            rule: None,
            reason,
        }
    }
}

/// What is in force, and what is not.
pub(super) struct Loaded {
    pub(super) engine: Engine,
    pub(super) policy: Policy,
    /// Kinds of personal data that the profile searches for.
    pub(super) pii: Vec<PiiKind>,
    pub(super) refusals: Vec<Refusal>,
}

/// Reads the built-in rules and those of the configured files, without those that are off. Rules of files are compiled
/// here; built-in ones when they are first needed, since a test saw to it that they can be.
///
/// # Errors
/// A file that cannot be read as a whole.
pub(super) fn load(config: &RedactConfig) -> Result<Loaded, RuleError> {
    let mut builtin = File::parse(None, BUILTIN)?;
    let mut policy = Policy::builtin()?.with_identity(config.identity);
    let profile = match config.profile {
        config::Profile::Standard => Profile::default(),
        config::Profile::Strict => Profile::strict()?,
    };
    policy.put_policy_before(profile.policy);
    let enabled: Vec<&String> = config.enable.iter().chain(&profile.enable).collect();
    let (base, mut refusals) = (builtin.rules()?, Vec::new());
    let mut own: Vec<Rule> = Vec::new();
    let mut words = builtin.words;
    let mut found = Vec::new();
    for path in &config.rules {
        let text = std::fs::read_to_string(path).map_err(|source| RuleError::Unreadable {
            path: path.clone(),
            source,
        })?;
        let mut file = File::parse(Some(path), &text)?;
        let (rules, attributes) = file.take(&mut refusals);
        found.extend(file.take_found(&mut refusals));
        own.retain(|earlier| rules.iter().all(|rule| rule.id != earlier.id));
        own.extend(rules);
        policy.put_before(attributes);
        file.add_words(&mut words, &mut refusals);
    }
    for (key, ids) in [("enable", &config.enable), ("disable", &config.disable)] {
        for id in ids {
            if !base.iter().chain(&own).any(|rule| rule.id == *id) {
                refusals.push(Refusal {
                    file: None,
                    line: None,
                    rule: Some(id.clone()),
                    reason: format!(
                        "redact.{key}: there is no rule {id}; fieldpost edge redact --rules lists them"
                    ),
                });
            }
        }
    }
    let engine = loop {
        let rules = base
            .iter()
            .filter(|rule| own.iter().all(|other| other.id != rule.id))
            .chain(&own)
            .filter(|rule| !rule.off || enabled.contains(&&rule.id))
            .filter(|rule| !config.disable.contains(&rule.id))
            .cloned()
            .collect();
        let [keys, providers] = words.each_ref().map(|words| words.table.clone());
        let keys = KeyWords::deserialize(keys)?;
        let providers = Providers::deserialize(providers)?;
        let engine = Engine::new(keys, providers, rules, policy.markers())?;
        // Rules of one's own are held to their examples beside all others, as they will be used.
        let failed: Vec<Refusal> = engine
            .rules()
            .iter()
            .filter(|rule| rule.source.is_some())
            .filter_map(|rule| {
                let error = rule.check(|text| engine.spans(text)).err()?;
                Some(refusal(rule.source.as_ref(), Some(rule.id.clone()), &error))
            })
            .collect();
        if failed.is_empty() {
            break engine;
        }
        own.retain(|rule| failed.iter().all(|bad| bad.rule.as_ref() != Some(&rule.id)));
        refusals.extend(failed);
    };
    for (place, entry) in found {
        match entry.check(&engine.kinds) {
            Ok(()) => policy.add_found(entry),
            Err(reason) => refusals.push(Refusal {
                file: Some(place.file.to_path_buf()),
                line: Some(place.line),
                rule: None,
                reason: format!("found: {reason}"),
            }),
        }
    }
    policy.finish();
    Ok(Loaded {
        engine,
        policy,
        pii: profile.pii,
        refusals,
    })
}

/// Where a rule of one's own stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: Arc<Path>,
    pub(super) line: usize,
}

/// A file of rules, read but not yet believed.
struct File<'t> {
    path: Option<Arc<Path>>,
    text: &'t str,
    /// `[keys]` and `[providers]`.
    words: [Words; 2],
    rules: Vec<Spanned<DeValue<'t>>>,
    attributes: Vec<Spanned<DeValue<'t>>>,
    found: Vec<Spanned<DeValue<'t>>>,
    strange: Vec<(usize, String)>,
}

impl<'t> File<'t> {
    fn parse(path: Option<&Path>, text: &'t str) -> Result<Self, RuleError> {
        let at =
            |span: Option<std::ops::Range<usize>>| line_of(text, span.map_or(0, |it| it.start));
        let broken = |line: usize, reason: String| RuleError::File {
            path: path.unwrap_or(Path::new("rules.toml")).to_owned(),
            line,
            reason,
        };
        let table = DeTable::parse(text)
            .map_err(|error| broken(at(error.span()), error.message().to_owned()))?;
        let mut file = Self {
            path: path.map(Arc::from),
            text,
            words: Words::SECTIONS.map(|section| Words {
                section,
                line: 1,
                table: toml::Table::new(),
            }),
            rules: Vec::new(),
            attributes: Vec::new(),
            found: Vec::new(),
            strange: Vec::new(),
        };
        for (key, value) in table.into_inner() {
            let line = line_of(text, key.span().start);
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("rule", DeValue::Array(_)) => file.rules = array(value),
                ("attribute", DeValue::Array(_)) => file.attributes = array(value),
                ("found", DeValue::Array(_)) => file.found = array(value),
                (name, DeValue::Table(_)) if Words::SECTIONS.contains(&name) => {
                    let mut table: toml::Table =
                        read(value).map_err(|error| broken(line, error.message().to_owned()))?;
                    for words in file.words.iter_mut().filter(|words| words.section == name) {
                        words.line = line;
                        words.table = std::mem::take(&mut table);
                    }
                }
                (name, _) => file.strange.push((
                    line,
                    format!("{name}: a file of rules has [[rule]], [[attribute]], [[found]], [keys] and [providers] only"),
                )),
            }
        }
        Ok(file)
    }

    /// All rules of a file in which every rule works.
    fn rules(&mut self) -> Result<Vec<Rule>, RuleError> {
        let rules = std::mem::take(&mut self.rules);
        rules
            .into_iter()
            .map(|rule| Rule::new(read(rule)?, None))
            .collect()
    }

    /// What can work; the rest is refused.
    fn take(&mut self, refusals: &mut Vec<Refusal>) -> (Vec<Rule>, Vec<Entry>) {
        for (line, reason) in std::mem::take(&mut self.strange) {
            self.refuse(refusals, line, None, reason);
        }
        let (mut rules, mut ids) = (Vec::new(), BTreeSet::new());
        for value in std::mem::take(&mut self.rules) {
            let line = line_of(self.text, value.span().start);
            let id = value
                .get_ref()
                .get("id")
                .and_then(|id| id.get_ref().as_str());
            let id = id.map(str::to_owned);
            let made = read::<RuleText>(value)
                .map_err(|error| self.with_line(line, &error))
                .and_then(|text| {
                    let place = self.path.clone().map(|file| Place { file, line });
                    let made = Rule::new(text, place);
                    made.and_then(|rule| rule.compile().map(|()| rule))
                        .map_err(|error| (line, error.to_string()))
                });
            match made {
                Ok(rule) if ids.insert(rule.id.clone()) => rules.push(rule),
                Ok(rule) => {
                    let reason = format!("rule {}: this file has another rule of this id", rule.id);
                    self.refuse(refusals, line, None, reason);
                }
                Err((line, reason)) => self.refuse(refusals, line, id, reason),
            }
        }
        let mut entries = Vec::new();
        for value in std::mem::take(&mut self.attributes) {
            let line = line_of(self.text, value.span().start);
            let made = read::<Entry>(value).map_err(|error| self.with_line(line, &error));
            let made = made.and_then(|entry| match entry.check() {
                Ok(()) => Ok(entry),
                Err(reason) => Err((line, format!("attribute: {reason}"))),
            });
            match made {
                Ok(entry) => entries.push(entry),
                Err((line, reason)) => self.refuse(refusals, line, None, reason),
            }
        }
        (rules, entries)
    }

    /// What this file says of types that are found, if it can be read; whether such types are known shows later.
    fn take_found(&mut self, refusals: &mut Vec<Refusal>) -> Vec<(Place, FoundEntry)> {
        let mut entries = Vec::new();
        for value in std::mem::take(&mut self.found) {
            let line = line_of(self.text, value.span().start);
            match read::<FoundEntry>(value).map_err(|error| self.with_line(line, &error)) {
                Ok(entry) => {
                    let place = self.path.clone().map(|file| Place { file, line });
                    entries.extend(place.map(|place| (place, entry)));
                }
                Err((line, reason)) => self.refuse(refusals, line, None, reason),
            }
        }
        entries
    }

    /// Adds the words of this file to the lists that there are.
    fn add_words(&mut self, known: &mut [Words; 2], refusals: &mut Vec<Refusal>) {
        for (known, words) in known.iter_mut().zip(self.words.clone()) {
            for (name, list) in words.table {
                if let Err(reason) = known.add(&name, list) {
                    self.refuse(refusals, words.line, None, reason);
                }
            }
        }
    }

    /// The line of an error inside an entry that begins at `line`.
    fn with_line(&self, line: usize, error: &toml::de::Error) -> (usize, String) {
        let line = error
            .span()
            .map_or(line, |span| line_of(self.text, span.start));
        (line, error.message().to_owned())
    }

    fn refuse(
        &self,
        refusals: &mut Vec<Refusal>,
        line: usize,
        rule: Option<String>,
        reason: String,
    ) {
        let path = self.path.as_deref();
        let prefix = match &rule {
            Some(id) if !reason.starts_with("rule ") => format!("rule {id}: "),
            _ => String::new(),
        };
        refusals.push(Refusal {
            file: path.map(Path::to_owned),
            line: Some(line),
            rule,
            reason: prefix + &reason,
        });
    }
}

/// Lists of words by name.
#[derive(Clone)]
struct Words {
    section: &'static str,
    line: usize,
    table: toml::Table,
}

impl Words {
    const SECTIONS: [&'static str; 2] = ["keys", "providers"];

    fn add(&mut self, name: &str, words: toml::Value) -> Result<(), String> {
        let section = self.section;
        let names: Vec<&str> = self.table.keys().map(String::as_str).collect();
        let names = names.join(", ");
        let Some(known) = self.table.get_mut(name) else {
            return Err(format!(
                "{section}.{name}: there is no such list; there are {names}"
            ));
        };
        let is_word = |word: &toml::Value| word.as_str().is_some_and(|it| it.len() > 1);
        match (known, words) {
            (toml::Value::Array(list), toml::Value::Array(words)) if words.iter().all(is_word) => {
                list.extend(words);
            }
            (toml::Value::String(list), toml::Value::String(words)) => {
                list.push(' ');
                list.push_str(&words);
            }
            (toml::Value::Array(_), _) => {
                return Err(format!(
                    "{section}.{name}: expected a list of words of two letters or more"
                ));
            }
            _ => {
                return Err(format!(
                    "{section}.{name}: expected words between blanks, in one text"
                ));
            }
        }
        Ok(())
    }
}

fn refusal(place: Option<&Place>, rule: Option<String>, error: &RuleError) -> Refusal {
    Refusal {
        file: place.map(|place| place.file.to_path_buf()),
        line: place.map(|place| place.line),
        rule,
        reason: error.to_string(),
    }
}

fn array(value: Spanned<DeValue<'_>>) -> Vec<Spanned<DeValue<'_>>> {
    match value.into_inner() {
        DeValue::Array(array) => array.into_iter().collect(),
        _ => Vec::new(),
    }
}

fn read<T: DeserializeOwned>(value: Spanned<DeValue<'_>>) -> Result<T, toml::de::Error> {
    T::deserialize(ValueDeserializer::from(value))
}

fn line_of(text: &str, at: usize) -> usize {
    let before = &text.as_bytes()[..at.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}
