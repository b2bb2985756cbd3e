//! Anywhere by name: pages, agents, a session or a record by its id. The palette (Ctrl-K) shows this page's
//! list.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Html;
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{Agent, Criteria, Of, PageRequest, SavedView, StoreError};
use crate::event::Timestamp;

use super::event_row::Link;
use super::failure::Failure;
use super::observability::read_query;
use super::shell::{Here, Section, Shell, draw};
use super::views;

/// Saved views that are offered.
const VIEWS: u32 = 12;

/// Agents that are offered.
const AGENTS: u32 = 8;

#[derive(Template)]
#[template(path = "go.html", config = "src/central/portal/askama.toml")]
struct GoPage {
    shell: Shell,
    text: String,
    groups: Vec<(&'static str, Vec<Link>)>,
}

/// Where somebody wants to go.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct GoQuery {
    text: String,
}

/// Someone wants to go somewhere.
pub(super) async fn show(
    here: Here,
    State(central): State<Arc<Central>>,
    query: Result<Query<GoQuery>, QueryRejection>,
) -> Result<Html<String>, Failure> {
    let text = read_query(query)?.text.trim().to_owned();
    let shell = here.shell(Section::Nowhere);
    let wanted = text.to_lowercase();
    let pages = shell
        .entries
        .iter()
        .filter(|entry| entry.label.to_lowercase().contains(&wanted));
    let pages = pages.map(|entry| Link::new(entry.href.clone(), entry.label));
    let mut groups = vec![("Pages", pages.collect())];
    let views = saved(&here, &central, &wanted).await?;
    groups.push(("Saved views", views));
    if !text.is_empty() {
        groups.push(("Agents", agents(&here, &central, &text).await?));
        groups.push(("By id", by_id(&here, &central, &text).await?));
    }
    groups.retain(|(_, links): &(_, Vec<Link>)| !links.is_empty());
    draw(&GoPage {
        shell,
        text,
        groups,
    })
}

async fn saved(here: &Here, central: &Central, wanted: &str) -> Result<Vec<Link>, StoreError> {
    let page = PageRequest::new(None, Some(VIEWS));
    let named = Criteria {
        of: Of::Person(here.session.person.id.clone()),
        ..named(wanted)
    };
    let store = &central.store;
    let views = store
        .list::<SavedView>(here.scope(), &named, Timestamp::now(), page)
        .await?;
    let links = views.items.iter().map(|view| views::link(here, view));
    Ok(links.collect())
}

/// What has a text in one of its names.
fn named(text: &str) -> Criteria {
    Criteria {
        text: text.to_owned(),
        ..Criteria::default()
    }
}

async fn agents(here: &Here, central: &Central, text: &str) -> Result<Vec<Link>, StoreError> {
    let page = PageRequest::new(None, Some(AGENTS));
    let store = &central.store;
    let agents = store
        .list::<Agent>(here.scope(), &named(text), Timestamp::now(), page)
        .await?;
    let links = agents.items.iter().map(|agent| {
        let name = format!("{} · {}", agent.name, agent.owner);
        Link::new(here.base.agent(&agent.id, "audit-logs"), &name)
    });
    Ok(links.collect())
}

async fn by_id(here: &Here, central: &Central, id: &str) -> Result<Vec<Link>, StoreError> {
    let mut links = Vec::new();
    if central.store.session(here.scope(), id).await?.is_some() {
        links.push(Link::new(here.base.session(id), &format!("Session {id}")));
    }
    if central.store.event(&here.sight(), id).await?.is_some() {
        links.push(Link::new(here.base.event(id), &format!("Record {id}")));
    }
    Ok(links)
}
