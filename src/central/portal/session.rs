//! One session, told as a conversation.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Html;
use serde::Deserialize;

use crate::central::Central;
use crate::central::conversation::{Conversation, Item, Turn};
use crate::central::store::{Machine, Qualifier, Session, Term};
use crate::event::Timestamp;

use super::address::with_query;
use super::event_row::{Link, Stamp, Tag};
use super::facts;
use super::failure::Failure;
use super::observability::read_query;
use super::preferences::Preferences;
use super::reveal::RevealForm;
use super::shell::{Here, Section, Shell, draw};
use super::text::{Snippet, Text, holds, short_id, visible};
use super::turn_view::{Line, TurnView};
use super::versions;
use super::words;

#[derive(Template)]
#[template(path = "session.html", config = "src/central/portal/askama.toml")]
struct SessionPage {
    shell: Shell,
    title: String,
    id: String,
    head: Head,
    facts: Vec<Tag>,
    events: String,
    export: String,
    /// What is looked for, and without it.
    find: String,
    clear: String,
    found: Option<String>,
    index: Vec<IndexEntry>,
    turns: Vec<TurnView>,
    earlier: Option<String>,
    later: Option<String>,
    reveal: Option<RevealForm>,
}

struct Head {
    agent: Option<Link>,
    owner: Option<Text>,
    client: Text,
    /// What the client's version is known not to tell.
    defect: Option<Tag>,
    started: Stamp,
    ended: Stamp,
    duration: String,
    machines: Vec<MachineName>,
    directories: Vec<Text>,
    models: Vec<Text>,
    turns: String,
    tool_count: String,
    denied: i64,
    errors: i64,
    requests: String,
    input: String,
    output: String,
    cache_read: String,
    cache_creation: String,
    cost: String,
}

struct MachineName {
    name: Text,
    hover: String,
}

struct IndexEntry {
    href: String,
    number: u32,
    label: Snippet,
    clock: String,
    tools: usize,
    denied: bool,
    failed: bool,
    pauses: Vec<String>,
    /// Whether it has what somebody looks for.
    found: bool,
}

/// What the page of a session is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SessionQuery {
    turn: Option<u32>,
    find: String,
}

/// Turns on a page.
const PAGE_TURNS: usize = 50;

/// Someone reads a session.
pub(super) async fn show(
    here: Here,
    State(central): State<Arc<Central>>,
    query: Result<Query<SessionQuery>, QueryRejection>,
) -> Result<Html<String>, Failure> {
    let query = read_query(query)?;
    let id = here.param("session");
    let session = central.store.session(here.scope(), id).await?;
    let session = session.ok_or(Failure::NotFound("session"))?;
    let read = central.store.session_events(&here.sight(), id).await?;
    let mut machines = Vec::new();
    for id in &session.machines {
        let machine = central.store.machine(here.scope(), id, Timestamp::now());
        machines.extend(machine.await?);
    }
    draw(&page(
        &here,
        &session,
        Conversation::build(read.events),
        &machines,
        &query,
    ))
}

fn page(
    here: &Here,
    session: &Session,
    conversation: Conversation,
    machines: &[Machine],
    query: &SessionQuery,
) -> SessionPage {
    let path = here.base.session(&session.id);
    let turns = &conversation.turns;
    let wanted = query
        .turn
        .and_then(|number| turns.iter().position(|turn| turn.number == number));
    let first = wanted.unwrap_or(0) / PAGE_TURNS * PAGE_TURNS;
    let shown = &turns[first..turns.len().min(first + PAGE_TURNS)];
    let find = query.find.trim();
    let to_turn = |index: usize| {
        let number = turns[index].number;
        if turns.len() <= PAGE_TURNS {
            return format!("#turn-{number}");
        }
        format!(
            "{}#turn-{number}",
            with_query(&path, &[("turn", &*number.to_string()), ("find", find)])
        )
    };
    let view = |turn| TurnView::new(&here.base, turn, &conversation.completeness);
    let mut views: Vec<TurnView> = shown.iter().map(view).collect();
    SessionPage {
        shell: here.shell(Section::Sessions),
        title: format!("Session {}", short_id(&session.id)),
        id: visible(&session.id),
        head: Head::new(here, session, machines),
        facts: facts::of(session, &conversation, machines),
        events: with_query(
            &here.base.observability(),
            &[(
                "q",
                &Term::new(Qualifier::Session, session.id.as_str()).to_string(),
            )],
        ),
        index: (0..turns.len())
            .map(|index| IndexEntry::new(&turns[index], to_turn(index), find))
            .collect(),
        found: match find {
            "" => None,
            _ => Some(found(shown.len(), turns, find, &mut views)),
        },
        find: find.to_owned(),
        clear: path.clone(),
        export: format!("{path}/export"),
        turns: views,
        reveal: RevealForm::of_session(here, &session.id),
        earlier: first.checked_sub(1).map(to_turn),
        later: Some(first + PAGE_TURNS)
            .filter(|next| *next < turns.len())
            .map(to_turn),
    }
}

