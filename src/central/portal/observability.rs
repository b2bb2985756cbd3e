//! The audit log: events, or sessions, filtered by what their address says.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Html;

use crate::central::Central;
use crate::central::store::{
    Agent, Event, EventFilter, MAX_COUNTED, PageRequest, Qualifier, Sight, StoreError,
};
use crate::event::Timestamp;

use super::address::with_query;
use super::event::Panel;
use super::event_row::{EventRow, SessionRow};
use super::failure::Failure;
use super::filters::{Chip, Choice, Filters};
use super::histogram::Histogram;
use super::preferences::Preferences;
use super::reveal::RevealForm;
use super::shell::{Here, Section, Shell, draw};
use super::words;

pub(super) use columns::Column;
pub(super) use facets::{FacetLink, FacetView, hover};

mod columns;
mod facets;
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
    pub(super) columns: Vec<Column>,
    pub(super) events: Vec<EventRow>,
    pub(super) sessions: Vec<SessionRow>,
    pub(super) panel: Option<Panel>,
    pub(super) newest: Option<String>,
    pub(super) newer: Option<String>,
    pub(super) older: Option<String>,
    pub(super) export: String,
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

/// Rows of a page.
const PAGE_ROWS: u32 = 100;

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
        let filters = match wanted.agent {
            // The page's own agent; another in the address would only confuse.
            Some(_) => filters.without(Qualifier::Agent),
            None => filters,
        };
        let shows_sessions = wanted.sessions_only || filters.wants_sessions();
        let action = wanted.action;
        let (from, to) = filters.field_times();
        let kept = ["rows", "wrap", "col"];
        let hidden = filters
            .pairs()
            .into_iter()
            .filter(|(key, _)| kept.contains(key));
        let mut listing = Listing {
            hidden: hidden.collect(),
            from,
            to,
            zone: Preferences::current().zone_name,
            types: filters.types(&action),
            ranges: filters.ranges(&action),
            qualifiers: Qualifier::ALL.map(|it| format!("{}:", it.word())).to_vec(),
            chips: filters.chips(&action),
            clear: action.clone(),
            of_one_agent: wanted.agent.is_some(),
            sessions_only: wanted.sessions_only,
            shows_sessions,
            problem: filters.problem.clone(),
            count: String::new(),
            remarks: Vec::new(),
            histogram: None,
            facets: Vec::new(),
            columns: columns::of(&filters, wanted.agent.is_some()),
            events: Vec::new(),
            sessions: Vec::new(),
            panel: None,
            newest: (!filters.cursor.is_empty()).then(|| filters.first_page().address(&action)),
            newer: None,
            older: None,
            export: format!("{action}/export"),
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

    async fn read_events(
        &mut self,
        here: &Here,
        central: &Central,
        filter: &EventFilter,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let store = &central.store;
        let sight = self.sight(here);
        // Beside each other: a search reads records for either.
        let (events, survey) = tokio::join!(
            self.page_of_events(here, central, filter),
            store.survey(&sight, filter),
        );
        let (events, survey) = (events?, survey?);
        self.count = count_words(survey.count, survey.is_exact, "event", "events");
        self.histogram = match self.of_one_agent && !survey.is_exact {
            // The roll-ups of an agent are by agent alone: the latest events tell.
            true => None,
            false => {
                let (filters, path) = (&self.filters, &self.action);
                Histogram::draw(store, here.scope(), &survey, filters, path, now).await?
            }
        };
        self.facets = facets::of(&survey, &self.filters, &self.action, self.of_one_agent);
        self.remark(&events);
        if self.filters.cursor.is_empty() && !self.filters.range.has_end() {
            self.live = Some(with_query(
                &format!("{}/live", self.action),
                &[("since", &store.arrived().await?.to_string())],
            ));
        }
        let open = self.filters.event.clone();
        self.events = EventRow::of_list(&here.base, &events, &self.filters, &self.action);
        if !open.is_empty() {
            // A list that was opened opens what it shows, and not whatever its address can name.
            let sight = match events.iter().any(|event| event.id == open) {
                true => sight,
                false => here.sight(),
            };
            self.panel = Panel::read(here, central, &sight, &self.filters, &self.action).await?;
        }
        Ok(())
    }

    async fn page_of_events(
        &mut self,
        here: &Here,
        central: &Central,
        filter: &EventFilter,
    ) -> Result<Vec<Event>, StoreError> {
        let at = |cursor: String, goes_newer: bool, filters: &Filters, path: &str| {
            Filters {
                cursor,
                goes_newer,
                ..filters.first_page()
            }
            .address(path)
        };
        let (filters, path) = (&self.filters, &self.action);
        if filters.goes_newer && !filters.cursor.is_empty() {
            let (events, has_newer) = central
                .store
                .newer_events(&self.sight(here), filter, self.page())
                .await?;
            let ends = events.first().zip(events.last());
            if let Some((first, last)) = ends {
                self.older = Some(at(PageRequest::at_event(last), false, filters, path));
                self.newer =
                    has_newer.then(|| at(PageRequest::at_event(first), true, filters, path));
            }
            return Ok(events);
        }
        let page = central
            .store
            .events(&self.sight(here), filter, self.page())
            .await?;
        self.newer = page
            .items
            .first()
            .filter(|_| !filters.cursor.is_empty())
            .map(|first| at(PageRequest::at_event(first), true, filters, path));
        self.older = page
            .next_cursor
            .map(|cursor| at(cursor, false, filters, path));
        Ok(page.items)
    }

    async fn read_sessions(
        &mut self,
        here: &Here,
        central: &Central,
        filter: &EventFilter,
    ) -> Result<(), StoreError> {
        let store = &central.store;
        let found = store
            .find_sessions(&self.sight(here), filter, self.page())
            .await?;
        let ids: Vec<String> = found
            .page
            .items
            .iter()
            .map(|session| session.id.clone())
            .collect();
        let prompts = store.first_prompts(&self.sight(here), &ids).await?;
        let counted = usize::try_from(found.count).unwrap_or(0);
        let is_exact = counted <= MAX_COUNTED;
        self.count = count_words(counted.min(MAX_COUNTED), is_exact, "session", "sessions");
        if found.is_partial {
            self.remarks
                .push("events further back were not looked through: narrow the time".to_owned());
        }
        self.sessions = found
            .page
            .items
            .iter()
            .map(|row| SessionRow::new(&here.base, row, prompts.get(&row.id)))
            .collect();
        self.older = found.page.next_cursor.map(|cursor| {
            Filters {
                cursor,
                ..self.filters.first_page()
            }
            .address(&self.action)
        });
        let hidden = prompts.values();
        let hidden = hidden.filter(|prompt| prompt.is_hidden_in_part());
        let what = "with the first prompt hidden by your role";
        self.remark_on(hidden.count(), self.sessions.len(), what);
        Ok(())
    }

    /// What may be seen of the rows: more than elsewhere, when this list was opened.
    fn sight(&self, here: &Here) -> Sight {
        here.sight_of_list(&self.filters.first_page().address(&self.action))
    }

    fn page(&self) -> PageRequest {
        PageRequest::new(Some(self.filters.cursor.clone()), Some(PAGE_ROWS))
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

fn count_words(count: usize, is_exact: bool, one: &str, many: &str) -> String {
    match is_exact {
        true => words::plural(count, one, many),
        false if count < MAX_COUNTED => format!("at least {}", words::plural(count, one, many)),
        false => format!("{}+ {many}", words::count(MAX_COUNTED as i64)),
    }
}
