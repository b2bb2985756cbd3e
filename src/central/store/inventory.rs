//! Reads one agent, its identities, one entity; lists of them, [`super::catalog`] reads.

use crate::event::Timestamp;

use super::query::Query;
use super::{Agent, Entity, EntityKind, Identity, Of, Scope, Store, StoreError};

impl Store {
    /// One agent, as it is at `now`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn agent(
        &self,
        scope: Scope,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Agent>, StoreError> {
        let key = vec![id.to_owned()];
        let mut found = self.with_keys(scope, &Of::Environment, &[key], now).await?;
        Ok(found.pop())
    }

    /// One entity of an environment.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn entity(
        &self,
        scope: Scope,
        kind: EntityKind,
        name: &str,
    ) -> Result<Option<Entity>, StoreError> {
        let key = vec![kind.slug().to_owned(), name.to_owned()];
        let now = Timestamp::now();
        let mut found = self.with_keys(scope, &Of::Environment, &[key], now).await?;
        Ok(found.pop())
    }

    /// Every identity attribute seen on an agent's records.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn identities(
        &self,
        scope: Scope,
        agent_id: &str,
    ) -> Result<Vec<Identity>, StoreError> {
        let sql = "SELECT key, value, first_seen, last_seen FROM identities
            WHERE tenant = $1 AND environment = $2 AND agent = ";
        let mut query = Query::scoped(sql, scope);
        query.bind(agent_id);
        query.push(" ORDER BY key, last_seen DESC, value LIMIT 500");
        let rows = self.derived_rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(Identity {
                key: row.take(0)?,
                value: row.take(1)?,
                first_seen: row.take(2)?,
                last_seen: row.take(3)?,
            })
        })
        .collect()
    }

    /// The agents that an id, a name or an e-mail means.
    pub(super) async fn agent_ids(
        &self,
        scope: Scope,
        agent: &str,
    ) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT id FROM agents WHERE tenant = $1 AND environment = $2 AND (id = ";
        let mut query = Query::scoped(sql, scope);
        query.bind(agent).push(" OR name = ").bind(agent);
        query
            .push(" OR email = ")
            .bind(agent.to_lowercase())
            .push(")");
        let rows = self.derived_rows(query).await?;
        rows.into_iter().map(|mut row| row.take(0)).collect()
    }
}

/// A pattern for `LIKE … ESCAPE '!'` that finds a text anywhere.
pub(super) fn like(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}
