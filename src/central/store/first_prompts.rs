//! The first prompt of each session in a list.

use std::collections::HashMap;

use crate::event::Activity;

use super::event_row::activity_key;
use super::keys::text_key;
use super::{Event, Sight, Store, StoreError};

impl Store {
    /// The record of the first prompt of each of these sessions, by session. Sessions without one are
    /// left out.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn first_prompts(
        &self,
        sight: &Sight,
        sessions: &[String],
    ) -> Result<HashMap<String, Event>, StoreError> {
        let prompt = activity_key(Some(Activity::UserMessage));
        let mut query = self.event_query(sight.scope);
        query.push(" AND e.session IN ");
        query.bind_list(sessions.iter().map(|id| text_key(id)));
        query.push(" AND e.activity = ").bind(prompt);
        query.push(
            " AND e.time = (SELECT f.time FROM events f WHERE f.tenant = $1 AND f.environment = $2
                 AND f.session = e.session AND f.activity = ",
        );
        query.bind(prompt).push(" ORDER BY f.time LIMIT 1)");
        let mut prompts = HashMap::new();
        for event in self
            .stored_events(sight.scope, self.rows(query).await?)
            .await?
        {
            if let Some(session) = event.facts.session.clone() {
                prompts.entry(session).or_insert_with(|| event.event(sight));
            }
        }
        Ok(prompts)
    }
}
