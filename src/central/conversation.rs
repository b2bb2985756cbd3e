//! A session as a conversation: turns, and in each the lines that a person reads. Pure.
//!
//! A turn is one `prompt.id`; what came before the first prompt is turn 0, "Start". A
//! record without `prompt.id` belongs to the turn that was going on. Records come in any
//! order and are put into the order of event time, then client sequence, then arrival, so
//! that late ones change nothing but what they add.
//!
//! A client process numbers its events from 0 and starts again when a session is resumed.
//! A number that comes twice, or a second 0, therefore means another process: shown as a
//! restart. Numbers missing within a process are a hint of loss and never more: `/clear`
//! keeps counting under a new session, and two processes can share one.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::central::store::Event;
use crate::event::content::{self, Content};
use crate::event::{Activity, Timestamp};

pub use completeness::{Completeness, MissingNumbers, Share};

mod completeness;

/// A session's events, told as turns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conversation {
    /// The turns, in the order in which they began.
    pub turns: Vec<Turn>,
    /// What of the session's content came.
    #[serde(skip)]
    pub completeness: Completeness,
}

/// A prompt and everything that followed from it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Turn {
    /// Counts from 1; 0 is what came before the first prompt.
    pub number: u32,
    /// The client's `prompt.id`; `None` for turn 0.
    pub prompt_id: Option<String>,
    /// Time of the first event.
    pub started_at: Timestamp,
    /// Time of the last event.
    pub ended_at: Timestamp,
    /// What the person asked.
    pub prompt: Content,
    /// The events, in order.
    pub events: Vec<Event>,
    /// The lines of the page, which name events by their place in `events`.
    #[serde(skip)]
    pub items: Vec<Item>,
}

/// One line of a turn. Numbers are places in the turn's `events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A further prompt under the same `prompt.id`.
    Prompt(usize),
    /// A tool that was asked for, and what became of it.
    Tool(ToolCall),
    /// All requests to the model of this turn, in one line.
    ModelCalls(Vec<usize>),
    /// What the model answered.
    Response(usize),
    /// Something failed or was refused.
    Error(usize),
    /// Everything else; related events that follow each other share a line.
    Notice(Vec<usize>),
    /// Nothing happened for at least [`IDLE`].
    Idle(Gap),
    /// Another client process went on with the session.
    Restart(Gap),
}

/// A decision and a result that belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// The `tool_decision`; headless clients may send none.
    pub decision: Option<usize>,
    /// The `tool_result`; a rejected call has none.
    pub result: Option<usize>,
}

/// Between two events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Time of the event before.
    pub from: Timestamp,
    /// Time of the event after.
    pub to: Timestamp,
}

/// The shortest pause that is shown, in nanoseconds: five minutes.
pub const IDLE: i64 = 5 * 60 * 1_000_000_000;

impl Conversation {
    /// Tells `events`, which may come in any order.
    pub fn build(mut events: Vec<Event>) -> Conversation {
        events.sort_by(|a, b| {
            (a.time, a.sequence, a.received_at, &a.id).cmp(&(
                b.time,
                b.sequence,
                b.received_at,
                &b.id,
            ))
        });
        let completeness = Completeness::of(&events);
        let turns = drafts(events).into_iter().map(Draft::finish).collect();
        Conversation {
            turns,
            completeness,
        }
    }
}

impl Turn {
    /// Permission decisions of this turn that said no.
    pub fn denied_count(&self) -> usize {
        let denied = |event: &&Event| event.decision.as_deref() == Some("reject");
        self.events.iter().filter(denied).count()
    }

    /// Errors and failed tools of this turn.
    pub fn error_count(&self) -> usize {
        let failed = |event: &&Event| {
            event.activity == Activity::Error
                || (event.activity == Activity::ToolInvocation && event.success == Some(false))
        };
        self.events.iter().filter(failed).count()
    }

