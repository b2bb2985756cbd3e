//! The audit log: events, or sessions, filtered by what their address says.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Html;

use crate::central::Central;
use crate::central::store::{Agent, EventFilter, PageRequest, Qualifier, Sight, StoreError};
use crate::event::Timestamp;

use super::event::Panel;
use super::event_row::{EventRow, SessionRow};
use super::failure::Failure;
use super::filters::{Chip, Choice, Filters};
use super::histogram::Histogram;
use super::layout::{Columns, Rows};
use super::preferences::Preferences;
use super::reveal::RevealForm;
use super::shell::{Here, Section, Shell, draw};

pub(super) use columns::{LayoutForm, choose as lay_out, looks, of as columns_of};
pub(super) use facets::{FacetLink, FacetView, hover};

mod rows;
mod columns;
mod curl;
mod facets;
pub(super) mod values;
mod remarks;

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
    pub(super) hidden: Vec<(&'static str, String)>,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) zone: String,
    pub(super) types: Vec<Choice>,
    pub(super) ranges: Vec<Choice>,
    pub(super) qualifiers: Vec<String>,
    /// Where the values that a qualifier can have are.
    pub(super) values: String,
    pub(super) chips: Vec<Chip>,
    pub(super) clear: String,
    /// The agent is the page's own: no column for it.
    pub(super) of_one_agent: bool,
    /// Sessions only: no activity type to choose.
    pub(super) sessions_only: bool,
    pub(super) shows_sessions: bool,
    pub(super) problem: Option<String>,
    pub(super) count: String,
    pub(super) remarks: Vec<String>,
    pub(super) histogram: Option<Histogram>,
    pub(super) facets: Vec<FacetView>,
    pub(super) columns: Columns,
    /// The classes of the table.
    pub(super) looks: String,
    pub(super) layout: LayoutForm,
    pub(super) events: Vec<EventRow>,
    pub(super) sessions: Vec<SessionRow>,
    pub(super) panel: Option<Panel>,
    pub(super) newest: Option<String>,
    pub(super) newer: Option<String>,
    pub(super) older: Option<String>,
    pub(super) export: String,
    /// The same by the API, as a command; of sessions there is none.
    pub(super) curl: Option<String>,
    pub(super) live: Option<String>,
    /// What narrows the list most, when nothing matches.
    pub(super) loosen: Vec<Chip>,
    pub(super) install: String,
    /// Opens the content of this list, where it is hidden and may be opened.
    pub(super) reveal: Option<RevealForm>,
}

/// Which list is wanted.
pub(super) struct Wanted<'a> {
    pub(super) action: String,
    /// The only agent whose rows are shown.
    pub(super) agent: Option<&'a Agent>,
    pub(super) sessions_only: bool,
}

/// Rows of a page; and of one with many columns, which stays as short.
const PAGE_ROWS: u32 = 100;
const WIDE_PAGE_ROWS: u32 = 50;

/// Columns that a page of all its rows can have.
const MANY_COLUMNS: usize = 8;

