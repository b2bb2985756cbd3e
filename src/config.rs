//! Reads a TOML file key by key and reports every mistake at once, each with its line.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

/// Everything that is wrong with a configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    file: Option<PathBuf>,
    list: Vec<Mistake>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line in the file, counted from 1; `None` when something is missing.
    pub line: Option<usize>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Mistakes {
    /// The same, each told with the name of its file. Where there is no such file, that is the first
    /// mistake, and `advice` what to do about it.
    #[must_use]
    pub fn in_file(mut self, file: &Path, advice: &str) -> Mistakes {
        if self.file.is_none() && !file.exists() {
            let message = format!("there is no such file; {advice}");
            self.list.insert(0, Mistake::whole(message));
        }
        self.file = Some(file.to_owned());
        self
    }

    /// All of them, in the order of their lines.
    pub fn list(&self) -> &[Mistake] {
        &self.list
    }
}

impl Mistake {
    /// A mistake without a line.
    fn whole(message: String) -> Mistake {
        Mistake {
            line: None,
            message,
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Mistake { line, message }) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(formatter)?;
            }
            match (self.file.as_ref().map(|file| file.display()), line) {
                (Some(file), Some(line)) => write!(formatter, "{file}:{line}: {message}")?,
                (Some(file), None) => write!(formatter, "{file}: {message}")?,
                (None, Some(line)) => write!(formatter, "line {line}: {message}")?,
                (None, None) => write!(formatter, "{message}")?,
            }
        }
        Ok(())
    }
}

/// A value in a configuration file or in the environment.
#[derive(Clone, Debug)]
pub enum Setting {
    /// Text in quotes, or whatever stands in an environment variable.
    Text(String),
    /// A number without a unit.
    Integer(i64),
    /// `true` or `false`.
    Flag(bool),
    /// A list.
    List(Vec<Setting>),
    /// A kind of value that no key takes: a float, a date, a deeply nested table.
    Other,
}

impl Setting {
    fn read(value: &DeValue<'_>) -> Setting {
        match value {
            DeValue::String(text) => Setting::Text(text.to_string()),
            DeValue::Integer(number) => number
                .as_str()
                .parse()
                .map_or(Setting::Other, Setting::Integer),
            DeValue::Boolean(flag) => Setting::Flag(*flag),
            DeValue::Array(items) => Setting::List(
                items
                    .iter()
                    .map(|item| Setting::read(item.get_ref()))
                    .collect(),
            ),
            _ => Setting::Other,
        }
    }

    /// A value from an environment variable: lists are written with commas.
    fn of_variable(text: String) -> Setting {
        match text.as_str() {
            "true" => Setting::Flag(true),
            "false" => Setting::Flag(false),
            _ => Setting::Text(text),
        }
    }

    /// As a size in bytes: a number, or a text such as `"64MiB"`.
    pub fn size(&self) -> Option<u64> {
        match self {
            Setting::Integer(number) => u64::try_from(*number).ok(),
            Setting::Text(text) => parse_size(text),
            _ => None,
        }
    }

    /// As a length of time: a text such as `"30s"`.
    pub fn duration(&self) -> Option<Duration> {
        parse_duration(&self.as_text()?)
    }

    fn as_text(&self) -> Option<String> {
        match self {
            Setting::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

/// A configuration being read. Every key that is taken is known; [`Reader::finish`] reports the rest.
///
/// A variable overrides the key of its name: `FIELDPOST_UPSTREAM_ENDPOINT` is `upstream.endpoint`.
pub struct Reader<'a> {
    text: &'a str,
    variable: &'a dyn Fn(&str) -> Option<String>,
    values: BTreeMap<String, (Range<usize>, Setting)>,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    /// Parses `text`; syntax errors are mistakes like any other. `variable` looks up the environment.
    pub fn parse(text: &'a str, variable: &'a dyn Fn(&str) -> Option<String>) -> Reader<'a> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader {
            text,
            variable,
            values: BTreeMap::new(),
            mistakes: Vec::new(),
        };
        for error in errors {
            reader.mistake(error.span(), error.message().to_owned());
        }
        reader.flatten("", table.get_ref(), 0);
        reader
    }

