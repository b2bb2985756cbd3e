//! Inventory → Agents: the list, and one agent with its tabs.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{Html, Redirect};
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{Agent, Identity, PageRequest};
use crate::event::Timestamp;

use super::address::with_query;
use super::event_row::{Link, Stamp};
use super::failure::Failure;
use super::filters::Filters;
use super::observability::{Listing, Pairs, Wanted, read_query};
use super::shell::{Here, Section, Shell, draw};
use super::text::{Text, visible};
use super::words;

#[derive(Template)]
#[template(path = "agents.html", config = "src/central/portal/askama.toml")]
struct AgentsPage {
    shell: Shell,
    action: String,
    text: String,
    count: String,
    rows: Vec<AgentRow>,
    more: Option<String>,
    install: String,
}

#[derive(Template)]
#[template(path = "agent_listing.html", config = "src/central/portal/askama.toml")]
struct AgentListingPage {
    shell: Shell,
    agent: AgentHeader,
    listing: Listing,
}

#[derive(Template)]
#[template(path = "agent_owner.html", config = "src/central/portal/askama.toml")]
struct AgentOwnerPage {
    shell: Shell,
    agent: AgentHeader,
    owner: Text,
    has_email: bool,
    identities: Vec<IdentityRow>,
}

/// An agent in the list, and at the head of its pages.
pub(super) struct AgentRow {
    pub(super) link: Link,
    pub(super) owner: Text,
    pub(super) owner_hover: String,
    pub(super) has_email: bool,
    pub(super) platform: Text,
    pub(super) version: Text,
    pub(super) last_seen: String,
    pub(super) last_seen_ago: String,
    pub(super) last_seen_machine: String,
    pub(super) sessions: String,
    pub(super) tools: String,
    pub(super) mcp_tools: String,
    pub(super) models: String,
    pub(super) events: String,
    pub(super) cost: String,
}

/// The head of each page of an agent.
pub(super) struct AgentHeader {
    pub(super) title: String,
    pub(super) name: Text,
    pub(super) row: AgentRow,
    pub(super) first_seen: Stamp,
    pub(super) tabs: Vec<Tab>,
}

/// One of an agent's pages.
pub(super) struct Tab {
    pub(super) label: &'static str,
    pub(super) href: String,
    pub(super) lit: bool,
    pub(super) count: Option<String>,
}

struct IdentityRow {
    key: Text,
    value: Text,
    first_seen: Stamp,
    last_seen: Stamp,
}

/// What the list of agents is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AgentsQuery {
    text: String,
    cursor: String,
}

const PAGE_ROWS: u32 = 100;

/// Someone looks which agents there are.
pub(super) async fn list(
    here: Here,
    State(central): State<Arc<Central>>,
    query: Result<Query<AgentsQuery>, QueryRejection>,
) -> Result<Html<String>, Failure> {
    let query = read_query(query)?;
    let text = query.text.trim();
    let page = central
        .store
        .agents(
            here.scope(),
            Some(text).filter(|text| !text.is_empty()),
            page_at(&query.cursor),
        )
        .await?;
    let now = Timestamp::now();
    let action = here.base.agents();
    draw(&AgentsPage {
        shell: here.shell(Section::Agents),
        text: text.to_owned(),
        count: words::plural(page.items.len(), "agent", "agents"),
        rows: page
            .items
            .iter()
            .map(|agent| AgentRow::new(&here, agent, now))
            .collect(),
        more: page
            .next_cursor
            .map(|cursor| with_query(&action, &[("text", text), ("cursor", &cursor)])),
        install: here.base.install(),
        action,
    })
}

/// Someone opens an agent: to its audit log.
pub(super) async fn first_tab(here: Here) -> Redirect {
    Redirect::to(&here.base.agent(here.param("agent"), "audit-logs"))
}

/// Someone looks at what an agent did.
pub(super) async fn audit_logs(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    listing(
        here,
        &central,
        Filters::read(read_query(pairs)?)?,
        "audit-logs",
    )
    .await
}

