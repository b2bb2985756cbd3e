//! What versions of the client send, by kind of event and by attribute; and sessions of which metrics come,
//! but no events.

use schemars::JsonSchema;
use serde::Serialize;

use crate::central::materialize::Shape;
use crate::event::{DAY, Timestamp};

use super::query::Query;
use super::{Scope, Store, StoreError};

/// Sums of one answer at most.
const MAX_SUMS: i64 = 100_000;

/// Sessions of one answer at most.
const MAX_SESSIONS: i64 = 200;

/// How long a session's events may come after its metrics, in nanoseconds.
const LATE: i64 = DAY / 24;

/// What events are told apart by, beside client, name and shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// The version of the client.
    Version,
    /// The day.
    Day,
    /// Both.
    VersionAndDay,
}

/// Events of one kind and shape that a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The client; empty when its events do not say.
    pub client: String,
    /// Its version; empty when its events do not say, or when versions are not told apart.
    pub version: String,
    /// The day, counted from the Unix epoch; 0 when days are not told apart.
    pub day: i64,
    /// The kind of event.
    pub name: String,
    /// The attributes that they carry.
    pub shape: Shape,
    /// How many.
    pub events: i64,
}

/// A session of which metrics tell, and events do not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SilentSession {
    /// Its id.
    pub session_id: String,
    /// When its metrics first say that something happened.
    pub first_metric: Timestamp,
    /// When they last say so.
    pub last_metric: Timestamp,
    /// Its last event; `None` when there is none at all.
    pub last_event: Option<Timestamp>,
}

impl Store {
    /// What clients sent since the day of `since`: all of them, or one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn sent(
        &self,
        scope: Scope,
        client: Option<&str>,
        since: Timestamp,
        grain: Grain,
    ) -> Result<Vec<Sent>, StoreError> {
        let by = match grain {
            Grain::Version => "client, version, CAST(0 AS bigint)",
            Grain::Day => "client, '', day",
            Grain::VersionAndDay => "client, version, day",
        };
        let groups = match grain {
            Grain::Version => "client, version",
            Grain::Day => "client, day",
            Grain::VersionAndDay => "client, version, day",
        };
        let mut query = Query::scoped(
            format!(
                "SELECT {by}, name, shape, CAST(sum(event_count) AS bigint) FROM event_shapes
                 WHERE tenant = $1 AND environment = $2 AND day >= "
            ),
            scope,
        );
        query.bind(since.day());
        if let Some(client) = client {
            query.push(" AND client = ").bind(client);
        }
        query.push(&format!(
            " GROUP BY {groups}, name, shape ORDER BY {groups}, name, shape LIMIT "
        ));
        query.bind(MAX_SUMS);
        let rows = self.derived_rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(Sent {
                client: row.take(0)?,
                version: row.take(1)?,
                day: row.take(2)?,
                name: row.take(3)?,
                shape: Shape::from_number(row.take(4)?),
                events: row.take(5)?,
            })
        })
        .collect()
    }

    /// Sessions of which metrics say since `since` that something happened, an hour or longer after the last
    /// event that is here; the latest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn silent_sessions(
        &self,
        scope: Scope,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<SilentSession>, StoreError> {
        let mut query = Query::scoped(
            format!(
                "SELECT m.session, m.first_seen, m.last_seen, s.ended_at FROM metric_sessions m
                 LEFT JOIN sessions s ON s.tenant = m.tenant AND s.environment = m.environment
                     AND s.id = m.session
                 WHERE m.tenant = $1 AND m.environment = $2
                     AND (s.id IS NULL OR s.ended_at < m.last_seen - {LATE}) AND m.last_seen >= "
            ),
            scope,
        );
        query.bind(since).push(" AND m.last_seen < ");
        query.bind(now.0.saturating_sub(LATE));
        query.push(" ORDER BY m.last_seen DESC, m.session LIMIT ");
        query.bind(MAX_SESSIONS);
        let rows = self.derived_rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(SilentSession {
                session_id: row.take(0)?,
                first_metric: row.take(1)?,
                last_metric: row.take(2)?,
                last_event: row.take(3)?,
            })
        })
        .collect()
    }
}
