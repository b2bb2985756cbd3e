//! The rows of a list, as the store has them.

use crate::central::Central;
use crate::central::portal::address::with_query;
use crate::central::portal::event::Panel;
use crate::central::portal::event_row::{EventRow, SessionRow};
use crate::central::portal::filters::Filters;
use crate::central::portal::histogram::Histogram;
use crate::central::portal::shell::Here;
use crate::central::store::{Event, EventFilter, MAX_COUNTED, PageRequest, StoreError};
use crate::event::Timestamp;
use crate::words;

use super::{Listing, facets};

impl Listing {
    /// Reads a page of events, and what they are.
    pub(super) async fn read_events(
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

    /// Reads a page of sessions.
    pub(super) async fn read_sessions(
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
}

fn count_words(count: usize, is_exact: bool, one: &str, many: &str) -> String {
    match is_exact {
        true => words::plural(count, one, many),
        false if count < MAX_COUNTED => format!("at least {}", words::plural(count, one, many)),
        false => format!("{}+ {many}", words::count(MAX_COUNTED as i64)),
    }
}
