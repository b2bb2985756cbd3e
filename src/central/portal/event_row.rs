//! Events and sessions as rows of a list, the same wherever they are listed.

use askama::Template;
use askama::filters::HtmlSafe;

use crate::central::conversation::{decision_of, decision_words};
use crate::central::store::{Event, Qualifier, Session};
use crate::event::Timestamp;
use crate::event::content::Content;

use super::address::Base;
use super::filters::Filters;
use super::phrase::Phrase;
use super::preferences::Preferences;
use super::text::{Snippet, Text, visible};
use super::words;

/// A time, exact in its attribute.
#[derive(Template)]
#[template(path = "stamp.html", config = "src/central/portal/askama.toml")]
pub(super) struct Stamp {
    machine: String,
    day: String,
    clock: String,
    hover: String,
}

// Its `Display` is `stamp.html`, which escapes.
impl HtmlSafe for Stamp {}

/// A sign and words with a meaning: a decision, an outcome, a remark.
#[derive(Clone)]
pub(super) struct Tag {
    pub(super) icon: &'static str,
    pub(super) tone: &'static str,
    pub(super) words: String,
}

/// A name that leads somewhere.
pub(super) struct Link {
    pub(super) href: String,
    pub(super) name: Text,
    pub(super) hover: String,
}

/// An event in a list.
pub(super) struct EventRow {
    id: String,
    /// The record's own page, or the list with the record open beside it.
    pub(super) href: String,
    pub(super) is_open: bool,
    /// The day, on the first row of it.
    pub(super) day: Option<String>,
    pub(super) time: Stamp,
    pub(super) agent: Option<Link>,
    pub(super) session: Option<Link>,
    pub(super) tool: Option<Text>,
    pub(super) model: Option<Text>,
    pub(super) version: Text,
    pub(super) machine: Option<Text>,
    pub(super) phrase: Phrase,
    pub(super) decision: Option<Tag>,
    pub(super) duration: Option<String>,
    pub(super) cost: Option<String>,
    pub(super) flags: Vec<Tag>,
}

/// A session in a list.
pub(super) struct SessionRow {
    pub(super) link: Link,
    pub(super) started: Stamp,
    pub(super) agent: Option<Link>,
    pub(super) prompt: Snippet,
    pub(super) turns: String,
    pub(super) tools: String,
    pub(super) denied: i64,
    pub(super) errors: i64,
    pub(super) tokens: String,
    pub(super) cost: String,
    pub(super) duration: String,
    pub(super) models: Vec<Text>,
    pub(super) version: Text,
    pub(super) machine: Tag,
}

/// A record that came later than this after it happened is late, in nanoseconds.
const LATE: i64 = 10 * 60 * 1_000_000_000;
/// A clock that runs ahead of ours by more than this is doubtful.
const AHEAD: i64 = 5 * 60 * 1_000_000_000;

impl Stamp {
    pub(super) fn of(time: Timestamp) -> Stamp {
        let preferences = Preferences::current();
        let display = preferences.display(time);
        let (day, clock) = display.split_once(' ').unwrap_or(("", &display));
        Stamp {
            machine: time.to_string(),
            day: day.to_owned(),
            clock: clock.to_owned(),
            hover: both_zones(&preferences, time),
        }
    }

    /// With when it was stored.
    pub(super) fn received(event: &Event) -> Stamp {
        let lag = words::span(event.received_at.0.saturating_sub(event.time.0));
        Stamp {
            hover: format!(
                "{}, received {} UTC, {lag} later",
                both_zones(&Preferences::current(), event.time),
                event.received_at.display()
            ),
            ..Stamp::of(event.time)
        }
    }

    /// Without milliseconds.
    pub(super) fn brief(time: Timestamp) -> Stamp {
        Stamp {
            clock: Preferences::current().clock(time),
            ..Stamp::of(time)
        }
    }

    /// How long ago it was; the time itself on hover.
    pub(super) fn ago(time: Timestamp, now: Timestamp) -> Stamp {
        Stamp {
            day: String::new(),
            clock: words::ago(time, now),
            ..Stamp::of(time)
        }
    }

