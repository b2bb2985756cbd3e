//! The audit log: events, or sessions, filtered by what their address says.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Html;

use crate::central::Central;
use crate::central::store::{PageRequest, Session, SessionFilter, StoreError};

use super::event_row::{EventRow, SessionRow};
use super::failure::Failure;
use super::filters::{Chip, Choice, Filters};
use super::reveal::RevealForm;
use super::shell::{Here, Section, Shell, draw};
use super::words;

#[derive(Template)]
#[template(path = "observability.html", config = "src/central/portal/askama.toml")]
struct ObservabilityPage {
    shell: Shell,
    listing: Listing,
}

/// A filtered list with its form: the same in Observability and on an agent's page.
pub(super) struct Listing {
    /// Where the form sends to.
    pub(super) action: String,
    pub(super) filters: Filters,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) choices: Vec<Choice>,
    pub(super) chips: Vec<Chip>,
    pub(super) clear: String,
    /// The agent is the page's own: no field and no column for it.
    pub(super) of_one_agent: bool,
    /// Sessions only: no activity type to choose.
    pub(super) sessions_only: bool,
    pub(super) shows_sessions: bool,
    pub(super) problem: Option<String>,
    pub(super) count: String,
    pub(super) events: Vec<EventRow>,
    pub(super) sessions: Vec<SessionRow>,
    pub(super) newest: Option<String>,
    pub(super) older: Option<String>,
    pub(super) install: String,
    /// Opens the content of this list, where it is hidden and may be opened.
    pub(super) reveal: Option<RevealForm>,
}

/// Which list is wanted.
pub(super) struct Wanted<'a> {
    pub(super) action: String,
    /// The only agent whose rows are shown.
    pub(super) agent: Option<&'a str>,
    pub(super) sessions_only: bool,
}

/// Rows of a page.
const PAGE_ROWS: u32 = 100;

/// Someone looks at what happened in an environment.
pub(super) async fn list(
    here: Here,
    State(central): State<Arc<Central>>,
    filters: Result<Query<Filters>, QueryRejection>,
) -> Result<Html<String>, Failure> {
    let wanted = Wanted {
        action: here.base.observability(),
        agent: None,
        sessions_only: false,
    };
    let listing = Listing::read(&here, &central, wanted, read_query(filters)?).await?;
    let section = if listing.shows_sessions {
        Section::Sessions
    } else {
        Section::Events
    };
    draw(&ObservabilityPage {
        shell: here.shell(section),
        listing,
    })
}

/// The filters of an address, or the page for an address that is none.
pub(super) fn read_query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Failure> {
    match query {
        Ok(Query(value)) => Ok(value),
        Err(_) => Err(Failure::BadRequest(
            "A filter in this address stands there twice or cannot be read.",
        )),
    }
}

impl Listing {
    /// Asks the store for the rows that the filters leave.
    pub(super) async fn read(
        here: &Here,
        central: &Central,
        wanted: Wanted<'_>,
        filters: Filters,
    ) -> Result<Listing, Failure> {
        let filters = filters.tidy();
        let shows_sessions = wanted.sessions_only || filters.wants_sessions();
        let mut listing = Listing {
            from: Filters::field_time(&filters.from),
            to: Filters::field_time(&filters.to),
            choices: filters.choices(),
            chips: filters.chips(&wanted.action),
            clear: wanted.action.clone(),
            of_one_agent: wanted.agent.is_some(),
            sessions_only: wanted.sessions_only,
            shows_sessions,
            problem: None,
            count: String::new(),
            events: Vec::new(),
            sessions: Vec::new(),
            newest: (!filters.cursor.is_empty()).then(|| filters.address(&wanted.action, &[])),
            older: None,
            install: here.base.install(),
            reveal: match shows_sessions {
                true => None,
                false => RevealForm::of_list(here, &filters.address(&wanted.action, &[])),
            },
            action: wanted.action,
            filters,
        };
        let rows = if shows_sessions {
            listing.read_sessions(here, central, wanted.agent).await
        } else {
            listing.read_events(here, central, wanted.agent).await
        };
        match rows {
            Ok(()) => Ok(listing),
            Err(Refused::Filter(problem)) => Ok(Listing {
                problem: Some(problem),
                ..listing
            }),
            Err(Refused::Store(StoreError::ContentHidden)) => Ok(Listing {
                problem: Some(
                    "The text of records is hidden by your role, so it cannot be searched either: \
                     remove the text."
                        .to_owned(),
                ),
                ..listing
            }),
            Err(Refused::Store(error)) => Err(error.into()),
        }
    }

