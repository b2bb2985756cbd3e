//! Inventory → Machines: what of each edge's records is here, what waits, what was lost and what nobody
//! can explain.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;

use crate::central::Central;
use crate::central::store::{
    Machine, MachineAgent, MachineState, MachineToken, Qualifier, SeqRange, Term,
};
use crate::event::Timestamp;

use super::address::with_query;
use super::event_row::{Link, Stamp, Tag};
use super::failure::Failure;
use super::inventory::fact;
use super::retire;
use super::shell::{Here, Section, draw};
use super::table::{Cell, Head, Row, Table, TablePage};
use super::text::{Text, visible};
use super::words;

pub(super) use listed::{list, of_concern, spec};

mod listed;

/// Someone looks what of a machine's records is missing.
pub(super) async fn show(
    here: Here,
    State(central): State<Arc<Central>>,
) -> Result<Html<String>, Failure> {
    let now = Timestamp::now();
    let id = here.param("machine");
    let machine = central.store.machine(here.scope(), id, now).await?;
    let machine = machine.ok_or(Failure::NotFound("machine"))?;
    let agents = central.store.agents_of_machine(here.scope(), id).await?;
    central.write_usage().await?;
    let tokens = central.store.tokens_of_machine(here.scope(), id).await?;
    let term = Term::new(Qualifier::Machine, id).to_string();
    let events = here.base.observability();
    let range_row = |range: &SeqRange, reason: &str, tone: &'static str| Row {
        group: None,
        cells: vec![
            Cell::Words(format!("{} to {}", range.first, range.last)),
            Cell::Words(words::count(range.last - range.first + 1)),
            Cell::Tags(vec![Tag::new("alert", tone, reason)]),
        ],
    };
    let mut rows: Vec<Row> = machine
        .gaps
        .iter()
        .map(|gap| range_row(gap, "unexplained", "danger"))
        .collect();
    for dropped in &machine.dropped {
        let reason = reason_words(&dropped.reason);
        rows.extend(
            dropped
                .ranges
                .iter()
                .map(|range| range_row(range, &reason, "warn")),
        );
    }
    draw(&TablePage {
        shell: here.shell(Section::Machines),
        title: visible(machine.host_name.as_deref().unwrap_or(id)),
        crumb: Some((here.base.inventory("machines"), "Machines")),
        lead: one_line(&machine),
        facts: vec![
            fact("Edge id", Cell::Code(Text::name(&machine.id))),
            fact("System", name_or_nothing(machine.os.as_deref())),
            fact(
                "Edge version",
                name_or_nothing(machine.edge_version.as_deref()),
            ),
            fact(
                "Last heartbeat",
                machine
                    .last_heartbeat
                    .map_or(Cell::Nothing, |at| Cell::Stamp(Stamp::brief(at))),
            ),
            fact("First seen", Cell::Stamp(Stamp::brief(machine.first_seen))),
            fact("Last seen", Cell::Stamp(Stamp::brief(machine.last_seen))),
            fact("State", Cell::Tags(vec![state(&machine, now)])),
            fact("Waiting there", Cell::Words(waiting(&machine))),
            fact("Parked there", parked(&machine)),
            fact("Clock", clock(&machine)),
            fact("Token expires", token_ends(&machine)),
        ],
        remarks: vec![verdict(&machine)],
        actions: [
            (with_query(&events, &[("q", &term)]), "Events"),
            (
                with_query(&events, &[("type", "session"), ("q", &term)]),
                "Sessions",
            ),
            (
                with_query(&events, &[("type", "machine"), ("q", &term)]),
                "Heartbeats",
            ),
        ]
        .into_iter()
        .chain(retire::action(&here, &machine))
        .collect(),
        tables: vec![
            Table {
                heading: Some("Numbers that are not here"),
                caption: "Ranges of record numbers that are missing, with the reason",
                columns: Head::all(&["Numbers", "#Records", "Why"]),
                rows,
                empty: "Every number that this edge gave out up to the last one seen is stored.",
            },
            Table {
                heading: Some("Whose sessions came by it"),
                caption: "Agents whose sessions came by this machine, the latest first",
                columns: Head::all(&["Agent", "#Sessions", "First seen", "Last seen"]),
                rows: agents.iter().map(|agent| agent_row(&here, agent)).collect(),
                empty: "No record that came by it names a session.",
            },
            Table {
                heading: Some("Tokens that it sends with"),
                caption: "Tokens, the latest used first, with the records that were rejected of all that came with each",
                columns: Head::all(&["Token", "First used", "Last used", "#Rejected with it"]),
                rows: tokens.iter().map(|token| token_row(&here, token)).collect(),
                empty: "It was not noted with which token its records came.",
            },
            Table {
                heading: Some("Secrets that its edge took out"),
                caption: "Rules of redaction and how often each found something, the most first",
                columns: Head::all(&["Rule", "#Since the edge started"]),
                rows: redaction_rows(&machine),
                empty: "None since the edge started.",
            },
        ],
        more: None,
        tools: None,
        below: Vec::new(),
    })
}

fn agent_row(here: &Here, agent: &MachineAgent) -> Row {
    let name = match (&agent.agent_id, &agent.agent_name) {
        (Some(id), Some(name)) => Cell::Link(Link::new(here.base.agent(id, "audit-logs"), name)),
        _ => Cell::Words("nobody is named".to_owned()),
    };
    Row {
        group: None,
        cells: vec![
            name,
            Cell::Words(words::count(agent.session_count)),
            Cell::Stamp(Stamp::brief(agent.first_seen)),
            Cell::Stamp(Stamp::brief(agent.last_seen)),
        ],
    }
}

