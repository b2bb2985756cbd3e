//! A file of rules: reads it, and refuses what of it cannot work, with its line and the reason.
//!
//! A file of rules has the format of `rules.toml` and `policy.toml` in one: `[[rule]]`, `[[attribute]]`, `[[found]]`,
//! `[[allow]]`, and more words for the lists of `[keys]` and `[providers]`. What cannot work is refused alone, and everything else stands.
//! A file that is not TOML is an error as a whole: nobody knows which rules are missing.
use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::{
    allow::Allowed,
    policy::{Entry, FoundEntry},
    rules::{Rule, RuleError, RuleText},
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

/// Where a rule of one's own stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: Arc<Path>,
    pub(super) line: usize,
}

impl Place {
    /// A refusal of what stands here.
    pub(super) fn refusal(&self, rule: Option<String>, reason: String) -> Refusal {
        Refusal {
            file: Some(self.file.to_path_buf()),
            line: Some(self.line),
            rule,
            reason,
        }
    }
}

/// A file of rules, read but not yet believed.
pub(super) struct File<'t> {
    path: Option<Arc<Path>>,
    text: &'t str,
    /// `[keys]` and `[providers]`.
    pub(super) words: [WordLists; 2],
    rules: Vec<Spanned<DeValue<'t>>>,
    attributes: Vec<Spanned<DeValue<'t>>>,
    found: Vec<Spanned<DeValue<'t>>>,
    allowed: Vec<Spanned<DeValue<'t>>>,
    strange: Vec<(usize, String)>,
}

impl<'t> File<'t> {
    pub(super) fn parse(path: Option<&Path>, text: &'t str) -> Result<Self, RuleError> {
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
            words: WordLists::SECTIONS.map(|section| WordLists {
                section,
                line: 1,
                table: toml::Table::new(),
            }),
            rules: Vec::new(),
            attributes: Vec::new(),
            found: Vec::new(),
            allowed: Vec::new(),
            strange: Vec::new(),
        };
        for (key, value) in table.into_inner() {
            let line = line_of(text, key.span().start);
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("rule", DeValue::Array(_)) => file.rules = array(value),
                ("attribute", DeValue::Array(_)) => file.attributes = array(value),
                ("found", DeValue::Array(_)) => file.found = array(value),
                ("allow", DeValue::Array(_)) => file.allowed = array(value),
                (name, DeValue::Table(_)) if WordLists::SECTIONS.contains(&name) => {
                    let mut table: toml::Table =
                        read(value).map_err(|error| broken(line, error.message().to_owned()))?;
                    for words in file.words.iter_mut().filter(|words| words.section == name) {
                        words.line = line;
                        words.table = std::mem::take(&mut table);
                    }
                }
                (name, _) => file.strange.push((
                    line,
                    format!("{name}: a file of rules has [[rule]], [[attribute]], [[found]], [[allow]], [keys] and [providers] only"),
                )),
            }
        }
        Ok(file)
    }

    /// All rules of a file in which every rule works.
    pub(super) fn rules(&mut self) -> Result<Vec<Rule>, RuleError> {
        let rules = std::mem::take(&mut self.rules);
        rules
            .into_iter()
            .map(|rule| Rule::new(read(rule)?, None))
            .collect()
    }

    /// The rules that can work; the rest is refused, and so is what no file of rules has.
    pub(super) fn take_rules(&mut self, refusals: &mut Vec<Refusal>) -> Vec<Rule> {
        for (line, reason) in std::mem::take(&mut self.strange) {
            self.refuse(refusals, line, None, reason);
        }
        let (mut rules, mut ids) = (Vec::new(), BTreeSet::new());
        for value in std::mem::take(&mut self.rules) {
            let line = line_of(self.text, value.span().start);
            let id = value.get_ref().get("id");
            let id = id.and_then(|id| id.get_ref().as_str()).map(str::to_owned);
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
        rules
    }

    /// What this file says of attributes by their keys; what cannot work is refused.
    pub(super) fn take_attributes(&mut self, refusals: &mut Vec<Refusal>) -> Vec<Entry> {
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
        entries
    }

    /// What this file says of types that are found, if it can be read; whether such types are known shows later.
    pub(super) fn take_found(&mut self, refusals: &mut Vec<Refusal>) -> Vec<(Place, FoundEntry)> {
        let entries = std::mem::take(&mut self.found);
        self.take_placed(entries, refusals)
    }

    /// What this file says of finds that stay, if it can be read; whether it can stand shows later.
    pub(super) fn take_allowed(&mut self, refusals: &mut Vec<Refusal>) -> Vec<(Place, Allowed)> {
        let entries = std::mem::take(&mut self.allowed);
        self.take_placed(entries, refusals)
    }

    fn take_placed<T: DeserializeOwned>(
        &self,
        entries: Vec<Spanned<DeValue<'t>>>,
        refusals: &mut Vec<Refusal>,
    ) -> Vec<(Place, T)> {
        let mut read_ones = Vec::new();
        for value in entries {
            let line = line_of(self.text, value.span().start);
            match read::<T>(value).map_err(|error| self.with_line(line, &error)) {
                Ok(entry) => {
                    let place = self.path.clone().map(|file| Place { file, line });
                    read_ones.extend(place.map(|place| (place, entry)));
                }
                Err((line, reason)) => self.refuse(refusals, line, None, reason),
            }
        }
        read_ones
    }

    /// Adds the words of this file to the lists that there are.
    pub(super) fn add_words(&mut self, known: &mut [WordLists; 2], refusals: &mut Vec<Refusal>) {
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

/// Lists of words by name: a section of its own.
#[derive(Clone)]
pub(super) struct WordLists {
    section: &'static str,
    line: usize,
    pub(super) table: toml::Table,
}

impl WordLists {
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
