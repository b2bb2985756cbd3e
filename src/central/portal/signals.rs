//! Metrics and spans as they came: a list for each of the two, and a page for each message.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Html;

use crate::central::Central;
use crate::central::store::{PageRequest, Qualifier, ReceivedSignal, Role, Term};
use crate::otlp::Signal;
use crate::words;

use super::address::with_query;
use super::event_row::{Link, Stamp};
use super::failure::Failure;
use super::filters::Chip;
use super::inventory::fact;
use super::observability::{Pairs, read_query};
use super::shell::{Here, Section, Shell, draw};
use super::table::{Cell, Fact, Head, Row, Table};
use super::text::{Passage, Text};

pub(super) use message::Message;
pub(super) use wish::SignalWish;

mod message;
mod wish;

/// Messages of a page.
const PAGE_ROWS: u32 = 100;

/// Characters of a message that its page shows; the API and exports have all of it.
const MAX_RAW: usize = 64_000;

/// Metrics or spans of a message that its page lists; the API and exports have all of them.
const MAX_ITEMS: usize = 200;

/// What pages call one signal and its parts.
struct Words {
    section: Section,
    title: &'static str,
    lead: &'static str,
    /// The order of the list.
    order: &'static str,
    /// What a message holds.
    items: (&'static str, &'static str),
    empty: &'static str,
}

const METRICS: Words = Words {
    section: Section::Metrics,
    title: "Metrics",
    lead: "What clients counted, as it came: a row is what one resource sent at once.",
    order: "The latest point first",
    items: ("metric", "metrics"),
    empty: "Clients send metrics when OTEL_METRICS_EXPORTER is otlp.",
};

const TRACES: Words = Words {
    section: Section::Traces,
    title: "Traces",
    lead: "Spans as they came: a row is what one resource sent at once.",
    order: "The latest to start first",
    items: ("span", "spans"),
    empty: "Clients send spans when CLAUDE_CODE_ENHANCED_TELEMETRY_BETA is 1 and OTEL_TRACES_EXPORTER is otlp.",
};

#[derive(Template)]
#[template(path = "signals.html", config = "src/central/portal/askama.toml")]
struct SignalsPage {
    shell: Shell,
    words: &'static Words,
    wish: SignalWish,
    /// Where the list is.
    path: String,
    has_traces: bool,
    /// From and until, as fields have them.
    times: (String, String),
    zone: String,
    /// What of the filters cannot be read.
    problem: Option<String>,
    chips: Vec<Chip>,
    table: Table,
    export: String,
    more: Option<String>,
}

#[derive(Template)]
#[template(path = "signal.html", config = "src/central/portal/askama.toml")]
struct SignalPage {
    shell: Shell,
    words: &'static Words,
    list: String,
    title: Text,
    facts: Vec<Fact>,
    /// Whether content may be hidden from whoever looks.
    hides: bool,
    table: Table,
    raw: Passage,
    is_cut: bool,
}

/// Someone looks at what clients counted, or at their spans.
pub(super) async fn list(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    let signal = signal_of(&here)?;
    let wish = SignalWish::read(signal, read_query(pairs)?)?;
    let path = here.base.signals(signal);
    let mut page = SignalsPage {
        shell: here.shell(words_of(signal).section),
        words: words_of(signal),
        has_traces: signal == Signal::Traces,
        times: (wish.from.clone(), wish.to.clone()),
        zone: super::preferences::Preferences::current().zone_name,
        problem: None,
        chips: Vec::new(),
        table: table(signal, Vec::new()),
        export: here.base.signals_export(signal),
        more: None,
        path,
        wish,
    };
    let filter = match page.wish.for_store() {
        Ok(filter) => filter,
        Err(problem) => {
            page.problem = Some(problem);
            return draw(&page);
        }
    };
    let of_page = PageRequest::new(Some(page.wish.after.clone()), Some(PAGE_ROWS));
    let found = central
        .store
        .signals(&here.sight(), signal, &filter, of_page)
        .await?;
    page.wish = page.wish.settled(&filter);
    page.times = SignalWish::fields(&filter);
    page.chips = page.wish.chips(&page.path);
    let rows = found.items.iter().map(|it| row(&here, signal, it));
    page.table = table(signal, rows.collect());
    page.more = found
        .next_cursor
        .map(|after| page.wish.at(after).address(&page.path));
    draw(&page)
}

/// Someone looks at one message.
pub(super) async fn show(
    here: Here,
    State(central): State<Arc<Central>>,
) -> Result<Html<String>, Failure> {
    let signal = signal_of(&here)?;
    let words = words_of(signal);
    let found = central
        .store
        .signal(&here.sight(), signal, here.param("message"))
        .await?;
    let found = found.ok_or(Failure::NotFound("message"))?;
    let message = Message::new(&found.message);
    let raw = serde_json::to_string_pretty(&found.message).unwrap_or_default();
    let cut = raw.char_indices().nth(MAX_RAW);
    draw(&SignalPage {
        shell: here.shell(words.section),
        words,
        list: here.base.signals(signal),
        title: Text::name(&message.title()),
        facts: facts(&here, &found, &message),
        hides: here.role != Role::Owner,
        table: items(&message),
        is_cut: cut.is_some(),
        raw: Passage::plain(cut.map_or(raw.as_str(), |(end, _)| &raw[..end])),
    })
}

