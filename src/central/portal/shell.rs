//! Where a request is, and the frame around every page: rail, place, zone.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri, RawPathParams};
use axum::http::request::Parts;
use axum::response::Html;

use crate::central::Central;
use crate::central::people::{Actor, From, SignedIn};
use crate::central::store::{Environment, Membership, Retention, Reveals, Role, Scope, Sight};
use crate::event::Timestamp;
use crate::otlp::Signal;

use super::address::{Base, without};
use super::assets;
use super::failure::Failure;
use super::layout::Layout;
use super::preferences::Preferences;
use super::text::visible;

/// The environment that an address names, and the other names in it.
pub(super) struct Here {
    /// The environment, known to exist.
    pub(super) environment: Environment,
    /// The addresses of its pages.
    pub(super) base: Base,
    /// Who asks.
    pub(super) session: SignedIn,
    /// What the person is here.
    pub(super) role: Role,
    /// From where.
    pub(super) from: From,
    reveals: Reveals,
    retention: Retention,
    params: Vec<(String, String)>,
    /// The address that was asked for: path and query.
    target: String,
}

/// Which entry of the rail is lit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Agents,
    Machines,
    Tools,
    McpTools,
    Models,
    Directories,
    Owners,
    Versions,
    Events,
    Sessions,
    Metrics,
    Traces,
    Views,
    Integrations,
    Install,
    Reference,
    Settings,
    /// None of them.
    Nowhere,
}

/// What the frame shows.
pub(super) struct Shell {
    pub(super) tenant: String,
    pub(super) environment: String,
    pub(super) assets: String,
    pub(super) zone: String,
    pub(super) theme: &'static str,
    /// Whether single keys do something.
    pub(super) keys: bool,
    /// Where somebody goes anywhere by name.
    pub(super) go: String,
    /// Where views are saved.
    pub(super) views: String,
    /// Whether the person may share them.
    pub(super) shares: bool,
    /// The address of this page, to come back to.
    pub(super) back: String,
    pub(super) agents: String,
    pub(super) events: String,
    pub(super) sessions: String,
    pub(super) install: String,
    pub(super) entries: Vec<Entry>,
    /// The person's name.
    pub(super) person: String,
    /// What the person is here.
    pub(super) role: &'static str,
    /// What every form carries.
    pub(super) form_token: String,
    pub(super) account: String,
}

/// An entry of the rail.
pub(super) struct Entry {
    /// The group that the entry opens, when it is the first of one.
    pub(super) group: Option<&'static str>,
    pub(super) label: &'static str,
    pub(super) icon: &'static str,
    pub(super) href: String,
    pub(super) lit: bool,
}

impl Here {
    /// The keys that every query is bound to.
    pub(super) fn scope(&self) -> Scope {
        self.environment.scope
    }

    /// What may be seen of its records: everything for owners; for admins, what they opened.
    pub(super) fn sight(&self) -> Sight {
        let sight = match self.role {
            Role::Owner => Sight::everything(self.scope()),
            Role::Admin => Sight::sessions(self.scope(), self.reveals.sessions.clone()),
            Role::Viewer => Sight::metadata(self.scope()),
        };
        sight.kept(self.retention, Timestamp::now())
    }

    /// The same for the list at an address, which an admin may have opened, however it looks.
    pub(super) fn sight_of_list(&self, address: &str) -> Sight {
        let list = without(address, &Layout::KEYS);
        match self.role {
            Role::Admin if self.reveals.lists.contains(&list) => {
                Sight::everything(self.scope()).kept(self.retention, Timestamp::now())
            }
            _ => self.sight(),
        }
    }

    /// Who asks, for the audit.
    pub(super) fn actor(&self) -> Actor {
        Actor::person(&self.session.person, &self.from.address)
    }

    /// Refuses whoever has a lesser role.
    pub(super) fn require(&self, role: Role) -> Result<(), Failure> {
        match self.role >= role {
            true => Ok(()),
            false => Err(Failure::NotAllowed(role.word())),
        }
    }

