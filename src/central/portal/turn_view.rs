//! A turn of a conversation as the page draws it, line by line.

use serde_json::Value;

use crate::central::conversation::{Completeness, Gap, Item, ToolCall, Turn, is_for_the_person};
use crate::central::store::Event;
use crate::event::content::{self, Content};
use crate::event::cut_json;

use super::address::Base;
use super::event::raw;
use super::event_row::{Stamp, Tag, flags, late, remarks};
use super::phrase::{Phrase, is_mcp, tool_name};
use super::text::{Passage, Snippet, Text};
use super::words;

mod find;

/// A turn.
pub(super) struct TurnView {
    pub(super) number: u32,
    pub(super) started: Stamp,
    /// `None` where nothing but one moment is known.
    pub(super) lasted: Option<String>,
    /// That all of it came late: said once, not at every line.
    pub(super) late: Option<Tag>,
    /// `None` before the first prompt.
    pub(super) prompt: Option<Passage>,
    pub(super) command: Option<Text>,
    /// Remarks on how the prompt came.
    pub(super) flags: Vec<Tag>,
    pub(super) lines: Vec<Line>,
}

/// A line of a turn.
pub(super) enum Line {
    Prompt(Passage),
    Tool(Box<ToolLine>),
    Models(ModelLine),
    Response(ResponseLine),
    Absent(Passage),
    Notice(NoticeLine),
    Gap(Tag),
}

/// What the model answered.
pub(super) struct ResponseLine {
    pub(super) text: Passage,
    pub(super) model: Option<Text>,
    pub(super) flags: Vec<Tag>,
}

/// A tool call: what was asked, who allowed it, what became of it.
pub(super) struct ToolLine {
    pub(super) name: Text,
    pub(super) mcp: bool,
    pub(super) argument: Snippet,
    pub(super) decision: Tag,
    pub(super) outcome: Tag,
    pub(super) duration: Option<String>,
    pub(super) sizes: Option<String>,
    pub(super) time: Stamp,
    pub(super) flags: Vec<Tag>,
    pub(super) description: Option<Text>,
    pub(super) input: Option<Passage>,
    pub(super) error: Option<Passage>,
    pub(super) records: Vec<RecordLink>,
    /// Whether it is unfolded at once.
    pub(super) is_open: bool,
}

/// The requests to the model of one turn.
pub(super) struct ModelLine {
    pub(super) summary: String,
    pub(super) models: Text,
    pub(super) calls: Vec<ModelCall>,
}

/// One request to the model.
pub(super) struct ModelCall {
    pub(super) time: Stamp,
    pub(super) href: String,
    pub(super) model: Text,
    pub(super) purpose: Text,
    pub(super) input: String,
    pub(super) output: String,
    pub(super) cached: String,
    pub(super) duration: String,
    pub(super) cost: String,
}

/// Anything else that happened.
pub(super) struct NoticeLine {
    pub(super) phrase: Phrase,
    pub(super) time: Stamp,
    pub(super) more: Option<String>,
    pub(super) flags: Vec<Tag>,
    pub(super) records: Vec<RecordLink>,
}

/// A record behind a line.
pub(super) struct RecordLink {
    pub(super) name: Text,
    pub(super) href: String,
    pub(super) raw: Passage,
}

impl TurnView {
    pub(super) fn new(base: &Base, turn: &Turn, completeness: &Completeness) -> TurnView {
        let all_late = turn.events.iter().all(|event| late(event).is_some());
        let view = View {
            base,
            events: &turn.events,
            all_late,
        };
        let mut lines: Vec<Line> = turn.items.iter().map(|item| view.line(item)).collect();
        if let Some(words) = missing_response(turn, completeness) {
            // Pauses close a turn; what is missing belongs before them.
            let end = lines
                .iter()
                .rposition(|line| !matches!(line, Line::Gap(_) | Line::Notice(_)));
            lines.insert(
                end.map_or(0, |end| end + 1),
                Line::Absent(Passage::absent(&words)),
            );
        }
        let prompt_event = turn.events.iter().find(|event| event.name == "user_prompt");
        TurnView {
            number: turn.number,
            started: Stamp::brief(turn.started_at),
            lasted: Some(turn.ended_at.0.saturating_sub(turn.started_at.0))
                .filter(|length| *length > 0)
                .map(words::span),
            late: turn.events.last().filter(|_| all_late).and_then(late),
            prompt: turn.prompt_id.as_ref().map(|_| match &turn.prompt {
                Content::Missing => Passage::absent("No prompt arrived for this turn"),
                prompt => Passage::new(prompt),
            }),
            command: prompt_event
                .and_then(|event| event.text("command_source"))
                .map(|source| Text::name(&format!("{source} command"))),
            flags: prompt_event
                .map(|event| view.flags(event))
                .unwrap_or_default(),
            lines,
        }
    }
}