    /// Only the time of day, where the day stands beside it.
    pub(super) fn clock(time: Timestamp) -> Stamp {
        Stamp {
            day: String::new(),
            ..Stamp::brief(time)
        }
    }
}

/// A time in UTC, and in the page's own zone when that is another.
fn both_zones(preferences: &Preferences, time: Timestamp) -> String {
    let utc = format!("{} UTC", time.display());
    match preferences.zone_name.as_str() {
        "UTC" => utc,
        name => format!("{} {name}, {utc}", preferences.display(time)),
    }
}

impl Tag {
    pub(super) fn new(icon: &'static str, tone: &'static str, words: impl Into<String>) -> Tag {
        Tag {
            icon,
            tone,
            words: words.into(),
        }
    }

    /// The decision that an event carries, if it carries one.
    pub(super) fn decision(event: &Event) -> Option<Tag> {
        let (decision, source) = decision_of(event)?;
        let words = visible(&decision_words(decision, source));
        Some(match decision {
            "accept" => Tag::new("allow", "ok", words),
            "reject" => Tag::new("deny", "danger", words),
            _ => Tag::new("shield", "", words),
        })
    }
}

impl Link {
    pub(super) fn new(href: String, name: &str) -> Link {
        Link {
            href,
            name: Text::short(name),
            hover: visible(name),
        }
    }

    pub(super) fn session(base: &Base, id: &str) -> Link {
        Link {
            href: base.session(id),
            name: Text::id(id),
            hover: visible(id),
        }
    }

    fn agent(base: &Base, event_agent: Option<&str>, name: Option<&str>) -> Option<Link> {
        let id = event_agent?;
        Some(Link::new(base.agent(id, "audit-logs"), name.unwrap_or(id)))
    }
}

impl EventRow {
    pub(super) fn new(base: &Base, event: &Event) -> EventRow {
        EventRow {
            id: event.id.clone(),
            href: base.event(&event.id),
            is_open: false,
            day: None,
            tool: event.tool.as_deref().map(Text::name),
            model: event.model.as_deref().map(Text::name),
            version: Text::name(&event.scope_version),
            machine: machine_name(event).as_deref().map(Text::name),
            time: Stamp::received(event),
            agent: Link::agent(base, event.agent_id.as_deref(), event.agent_name.as_deref()),
            session: event
                .session_id
                .as_deref()
                .map(|id| Link::session(base, id)),
            phrase: Phrase::of(event),
            decision: Tag::decision(event),
            duration: event.duration_ms.map(words::milliseconds),
            cost: event.cost_usd.map(words::dollars),
            flags: brief_flags(event),
        }
    }

    /// The rows of a list, in its order, with what was searched for marked: each day is said once, and so is
    /// that all of them came late.
    pub(super) fn of_list(
        base: &Base,
        events: &[Event],
        filters: &Filters,
        path: &str,
    ) -> Vec<EventRow> {
        let sought = filters.terms.iter().filter(|term| {
            matches!(term.qualifier, None | Some(Qualifier::Text)) && !term.is_excluded
        });
        let sought: Vec<&str> = sought.map(|term| term.value.as_str()).collect();
        let all_late = events.len() > 1 && events.iter().all(|event| late(event).is_some());
        let mut day = String::new();
        let rows = events.iter().map(|event| {
            let mut row = EventRow::new(base, event).opened_in(filters, path);
            for text in &sought {
                row.phrase.detail.mark(text);
            }
            if all_late {
                row.flags = brief(remarks(event));
            }
            let of = std::mem::take(&mut row.time.day);
            if of != day {
                row.day = Some(of.clone());
                day = of;
            }
            row
        });
        rows.collect()
    }

    /// The same row, which opens its record beside the list that these filters leave.
    pub(super) fn opened_in(self, filters: &Filters, path: &str) -> EventRow {
        let is_open = filters.event == self.id;
        EventRow {
            href: filters.opened(&self.id, "").address(path),
            is_open,
            ..self
        }
    }
}

