//! What is known of the use of tokens beyond its sums: addresses, senders, days, what was refused and what
//! was rejected.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Timestamp;

use super::query::{Query, Row};
use super::{Scope, Store, StoreError};

/// Addresses of one token that are kept: the latest.
const MAX_ADDRESSES: i64 = 100;

/// How often something happened, and when first and last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How often.
    pub count: i64,
    /// When it happened; `None` when it never did.
    pub seen: Option<(Timestamp, Timestamp)>,
}

impl Counted {
    /// Once more.
    pub fn add(&mut self, at: Timestamp) {
        self.merge(Counted {
            count: 1,
            seen: Some((at, at)),
        });
    }

    /// As often as both.
    pub fn merge(&mut self, other: Counted) {
        self.count += other.count;
        self.seen = match (self.seen, other.seen) {
            (Some((first, last)), Some(other)) => Some((first.min(other.0), last.max(other.1))),
            (one, other) => one.or(other),
        };
    }
}

/// The use of one token that is not yet written.
#[derive(Clone, Debug)]
pub struct TokenUse {
    /// The token's environment.
    pub scope: Scope,
    /// The token.
    pub token_id: String,
    /// Requests taken, by the address that they came from.
    pub addresses: BTreeMap<String, Counted>,
    /// Requests with records of an agent, by its id.
    pub agents: BTreeMap<String, Counted>,
    /// Requests with records of a machine, by its edge's id.
    pub machines: BTreeMap<String, Counted>,
    /// New events, by the day on which they came, counted from the Unix epoch.
    pub days: BTreeMap<i64, i64>,
    /// Requests refused, by reason.
    pub refused: BTreeMap<String, Counted>,
    /// Records rejected while the rest of their request was stored, by reason.
    pub rejected: BTreeMap<String, Counted>,
}

/// An address that a token was used from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TokenAddress {
    /// The address.
    pub address: String,
    /// The first request.
    pub first_used: Timestamp,
    /// The latest request.
    pub last_used: Timestamp,
    /// Requests.
    pub request_count: i64,
}

/// Requests with a token that were refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TokenRefusal {
    /// `revoked`, `expired`, `future` or `rate`.
    pub reason: String,
    /// The first request.
    pub first_refused: Timestamp,
    /// The latest request.
    pub last_refused: Timestamp,
    /// Requests.
    pub request_count: i64,
}

/// Records that came with a token and were rejected while the rest of their request was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TokenRejection {
    /// `unreadable`, `too_large` or `too_old`.
    pub reason: String,
    /// The first of them.
    pub first_rejected: Timestamp,
    /// The latest of them.
    pub last_rejected: Timestamp,
    /// Records.
    pub record_count: i64,
}

/// A table of what tokens are used for.
struct Table {
    name: &'static str,
    /// What its rows are told apart by.
    key: &'static str,
    first: &'static str,
    last: &'static str,
    count: &'static str,
}

const ADDRESSES: Table = used("token_addresses", "address");
const AGENTS: Table = used("token_agents", "agent");
const MACHINES: Table = used("token_machines", "machine");
const REFUSALS: Table = Table {
    name: "token_refusals",
    key: "reason",
    first: "first_refused",
    last: "last_refused",
    count: "request_count",
};
const REJECTIONS: Table = Table {
    name: "token_rejections",
    key: "reason",
    first: "first_rejected",
    last: "last_rejected",
    count: "record_count",
};

const fn used(name: &'static str, key: &'static str) -> Table {
    Table {
        name,
        key,
        first: "first_used",
        last: "last_used",
        count: "request_count",
    }
}

/// The tables that know a token: they forget it with the token.
pub(super) const TABLES: [&str; 7] = [
    "token_use",
    "token_days",
    ADDRESSES.name,
    AGENTS.name,
    MACHINES.name,
    REFUSALS.name,
    REJECTIONS.name,
];

impl Store {
    /// Writes what was counted, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`]: nothing of it was written.
    pub async fn add_token_use(&self, uses: &[TokenUse]) -> Result<(), StoreError> {
        let mut statements = Vec::new();
        // In one order, so that replicas do not wait for each other in a circle.
        let mut uses: Vec<&TokenUse> = uses.iter().collect();
        uses.sort_by_key(|used| (used.scope.tenant, used.scope.environment, &used.token_id));
        for used in uses {
            let of = [
                (&ADDRESSES, &used.addresses),
                (&AGENTS, &used.agents),
                (&MACHINES, &used.machines),
                (&REFUSALS, &used.refused),
                (&REJECTIONS, &used.rejected),
            ];
            for (table, counts) in of {
                let counts = counts.iter();
                statements.extend(
                    counts.filter_map(|(word, counted)| self.count(table, used, word, *counted)),
                );
            }
            let days = used.days.iter();
            statements.extend(days.map(|(day, events)| count_day(used, *day, *events)));
            if !used.addresses.is_empty() {
                statements.push(forget_old_addresses(used));
            }
        }
        self.write(statements).await?;
        Ok(())
    }