    /// Spreads tables into dotted keys, two levels deep: sections, and tables of free keys.
    fn flatten(&mut self, prefix: &str, table: &DeTable<'_>, depth: usize) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) if depth < 2 => {
                    self.flatten(&format!("{name}."), inner, depth + 1);
                }
                other => {
                    self.values
                        .insert(name, (value.span(), Setting::read(other)));
                }
            }
        }
    }

    /// Notes that something is wrong at `span`.
    fn mistake(&mut self, span: Option<Range<usize>>, message: String) {
        let line = span.map(|span| {
            let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
            1 + before.iter().filter(|byte| **byte == b'\n').count()
        });
        self.mistakes.push(Mistake { line, message });
    }

    /// Notes that `key` is missing and must be there.
    pub fn missing(&mut self, key: &str, help: &str) {
        self.mistake(None, format!("{key} is missing: {help}"));
    }

    /// Notes that what `key` refers to cannot be used.
    pub fn wrong(&mut self, key: &str, message: &str) {
        self.mistake(None, format!("{key}: {message}"));
    }

    /// The text of `key`.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.parsed(key, "a text in quotes", Setting::as_text)
    }

    /// `key` as true or false.
    pub fn flag(&mut self, key: &str) -> Option<bool> {
        self.parsed(key, "true or false", |value| match value {
            Setting::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    /// `key` as a list of texts.
    pub fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        self.parsed(
            key,
            "a list of texts, such as [\"a\", \"b\"]",
            |value| match value {
                Setting::List(items) => items.iter().map(Setting::as_text).collect(),
                Setting::Text(joined) => Some(
                    joined
                        .split(',')
                        .map(|text| text.trim().to_owned())
                        .collect(),
                ),
                _ => None,
            },
        )
    }

    /// `key` as a size in bytes: a number, or a text such as `"64MiB"`.
    pub fn size(&mut self, key: &str) -> Option<u64> {
        self.parsed(key, "a size such as \"64MiB\" or \"2GiB\"", Setting::size)
    }

    /// `key` as a length of time: a text such as `"30s"` or `"30d"`.
    pub fn duration(&mut self, key: &str) -> Option<Duration> {
        self.parsed(
            key,
            "a time such as \"30s\", \"5m\", \"12h\" or \"30d\"",
            Setting::duration,
        )
    }

    /// `key` read by `parse`; a value that it refuses is a mistake, with `expected` as the help.
    pub fn parsed<T>(
        &mut self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&Setting) -> Option<T>,
    ) -> Option<T> {
        let in_file = self.values.remove(key);
        let name = variable_name(key);
        let (span, value, name) = match ((self.variable)(&name), in_file) {
            (Some(text), _) => (None, Setting::of_variable(text), name.as_str()),
            (None, Some((span, value))) => (Some(span), value, key),
            (None, None) => return None,
        };
        let parsed = parse(&value);
        if parsed.is_none() {
            self.mistake(span, format!("{name}: expected {expected}"));
        }
        parsed
    }

    /// The texts of all keys below `section`, whatever their names.
    pub fn free_texts(&mut self, section: &str) -> BTreeMap<String, String> {
        let prefix = format!("{section}.");
        let keys: Vec<String> = self
            .values
            .keys()
            .filter(|key| key.starts_with(&prefix))
            .cloned()
            .collect();
        keys.into_iter()
            .filter_map(|key| Some((key[prefix.len()..].to_owned(), self.text(&key)?)))
            .collect()
    }

    /// Ends the reading of one section: what stands elsewhere, good or bad, is nobody's business now.
    ///
    /// # Errors
    /// As [`Reader::finish`]; a file that is not TOML is a mistake in every section.
    pub fn finish_section(mut self, section: &str) -> Result<(), Mistakes> {
        let prefix = format!("{section}.");
        self.values.retain(|key, _| key.starts_with(&prefix));
        self.finish()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every mistake noted, and every key that nobody took.
    pub fn finish(mut self) -> Result<(), Mistakes> {
        for (key, (span, _)) in std::mem::take(&mut self.values) {
            self.mistake(Some(span), format!("{key}: there is no such key"));
        }
        if self.mistakes.is_empty() {
            return Ok(());
        }
        self.mistakes
            .sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        Err(Mistakes {
            file: None,
            list: self.mistakes,
        })
    }
}

fn variable_name(key: &str) -> String {
    let mut name = String::from("FIELDPOST_");
    name.extend(key.chars().map(|letter| match letter {
        '.' | '-' => '_',
        letter => letter.to_ascii_uppercase(),
    }));
    name
}

/// Reads a configuration file; a missing one is empty when it was not named by the user.
///
/// # Errors
/// When the file cannot be read.
pub fn read_file(path: &Path, required: bool) -> Result<String, Mistakes> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {
            Ok(String::new())
        }
        Err(error) => Err(Mistakes {
            file: Some(path.to_owned()),
            list: vec![Mistake::whole(format!("cannot be read: {error}"))],
        }),
        Ok(text) => Ok(text),
    }
}

/// Bytes of a size such as `64MiB`, `500kB` or `1024`.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// The time of a text such as `250ms`, `30s`, `5m`, `12h` or `30d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.checked_mul(unit)?))
}