/// Why a turn has no response, when one was to be expected.
fn missing_response(turn: &Turn, completeness: &Completeness) -> Option<String> {
    let asked = |event: &Event| event.name == "api_request" && is_for_the_person(event);
    let answered = turn
        .items
        .iter()
        .any(|item| matches!(item, Item::Response(_) | Item::Error(_)));
    let last_call = turn.items.iter().rev().find_map(|item| match item {
        Item::Tool(call) => Some(call),
        _ => None,
    });
    // Whoever says no to a tool often ends the turn with it.
    let ended_by_refusal = last_call.is_some_and(|call| call.result.is_none());
    if answered || ended_by_refusal || !turn.events.iter().any(asked) {
        return None;
    }
    Some(match completeness.responses.all {
        0 => format!(
            "Response not exported by the client ({} is off, or the client is older than 2.1.193)",
            content::SWITCH_RESPONSES
        ),
        _ => "No response arrived for this turn".to_owned(),
    })
}

struct View<'a> {
    base: &'a Base,
    events: &'a [Event],
    all_late: bool,
}

impl View<'_> {
    fn flags(&self, event: &Event) -> Vec<Tag> {
        match self.all_late {
            true => remarks(event),
            false => flags(event),
        }
    }

    fn line(&self, item: &Item) -> Line {
        match item {
            Item::Prompt(place) => Line::Prompt(Passage::new(&Content::prompt(
                &self.events[*place].attributes,
            ))),
            Item::Tool(call) => Line::Tool(Box::new(self.tool(call))),
            Item::ModelCalls(places) => Line::Models(self.models(places)),
            Item::Response(place) => {
                let event = &self.events[*place];
                Line::Response(ResponseLine {
                    text: Passage::new(&Content::response(&event.attributes)),
                    model: event.model.as_deref().map(Text::name),
                    flags: self.flags(event),
                })
            }
            Item::Error(place) => Line::Notice(self.notice(&[*place])),
            Item::Notice(places) => Line::Notice(self.notice(places)),
            Item::Idle(gap) => Line::Gap(Tag::new("clock", "", format!("{} idle", length(*gap)))),
            Item::Restart(gap) => Line::Gap(Tag::new(
                "restart",
                "warn",
                format!("continued {} later, client restarted", length(*gap)),
            )),
        }
    }

    fn tool(&self, call: &ToolCall) -> ToolLine {
        let decision = call.decision.map(|place| &self.events[place]);
        let result = call.result.map(|place| &self.events[place]);
        let records: Vec<&Event> = decision.into_iter().chain(result).collect();
        let first = records.first().copied();
        let telling = result.or(decision);
        let attribute = |key| result.and_then(|event| content::number(&event.attributes, key));
        let sizes = [
            ("in", "tool_input_size_bytes"),
            ("out", "tool_result_size_bytes"),
        ]
        .into_iter()
        .filter_map(|(word, key)| Some(format!("{} {word}", words::bytes(attribute(key)?))))
        .collect::<Vec<_>>()
        .join(", ");
        let description = telling
            .and_then(|event| event.text("tool_parameters"))
            .and_then(|parameters| cut_json::string_as_far_as_it_came(parameters, "description"));
        ToolLine {
            name: Text::name(&telling.map(tool_name).unwrap_or_default()),
            mcp: telling.is_some_and(is_mcp),
            argument: argument(decision, result),
            decision: decided(decision, result),
            outcome: outcome(decision, result),
            duration: result
                .and_then(|event| event.duration_ms)
                .map(words::milliseconds),
            sizes: Some(sizes).filter(|sizes| !sizes.is_empty()),
            time: Stamp::clock(first.map_or(crate::event::Timestamp(0), |event| event.time)),
            // A result repeats what its decision carried, and so would its remarks.
            flags: telling.map(|event| self.flags(event)).unwrap_or_default(),
            description: description.as_deref().map(Text::name),
            input: result
                .map(|event| Passage::new(&pretty(Content::tool_input(&event.attributes)))),
            error: result.and_then(|event| {
                let words = Content::error(&event.attributes).map(|error| Passage::new(&error));
                words.or_else(|| event.text("error_type").map(Passage::plain))
            }),
            records: records
                .into_iter()
                .map(|event| self.record(event))
                .collect(),
            is_open: false,
        }
    }

    fn models(&self, places: &[usize]) -> ModelLine {
        let events: Vec<&Event> = places.iter().map(|place| &self.events[*place]).collect();
        let sum = |of: fn(&Event) -> Option<i64>| {
            events.iter().filter_map(|event| of(event)).sum::<i64>()
        };
        let cost: f64 = events.iter().filter_map(|event| event.cost_usd).sum();
        let mut models: Vec<&str> = events
            .iter()
            .filter_map(|event| event.model.as_deref())
            .collect();
        models.sort_unstable();
        models.dedup();
        ModelLine {
            summary: format!(
                "{} in, {} out · {} (estimate)",
                words::tokens(sum(|event| event.input_tokens)),
                words::tokens(sum(|event| event.output_tokens)),
                words::dollars(cost),
            ),
            models: Text::name(&models.join(", ")),
            calls: events.iter().map(|event| self.model_call(event)).collect(),
        }
    }

    fn model_call(&self, event: &Event) -> ModelCall {
        let tokens = |count: Option<i64>| count.map_or("–".to_owned(), words::tokens);
        ModelCall {
            time: Stamp::clock(event.time),
            href: self.base.event(&event.id),
            model: Text::name(event.model.as_deref().unwrap_or("–")),
            purpose: Text::name(event.text("query_source").unwrap_or("–")),
            input: tokens(event.input_tokens),
            output: tokens(event.output_tokens),
            cached: tokens(content::number(&event.attributes, "cache_read_tokens")),
            duration: event
                .duration_ms
                .map_or("–".to_owned(), words::milliseconds),
            cost: event.cost_usd.map_or("–".to_owned(), words::dollars),
        }
    }

    fn notice(&self, places: &[usize]) -> NoticeLine {
        let events: Vec<&Event> = places.iter().map(|place| &self.events[*place]).collect();
        let more = events.len() - 1;
        NoticeLine {
            phrase: phrase(events[0]),
            time: Stamp::clock(events[0].time),
            more: (more > 0).then(|| format!("and {more} more like it")),
            flags: events.iter().flat_map(|event| self.flags(event)).collect(),
            records: events.iter().map(|event| self.record(event)).collect(),
        }
    }

    fn record(&self, event: &Event) -> RecordLink {
        RecordLink {
            name: Text::name(&event.name),
            href: self.base.event(&event.id),
            raw: raw(event),
        }
    }
}

