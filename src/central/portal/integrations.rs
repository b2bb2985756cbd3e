//! Integrations → Install: what Claude needs to know to export here, and the tokens that
//! it may use.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{Html, Redirect};

use crate::central::Central;
use crate::central::store::{Installation, Role, Token};
use crate::event::Timestamp;
use crate::rollout::{Format, Rollout, edge_configuration};

use super::event_row::Stamp;
use super::failure::Failure;
use super::shell::{Here, Section, Shell, draw};
use super::text::{Text, short_id, visible};
use super::words;

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
    agents: String,
    endpoint: String,
    endpoint_base: String,
    /// What to set up, in the words that `fieldpost edge env` prints.
    edge_config: String,
    edge_shell: String,
    edge_settings: String,
    direct_shell: String,
    host: String,
    installation: Option<Installation>,
    live_count: usize,
    first_event_waits: bool,
    tokens: Vec<TokenRow>,
}

struct IntegrationRow {
    name: &'static str,
    href: String,
    installed: Option<Stamp>,
    live_tokens: String,
    last_used: Option<String>,
}

struct TokenRow {
    short: String,
    id: String,
    issued: Stamp,
    expires: Stamp,
    first_used: Option<Stamp>,
    last_used: Option<Stamp>,
    last_used_ago: String,
    requests: String,
    address: Option<Text>,
    state: &'static str,
    tone: &'static str,
    icon: &'static str,
    revoke: Option<String>,
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
) -> Result<Html<String>, Failure> {
    here.require(Role::Admin)?;
    let entry = central.entry(&here.actor(), Some(&here.environment), "token.made", "");
    central.audit(entry).await?;
    let installation = central.install(&here.environment, "").await?;
    draw(&InstallPage::read(&here, &central, Some(installation)).await?)
}

/// Someone takes a token back.
pub(super) async fn revoke(
    here: Here,
    State(central): State<Arc<Central>>,
) -> Result<Redirect, Failure> {
    here.require(Role::Admin)?;
    let token = here.param("token");
    let tokens = central.store.tokens(here.scope()).await?;
    if !tokens.iter().any(|known| known.id == token) {
        return Err(Failure::NotFound("token"));
    }
    let entry = central.entry(
        &here.actor(),
        Some(&here.environment),
        "token.revoked",
        token,
    );
    central.audit(entry).await?;
    match central
        .revoke_token(here.scope(), here.param("token"))
        .await?
    {
        true => Ok(Redirect::to(&format!("{}#tokens", here.base.install()))),
        false => Err(Failure::NotFound("token")),
    }
}

impl InstallPage {
    async fn read(
        here: &Here,
        central: &Central,
        installation: Option<Installation>,
    ) -> Result<InstallPage, Failure> {
        let now = Timestamp::now();
        let tokens = central.store.tokens(here.scope()).await?;
        let endpoint_base = format!("{}{OTLP_PATH}", central.public_url);
        let endpoint = format!("{endpoint_base}/v1/logs");
        let edge = with_content(Rollout::edge(EDGE_ENDPOINT));
        let direct = with_content(Rollout::central(&endpoint_base));
        let rows: Vec<TokenRow> = tokens
            .iter()
            .map(|token| TokenRow::new(here, token, now))
            .collect();
        Ok(InstallPage {
            shell: here.shell(Section::Install),
            action: here.base.install(),
            agents: here.base.agents(),
            edge_config: edge_configuration(&endpoint),
            edge_shell: edge.render(Format::Shell),
            edge_settings: edge.render(Format::ManagedSettings),
            direct_shell: direct.render(Format::Shell),
            endpoint,
            host: host_of(&central.public_url),
            endpoint_base,
            installation,
            live_count: rows.iter().filter(|row| row.revoke.is_some()).count(),
            first_event_waits: tokens.iter().all(|token| token.first_used.is_none()),
            tokens: rows,
        })
    }
}

impl TokenRow {
    fn new(here: &Here, token: &Token, now: Timestamp) -> TokenRow {
        let (state, tone, icon) = match token.revoked_at {
            Some(_) => ("revoked", "danger", "deny"),
            None if token.expires_at <= now => ("expired", "warn", "clock"),
            None if token.first_used.is_none() => ("not used yet", "", "unknown"),
            None => ("in use", "ok", "allow"),
        };
        let lives = token.revoked_at.is_none() && token.expires_at > now;
        TokenRow {
            short: short_id(&token.id),
            id: visible(&token.id),
            issued: Stamp::brief(token.issued_at),
            expires: Stamp::brief(token.expires_at),
            first_used: token.first_used.map(Stamp::brief),
            last_used: token.last_used.map(Stamp::brief),
            last_used_ago: token
                .last_used
                .map_or(String::new(), |time| words::ago(time, now)),
            requests: words::count(token.request_count),
            address: token.last_address.as_deref().map(Text::name),
            state,
            tone,
            icon,
            revoke: lives.then(|| here.base.revoke(&token.id)),
        }
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
