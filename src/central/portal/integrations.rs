//! Integrations → Install: what Claude needs to know to export here, whether anything arrives, and the tokens
//! that it may use.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::Html;
use serde::Deserialize;

use crate::central::Central;
use crate::central::accounts::check_name;
use crate::central::store::{Agent, Criteria, Installation, PageRequest, Role};
use crate::event::Timestamp;
use crate::rollout::{Format, Rollout, edge_configuration};

use super::event_row::{Link, Stamp};
use super::failure::Failure;
use super::shell::{Here, Section, Shell, draw};
use super::table::Head;
use super::words;

use tokens::TokenRow;

pub(super) use token::show as token;
pub(super) use tokens::{list as tokens_page, rejected_words, revoke, spec as tokens_spec};

mod tokens;
mod token;

/// Where logs go below the service's public address.
const OTLP_PATH: &str = "/v1/claude-cowork/otel";

/// Where an edge listens, unless configured otherwise.
const EDGE_ENDPOINT: &str = "http://127.0.0.1:4318";

#[derive(Template)]
#[template(path = "integrations.html", config = "src/central/portal/askama.toml")]
struct IntegrationsPage {
    shell: Shell,
    rows: Vec<IntegrationRow>,
}

#[derive(Template)]
#[template(path = "install.html", config = "src/central/portal/askama.toml")]
struct InstallPage {
    shell: Shell,
    action: String,
    endpoint: String,
    endpoint_base: String,
    /// What to set up, in the words that `fieldpost edge env` prints.
    edge_config: String,
    edge_shell: String,
    /// How a fleet tells Claude where the edge is.
    ways: Vec<Way>,
    direct_shell: String,
    host: String,
    installation: Option<Installation>,
    live_count: usize,
    /// Whether no request was accepted yet, with any of the tokens.
    waits: bool,
    /// Whether any was refused.
    was_refused: bool,
    /// The agents that are there, the latest active first.
    agents_seen: Vec<Link>,
    tokens: Vec<TokenRow>,
    heads: Vec<Head>,
    /// Where they can be narrowed.
    all_tokens: String,
}

/// What the form of a new token says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct NewToken {
    /// What people call it.
    name: String,
}

/// Agents that are named once something arrived.
const AGENTS_SEEN: u32 = 5;

struct IntegrationRow {
    name: &'static str,
    href: String,
    installed: Option<Stamp>,
    live_tokens: String,
    last_used: Option<String>,
}

/// Someone looks at what is connected.
pub(super) async fn list(
    here: Here,
    State(central): State<Arc<Central>>,
) -> Result<Html<String>, Failure> {
    let integrations = central.store.integrations(here.scope()).await?;
    let now = Timestamp::now();
    let rows = integrations.iter().map(|integration| IntegrationRow {
        name: "Claude Cowork",
        href: here.base.install(),
        installed: integration.installed_at.map(Stamp::brief),
        live_tokens: words::count(integration.live_tokens),
        last_used: integration.last_used.map(|time| words::ago(time, now)),
    });
    draw(&IntegrationsPage {
        rows: rows.collect(),
        shell: here.shell(Section::Integrations),
    })
}

/// Someone wants to connect Claude, or to see how its tokens fare.
pub(super) async fn install_page(
    here: Here,
    State(central): State<Arc<Central>>,
) -> Result<Html<String>, Failure> {
    draw(&InstallPage::read(&here, &central, None).await?)
}

/// Someone asks for a new token. Its page is the only place where it ever stands.
pub(super) async fn install(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(NewToken { name }): Form<NewToken>,
) -> Result<Html<String>, Failure> {
    here.require(Role::Admin)?;
    let name = name.trim();
    check_name(name)
        .map_err(|problem| Failure::Refused(format!("The token was not made: {problem}.")))?;
    let entry = central.entry(&here.actor(), Some(&here.environment), "token.made", name);
    central.audit(entry).await?;
    let installation = central
        .install(&here.environment, name, &here.actor())
        .await?;
    draw(&InstallPage::read(&here, &central, Some(installation)).await?)
}