/// Someone looks at an agent's sessions.
pub(super) async fn sessions(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    listing(
        here,
        &central,
        Filters::read(read_query(pairs)?)?,
        "sessions",
    )
    .await
}

async fn listing(
    here: Here,
    central: &Central,
    filters: Filters,
    tab: &'static str,
) -> Result<Html<String>, Failure> {
    let agent = find(&here, central).await?;
    let wanted = Wanted {
        action: here.base.agent(&agent.id, tab),
        agent: Some(&agent),
        sessions_only: tab == "sessions",
    };
    let listing = Listing::read(&here, central, wanted, filters).await?;
    draw(&AgentListingPage {
        shell: here.shell(Section::Agents),
        agent: AgentHeader::new(&here, &agent, tab),
        listing,
    })
}

/// Someone asks whose agent it is.
pub(super) async fn owner(
    here: Here,
    State(central): State<Arc<Central>>,
) -> Result<Html<String>, Failure> {
    let agent = find(&here, &central).await?;
    let identities = central.store.identities(here.scope(), &agent.id).await?;
    draw(&AgentOwnerPage {
        shell: here.shell(Section::Agents),
        owner: Text::name(&agent.owner),
        has_email: agent.user_email.is_some(),
        identities: identities.iter().map(IdentityRow::new).collect(),
        agent: AgentHeader::new(&here, &agent, "owner"),
    })
}

/// The agent that an address names.
pub(super) async fn find(here: &Here, central: &Central) -> Result<Agent, Failure> {
    let agent = central
        .store
        .agent(here.scope(), here.param("agent"))
        .await?;
    agent.ok_or(Failure::NotFound("agent"))
}

impl AgentRow {
    fn new(here: &Here, agent: &Agent, now: Timestamp) -> AgentRow {
        let or_dash = |text: &Option<String>| Text::name(text.as_deref().unwrap_or("–"));
        AgentRow {
            link: Link::new(here.base.agent(&agent.id, "audit-logs"), &agent.name),
            owner: Text::short(&agent.owner),
            owner_hover: match agent.user_email {
                Some(_) => visible(&agent.owner),
                None => format!(
                    "{}: no e-mail, signed in with an API key or by a cloud provider",
                    visible(&agent.owner)
                ),
            },
            has_email: agent.user_email.is_some(),
            platform: or_dash(&agent.service),
            version: or_dash(&agent.client_version),
            last_seen: agent.last_seen.display(),
            last_seen_ago: words::ago(agent.last_seen, now),
            last_seen_machine: agent.last_seen.to_string(),
            sessions: words::count(agent.session_count),
            tools: words::count(agent.tool_count),
            mcp_tools: words::count(agent.mcp_tool_count),
            models: words::count(agent.model_count),
            events: words::count(agent.event_count),
            cost: words::dollars(agent.cost_usd),
        }
    }
}

impl AgentHeader {
    pub(super) fn new(here: &Here, agent: &Agent, lit: &str) -> AgentHeader {
        let tab = |label, slug, count: Option<i64>| Tab {
            label,
            href: here.base.agent(&agent.id, slug),
            lit: slug == lit,
            count: count.map(words::count),
        };
        AgentHeader {
            title: visible(&agent.name),
            name: Text::short(&agent.name),
            row: AgentRow::new(here, agent, Timestamp::now()),
            first_seen: Stamp::brief(agent.first_seen),
            tabs: vec![
                tab("Audit logs", "audit-logs", Some(agent.event_count)),
                tab("Sessions", "sessions", Some(agent.session_count)),
                tab("Entities", "entities", None),
                tab("Owner", "owner", None),
            ],
        }
    }
}

impl IdentityRow {
    fn new(identity: &Identity) -> IdentityRow {
        IdentityRow {
            key: Text::name(&identity.key),
            value: Text::name(&identity.value),
            first_seen: Stamp::brief(identity.first_seen),
            last_seen: Stamp::brief(identity.last_seen),
        }
    }
}

/// The page of a list that begins at `cursor`.
pub(super) fn page_at(cursor: &str) -> PageRequest {
    PageRequest::new(Some(cursor.to_owned()), Some(PAGE_ROWS))
}
