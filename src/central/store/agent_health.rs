//! What one agent's sessions came through: machines, and versions of the client.

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Timestamp;

use super::query::Query;
use super::{Scope, Store, StoreError};

/// Rows of one answer at most.
const MAX_ROWS: i64 = 500;

/// A way that an agent's sessions came by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AgentMachine {
    /// The machine's edge; `None` for sessions that came directly, which nothing numbers.
    pub machine_id: Option<String>,
    /// Sessions that came by it.
    pub session_count: i64,
    /// The latest event of any of them.
    pub last_seen: Timestamp,
}

/// A version of the client in an agent's sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AgentVersion {
    /// The client: `claude-code`, `cowork`, …
    pub client: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Sessions whose latest record came from it.
    pub session_count: i64,
    /// The first of them to start.
    pub first_seen: Timestamp,
    /// The latest event of any of them.
    pub last_seen: Timestamp,
}

impl Store {
    /// The machines that an agent's sessions came by, the latest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn machines_of_agent(
        &self,
        scope: Scope,
        agent: &str,
    ) -> Result<Vec<AgentMachine>, StoreError> {
        let mut query = Query::scoped(
            "SELECT m.machine, count(*), max(s.ended_at) FROM sessions s
             LEFT JOIN session_machines m ON m.tenant = s.tenant AND m.environment = s.environment
                 AND m.session = s.id
             WHERE s.tenant = $1 AND s.environment = $2 AND s.agent = ",
            scope,
        );
        query.bind(agent);
        query.push(" GROUP BY m.machine ORDER BY max(s.ended_at) DESC, m.machine LIMIT ");
        query.bind(MAX_ROWS);
        let rows = self.derived_rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(AgentMachine {
                machine_id: row.take(0)?,
                session_count: row.take(1)?,
                last_seen: row.take(2)?,
            })
        })
        .collect()
    }

    /// The versions of the client in an agent's sessions, the latest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn versions_of_agent(
        &self,
        scope: Scope,
        agent: &str,
    ) -> Result<Vec<AgentVersion>, StoreError> {
        let mut query = Query::scoped(
            "SELECT nullif(service, ''), nullif(version, ''), count(*), min(started_at), max(ended_at)
             FROM sessions WHERE tenant = $1 AND environment = $2 AND agent = ",
            scope,
        );
        query.bind(agent);
        query.push(
            " GROUP BY service, version ORDER BY max(ended_at) DESC, service, version LIMIT ",
        );
        query.bind(MAX_ROWS);
        let rows = self.derived_rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(AgentVersion {
                client: row.take(0)?,
                version: row.take(1)?,
                session_count: row.take(2)?,
                first_seen: row.take(3)?,
                last_seen: row.take(4)?,
            })
        })
        .collect()
    }
}