    /// Adds to one row. A token that is gone has none.
    fn count(
        &self,
        Table {
            name,
            key,
            first,
            last,
            count,
        }: &Table,
        used: &TokenUse,
        word: &str,
        counted: Counted,
    ) -> Option<Query> {
        let (first_at, last_at) = counted.seen?;
        let (least, greatest) = (self.dialect().least(), self.dialect().greatest());
        let mut query = Query::scoped(
            format!(
                "INSERT INTO {name} (tenant, environment, token, {key}, {first}, {last}, {count})
                 SELECT CAST($1 AS bigint), CAST($2 AS bigint), CAST($3 AS text), CAST($4 AS text),
                     CAST($5 AS bigint), CAST($6 AS bigint), CAST($7 AS bigint)
                 WHERE EXISTS (SELECT 1 FROM tokens
                     WHERE tenant = $1 AND environment = $2 AND id = $3)
                 ON CONFLICT (tenant, environment, token, {key}) DO UPDATE SET
                     {first} = {least}({name}.{first}, excluded.{first}),
                     {last} = {greatest}({name}.{last}, excluded.{last}),
                     {count} = {name}.{count} + excluded.{count}"
            ),
            used.scope,
        );
        query.values.extend([
            used.token_id.as_str().into(),
            word.into(),
            first_at.into(),
            last_at.into(),
            counted.count.into(),
        ]);
        Some(query)
    }

    /// The addresses that a token was used from, the latest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn token_addresses(
        &self,
        scope: Scope,
        token_id: &str,
    ) -> Result<Vec<TokenAddress>, StoreError> {
        let mut query = Query::scoped(
            "SELECT address, first_used, last_used, request_count FROM token_addresses
             WHERE tenant = $1 AND environment = $2 AND token = $3 ORDER BY last_used DESC, address",
            scope,
        );
        query.values.push(token_id.into());
        let rows = self.rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(TokenAddress {
                address: row.take(0)?,
                first_used: row.take(1)?,
                last_used: row.take(2)?,
                request_count: row.take(3)?,
            })
        })
        .collect()
    }

    /// Requests with tokens that were refused, by token and by reason.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn token_refusals(
        &self,
        scope: Scope,
    ) -> Result<BTreeMap<String, Vec<TokenRefusal>>, StoreError> {
        let refusal = |mut row: Row| {
            Ok(TokenRefusal {
                reason: row.take(1)?,
                first_refused: row.take(2)?,
                last_refused: row.take(3)?,
                request_count: row.take(4)?,
            })
        };
        self.by_token(scope, &REFUSALS, refusal).await
    }

    /// Records that were rejected while the rest of their request was stored, by token and by reason.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn token_rejections(
        &self,
        scope: Scope,
    ) -> Result<BTreeMap<String, Vec<TokenRejection>>, StoreError> {
        let rejection = |mut row: Row| {
            Ok(TokenRejection {
                reason: row.take(1)?,
                first_rejected: row.take(2)?,
                last_rejected: row.take(3)?,
                record_count: row.take(4)?,
            })
        };
        self.by_token(scope, &REJECTIONS, rejection).await
    }

    /// The rows of a table, by their tokens: token, key, first, last and count.
    async fn by_token<T>(
        &self,
        scope: Scope,
        Table {
            name,
            key,
            first,
            last,
            count,
        }: &Table,
        read: impl Fn(Row) -> Result<T, StoreError>,
    ) -> Result<BTreeMap<String, Vec<T>>, StoreError> {
        let query = Query::scoped(
            format!(
                "SELECT token, {key}, {first}, {last}, {count} FROM {name}
                 WHERE tenant = $1 AND environment = $2 ORDER BY token, {key}"
            ),
            scope,
        );
        let mut all: BTreeMap<String, Vec<T>> = BTreeMap::new();
        for mut row in self.rows(query).await? {
            let token = row.take(0)?;
            all.entry(token).or_default().push(read(row)?);
        }
        Ok(all)
    }
}

fn forget_old_addresses(used: &TokenUse) -> Query {
    let mut query = Query::scoped(
        "DELETE FROM token_addresses
         WHERE tenant = $1 AND environment = $2 AND token = $3 AND address NOT IN (
             SELECT address FROM token_addresses
             WHERE tenant = $1 AND environment = $2 AND token = $3
             ORDER BY last_used DESC, address LIMIT $4)",
        used.scope,
    );
    query
        .values
        .extend([used.token_id.as_str().into(), MAX_ADDRESSES.into()]);
    query
}

fn count_day(used: &TokenUse, day: i64, events: i64) -> Query {
    let mut query = Query::scoped(
        "INSERT INTO token_days (tenant, environment, token, day, event_count)
         SELECT CAST($1 AS bigint), CAST($2 AS bigint), CAST($3 AS text), CAST($4 AS bigint),
             CAST($5 AS bigint)
         WHERE EXISTS (SELECT 1 FROM tokens WHERE tenant = $1 AND environment = $2 AND id = $3)
         ON CONFLICT (tenant, environment, token, day) DO UPDATE SET
             event_count = token_days.event_count + excluded.event_count",
        used.scope,
    );
    query
        .values
        .extend([used.token_id.as_str().into(), day.into(), events.into()]);
    query
}