    /// Tools that this turn asked for.
    pub fn tool_count(&self) -> usize {
        self.items
            .iter()
            .filter(|item| matches!(item, Item::Tool(_)))
            .count()
    }
}

/// A turn while its events are collected.
struct Draft {
    number: u32,
    prompt_id: Option<String>,
    entries: Vec<Entry>,
}

enum Entry {
    Event(Box<Event>),
    Gap(Item),
}

/// Deals the ordered events out to turns, with the gaps between them.
fn drafts(events: Vec<Event>) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut by_prompt: HashMap<String, usize> = HashMap::new();
    let mut current = 0;
    let mut prompts: u32 = 0;
    let mut clock = Clock::default();
    for event in events {
        let gap = clock.advance(&event);
        let home = match &event.prompt_id {
            None if drafts.is_empty() => None,
            None => Some(current),
            Some(prompt) => by_prompt.get(prompt).copied(),
        };
        // A gap before a new turn closes the turn that went before.
        if let Some(gap) = gap {
            drafts[home.unwrap_or(current)]
                .entries
                .push(Entry::Gap(gap));
        }
        let home = home.unwrap_or_else(|| {
            if let Some(prompt) = &event.prompt_id {
                prompts += 1;
                by_prompt.insert(prompt.clone(), drafts.len());
            }
            drafts.push(Draft {
                number: if event.prompt_id.is_some() {
                    prompts
                } else {
                    0
                },
                prompt_id: event.prompt_id.clone(),
                entries: Vec::new(),
            });
            current = drafts.len() - 1;
            current
        });
        drafts[home].entries.push(Entry::Event(Box::new(event)));
    }
    drafts
}

/// Sees pauses and restarts while events go by in order.
#[derive(Default)]
struct Clock {
    last: Option<Timestamp>,
    numbers: completeness::Numbers,
}

impl Clock {
    fn advance(&mut self, event: &Event) -> Option<Item> {
        let restarted = event
            .sequence
            .is_some_and(|number| self.numbers.restarts_at(number));
        let from = self.last.replace(event.time)?;
        let gap = Gap {
            from,
            to: event.time,
        };
        if restarted {
            Some(Item::Restart(gap))
        } else if event.time.0.saturating_sub(from.0) >= IDLE {
            Some(Item::Idle(gap))
        } else {
            None
        }
    }
}

impl Draft {
    fn finish(self) -> Turn {
        let mut lines = Lines::default();
        for entry in self.entries {
            match entry {
                Entry::Event(event) => lines.add(*event),
                Entry::Gap(gap) => lines.items.push(gap),
            }
        }
        let Lines {
            events,
            mut items,
            prompt,
            ..
        } = lines;
        join_model_calls(&mut items);
        let own = |event: &&Event| event.prompt_id == self.prompt_id;
        let first = events.iter().find(own).or(events.first());
        let last = events.iter().rfind(own).or(events.last());
        Turn {
            number: self.number,
            prompt_id: self.prompt_id,
            started_at: first.map_or(Timestamp(0), |event| event.time),
            ended_at: last.map_or(Timestamp(0), |event| event.time),
            prompt: prompt.unwrap_or(Content::Missing),
            events,
            items,
        }
    }
}

/// Turns events into lines, one by one.
#[derive(Default)]
struct Lines {
    events: Vec<Event>,
    items: Vec<Item>,
    prompt: Option<Content>,
    /// Where the line of a tool use is, by `tool_use_id`.
    calls: HashMap<String, usize>,
}

impl Lines {
    fn add(&mut self, event: Event) {
        let place = self.events.len();
        match event.name.as_str() {
            "user_prompt" if self.prompt.is_none() => {
                self.prompt = Some(Content::prompt(&event.attributes));
            }
            "user_prompt" => self.items.push(Item::Prompt(place)),
            "tool_decision" => self.call(&event).decision = Some(place),
            "tool_result" => self.call(&event).result = Some(place),
            "api_request" => self.items.push(Item::ModelCalls(vec![place])),
            "assistant_response" if is_for_the_person(&event) => {
                self.items.push(Item::Response(place));
            }
            _ if event.activity == Activity::Error => self.items.push(Item::Error(place)),
            name => self.notice(name, place),
        }
        self.events.push(event);
    }

