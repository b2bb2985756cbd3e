//! Who sends with a token, and how much.

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Timestamp;

use super::query::Query;
use super::{Scope, Store, StoreError};

/// Days of which a token's events are told, and within which somebody who sends with it counts as a sender.
const DAYS: i64 = 30;

/// Senders, or tokens of one, of one answer at most: the latest.
const MAX_SENDERS: i64 = 500;

/// What sends with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SenderKind {
    /// A person's Claude.
    Agent,
    /// The edge of a machine.
    Machine,
}

/// Who sends with a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TokenSender {
    /// What it is.
    pub kind: SenderKind,
    /// Its id.
    pub id: String,
    /// Its name, if it is known by one.
    pub name: Option<String>,
    /// Its first request with the token.
    pub first_used: Timestamp,
    /// Its latest request with the token.
    pub last_used: Timestamp,
    /// Whether it falls silent when the token is revoked: it sent within the last 30 days, and since then with
    /// no other token that is live.
    pub depends: bool,
}

/// A token that a machine sends with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MachineToken {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// The machine's first request with it.
    pub first_used: Timestamp,
    /// The machine's latest request with it.
    pub last_used: Timestamp,
    /// Records that came with it, from whatever machine, and were rejected while the rest of their request was
    /// stored.
    pub rejected_count: i64,
}

/// Events of one day that came with a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TokenDay {
    /// When the day began, in UTC.
    pub start: Timestamp,
    /// New events.
    pub event_count: i64,
}

/// Whether a sender depends on the token of a row `x`, of a table and by a column.
pub(super) fn depends(table: &str, column: &str, since: &str, now: &str) -> String {
    format!(
        "(x.last_used >= {since} AND NOT EXISTS (SELECT 1 FROM {table} y
             JOIN tokens o ON o.tenant = y.tenant AND o.environment = y.environment AND o.id = y.token
             WHERE y.tenant = x.tenant AND y.environment = x.environment AND y.{column} = x.{column}
                 AND y.token <> x.token AND y.last_used > x.last_used
                 AND o.revoked_at IS NULL AND o.expires_at > {now}))"
    )
}

/// The time since when somebody counts as a sender.
pub(super) fn since(now: Timestamp) -> Timestamp {
    now.days_before(DAYS)
}

impl Store {
    /// Who sends with a token, the latest first; those first that depend on it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn token_senders(
        &self,
        scope: Scope,
        token_id: &str,
        now: Timestamp,
    ) -> Result<Vec<TokenSender>, StoreError> {
        let mut senders = Vec::new();
        for (kind, table, column, names, name) in [
            (
                SenderKind::Agent,
                "token_agents",
                "agent",
                "agents",
                "n.name",
            ),
            (
                SenderKind::Machine,
                "token_machines",
                "machine",
                "machines",
                "nullif(n.host_name, '')",
            ),
        ] {
            let mut query = Query::scoped("", scope);
            let (since, at) = (query.name(since(now)), query.name(now));
            let depends = depends(table, column, &since, &at);
            query.push(&format!(
                "SELECT x.{column}, {name}, x.first_used, x.last_used,
                     CASE WHEN {depends} THEN 1 ELSE 0 END
                 FROM {table} x
                 LEFT JOIN {names} n ON n.tenant = x.tenant AND n.environment = x.environment
                     AND n.id = x.{column}
                 WHERE x.tenant = $1 AND x.environment = $2 AND x.token = "
            ));
            query.bind(token_id);
            query.push(&format!(" ORDER BY x.last_used DESC, x.{column} LIMIT "));
            query.bind(MAX_SENDERS);
            for mut row in self.derived_rows(query).await? {
                senders.push(TokenSender {
                    kind,
                    id: row.take(0)?,
                    name: row.take(1)?,
                    first_used: row.take(2)?,
                    last_used: row.take(3)?,
                    depends: row.take::<i64>(4)? == 1,
                });
            }
        }
        senders.sort_by_key(|sender| (!sender.depends, std::cmp::Reverse(sender.last_used)));
        Ok(senders)
    }

    /// The tokens that a machine sends with, the latest used first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn tokens_of_machine(
        &self,
        scope: Scope,
        machine: &str,
    ) -> Result<Vec<MachineToken>, StoreError> {
        let mut query = Query::scoped(
            "SELECT x.token, nullif(k.name, ''), x.first_used, x.last_used,
                 coalesce((SELECT CAST(sum(r.record_count) AS bigint) FROM token_rejections r
                     WHERE r.tenant = x.tenant AND r.environment = x.environment
                         AND r.token = x.token), 0)
             FROM token_machines x
             LEFT JOIN tokens k ON k.tenant = x.tenant AND k.environment = x.environment
                 AND k.id = x.token
             WHERE x.tenant = $1 AND x.environment = $2 AND x.machine = ",
            scope,
        );
        query.bind(machine);
        query.push(" ORDER BY x.last_used DESC, x.token LIMIT ");
        query.bind(MAX_SENDERS);
        let rows = self.rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(MachineToken {
                id: row.take(0)?,
                name: row.take(1)?,
                first_used: row.take(2)?,
                last_used: row.take(3)?,
                rejected_count: row.take(4)?,
            })
        })
        .collect()
    }

    /// Events that came with a token, by day, the latest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn token_days(
        &self,
        scope: Scope,
        token_id: &str,
        now: Timestamp,
    ) -> Result<Vec<TokenDay>, StoreError> {
        let mut query = Query::scoped(
            "SELECT day, event_count FROM token_days
             WHERE tenant = $1 AND environment = $2 AND token = ",
            scope,
        );
        query.bind(token_id).push(" AND day > ");
        query.bind(now.day() - DAYS).push(" ORDER BY day DESC");
        let rows = self.rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(TokenDay {
                start: Timestamp::of_day(row.take(0)?),
                event_count: row.take(1)?,
            })
        })
        .collect()
    }
}