/// The pairs of an address.
pub(super) type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// Someone looks at what happened in an environment.
pub(super) async fn list(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    let wanted = Wanted {
        action: here.base.observability(),
        agent: None,
        sessions_only: false,
    };
    let filters = Filters::read(read_query(pairs)?)?;
    let listing = Listing::read(&here, &central, wanted, filters).await?;
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

/// The filters of a list beside the page's own agent: another in the address would only confuse.
pub(super) fn beside(agent: Option<&Agent>, filters: Filters) -> Filters {
    match agent {
        Some(_) => filters.without(Qualifier::Agent),
        None => filters,
    }
}

/// What the store is asked for a list: the filters, and the page's own agent.
pub(super) fn asked(filters: &Filters, agent: Option<&Agent>, now: Timestamp) -> EventFilter {
    let filter = filters.for_store(now);
    EventFilter {
        agent: agent.map(|agent| agent.id.clone()),
        ..filter
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
        let filters = beside(wanted.agent, filters);
        let shows_sessions = wanted.sessions_only || filters.wants_sessions();
        let action = wanted.action;
        let (from, to) = filters.field_times();
        let rows = match shows_sessions {
            true => Rows::Sessions,
            false => Rows::Events,
        };
        let of_one_agent = wanted.agent.is_some();
        let hidden = filters.layout.pairs().into_iter();
        let mut listing = Listing {
            hidden: hidden.filter(|(_, value)| !value.is_empty()).collect(),
            from,
            to,
            zone: Preferences::current().zone_name,
            types: filters.types(&action),
            ranges: filters.ranges(&action),
            qualifiers: Qualifier::ALL.map(completed).to_vec(),
            values: format!("{action}/values"),
            chips: filters.chips(&action),
            clear: action.clone(),
            of_one_agent,
            sessions_only: wanted.sessions_only,
            shows_sessions,
            problem: filters.problem.clone(),
            count: String::new(),
            remarks: Vec::new(),
            histogram: None,
            facets: Vec::new(),
            columns: columns_of(&filters.layout, rows, of_one_agent),
            looks: looks(&filters.layout),
            layout: LayoutForm::new(&filters, &action, rows, of_one_agent),
            events: Vec::new(),
            sessions: Vec::new(),
            panel: None,
            newest: (!filters.cursor.is_empty()).then(|| filters.first_page().address(&action)),
            newer: None,
            older: None,
            export: format!("{action}/export"),
            curl: None,
            live: None,
            loosen: Vec::new(),
            install: here.base.install(),
            reveal: match shows_sessions {
                true => None,
                false => RevealForm::of_list(here, &filters.first_page().address(&action)),
            },
            action,
            filters,
        };
        if listing.problem.is_some() {
            return Ok(listing);
        }
        let now = Timestamp::now();
        let filter = asked(&listing.filters, wanted.agent, now);
        if !shows_sessions {
            listing.curl = Some(curl::command(&central.public_url, &filter));
        }
        let read = match shows_sessions {
            true => listing.read_sessions(here, central, &filter).await,
            false => listing.read_events(here, central, &filter, now).await,
        };
        match read {
            Err(StoreError::ContentHidden) => {
                listing.problem = Some(
                    "The text of records is hidden by your role, so it cannot be searched either: \
                     remove the text."
                        .to_owned(),
                );
                return Ok(listing);
            }
            read => read?,
        }
        if listing.is_empty() {
            listing.loosen = listing.filters.chips(&listing.action);
        }
        Ok(listing)
    }

    /// What may be seen of the rows: more than elsewhere, when this list was opened.
    fn sight(&self, here: &Here) -> Sight {
        here.sight_of_list(&self.filters.first_page().address(&self.action))
    }

    fn page(&self) -> PageRequest {
        let rows = match self.columns.len() > MANY_COLUMNS {
            true => WIDE_PAGE_ROWS,
            false => PAGE_ROWS,
        };
        PageRequest::new(Some(self.filters.cursor.clone()), Some(rows))
    }

    /// Whether somebody chose the columns of its events: all of them stay when a record is open beside it.
    pub(super) fn is_laid_out(&self) -> bool {
        self.columns != Rows::Events.usual(self.of_one_agent)
    }

    /// Whether remarks on a record have a column of their own.
    pub(super) fn has_flags_apart(&self) -> bool {
        self.columns.iter().any(|column| column.slug == "flags")
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.sessions.is_empty()
    }

    /// Whether anything narrows the list.
    pub(super) fn is_filtered(&self) -> bool {
        !self.chips.is_empty()
    }
}

/// A qualifier as the query box is completed by; the one that has one value has it.
fn completed(qualifier: Qualifier) -> String {
    match qualifier {
        Qualifier::Has => "has:prompt".to_owned(),
        qualifier => format!("{}:", qualifier.word()),
    }
}
