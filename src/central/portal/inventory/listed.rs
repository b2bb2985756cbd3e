//! How entities and owners are narrowed and sorted.

use crate::central::portal::browse::{From, Listed, Measure};
use crate::central::store::{Entity, EntityKind, Owner, Page, PageRequest, StoreError};

use super::server_of;

impl Listed for Entity {
    type Which = EntityKind;

    async fn page(
        from: From<'_, EntityKind>,
        page: PageRequest,
    ) -> Result<Page<Entity>, StoreError> {
        let kind = Some(from.which);
        from.store.entities(from.scope, kind, None, page).await
    }

    fn id(&self) -> &str {
        &self.name
    }

    fn texts(&self) -> Vec<&str> {
        vec![&self.name]
    }

    fn facet(&self, name: &str) -> Option<String> {
        Some(match name {
            "server" => server_of(&self.name).to_owned(),
            _ if self.denied_count > 0 => "denied at times".to_owned(),
            _ => "never denied".to_owned(),
        })
    }

    fn measure(&self, column: &str) -> Option<Measure> {
        match column {
            "name" => Measure::text(&self.name),
            "first-seen" => Measure::number(self.first_seen.0),
            "last-seen" => Measure::number(self.last_seen.0),
            "uses" => Measure::number(self.use_count),
            "agents" => Measure::number(self.agent_count),
            "sessions" => Measure::number(self.session_count),
            _ => None,
        }
    }
}

impl Listed for Owner {
    type Which = ();

    async fn page(from: From<'_, ()>, page: PageRequest) -> Result<Page<Owner>, StoreError> {
        from.store.owners(from.scope, page).await
    }

    fn id(&self) -> &str {
        &self.owner
    }

    fn texts(&self) -> Vec<&str> {
        vec![&self.owner]
    }

    fn facet(&self, name: &str) -> Option<String> {
        let email = self.user_email.as_deref();
        match name {
            "known" => Some(email.map_or("raw id", |_| "e-mail").to_owned()),
            _ => email?.rsplit_once('@').map(|(_, domain)| domain.to_owned()),
        }
    }

    fn measure(&self, column: &str) -> Option<Measure> {
        match column {
            "owner" => Measure::text(&self.owner),
            "first-seen" => Measure::number(self.first_seen.0),
            "last-seen" => Measure::number(self.last_seen.0),
            "events" => Measure::number(self.event_count),
            _ => None,
        }
    }
}