/// A way in which fleets tell Claude, in the words that `fieldpost edge env` prints.
struct Way {
    place: &'static Place,
    text: String,
}

/// Where such words go, and whom they reach.
struct Place {
    format: Format,
    title: &'static str,
    where_it_goes: &'static str,
    file: &'static str,
    reaches: &'static str,
}

/// The ways, the usual first. Ansible and Salt have roles of their own in the packages.
static WAYS: [Place; 4] = [
    Place {
        format: Format::ManagedSettings,
        title: "Managed settings, on every system",
        where_it_goes: "A file for Linux (macOS: below /Library/Application Support/ClaudeCode):",
        file: "/etc/claude-code/managed-settings.d/10-fieldpost.json",
        reaches: "It reaches Claude Code in terminals, VS Code and JetBrains, and the Agent SDK.",
    },
    Place {
        format: Format::MacosProfile,
        title: "macOS profile, for Jamf and Kandji",
        where_it_goes: "A configuration profile to upload, for the domain",
        file: "com.anthropic.claudecode",
        reaches: "It reaches Claude Code in terminals, VS Code and JetBrains, and the Agent SDK.",
    },
    Place {
        format: Format::IntuneScript,
        title: "Windows, for Intune and Group Policy",
        where_it_goes: "A script to run as the system, which writes",
        file: "HKLM\\SOFTWARE\\Policies\\ClaudeCode",
        reaches: "It reaches Claude Code on Windows, and in WSL where that inherits the settings of Windows.",
    },
    Place {
        format: Format::ProfileD,
        title: "Linux login shells, where nothing else is at hand",
        where_it_goes: "A file for login shells:",
        file: "/etc/profile.d/fieldpost.sh",
        reaches: "It reaches only what is started from a login shell, and people can change it.",
    },
];

impl Place {
    fn way(&'static self, edge: &Rollout) -> Way {
        Way {
            place: self,
            text: edge.render(self.format),
        }
    }
}

impl InstallPage {
    async fn read(
        here: &Here,
        central: &Central,
        installation: Option<Installation>,
    ) -> Result<InstallPage, Failure> {
        let now = Timestamp::now();
        let tokens = tokens::read(here, central, now).await?;
        let page = PageRequest::new(None, Some(AGENTS_SEEN));
        let all = Criteria::default();
        let agents = central.store.list::<Agent>(here.scope(), &all, now, page);
        let agents = agents.await?;
        let endpoint_base = format!("{}{OTLP_PATH}", central.public_url);
        let endpoint = format!("{endpoint_base}/v1/logs");
        let edge = with_content(Rollout::edge(EDGE_ENDPOINT));
        let direct = with_content(Rollout::central(&endpoint_base));
        Ok(InstallPage {
            shell: here.shell(Section::Install),
            action: here.base.install(),
            edge_config: edge_configuration(&endpoint),
            edge_shell: edge.render(Format::Shell),
            ways: WAYS.iter().map(|place| place.way(&edge)).collect(),
            direct_shell: direct.render(Format::Shell),
            endpoint,
            host: host_of(&central.public_url),
            endpoint_base,
            installation,
            live_count: tokens.iter().filter(|row| row.revoke.is_some()).count(),
            // The newest, which somebody has just put in place: what others bring says nothing of it.
            waits: tokens
                .iter()
                .find(|token| token.revoke.is_some())
                .is_none_or(|token| token.first_used.is_none()),
            was_refused: tokens.iter().any(|token| !token.refusals.is_empty()),
            agents_seen: agents
                .items
                .iter()
                .map(|agent| Link::new(here.base.agent(&agent.id, "audit-logs"), &agent.name))
                .collect(),
            tokens,
            heads: tokens::heads(),
            all_tokens: here.base.tokens(),
        })
    }
}

/// Whoever sets this up wants to see prompts and answers, unless a company decides otherwise.
fn with_content(rollout: Rollout) -> Rollout {
    Rollout {
        content: true,
        ..rollout
    }
}

fn host_of(url: &str) -> String {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = after_scheme
        .split(['/', '?'])
        .next()
        .unwrap_or(after_scheme);
    host.to_owned()
}