    /// What the address says in the place called `name`.
    pub(super) fn param(&self, name: &str) -> &str {
        let found = self.params.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    /// The frame with one entry lit.
    pub(super) fn shell(&self, section: Section) -> Shell {
        let entry = |group, label, icon, href, own| Entry {
            group,
            label,
            icon,
            href,
            lit: own == section,
        };
        let preferences = Preferences::current();
        Shell {
            tenant: self.environment.tenant.clone(),
            environment: self.environment.environment.clone(),
            assets: assets::base(),
            person: visible(&self.session.person.name),
            role: self.role.word(),
            form_token: self.session.form_token.clone(),
            account: self.base.settings("account"),
            zone: preferences.zone_name,
            theme: preferences.theme,
            keys: preferences.keys,
            go: self.base.go(),
            views: self.base.views(),
            shares: self.role >= Role::Admin,
            back: self.target.clone(),
            agents: self.base.agents(),
            events: self.base.observability(),
            sessions: self.base.sessions(),
            install: self.base.install(),
            entries: vec![
                entry(
                    None,
                    "Overview",
                    "mark",
                    self.base.overview(),
                    Section::Overview,
                ),
                entry(
                    Some("Inventory"),
                    "Agents",
                    "agent",
                    self.base.agents(),
                    Section::Agents,
                ),
                entry(
                    None,
                    "Machines",
                    "machine",
                    self.base.inventory("machines"),
                    Section::Machines,
                ),
                entry(
                    None,
                    "Tools",
                    "tool",
                    self.base.inventory("tools"),
                    Section::Tools,
                ),
                entry(
                    None,
                    "MCP tools",
                    "plug",
                    self.base.inventory("mcp-tools"),
                    Section::McpTools,
                ),
                entry(
                    None,
                    "Models",
                    "cloud",
                    self.base.inventory("models"),
                    Section::Models,
                ),
                entry(
                    None,
                    "Directories",
                    "folder",
                    self.base.inventory("directories"),
                    Section::Directories,
                ),
                entry(
                    None,
                    "Owners",
                    "person",
                    self.base.inventory("owners"),
                    Section::Owners,
                ),
                entry(
                    None,
                    "Versions",
                    "version",
                    self.base.inventory("versions"),
                    Section::Versions,
                ),
                entry(
                    Some("Observability"),
                    "Events",
                    "pulse",
                    self.base.observability(),
                    Section::Events,
                ),
                entry(
                    None,
                    "Sessions",
                    "session",
                    self.base.sessions(),
                    Section::Sessions,
                ),
                entry(
                    None,
                    "Metrics",
                    "metric",
                    self.base.signals(Signal::Metrics),
                    Section::Metrics,
                ),
                entry(
                    None,
                    "Traces",
                    "trace",
                    self.base.signals(Signal::Traces),
                    Section::Traces,
                ),
                entry(
                    None,
                    "Saved views",
                    "view",
                    self.base.views(),
                    Section::Views,
                ),
                entry(
                    Some("Integrations"),
                    "Installed",
                    "plug",
                    self.base.integrations(),
                    Section::Integrations,
                ),
                entry(
                    None,
                    "Install",
                    "key",
                    self.base.install(),
                    Section::Install,
                ),
                entry(
                    None,
                    "API",
                    "code",
                    self.base.reference(),
                    Section::Reference,
                ),
                entry(
                    Some("Settings"),
                    "Settings",
                    "gear",
                    self.base.settings("account"),
                    Section::Settings,
                ),
            ],
        }
    }
}

impl FromRequestParts<Arc<Central>> for Here {
    type Rejection = Failure;

    async fn from_request_parts(
        parts: &mut Parts,
        central: &Arc<Central>,
    ) -> Result<Here, Failure> {
        let target = OriginalUri::from_request_parts(parts, central)
            .await
            .expect("every request has an address");
        let params = RawPathParams::from_request_parts(parts, central)
            .await
            .map_err(|_| Failure::NotFound("page"))?;
        let params: Vec<(String, String)> = params
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let named = |name: &str| {
            params
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value)
        };
        let (Some(tenant), Some(environment)) = (named("tenant"), named("environment")) else {
            return Err(Failure::NotFound("environment"));
        };
        let session = parts.extensions.get::<SignedIn>().cloned();
        let from = parts.extensions.get::<From>().cloned();
        let (Some(session), Some(from)) = (session, from) else {
            return Err(Failure::SignedOut);
        };
        // The environment comes from the person's memberships: one of others is not there at all.
        let memberships = central.store.memberships(&session.person.id).await?;
        let found = memberships.into_iter().find(|known| {
            known.environment.tenant == *tenant && known.environment.environment == *environment
        });
        let Membership {
            environment, role, ..
        } = found.ok_or(Failure::NotFound("environment"))?;
        let reveals = match role {
            Role::Admin => {
                let now = central.clock.now();
                let person = &session.person.id;
                central
                    .store
                    .reveals(environment.scope, person, now)
                    .await?
            }
            Role::Viewer | Role::Owner => Reveals::default(),
        };
        let retention = central.store.retention_of(environment.scope).await?;
        Ok(Here {
            reveals,
            retention,
            base: Base::of(&environment),
            environment,
            session,
            role,
            from,
            params,
            target: target
                .0
                .path_and_query()
                .map_or("/", |it| it.as_str())
                .to_owned(),
        })
    }
}

/// Draws a page.
pub(super) fn draw(page: &impl askama::Template) -> Result<Html<String>, Failure> {
    Ok(Html(page.render()?))
}
