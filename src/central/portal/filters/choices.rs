//! What a list's state offers: the filters that are set, each with the address without it, and those that one
//! click sets.

use crate::central::portal::text::visible;
use crate::central::store::Qualifier;
use crate::event::Activity;

use super::Filters;
use super::range::{RANGES, Range};

/// A filter that is set, and the address without it.
pub(in crate::central::portal) struct Chip {
    pub(in crate::central::portal) label: String,
    pub(in crate::central::portal) value: String,
    pub(in crate::central::portal) is_excluded: bool,
    pub(in crate::central::portal) without: String,
}

/// A choice of a field or a row of links.
pub(in crate::central::portal) struct Choice {
    pub(in crate::central::portal) value: String,
    pub(in crate::central::portal) title: String,
    pub(in crate::central::portal) href: String,
    pub(in crate::central::portal) chosen: bool,
}

/// What people call a qualifier.
pub(in crate::central::portal) fn title_of(qualifier: Qualifier) -> &'static str {
    match qualifier {
        Qualifier::Agent => "Agent",
        Qualifier::User => "User",
        Qualifier::Type => "Type",
        Qualifier::Tool => "Tool",
        Qualifier::Mcp => "MCP server",
        Qualifier::Model => "Model",
        Qualifier::Decision => "Decision",
        Qualifier::Source => "Decided by",
        Qualifier::Session => "Session",
        Qualifier::Dir => "Directory",
        Qualifier::Version => "Client version",
        Qualifier::Machine => "Machine",
        Qualifier::Has => "Has",
        Qualifier::Text => "Text",
    }
}

impl Filters {
    /// The filters that are set.
    pub(in crate::central::portal) fn chips(&self, path: &str) -> Vec<Chip> {
        let mut chips = Vec::new();
        if !self.kind.is_empty() {
            let title = Activity::from_slug(&self.kind).map(Activity::title);
            chips.push(Chip {
                label: "Type".to_owned(),
                value: title.map_or_else(|| visible(&self.kind), str::to_owned),
                is_excluded: false,
                without: Filters {
                    kind: String::new(),
                    ..self.first_page()
                }
                .address(path),
            });
        }
        for (index, term) in self.terms.iter().enumerate() {
            let mut without = self.first_page();
            without.terms.remove(index);
            chips.push(Chip {
                label: term.qualifier.map_or("Text", title_of).to_owned(),
                value: visible(&term.value),
                is_excluded: term.is_excluded,
                without: without.address(path),
            });
        }
        if self.range != Range::All {
            chips.push(Chip {
                label: "Time".to_owned(),
                value: self.range.title(),
                is_excluded: false,
                without: Filters {
                    range: Range::All,
                    ..self.first_page()
                }
                .address(path),
            });
        }
        chips
    }

    /// The values of the field Activity Type; an event's name that is set joins them.
    pub(in crate::central::portal) fn types(&self, path: &str) -> Vec<Choice> {
        let choice = |value: &str, title: &str| Choice {
            value: value.to_owned(),
            title: title.to_owned(),
            href: Filters {
                kind: value.to_owned(),
                ..self.first_page()
            }
            .address(path),
            chosen: self.kind == value,
        };
        let mut choices = vec![choice("", "All activity")];
        choices.extend(Activity::ALL.map(|activity| choice(activity.slug(), activity.title())));
        if !choices.iter().any(|choice| choice.chosen) {
            choices.push(choice(&self.kind, &visible(&self.kind)));
        }
        choices
    }

    /// The ranges of time that one click sets.
    pub(in crate::central::portal) fn ranges(&self, path: &str) -> Vec<Choice> {
        let choice = |value: &str, title: &str, range: Range| Choice {
            value: value.to_owned(),
            title: title.to_owned(),
            chosen: self.range == range,
            href: Filters {
                range,
                ..self.first_page()
            }
            .address(path),
        };
        let mut choices = vec![choice("live", "Live", Range::Live)];
        choices.extend(RANGES.map(|(name, title, _)| choice(name, title, Range::Last(name))));
        choices.push(choice("", "All", Range::All));
        choices
    }
}
