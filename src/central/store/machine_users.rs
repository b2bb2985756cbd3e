//! Whose sessions came by a machine.

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Timestamp;

use super::query::Query;
use super::{Scope, Store, StoreError};

/// Agents of one answer at most.
const MAX_AGENTS: i64 = 500;

/// An agent some of whose sessions came by a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MachineAgent {
    /// The agent's id; `None` for sessions that name nobody.
    pub agent_id: Option<String>,
    /// Its name.
    pub agent_name: Option<String>,
    /// Sessions of it that came by the machine.
    pub session_count: i64,
    /// The first of them to start.
    pub first_seen: Timestamp,
    /// The latest event of any of them.
    pub last_seen: Timestamp,
}

impl Store {
    /// The agents whose sessions came by a machine, the latest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn agents_of_machine(
        &self,
        scope: Scope,
        machine: &str,
    ) -> Result<Vec<MachineAgent>, StoreError> {
        let mut query = Query::scoped(
            "SELECT nullif(s.agent, ''), a.name, count(*), min(s.started_at), max(s.ended_at)
             FROM session_machines m
             JOIN sessions s ON s.tenant = m.tenant AND s.environment = m.environment
                 AND s.id = m.session
             LEFT JOIN agents a ON a.tenant = s.tenant AND a.environment = s.environment
                 AND a.id = s.agent
             WHERE m.tenant = $1 AND m.environment = $2 AND m.machine = ",
            scope,
        );
        query.bind(machine);
        query.push(" GROUP BY s.agent, a.name ORDER BY max(s.ended_at) DESC, s.agent LIMIT ");
        query.bind(MAX_AGENTS);
        let rows = self.derived_rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(MachineAgent {
                agent_id: row.take(0)?,
                agent_name: row.take(1)?,
                session_count: row.take(2)?,
                first_seen: row.take(3)?,
                last_seen: row.take(4)?,
            })
        })
        .collect()
    }
}