fn token_row(here: &Here, token: &MachineToken) -> Row {
    let name = token.name.as_deref().unwrap_or(&token.id);
    Row {
        group: None,
        cells: vec![
            Cell::Link(Link::new(here.base.token(&token.id), name)),
            Cell::Stamp(Stamp::brief(token.first_used)),
            Cell::Stamp(Stamp::brief(token.last_used)),
            Cell::Words(words::count(token.rejected_count)),
        ],
    }
}

fn redaction_rows(machine: &Machine) -> Vec<Row> {
    let mut rules: Vec<(&String, &i64)> = machine.redactions.iter().collect();
    rules.sort_by_key(|(_, found)| std::cmp::Reverse(**found));
    let row = |(rule, found): (&String, &i64)| Row {
        group: None,
        cells: vec![
            Cell::Code(Text::name(rule)),
            Cell::Words(words::count(*found)),
        ],
    };
    rules.into_iter().map(row).collect()
}

/// Whether a machine reports as it should, and since when it has not.
pub(super) fn state(machine: &Machine, now: Timestamp) -> Tag {
    let (icon, tone) = match machine.state {
        MachineState::Reporting => ("check", "ok"),
        MachineState::Late | MachineState::Retired => ("clock", ""),
        MachineState::Silent => ("clock", "warn"),
    };
    let ago = machine
        .last_heartbeat
        .map_or("no heartbeat yet".to_owned(), |at| words::ago(at, now));
    Tag::new(icon, tone, format!("{}, {ago}", machine.state.word()))
}

/// "12 345 appended, 12 340 stored, 5 dropped at the size limit, 0 unexplained".
pub(super) fn one_line(machine: &Machine) -> String {
    let mut parts = vec![
        format!("{} appended", words::count(machine.last_seq)),
        format!("{} stored", words::count(machine.stored)),
    ];
    if let Some(waiting) = machine.queue_records.filter(|waiting| *waiting > 0) {
        parts.push(format!(
            "{} waiting at the last heartbeat",
            words::count(waiting)
        ));
    }
    let dropped = machine.dropped.iter().filter(|dropped| dropped.records > 0);
    parts.extend(dropped.map(|dropped| {
        format!(
            "{} {}",
            words::count(dropped.records),
            reason_words(&dropped.reason)
        )
    }));
    parts.push(format!("{} unexplained", words::count(machine.missing)));
    parts.join(", ")
}

/// Where a machine's page is.
pub(super) fn link(here: &Here, machine: &Machine) -> Link {
    let name = machine.host_name.as_deref().unwrap_or(&machine.id);
    Link::new(here.base.entity("machines", &machine.id), name)
}

fn verdict(machine: &Machine) -> Tag {
    let lost: i64 = machine.dropped.iter().map(|dropped| dropped.numbers).sum();
    match (machine.missing, lost) {
        (0, 0) => Tag::new("check", "ok", "all numbers up to the last one are here"),
        (0, _) => Tag::new("alert", "warn", "records were dropped, with a reason"),
        _ => Tag::new("alert", "danger", "numbers are missing without a reason"),
    }
}

fn waiting(machine: &Machine) -> String {
    match (machine.queue_records, machine.queue_bytes) {
        (Some(records), Some(bytes)) if records > 0 => {
            format!("{}, {}", words::count(records), words::bytes(bytes))
        }
        (Some(records), _) => words::count(records),
        _ => "not known".to_owned(),
    }
}

fn parked(machine: &Machine) -> Cell {
    machine
        .parked_records
        .map_or(Cell::Nothing, |parked| Cell::Words(words::count(parked)))
}

/// How far the machine's clock is off, by this service's.
fn clock(machine: &Machine) -> Cell {
    let Some(seconds) = machine.clock_offset_seconds else {
        return Cell::Nothing;
    };
    if !machine.clock_is_off {
        return Cell::Tags(vec![Tag::new("check", "ok", "right")]);
    }
    let way = if seconds < 0 { "behind" } else { "ahead" };
    let span = words::span(seconds.saturating_abs().saturating_mul(1_000_000_000));
    Cell::Tags(vec![Tag::new("clock", "warn", format!("{span} {way}"))])
}

fn token_ends(machine: &Machine) -> Cell {
    machine
        .token_expires_at
        .map_or(Cell::Nothing, |at| Cell::Stamp(Stamp::brief(at)))
}

fn name_or_nothing(name: Option<&str>) -> Cell {
    name.map_or(Cell::Nothing, |name| Cell::Name(Text::name(name)))
}

/// An edge's word for why records will not come, in words.
pub(super) fn reason_words(reason: &str) -> String {
    match reason {
        "size" => "dropped at the size limit".to_owned(),
        "age" => "dropped for their age".to_owned(),
        "disk" => "dropped for want of disk".to_owned(),
        "parked" => "parked: refused upstream, kept on the machine".to_owned(),
        "damaged" => "damaged on the machine's disk".to_owned(),
        "refused" => "refused, and kept by their sender".to_owned(),
        other => format!("lost ({})", visible(other)),
    }
}
