//! Which versions of the client are in use.

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Timestamp;

use super::query::Query;
use super::{Scope, Store, StoreError};

/// Versions of one answer at most.
const MAX_VERSIONS: i64 = 1_000;

/// A version of a client, by the agents whose latest record came from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ClientVersion {
    /// The client: `claude-code`, `cowork`, …
    pub client: Option<String>,
    /// Its version.
    pub version: String,
    /// Agents that use it.
    pub agent_count: i64,
    /// The latest activity of any of them.
    pub last_seen: Timestamp,
}

impl Store {
    /// The versions that agents use now, the most used first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn client_versions(&self, scope: Scope) -> Result<Vec<ClientVersion>, StoreError> {
        let mut query = Query::scoped(
            "SELECT nullif(service, ''), version, count(*), max(last_seen) FROM agents
             WHERE tenant = $1 AND environment = $2 AND version <> ''
             GROUP BY service, version ORDER BY count(*) DESC, service, version DESC LIMIT ",
            scope,
        );
        query.bind(MAX_VERSIONS);
        let rows = self.derived_rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(ClientVersion {
                client: row.take(0)?,
                version: row.take(1)?,
                agent_count: row.take(2)?,
                last_seen: row.take(3)?,
            })
        })
        .collect()
    }
}