/// The signal that an address names.
pub(super) fn signal_of(here: &Here) -> Result<Signal, Failure> {
    let named = here.param("signal");
    [Signal::Metrics, Signal::Traces]
        .into_iter()
        .find(|signal| signal.word() == named)
        .ok_or(Failure::NotFound("page"))
}

fn words_of(signal: Signal) -> &'static Words {
    match signal {
        Signal::Traces => &TRACES,
        Signal::Metrics | Signal::Logs => &METRICS,
    }
}

fn table(signal: Signal, rows: Vec<Row>) -> Table {
    let words = words_of(signal);
    let (caption, count) = match signal {
        Signal::Traces => ("Spans as they came, the latest to start first", "#Spans"),
        _ => ("Metrics as they came, the latest first", "#Points"),
    };
    Table {
        heading: None,
        caption,
        columns: Head::all(&[
            words.title,
            "Time",
            "Whose",
            "Machine",
            "Session",
            count,
            "Received",
        ]),
        rows,
        empty: words.empty,
    }
}

fn row(here: &Here, signal: Signal, received: &ReceivedSignal) -> Row {
    let message = Message::new(&received.message);
    let page = here.base.signal(signal, &received.id);
    Row {
        group: None,
        cells: vec![
            Cell::Link(Link::new(page, &message.title())),
            Cell::Stamp(Stamp::brief(received.time)),
            whose(here, &message),
            machine(here, &message),
            session(here, &message),
            Cell::Words(count(message.point_count())),
            Cell::Stamp(Stamp::brief(received.received_at)),
        ],
    }
}

fn facts(here: &Here, received: &ReceivedSignal, message: &Message<'_>) -> Vec<Fact> {
    let mut facts = vec![
        fact("Id", Cell::Code(Text::id(&received.id))),
        fact("Time", Cell::Stamp(Stamp::brief(received.time))),
        fact("Received", Cell::Stamp(Stamp::brief(received.received_at))),
        fact("Whose", whose(here, message)),
        fact("Machine", machine(here, message)),
        fact("Session", session(here, message)),
        fact("Client", name_or_nothing(message.text("service.name"))),
        fact("Version", name_or_nothing(message.text("service.version"))),
    ];
    let traces = message.traces();
    if !traces.is_empty() {
        let link = |id: &&str| {
            let of_trace = [("trace", *id)];
            Link::new(
                with_query(&here.base.signals(Signal::Traces), &of_trace),
                id,
            )
        };
        let links = traces.iter().take(MAX_ITEMS).map(link).collect();
        facts.push(fact("Traces", Cell::Links(links)));
    }
    facts
}

/// The metrics or spans of a message.
fn items(message: &Message<'_>) -> Table {
    let items = message.items.iter().take(MAX_ITEMS);
    let row = |item: &message::Item<'_>| Row {
        group: None,
        cells: vec![
            Cell::Code(Text::name(item.name)),
            Cell::Words(match item.lasted {
                Some(lasted) => format!("{}, {}", item.kind, words::milliseconds(lasted)),
                None => item.kind.to_owned(),
            }),
            Cell::Words(count(item.point_count)),
        ],
    };
    Table {
        heading: Some("What it holds"),
        caption: "What the message holds, the first 200",
        columns: Head::all(&["Name", "Kind", "#Count"]),
        rows: items.map(row).collect(),
        empty: "The message holds none.",
    }
}

/// Who the message is about: their agents.
fn whose(here: &Here, message: &Message<'_>) -> Cell {
    let who = message.text("user.email").or(message.text("user.id"));
    who.map_or(Cell::Nothing, |who| {
        let agents = with_query(&here.base.agents(), &[("text", who)]);
        Cell::Link(Link::new(agents, who))
    })
}

fn machine(here: &Here, message: &Message<'_>) -> Cell {
    let host = message.text("host.name");
    match message.text("fieldpost.edge.id") {
        Some(id) => {
            let machines = with_query(&here.base.inventory("machines"), &[("text", id)]);
            Cell::Link(Link::new(machines, host.unwrap_or(id)))
        }
        None => name_or_nothing(host),
    }
}

fn session(here: &Here, message: &Message<'_>) -> Cell {
    // A session that nothing else tells of has no page; a list of its events says so.
    message.text("session.id").map_or(Cell::Nothing, |id| {
        let term = Term::new(Qualifier::Session, id).to_string();
        let events = with_query(&here.base.observability(), &[("q", &term)]);
        Cell::Link(Link {
            name: Text::id(id),
            ..Link::new(events, id)
        })
    })
}

fn name_or_nothing(name: Option<&str>) -> Cell {
    name.map_or(Cell::Nothing, |name| Cell::Name(Text::short(name)))
}

fn count(number: usize) -> String {
    words::count(i64::try_from(number).unwrap_or(i64::MAX))
}
