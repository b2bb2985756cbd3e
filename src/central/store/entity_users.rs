//! Who uses a tool, a model, a directory; and what was seen for the first time lately.

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Timestamp;

use super::inventory::{entity, entity_sql};
use super::query::Query;
use super::{Entity, EntityKind, Scope, Store, StoreError};

/// Agents of one entity that are listed at most: the latest to use it.
const MAX_USERS: i64 = 500;

/// An agent that used an entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EntityUser {
    /// The agent's id.
    pub agent_id: String,
    /// Its name.
    pub agent_name: String,
    /// Its owner.
    pub owner: String,
    /// Earliest event that names both.
    pub first_seen: Timestamp,
    /// Latest event that names both.
    pub last_seen: Timestamp,
    /// Times that it was used.
    pub use_count: i64,
    /// Permission decisions against it.
    pub denied_count: i64,
}

impl Store {
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
        let mut query = Query::scoped(entity_sql(false), scope);
        query.push(" AND t.kind = ").bind(kind.slug());
        query.push(" AND t.name = ").bind(name);
        let mut rows = self.derived_rows(query).await?;
        rows.pop().map(entity).transpose()
    }

    /// The agents that used an entity, the latest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn entity_users(
        &self,
        scope: Scope,
        kind: EntityKind,
        name: &str,
    ) -> Result<Vec<EntityUser>, StoreError> {
        let sql = "SELECT a.id, a.name, a.owner, n.first_seen, n.last_seen, n.use_count, n.denied_count
            FROM agent_entities n
            JOIN agents a ON a.tenant = n.tenant AND a.environment = n.environment AND a.id = n.agent
            WHERE n.tenant = $1 AND n.environment = $2 AND n.kind = ";
        let mut query = Query::scoped(sql, scope);
        query.bind(kind.slug()).push(" AND n.name = ").bind(name);
        query
            .push(" ORDER BY n.last_seen DESC, a.id LIMIT ")
            .bind(MAX_USERS);
        let rows = self.derived_rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(EntityUser {
                agent_id: row.take(0)?,
                agent_name: row.take(1)?,
                owner: row.take(2)?,
                first_seen: row.take(3)?,
                last_seen: row.take(4)?,
                use_count: row.take(5)?,
                denied_count: row.take(6)?,
            })
        })
        .collect()
    }

    /// The entities that were seen for the first time latest.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn newest_entities(
        &self,
        scope: Scope,
        limit: i64,
    ) -> Result<Vec<Entity>, StoreError> {
        let mut query = Query::scoped(entity_sql(false), scope);
        query
            .push(" ORDER BY t.first_seen DESC, t.kind, t.name LIMIT ")
            .bind(limit);
        let rows = self.derived_rows(query).await?;
        rows.into_iter().map(entity).collect()
    }
}
