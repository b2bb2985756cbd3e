//! Inventory → Versions: which clients and edges are in use, and what some clients are known not to tell.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;

use crate::central::Central;
use crate::central::defects::{self, DEFECTS, Defect};
use crate::central::store::{ClientVersion, Criteria};
use crate::event::Timestamp;

use super::address::with_query;
use super::browse::{self, Spec, Wish};
use super::event_row::{Link, Stamp, Tag};
use super::failure::Failure;
use super::observability::{Pairs, read_query};
use super::shell::{Here, Section, draw};
use super::table::{Cell, Head, Row, Table, TablePage};
use super::text::Text;
use super::words;

/// The list of clients' versions.
pub(super) fn spec(here: &Here) -> Spec {
    let path = here.base.inventory("versions");
    Spec::of::<ClientVersion>(path, here.base.export("versions"), ("version", "versions"))
}

/// Someone looks what is in use.
pub(super) async fn show(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    let spec = spec(&here);
    let wish = Wish::read(&spec, read_query(pairs)?)?;
    let scope = here.scope();
    let clients = browse::select::<ClientVersion>(&central, scope, &spec, wish).await?;
    let all = Criteria::default();
    let fleet = central.store.fleet(scope, &all, Timestamp::now()).await?;
    let mut edges: Vec<(&String, &i64)> = fleet.versions.iter().collect();
    edges.sort_by_key(|(_, machines)| std::cmp::Reverse(**machines));
    let heads = Head::all(&[
        "Version",
        "Client",
        "#Agents",
        "Last activity",
        "Known defects",
    ]);
    draw(&TablePage {
        shell: here.shell(Section::Versions),
        title: "Versions".to_owned(),
        crumb: None,
        lead: "What agents and machines run, by the latest record of each. Some versions of the client \
               are known not to tell everything."
            .to_owned(),
        facts: Vec::new(),
        remarks: Vec::new(),
        actions: vec![(here.base.inventory("drift"), "What each version sends")],
        tables: vec![Table {
            heading: None,
            caption: "Versions of the client, the most used first",
            columns: Head::sorted(heads, &clients.tools),
            rows: clients.rows.iter().map(|client| client_row(&here, client)).collect(),
            empty: "No record has told the version of its client yet.",
        }],
        more: clients.more,
        tools: Some(clients.tools),
        below: vec![
            Table {
                heading: Some("Edges"),
                caption: "Versions of the edge, the most used first",
                columns: Head::all(&["Version", "#Machines"]),
                rows: edges
                    .iter()
                    .map(|(version, machines)| edge_row(&here, version, **machines))
                    .collect(),
                empty: "No edge has reported yet.",
            },
            Table {
                heading: Some("Known defects of clients' telemetry"),
                caption: "Known defects, the oldest first",
                columns: Head::all(&["Version", "What is missing", "Reported at github.com"]),
                rows: DEFECTS.iter().map(defect_row).collect(),
                empty: "",
            },
        ],
    })
}

/// A sign beside a version that is known not to tell everything.
pub(super) fn badge(version: &str) -> Option<Tag> {
    let words: Vec<String> = defects::of_version(version).map(Defect::words).collect();
    (!words.is_empty()).then(|| Tag::new("alert", "warn", words.join("; ")))
}

fn client_row(here: &Here, client: &ClientVersion) -> Row {
    let platform = client.client.as_deref().unwrap_or_default();
    let agents = with_query(
        &here.base.agents(),
        &[("platform", platform), ("version", &client.version)],
    );
    Row {
        group: None,
        cells: vec![
            Cell::Link(Link::new(agents, &client.version)),
            match platform {
                "" => Cell::Nothing,
                platform => Cell::Name(Text::name(platform)),
            },
            Cell::Words(words::count(client.agent_count)),
            Cell::Stamp(Stamp::brief(client.last_seen)),
            match badge(&client.version) {
                Some(tag) => Cell::Tags(vec![tag]),
                None => Cell::Words("none known".to_owned()),
            },
        ],
    }
}

fn edge_row(here: &Here, version: &str, machines: i64) -> Row {
    let list = with_query(&here.base.inventory("machines"), &[("version", version)]);
    Row {
        group: None,
        cells: vec![
            Cell::Link(Link::new(list, version)),
            Cell::Words(words::count(machines)),
        ],
    }
}

fn defect_row(defect: &Defect) -> Row {
    Row {
        group: None,
        cells: vec![
            Cell::Code(Text::name(defect.version.unwrap_or("any"))),
            Cell::Words(defect.words()),
            Cell::Words(defect.sources.join(", ")),
        ],
    }
}
