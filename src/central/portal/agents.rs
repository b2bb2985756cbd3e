//! Inventory → Agents: the list, and one agent with its tabs.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{Html, Redirect};

use crate::central::Central;
use crate::central::identity::{Basis, KnownIdentity};
use crate::central::store::{Activeness, Agent, Completeness};
use crate::event::Timestamp;

use super::browse::{self, Spec, Wish};
use super::event_row::{Link, Stamp, Tag};
use super::failure::Failure;
use super::filters::Filters;
use super::observability::{Listing, Pairs, Wanted, read_query};
use super::shell::{Here, Section, Shell, draw};
use super::table::{Cell, Head, Row, Table, TablePage};
use super::text::{Text, visible};
use super::versions;
use super::words;

pub(super) mod overview;
pub(super) mod health;

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

/// The head of each page of an agent.
pub(super) struct AgentHeader {
    pub(super) title: String,
    pub(super) name: Text,
    pub(super) owner: Text,
    pub(super) platform: Text,
    pub(super) version: Text,
    /// What the version is known not to tell.
    pub(super) defect: Option<Tag>,
    pub(super) first_seen: Stamp,
    pub(super) last_seen: Stamp,
    pub(super) last_seen_ago: String,
    pub(super) cost: String,
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
    /// Who says so.
    basis: Tag,
    /// What does not go together.
    mismatch: Option<Tag>,
    first_seen: Stamp,
    last_seen: Stamp,
}

/// The list of agents.
pub(super) fn spec(here: &Here) -> Spec {
    let (path, export) = (here.base.agents(), here.base.export("agents"));
    Spec::of::<Agent>(path, export, ("agent", "agents"))
}

/// Someone looks which agents there are.
pub(super) async fn list(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    let spec = spec(&here);
    let wish = Wish::read(&spec, read_query(pairs)?)?;
    let selection = browse::select::<Agent>(&central, here.scope(), &spec, wish).await?;
    let now = Timestamp::now();
    let heads = Head::all(&[
        "Name",
        "Owner",
        "Last activity",
        "Records",
        "#Sessions 7 d",
        "#Tools (MCP)",
        "#Models",
        "#Cost 30 d (est.)",
        "Client",
    ]);
    draw(&TablePage {
        shell: here.shell(Section::Agents),
        title: "Agents".to_owned(),
        crumb: None,
        lead: "One per person: by e-mail, or by the client's own id where there is none."
            .to_owned(),
        facts: Vec::new(),
        remarks: Vec::new(),
        actions: Vec::new(),
        tables: vec![Table {
            heading: None,
            caption: "Agents, latest activity first",
            columns: Head::sorted(heads, &selection.tools),
            rows: selection
                .rows
                .iter()
                .map(|agent| row(&here, agent, now))
                .collect(),
            empty: "An agent appears here with the first event that Claude sends. Nothing has arrived in \
                    this environment so far.",
        }],
        more: selection.more,
        tools: Some(selection.tools),
        below: Vec::new(),
    })
}

fn row(here: &Here, agent: &Agent, now: Timestamp) -> Row {
    let client = [agent.service.as_deref(), agent.client_version.as_deref()];
    let client: Vec<&str> = client.into_iter().flatten().collect();
    let defect = agent.client_version.as_deref().and_then(versions::badge);
    let word = match agent.activity {
        Activeness::Active => None,
        Activeness::Silent => Some(Tag::new("clock", "warn", "silent")),
        Activeness::Quiet => Some(Tag::new("clock", "", "quiet")),
    };
    Row {
        group: None,
        cells: vec![
            Cell::Link(Link::new(
                here.base.agent(&agent.id, "audit-logs"),
                &agent.name,
            )),
            match agent.user_email {
                Some(_) => Cell::Name(Text::short(&agent.owner)),
                None => Cell::Code(Text::short(&agent.owner)),
            },
            Cell::Ago(Stamp::ago(agent.last_seen, now), word),
            completeness(agent),
            Cell::Words(words::count(agent.session_count_7d)),
            Cell::Words(format!(
                "{} ({})",
                words::count(agent.tool_count),
                words::count(agent.mcp_tool_count)
            )),
            Cell::Words(words::count(agent.model_count)),
            Cell::Words(words::dollars(agent.cost_usd_30d)),
            match client.is_empty() {
                true => Cell::Nothing,
                false => Cell::Marked(Text::name(&client.join(" ")), defect),
            },
        ],
    }
}

/// Whether an agent's records are all here, in a word.
fn completeness(agent: &Agent) -> Cell {
    agent.completeness.map_or(Cell::Nothing, |it| {
        Cell::Tags(vec![match it {
            Completeness::Complete => Tag::new("check", "ok", "complete"),
            Completeness::NotNumbered => Tag::new("unknown", "", "not numbered"),
            Completeness::Dropped => Tag::new("alert", "warn", "dropped"),
            Completeness::Missing => Tag::new("alert", "danger", "missing"),
        }])
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
    let identities = central.identities(here.scope(), &agent).await?;
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
        .agent(here.scope(), here.param("agent"), Timestamp::now())
        .await?;
    agent.ok_or(Failure::NotFound("agent"))
}

impl AgentHeader {
    pub(super) fn new(here: &Here, agent: &Agent, lit: &str) -> AgentHeader {
        let tab = |label, slug, count: Option<i64>| Tab {
            label,
            href: here.base.agent(&agent.id, slug),
            lit: slug == lit,
            count: count.map(words::count),
        };
        let or_dash = |text: &Option<String>| Text::name(text.as_deref().unwrap_or("–"));
        AgentHeader {
            title: visible(&agent.name),
            name: Text::short(&agent.name),
            owner: Text::short(&agent.owner),
            platform: or_dash(&agent.service),
            version: or_dash(&agent.client_version),
            defect: agent.client_version.as_deref().and_then(versions::badge),
            first_seen: Stamp::brief(agent.first_seen),
            last_seen: Stamp::brief(agent.last_seen),
            last_seen_ago: words::ago(agent.last_seen, Timestamp::now()),
            cost: words::dollars(agent.cost_usd),
            tabs: vec![
                tab("Overview", "overview", None),
                tab("Audit logs", "audit-logs", Some(agent.event_count)),
                tab("Sessions", "sessions", Some(agent.session_count)),
                tab("Entities", "entities", None),
                tab("Owner", "owner", None),
                tab("Health", "health", None),
            ],
        }
    }
}

impl IdentityRow {
    fn new(known: &KnownIdentity) -> IdentityRow {
        let KnownIdentity {
            identity,
            basis,
            differs,
        } = known;
        IdentityRow {
            key: Text::name(&identity.key),
            value: Text::name(&identity.value),
            basis: match basis {
                Basis::Asserted => Tag::new("person", "", "asserted"),
                Basis::Observed => Tag::new("machine", "ok", "observed"),
            },
            mismatch: differs.then(|| Tag::new("alert", "warn", "not the name of the e-mail")),
            first_seen: Stamp::brief(identity.first_seen),
            last_seen: Stamp::brief(identity.last_seen),
        }
    }
}
