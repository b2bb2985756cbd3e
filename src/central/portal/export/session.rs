//! One session as a file: everything, as JSON, or to be read, as Markdown.

use std::fmt::Write;
use std::sync::Arc;

use axum::Form;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use crate::central::Central;
use crate::central::conversation::{Conversation, Item, Turn, decision_of, decision_words};
use crate::central::portal::failure::Failure;
use crate::central::portal::phrase::tool_name;
use crate::central::portal::preferences::Preferences;
use crate::central::portal::shell::Here;
use crate::central::portal::text::visible;
use crate::central::store::{Event, MAX_SESSION_EVENTS, Session};
use crate::event::content::Content;
use crate::words;

use super::attached;

/// What the form asks for.
#[derive(Deserialize)]
pub(in crate::central::portal) struct Wanted {
    #[serde(default)]
    format: String,
}

/// Someone takes a session with them. That is written first.
pub(in crate::central::portal) async fn export(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(wanted): Form<Wanted>,
) -> Result<Response, Failure> {
    let id = here.param("session");
    let session = central.store.session(here.scope(), id).await?;
    let session = session.ok_or(Failure::NotFound("session"))?;
    let is_markdown = match wanted.format.as_str() {
        "json" => false,
        "markdown" => true,
        _ => {
            return Err(Failure::BadRequest(
                "A session is exported as json or as markdown.",
            ));
        }
    };
    let environment = Some(&here.environment);
    let entry = central.entry(&here.actor(), environment, "export.session", id);
    central.audit(entry).await?;
    let read = central.store.session_events(&here.sight(), id).await?;
    let is_cut = read.is_cut;
    let turns = Conversation::build(read.events).turns;
    Ok(match is_markdown {
        true => {
            let text = markdown(&session, &turns, is_cut);
            attached(
                "text/markdown; charset=utf-8",
                "session",
                "md",
                Body::from(text),
            )
        }
        false => {
            let text = json!({ "session": session, "turns": turns, "is_cut": is_cut });
            let body = Body::from(text.to_string());
            attached("application/json", "session", "json", body)
        }
    })
}

fn markdown(session: &Session, turns: &[Turn], is_cut: bool) -> String {
    let mut text = String::new();
    let preferences = Preferences::current();
    let _ = writeln!(text, "# Session {}\n", inline(&session.id));
    let agent = session.agent_name.as_deref().unwrap_or("not said");
    for (title, value) in [
        ("Agent", agent.to_owned()),
        ("Owner", session.owner.clone().unwrap_or_default()),
        ("Started", preferences.with_offset(session.started_at)),
        ("Ended", preferences.with_offset(session.ended_at)),
        ("Client", session.client_version.clone().unwrap_or_default()),
        ("Models", session.models.join(", ")),
        ("Directories", session.directories.join(", ")),
        ("Cost (estimate)", words::dollars(session.cost_usd)),
    ] {
        if !value.is_empty() {
            let _ = writeln!(text, "* {title}: {}", inline(&value));
        }
    }
    if is_cut {
        let _ = writeln!(
            text,
            "\n**This is the beginning: the first {MAX_SESSION_EVENTS} of {} events.**",
            session.event_count
        );
    }
    for turn in turns {
        let title = match turn.number {
            0 => "Start".to_owned(),
            number => format!("Turn {number}"),
        };
        let time = preferences.with_offset(turn.started_at);
        let _ = writeln!(text, "\n## {title}, {time}\n");
        if turn.number > 0 {
            block(&mut text, "Prompt", &turn.prompt);
        }
        for item in &turn.items {
            line(&mut text, &turn.events, item);
        }
    }
    text
}

fn line(text: &mut String, events: &[Event], item: &Item) {
    match item {
        Item::Prompt(place) => {
            block(
                text,
                "Prompt, continued",
                &Content::prompt(&events[*place].attributes),
            );
        }
        Item::Response(place) => {
            block(
                text,
                "Response",
                &Content::response(&events[*place].attributes),
            );
        }
        Item::Tool(call) => {
            let told = [call.result, call.decision];
            let Some(event) = told.into_iter().flatten().map(|it| &events[it]).next() else {
                return;
            };
            let decided = call.decision.map(|place| &events[place]).unwrap_or(event);
            let decision = match decision_of(decided) {
                Some((decision, source)) => decision_words(decision, source),
                None => "no decision recorded".to_owned(),
            };
            let outcome = match call.result.map(|place| events[place].success) {
                Some(Some(true)) => "succeeded",
                Some(Some(false)) => "failed",
                Some(None) => "outcome not recorded",
                None => "no result",
            };
            let name = inline(&tool_name(event));
            let _ = writeln!(text, "Tool {name}: {decision}, {outcome}\n");
            block(text, "Argument", &Content::tool_argument(&event.attributes));
        }
        Item::ModelCalls(places) => {
            let _ = writeln!(
                text,
                "{} to the model\n",
                words::plural(places.len(), "request", "requests")
            );
        }
        Item::Error(place) => {
            let _ = writeln!(text, "Error: {}\n", inline(&events[*place].name));
        }
        Item::Notice(places) => {
            let _ = writeln!(text, "{}\n", inline(&events[places[0]].name));
        }
        Item::Idle(gap) | Item::Restart(gap) => {
            let length = words::span(gap.to.0.saturating_sub(gap.from.0));
            let _ = writeln!(text, "({length} nothing)\n");
        }
    }
}

/// A text in a fence that is longer than any in it: whatever it holds, it stays text.
fn block(text: &mut String, title: &str, content: &Content) {
    let Some(told) = content.text() else {
        let _ = writeln!(text, "{title}: ({})\n", content.state());
        return;
    };
    let told = visible(told);
    let longest = told
        .split(|character| character != '`')
        .map(str::len)
        .max()
        .unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let state = content.state();
    let note = match state {
        "" => String::new(),
        state => format!(" ({state})"),
    };
    let _ = writeln!(text, "{title}{note}:\n\n{fence}text\n{told}\n{fence}\n");
}

/// A name in a line: as code, so that nothing in it means anything to Markdown or HTML.
fn inline(name: &str) -> String {
    let name = visible(name).replace('`', "'").replace(['\n', '\r'], " ");
    format!("`{name}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_fence() {
        let mut text = String::new();
        let hostile = "a\n````\n<script>\u{202e}".to_owned();
        block(&mut text, "Prompt", &Content::Text { text: hostile });
        assert_eq!(
            text,
            "Prompt:\n\n`````text\na\n````\n<script>‹U+202E›\n`````\n\n"
        );
        assert_eq!(inline("a`b\nc"), "`a'b c`");
    }
}