    /// The line that `event` belongs to: one tool use, one line.
    fn call(&mut self, event: &Event) -> &mut ToolCall {
        let known = event
            .tool_use_id
            .as_ref()
            .and_then(|id| self.calls.get(id))
            .copied();
        let place = known.unwrap_or_else(|| {
            self.items.push(Item::Tool(ToolCall::default()));
            self.items.len() - 1
        });
        if let Some(id) = &event.tool_use_id {
            self.calls.insert(id.clone(), place);
        }
        match &mut self.items[place] {
            Item::Tool(call) => call,
            _ => unreachable!("`calls` names lines of tools only"),
        }
    }

    fn notice(&mut self, name: &str, place: usize) {
        if let Some(Item::Notice(places)) = self.items.last_mut()
            && let Some(family) = family(name)
            && self.events[places[0]].name.starts_with(family)
        {
            places.push(place);
        } else {
            self.items.push(Item::Notice(vec![place]));
        }
    }
}

/// Events that come in numbers and say little one by one.
fn family(name: &str) -> Option<&'static str> {
    ["hook_", "plugin_"]
        .into_iter()
        .find(|family| name.starts_with(family))
}

/// Folds all requests to the model into the line of the last one.
fn join_model_calls(items: &mut Vec<Item>) {
    let mut all = Vec::new();
    let mut last = None;
    for (index, item) in items.iter().enumerate() {
        if let Item::ModelCalls(places) = item {
            all.extend_from_slice(places);
            last = Some(index);
        }
    }
    let Some(last) = last else { return };
    items[last] = Item::ModelCalls(all);
    let mut index = 0;
    items.retain(|item| {
        let keep = index == last || !matches!(item, Item::ModelCalls(_));
        index += 1;
        keep
    });
}

/// Whether a request to the model, or its answer, is the person's and not one that the
/// client makes for itself, such as a title for the session.
pub fn is_for_the_person(event: &Event) -> bool {
    match event.text("query_source") {
        None | Some("repl_main_thread" | "sdk") => true,
        Some(source) => source.starts_with("agent:"),
    }
}

/// How a permission was decided, in words.
pub fn decision_words(decision: &str, source: Option<&str>) -> String {
    match (decision, source) {
        ("accept", Some("config")) => "allowed by configuration".to_owned(),
        ("accept", Some("hook")) => "allowed by a hook".to_owned(),
        ("accept", Some("user_permanent")) => "allowed always by the user".to_owned(),
        ("accept", Some("user_temporary")) => "allowed once by the user".to_owned(),
        ("reject", Some("config")) => "denied by configuration".to_owned(),
        ("reject", Some("hook")) => "denied by a hook".to_owned(),
        ("reject", Some("user_reject")) => "rejected by the user".to_owned(),
        ("reject", Some("user_abort")) => "stopped by the user".to_owned(),
        ("accept", source) => format!("allowed ({})", source.unwrap_or("source not recorded")),
        ("reject", source) => format!("denied ({})", source.unwrap_or("source not recorded")),
        (other, source) => format!("{other} ({})", source.unwrap_or("source not recorded")),
    }
}

/// The decision that an event carries: its own, or that of a result.
pub fn decision_of(event: &Event) -> Option<(&str, Option<&str>)> {
    let decision = event
        .decision
        .as_deref()
        .or_else(|| content::text_of(&event.attributes, "decision_type"))?;
    let source = event
        .decision_source
        .as_deref()
        .or_else(|| content::text_of(&event.attributes, "decision_source"));
    Some((decision, source))
}

#[cfg(test)]
mod tests;
