//! Which times a list is about.

use crate::event::Timestamp;

use crate::central::portal::preferences::Preferences;
use crate::central::portal::text::visible;

/// Which times are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::central::portal) enum Range {
    /// All of them.
    #[default]
    All,
    /// As they arrive.
    Live,
    /// Until now; the name in addresses.
    Last(&'static str),
    /// From and until, either of which may be open.
    Between(Option<Timestamp>, Option<Timestamp>),
}

/// Relative ranges: name in addresses, title, seconds.
pub(super) const RANGES: [(&str, &str, i64); 5] = [
    ("15m", "15 min", 15 * 60),
    ("1h", "1 h", 3_600),
    ("24h", "24 h", 86_400),
    ("7d", "7 d", 7 * 86_400),
    ("30d", "30 d", 30 * 86_400),
];

impl Range {
    /// The range of a name in addresses; of no name, all times.
    pub(super) fn named(name: &str) -> Option<Range> {
        match (RANGES.iter().find(|(known, _, _)| *known == name), name) {
            (Some((known, _, _)), _) => Some(Range::Last(known)),
            (None, "live") => Some(Range::Live),
            (None, "") => Some(Range::All),
            (None, _) => None,
        }
    }

    /// What is said of a name that no range has.
    pub(super) fn unknown(name: &str) -> String {
        let known: Vec<&str> = RANGES.iter().map(|(known, _, _)| *known).collect();
        format!(
            "“{}” is no range. There are live, {}.",
            visible(name),
            known.join(", ")
        )
    }

    /// The times from and until which events are looked at.
    pub(in crate::central::portal) fn bounds(
        &self,
        now: Timestamp,
    ) -> (Option<Timestamp>, Option<Timestamp>) {
        match self {
            Range::All | Range::Live => (None, None),
            Range::Last(name) => {
                let found = RANGES.iter().find(|(known, _, _)| known == name);
                let seconds = found.map_or(0, |(_, _, seconds)| *seconds);
                (Some(Timestamp(now.0 - seconds * 1_000_000_000)), None)
            }
            Range::Between(from, to) => (*from, *to),
        }
    }

    /// Whether it is from and until given times.
    pub(in crate::central::portal) fn is_between(&self) -> bool {
        matches!(self, Range::Between(..))
    }

    /// Whether nothing new can fall into it.
    pub(in crate::central::portal) fn has_end(&self) -> bool {
        matches!(self, Range::Between(_, Some(_)))
    }

    /// In words, as the result line says it.
    pub(in crate::central::portal) fn title(&self) -> String {
        let shown = |time: &Timestamp| Preferences::current().format(*time, "%Y-%m-%d %H:%M:%S");
        match self {
            Range::All => "all times".to_owned(),
            Range::Live => "live".to_owned(),
            Range::Last(name) => {
                let found = RANGES.iter().find(|(known, _, _)| known == name);
                format!("last {}", found.map_or("", |(_, title, _)| title))
            }
            Range::Between(Some(from), Some(to)) => format!("{} to {}", shown(from), shown(to)),
            Range::Between(Some(from), None) => format!("since {}", shown(from)),
            Range::Between(None, Some(to)) => format!("until {}", shown(to)),
            Range::Between(None, None) => "all times".to_owned(),
        }
    }
}

/// A time as fields of kind datetime-local want it, in the page's zone.
pub(in crate::central::portal) fn as_field(time: Option<Timestamp>) -> String {
    time.map_or(String::new(), |time| {
        Preferences::current().format(time, "%Y-%m-%dT%H:%M:%S")
    })
}

/// A time as an address or a field has it; none when it is empty.
///
/// # Errors
/// Words that say how one is written.
pub(in crate::central::portal) fn time(
    label: &str,
    value: &str,
) -> Result<Option<Timestamp>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let preferences = Preferences::current();
    match value.parse().ok().or_else(|| preferences.parse(value)) {
        Some(time) => Ok(Some(time)),
        None => Err(format!(
            "{label} is no time: write it like 2026-11-22T14:03, in {}.",
            preferences.zone_name
        )),
    }
}