/// The host that a record came through, or its edge's id.
pub(super) fn machine_name(event: &Event) -> Option<String> {
    event.machine_id.as_ref()?;
    let host = event
        .resource
        .get("host.name")
        .and_then(|name| name.as_str());
    host.map(str::to_owned).or_else(|| event.machine_id.clone())
}

impl SessionRow {
    pub(super) fn new(base: &Base, session: &Session, prompt: Option<&Event>) -> SessionRow {
        let lasted = session.ended_at.0.saturating_sub(session.started_at.0);
        SessionRow {
            link: Link::session(base, &session.id),
            started: Stamp::brief(session.started_at),
            agent: Link::agent(
                base,
                session.agent_id.as_deref(),
                session.agent_name.as_deref(),
            ),
            prompt: match prompt {
                Some(event) => Snippet::words(&Content::prompt(&event.attributes)),
                None => Snippet::absent("no prompt arrived"),
            },
            turns: words::count(session.turn_count),
            tools: words::count(session.tool_count),
            denied: session.denied_count,
            errors: session.error_count,
            tokens: words::tokens(session.input_tokens.saturating_add(session.output_tokens)),
            cost: words::dollars(session.cost_usd),
            duration: words::span(lasted),
            models: session
                .models
                .iter()
                .map(|model| Text::name(model))
                .collect(),
            version: Text::name(session.client_version.as_deref().unwrap_or_default()),
            machine: if session.machines.is_empty() {
                Tag::new("unknown", "", "not numbered")
            } else {
                Tag::new("machine", "", "numbered")
            },
        }
    }
}

/// Remarks on how a record came and on what was taken out of it.
pub(super) fn flags(event: &Event) -> Vec<Tag> {
    late(event).into_iter().chain(remarks(event)).collect()
}

/// The same in few words, for a list: all of them stand in its narrow column.
fn brief_flags(event: &Event) -> Vec<Tag> {
    let late = late(event).map(|tag| Tag {
        // The greatest unit alone; the time says the rest on hover.
        words: format!("{} late", first_unit(&words::span(lag(event)))),
        ..tag
    });
    late.into_iter().chain(brief(remarks(event))).collect()
}

/// `53 min` of `53 min 18 s`.
fn first_unit(span: &str) -> String {
    let words: Vec<&str> = span.split_whitespace().take(2).collect();
    words.join(" ")
}

/// Remarks in a word or two.
fn brief(remarks: Vec<Tag>) -> Vec<Tag> {
    let short = |tag: Tag| {
        let words = match tag.icon {
            "redact" => tag.words.replace("secrets ", "").replace("secret ", ""),
            "cut" => "cut".to_owned(),
            _ => tag.words,
        };
        Tag { words, ..tag }
    };
    remarks.into_iter().map(short).collect()
}

/// That a record came late, if it did.
pub(super) fn late(event: &Event) -> Option<Tag> {
    let lag = lag(event);
    (lag > LATE).then(|| {
        Tag::new(
            "clock",
            "warn",
            format!("arrived {} later", words::span(lag)),
        )
    })
}

fn lag(event: &Event) -> i64 {
    event.received_at.0.saturating_sub(event.time.0)
}

/// Remarks on a record but that it came late.
pub(super) fn remarks(event: &Event) -> Vec<Tag> {
    let mut flags = Vec::new();
    if lag(event) < -AHEAD {
        flags.push(Tag::new("clock", "warn", "clock doubtful"));
    }
    if event.redaction_count > 0 {
        let count = usize::try_from(event.redaction_count).unwrap_or(usize::MAX);
        flags.push(Tag::new(
            "redact",
            "mark",
            words::plural(count, "secret redacted", "secrets redacted"),
        ));
    }
    let cut = match event.name.as_str() {
        "user_prompt" => Content::prompt(&event.attributes),
        "assistant_response" => Content::response(&event.attributes),
        "tool_result" => Content::tool_input(&event.attributes),
        _ => Content::Missing,
    };
    if matches!(cut, Content::TruncatedByClient { .. }) {
        flags.push(Tag::new("cut", "warn", "cut by the client"));
    }
    flags
}