/// Marks what is looked for on the page, and says how often it is there and in which turns it is at all.
fn found(shown: usize, turns: &[Turn], find: &str, views: &mut [TurnView]) -> String {
    let places: usize = views.iter_mut().map(|view| view.mark(find)).sum();
    let having = turns.iter().filter(|turn| has(turn, find)).count();
    let mut words = words::plural(places, "place", "places");
    if turns.len() > shown {
        words.push_str(" on this page");
    }
    format!("{words}, in {}", words::plural(having, "turn", "turns"))
}

/// Whether a turn has a text that somebody looks for.
fn has(turn: &Turn, find: &str) -> bool {
    let mut texts = turn
        .events
        .iter()
        .flat_map(|event| event.attributes.values());
    texts.any(|value| value.as_str().is_some_and(|text| holds(text, find)))
}

impl Head {
    fn new(here: &Here, session: &Session, machines: &[Machine]) -> Head {
        let names = |names: &[String]| names.iter().map(|name| Text::name(name)).collect();
        let agent = session.agent_id.as_deref().map(|id| {
            let name = session.agent_name.as_deref().unwrap_or(id);
            Link::new(here.base.agent(id, "audit-logs"), name)
        });
        let client = [
            session.service.as_deref(),
            session.client_version.as_deref(),
        ];
        Head {
            agent,
            owner: session.owner.as_deref().map(Text::name),
            client: Text::name(&client.into_iter().flatten().collect::<Vec<_>>().join(" ")),
            defect: session.client_version.as_deref().and_then(versions::badge),
            started: Stamp::brief(session.started_at),
            ended: Stamp::brief(session.ended_at),
            duration: words::span(session.ended_at.0.saturating_sub(session.started_at.0)),
            machines: session
                .machines
                .iter()
                .map(|id| machine(id, machines))
                .collect(),
            directories: names(&session.directories),
            models: names(&session.models),
            turns: words::count(session.turn_count),
            tool_count: words::count(session.tool_count),
            denied: session.denied_count,
            errors: session.error_count,
            requests: words::count(session.request_count),
            input: words::tokens(session.input_tokens),
            output: words::tokens(session.output_tokens),
            cache_read: words::tokens(session.cache_read_tokens),
            cache_creation: words::tokens(session.cache_creation_tokens),
            cost: words::dollars(session.cost_usd),
        }
    }
}

fn machine(id: &str, machines: &[Machine]) -> MachineName {
    let known = machines.iter().find(|machine| machine.id == id);
    let host = known.and_then(|machine| machine.host_name.as_deref());
    MachineName {
        name: host.map_or_else(|| Text::id(id), Text::name),
        hover: visible(id),
    }
}

impl IndexEntry {
    fn new(turn: &Turn, href: String, find: &str) -> IndexEntry {
        let pauses = turn.items.iter().filter_map(|item| match item {
            Item::Idle(gap) => Some(format!("{} idle", words::span(gap.to.0 - gap.from.0))),
            Item::Restart(_) => Some("client restarted".to_owned()),
            _ => None,
        });
        IndexEntry {
            href,
            number: turn.number,
            label: match turn.number {
                0 => Snippet::plain("Start"),
                _ => Snippet::words(&turn.prompt),
            },
            clock: Preferences::current().clock(turn.started_at),
            tools: turn.tool_count(),
            denied: turn.denied_count() > 0,
            failed: turn.error_count() > 0,
            pauses: pauses.collect(),
            found: !find.is_empty() && has(turn, find),
        }
    }
}