    async fn read_events(
        &mut self,
        here: &Here,
        central: &Central,
        agent: Option<&str>,
    ) -> Result<(), Refused> {
        let mut filter = self.filters.for_events().map_err(Refused::Filter)?;
        if let Some(agent) = agent {
            filter.agent = Some(agent.to_owned());
        }
        let own_address = self.filters.address(&self.action, &[]);
        let page = central
            .store
            .events(&here.sight_of_list(&own_address), &filter, self.page())
            .await?;
        self.events = page
            .items
            .iter()
            .map(|event| EventRow::new(&here.base, event))
            .collect();
        self.go_on_at(page.next_cursor, self.events.len(), "event", "events");
        Ok(())
    }

    async fn read_sessions(
        &mut self,
        here: &Here,
        central: &Central,
        agent: Option<&str>,
    ) -> Result<(), Refused> {
        let mut filter = self.filters.for_sessions().map_err(Refused::Filter)?;
        if let Some(agent) = agent {
            filter.agent = Some(agent.to_owned());
        }
        if !self.filters.session.is_empty() {
            // One session by its id: no list is needed, only whether it is there.
            let session = central
                .store
                .session(here.scope(), &self.filters.session)
                .await?;
            let session = session.filter(|session| matches(session, &filter));
            self.sessions = session
                .iter()
                .map(|row| SessionRow::new(&here.base, row))
                .collect();
            self.go_on_at(None, self.sessions.len(), "session", "sessions");
            return Ok(());
        }
        let page = central
            .store
            .sessions(here.scope(), &filter, self.page())
            .await?;
        self.sessions = page
            .items
            .iter()
            .map(|row| SessionRow::new(&here.base, row))
            .collect();
        self.go_on_at(page.next_cursor, self.sessions.len(), "session", "sessions");
        Ok(())
    }

    fn page(&self) -> PageRequest {
        PageRequest::new(Some(self.filters.cursor.clone()), Some(PAGE_ROWS))
    }

    fn go_on_at(&mut self, cursor: Option<String>, rows: usize, one: &str, many: &str) {
        let more = if cursor.is_some() {
            ", more follow"
        } else {
            ""
        };
        let older = if self.newest.is_some() {
            " on this page"
        } else {
            ""
        };
        self.count = format!("{}{older}{more}", words::plural(rows, one, many));
        self.older =
            cursor.map(|cursor| self.filters.address(&self.action, &[("cursor", &cursor)]));
    }

    /// Whether anything narrows the list.
    pub(super) fn is_filtered(&self) -> bool {
        !self.chips.is_empty()
    }
}

/// The other filters, for a session that was found by its id.
fn matches(session: &Session, filter: &SessionFilter) -> bool {
    let agent = filter.agent.as_deref().is_none_or(|agent| {
        [&session.agent_id, &session.agent_name, &session.owner]
            .into_iter()
            .any(|name| name.as_deref() == Some(agent))
    });
    let among = |names: &[String], wanted: &Option<String>| {
        wanted.as_ref().is_none_or(|wanted| names.contains(wanted))
    };
    agent
        && among(&session.tools, &filter.tool)
        && among(&session.models, &filter.model)
        && filter.from.is_none_or(|from| session.ended_at >= from)
        && filter.to.is_none_or(|to| session.started_at < to)
}

/// Why there are no rows.
enum Refused {
    Filter(String),
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Refused {
        Refused::Store(error)
    }
}
