//! The list of machines.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;

use crate::central::Central;
use crate::central::portal::address::with_query;
use crate::central::portal::browse::{self, Spec, Wish};
use crate::central::portal::event_row::Tag;
use crate::central::portal::failure::Failure;
use crate::central::portal::observability::{Pairs, read_query};
use crate::central::portal::shell::{Here, Section, draw};
use crate::central::portal::table::{Cell, Head, Row, Table, TablePage};
use crate::central::store::{Concern, Machine};
use crate::event::Timestamp;
use crate::words;

use super::{clock, link, name_or_nothing, parked, state, token_ends, waiting};

/// The list of machines.
pub(in crate::central::portal) fn spec(here: &Here) -> Spec {
    let (path, export) = (
        here.base.inventory("machines"),
        here.base.export("machines"),
    );
    Spec::of::<Machine>(path, export, ("machine", "machines"))
}

/// Where the machines are listed that a concern is about.
pub(in crate::central::portal) fn of_concern(here: &Here, concern: Concern) -> String {
    with_query(
        &here.base.inventory("machines"),
        &[("concern", concern.slug())],
    )
}

/// Someone looks whether all machines report.
pub(in crate::central::portal) async fn list(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    let spec = spec(&here);
    let wish = Wish::read(&spec, read_query(pairs)?)?;
    let (scope, now) = (here.scope(), Timestamp::now());
    let machines = browse::select::<Machine>(&central, scope, &spec, wish).await?;
    let heads = Head::all(&[
        "Machine",
        "System",
        "Last heartbeat",
        "Edge",
        "#Appended",
        "#Stored",
        "#Waiting",
        "#Dropped",
        "#Unexplained",
        "#Parked",
        "Records",
        "Clock",
        "Token expires",
    ]);
    draw(&TablePage {
        shell: here.shell(Section::Machines),
        title: "Machines".to_owned(),
        crumb: None,
        lead: "One for each edge. An edge numbers what it takes, so what is missing can be told. \
               Agents that send directly are not numbered: their losses cannot be seen."
            .to_owned(),
        facts: Vec::new(),
        remarks: Vec::new(),
        actions: Vec::new(),
        tables: vec![Table {
            heading: None,
            caption: "Machines, the latest seen first",
            columns: Head::sorted(heads, &machines.tools),
            rows: machines
                .rows
                .iter()
                .map(|machine| row(&here, machine, now))
                .collect(),
            empty: "No edge has reported yet. Install one under Integrations; Claude that exports \
                    directly to this service is listed under Agents only.",
        }],
        more: machines.more,
        tools: Some(machines.tools),
        below: Vec::new(),
    })
}

fn row(here: &Here, machine: &Machine, now: Timestamp) -> Row {
    Row {
        group: None,
        cells: vec![
            Cell::Link(link(here, machine)),
            name_or_nothing(machine.os.as_deref()),
            Cell::Tags(vec![state(machine, now)]),
            name_or_nothing(machine.edge_version.as_deref()),
            Cell::Words(words::count(machine.last_seq)),
            Cell::Words(words::count(machine.stored)),
            Cell::Words(waiting(machine)),
            Cell::Words(words::count(machine.dropped_records())),
            Cell::Words(words::count(machine.missing)),
            parked(machine),
            Cell::Tags(vec![verdict(machine)]),
            clock(machine),
            token_ends(machine),
        ],
    }
}

/// Whether all of a machine's records are here, in a word; its page says it whole.
fn verdict(machine: &Machine) -> Tag {
    let is_lost = machine.dropped.iter().any(|dropped| dropped.numbers > 0);
    match machine.missing {
        0 if is_lost => Tag::new("alert", "warn", "dropped"),
        0 => Tag::new("check", "ok", "complete"),
        _ => Tag::new("alert", "danger", "missing"),
    }
}
