//! The list of machines: narrowed, sorted, counted and paged by the database, for there can be many.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;

use crate::central::Central;
use crate::central::portal::address::with_query;
use crate::central::portal::browse::{Spec, Tools, Wish};
use crate::central::portal::event_row::Tag;
use crate::central::portal::failure::Failure;
use crate::central::portal::observability::{Pairs, read_query};
use crate::central::portal::shell::{Here, Section, draw};
use crate::central::portal::table::{Cell, Head, Row, Table, TablePage};
use crate::central::store::{
    Concern, Fleet, Machine, MachineFacet, MachineFilter, MachineTerm, Of, PageRequest,
};
use crate::event::Timestamp;
use crate::words;

use super::{link, name_or_nothing, state, waiting};

/// Rows of a page.
const PAGE_ROWS: u32 = 100;

/// What machines can be narrowed by, as addresses name it.
const FACETS: [(&str, MachineFacet); 4] = [
    ("state", MachineFacet::State),
    ("concern", MachineFacet::Concern),
    ("system", MachineFacet::System),
    ("version", MachineFacet::Version),
];

/// The list of machines.
pub(in crate::central::portal) fn spec(here: &Here) -> Spec {
    Spec {
        path: here.base.inventory("machines"),
        export: here.base.export("machines"),
        searches: "Host name or edge id",
        nouns: ("machine", "machines"),
        facets: vec![
            ("state", "State"),
            ("concern", "Look at"),
            ("system", "System"),
            ("version", "Edge version"),
        ],
        columns: MachineFilter::COLUMNS.to_vec(),
        of: Of::Environment,
        fixed: Vec::new(),
        order: "",
        is_inventory: true,
    }
}

/// What the store is asked for a wish.
pub(in crate::central::portal) fn filter_of(wish: &Wish) -> MachineFilter {
    let term = |name: &str, value: &str, is_excluded| {
        let (_, facet) = FACETS.iter().find(|(facet, _)| *facet == name)?;
        Some(MachineTerm {
            facet: *facet,
            value: value.to_owned(),
            is_excluded,
        })
    };
    let terms = wish.picks.iter();
    MachineFilter {
        text: wish.text.clone(),
        terms: terms
            .filter_map(|pick| term(pick.facet, &pick.value, pick.is_excluded))
            .collect(),
        sort: wish.sort.clone(),
    }
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
    let filter = filter_of(&wish);
    let (scope, now) = (here.scope(), Timestamp::now());
    let page = PageRequest::new(Some(wish.after.clone()), Some(PAGE_ROWS));
    let (fleet, page) = tokio::try_join!(
        central.store.fleet(scope, &filter, now),
        central.store.machines(scope, &filter, now, page),
    )?;
    let more = page.next_cursor.map(|after| {
        Wish {
            after,
            ..wish.clone()
        }
        .address(&spec.path)
    });
    let tools = Tools::counted(&spec, wish, fleet.machine_count, facets_of(&fleet));
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
        "Records",
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
            columns: Head::sorted(heads, &tools),
            rows: page
                .items
                .iter()
                .map(|machine| row(&here, machine, now))
                .collect(),
            empty: "No edge has reported yet. Install one under Integrations; Claude that exports \
                    directly to this service is listed under Agents only.",
        }],
        more,
        tools: Some(tools),
        below: Vec::new(),
    })
}

/// The values of each facet of [`spec`], in its order, with how many machines have each.
fn facets_of(fleet: &Fleet) -> [Vec<(String, i64)>; 4] {
    let states = fleet.states.iter();
    let concerns = fleet.concerns.iter();
    let named = |counts: &std::collections::BTreeMap<String, i64>| {
        counts
            .iter()
            .map(|(value, count)| (value.clone(), *count))
            .collect()
    };
    [
        states
            .map(|(state, count)| (state.word().to_owned(), *count))
            .collect(),
        concerns
            .map(|(concern, count)| (concern.slug().to_owned(), *count))
            .collect(),
        named(&fleet.systems),
        named(&fleet.versions),
    ]
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
            Cell::Tags(vec![verdict(machine)]),
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
