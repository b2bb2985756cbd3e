//! The filters of a list of events or sessions: read from the address, shown in a form and
//! as chips, never ignored.

use serde::Deserialize;

use crate::central::store::{EventFilter, SessionFilter};
use crate::event::{Activity, Timestamp};

use super::address::with_query;
use super::text::visible;

/// What the form sends, as it was typed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filters {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) agent: String,
    pub(super) session: String,
    pub(super) tool: String,
    pub(super) model: String,
    pub(super) q: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) cursor: String,
}

/// A filter that is set, and the address without it.
pub(super) struct Chip {
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) without: String,
}

/// An entry of the field Activity Type.
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) title: String,
    pub(super) chosen: bool,
}

/// The longest text that a filter takes, in bytes.
const VALUE_LIMIT: usize = 512;

impl Filters {
    /// Without the spaces around what was typed.
    pub(super) fn tidy(mut self) -> Filters {
        for value in [
            &mut self.kind,
            &mut self.agent,
            &mut self.session,
            &mut self.tool,
            &mut self.model,
            &mut self.q,
            &mut self.from,
            &mut self.to,
        ] {
            *value = value.trim().to_owned();
        }
        self
    }

    /// Whether sessions are listed instead of events.
    pub(super) fn wants_sessions(&self) -> bool {
        self.kind == Activity::Session.slug()
    }

    /// For the store, or what is wrong with a filter.
    pub(super) fn for_events(&self) -> Result<EventFilter, String> {
        self.check()?;
        Ok(EventFilter {
            session: set(&self.session),
            agent: set(&self.agent),
            kind: set(&self.kind),
            tool: set(&self.tool),
            model: set(&self.model),
            q: set(&self.q),
            from: time("From", &self.from)?,
            to: time("Until", &self.to)?,
        })
    }

    /// For the store, or what is wrong with a filter.
    pub(super) fn for_sessions(&self) -> Result<SessionFilter, String> {
        self.check()?;
        if !self.q.is_empty() {
            return Err(
                "Text is searched in events, not in sessions: remove the text, or \
                 choose another activity type."
                    .to_owned(),
            );
        }
        Ok(SessionFilter {
            agent: set(&self.agent),
            tool: set(&self.tool),
            model: set(&self.model),
            from: time("From", &self.from)?,
            to: time("Until", &self.to)?,
        })
    }

    /// The filters that are set. A fixed agent is part of the page and no chip.
    pub(super) fn chips(&self, path: &str) -> Vec<Chip> {
        let chip = |key: &'static str, label, value: String| Chip {
            label,
            value: visible(&value),
            without: self.address(path, &[(key, "")]),
        };
        let mut chips = Vec::new();
        for (key, label, value) in self.named() {
            if value.is_empty() {
                continue;
            }
            let shown = match (key, Activity::from_slug(value)) {
                ("type", Some(activity)) => activity.title().to_owned(),
                ("from" | "to", _) => {
                    format!("{} UTC", value.replace('T', " ").trim_end_matches('Z'))
                }
                _ => value.to_owned(),
            };
            chips.push(chip(key, label, shown));
        }
        chips
    }

    /// The values of the field Activity Type; an event's name that is set joins them.
    pub(super) fn choices(&self) -> Vec<Choice> {
        let mut choices = vec![Choice {
            value: String::new(),
            title: "All activity".to_owned(),
            chosen: self.kind.is_empty(),
        }];
        choices.extend(Activity::ALL.map(|activity| Choice {
            value: activity.slug().to_owned(),
            title: activity.title().to_owned(),
            chosen: self.kind == activity.slug(),
        }));
        if !choices.iter().any(|choice| choice.chosen) {
            choices.push(Choice {
                value: self.kind.clone(),
                title: visible(&self.kind),
                chosen: true,
            });
        }
        choices
    }

    /// This state's address, with some pairs replaced; always from the list's beginning
    /// unless a cursor is among them.
    pub(super) fn address(&self, path: &str, replaced: &[(&str, &str)]) -> String {
        let mut pairs: Vec<(&str, &str)> = self
            .named()
            .into_iter()
            .map(|(key, _, value)| (key, value))
            .filter(|(key, _)| !replaced.iter().any(|(other, _)| other == key))
            .collect();
        pairs.extend_from_slice(replaced);
        with_query(path, &pairs)
    }

    /// `value` as a field of kind datetime-local wants it: UTC, without the letter.
    pub(super) fn field_time(value: &str) -> String {
        match parse_time(value) {
            Some(time) => time.display().replace(' ', "T"),
            None => String::new(),
        }
    }

    fn named(&self) -> [(&'static str, &'static str, &str); 8] {
        [
            ("type", "Type", self.kind.as_str()),
            ("agent", "Agent", &self.agent),
            ("session", "Session", &self.session),
            ("tool", "Tool", &self.tool),
            ("model", "Model", &self.model),
            ("q", "Text", &self.q),
            ("from", "From", &self.from),
            ("to", "Until", &self.to),
        ]
    }

    fn check(&self) -> Result<(), String> {
        match self
            .named()
            .into_iter()
            .find(|(_, _, value)| value.len() > VALUE_LIMIT)
        {
            Some((_, label, _)) => Err(format!("{label} is longer than {VALUE_LIMIT} bytes.")),
            None => Ok(()),
        }
    }
}

fn set(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn time(label: &str, value: &str) -> Result<Option<Timestamp>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    match parse_time(value) {
        Some(time) => Ok(Some(time)),
        None => Err(format!(
            "{label} is no time: write it like 2026-11-22T14:03, in UTC."
        )),
    }
}

/// RFC 3339, or a day and time without zone, which is UTC.
fn parse_time(value: &str) -> Option<Timestamp> {
    let utc = |text: String| text.parse::<Timestamp>().ok();
    value
        .parse()
        .ok()
        .or_else(|| utc(format!("{value}Z")))
        .or_else(|| utc(format!("{value}:00Z")))
        .or_else(|| utc(format!("{value}T00:00:00Z")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_in_every_form() {
        for value in [
            "2026-11-22T14:03:00Z",
            "2026-11-22T14:03",
            "2026-11-22T14:03:00",
            "2026-11-22T15:03:00+01:00",
        ] {
            let time = parse_time(value).expect(value);
            assert_eq!(time.to_string(), "2026-11-22T14:03:00Z");
        }
        assert!(parse_time("yesterday").is_none());
        let filters = Filters {
            from: "yesterday".to_owned(),
            ..Filters::default()
        };
        assert!(filters.for_events().unwrap_err().contains("From"));
    }

    #[test]
    fn each_chip_leads_to_the_state_without_it() {
        let filters = Filters {
            kind: "tool_invocation".to_owned(),
            q: "a&b".to_owned(),
            ..Filters::default()
        };
        let chips = filters.chips("/o");
        assert_eq!(chips[0].value, "Tool Invocation");
        assert_eq!(chips[0].without, "/o?q=a%26b");
        assert_eq!(chips[1].without, "/o?type=tool_invocation");
    }
}