/// What a line says about `event`; answers that the client asked for itself say so.
fn phrase(event: &Event) -> Phrase {
    let phrase = Phrase::of(event);
    match (event.name.as_str(), event.text("query_source")) {
        ("assistant_response", Some(source)) => Phrase {
            verb: Text::name(&format!("answered the client ({source})")),
            ..phrase
        },
        _ => phrase,
    }
}

fn argument(decision: Option<&Event>, result: Option<&Event>) -> Snippet {
    if let Some(result) = result {
        return Snippet::code(&Content::tool_argument(&result.attributes));
    }
    match decision {
        Some(decision) if decision.attributes.contains_key("tool_parameters") => {
            Snippet::code(&Content::tool_argument(&decision.attributes))
        }
        _ => Snippet::none(),
    }
}

fn decided(decision: Option<&Event>, result: Option<&Event>) -> Tag {
    decision
        .and_then(Tag::decision)
        .or_else(|| result.and_then(Tag::decision))
        .unwrap_or_else(|| Tag::new("unknown", "", "no decision recorded (headless client)"))
}

fn outcome(decision: Option<&Event>, result: Option<&Event>) -> Tag {
    match result.map(|event| event.success) {
        Some(Some(true)) => Tag::new("check", "ok", "succeeded"),
        Some(Some(false)) => Tag::new("cross", "danger", "failed"),
        Some(None) => Tag::new("unknown", "", "outcome not recorded"),
        None if decision.is_some_and(|event| event.decision.as_deref() == Some("reject")) => {
            Tag::new("none", "", "did not run")
        }
        None => Tag::new("unknown", "warn", "no result arrived"),
    }
}

/// JSON with its lines broken, where it is whole.
fn pretty(content: Content) -> Content {
    let broken = |text: &str| {
        let value = serde_json::from_str::<Value>(text).ok()?;
        serde_json::to_string_pretty(&value).ok()
    };
    match content {
        Content::Text { text } => Content::Text {
            text: broken(&text).unwrap_or(text),
        },
        Content::TruncatedByClient { text, limit } => Content::TruncatedByClient {
            text: broken(&text).unwrap_or(text),
            limit,
        },
        content => content,
    }
}

fn length(gap: Gap) -> String {
    words::span(gap.to.0.saturating_sub(gap.from.0))
}
