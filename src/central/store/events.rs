//! Reads events: lists with filters, one session's, one.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use crate::event::{Activity, Timestamp};

use super::cursor::encode_cursor;
use super::encoding::{PlainRecord, decode_event};
use super::sessions::MAX_SESSION_EVENTS;
use super::{EntityKind, Event, EventFilter, Page, PageRequest, Scope, Store, StoreError};

/// Events that one page of a text search reads at most; the page then says where to go on.
const SCAN_BUDGET: usize = 20_000;

const COLUMNS: &str =
    "e.seq, e.uid, e.time, e.received, e.activity, e.name, e.agent, a.name, e.session,
    e.prompt, e.sequence, e.tool, e.tool_kind, e.tool_use_id, e.model, e.decision,
    e.decision_source, e.success, e.duration_ms, e.cost_micros, e.input_tokens, e.output_tokens,
    e.redactions, e.machine, e.machine_seq, e.record, c.content";

const TABLES: &str = "events e
    LEFT JOIN event_content c ON c.seq = e.seq
    LEFT JOIN agents a ON a.tenant = e.tenant AND a.environment = e.environment AND a.id = e.agent";

/// Where a page of events ended: event time, then arrival.
type Key = (i64, i64);

impl Store {
    /// Events, latest first. Heartbeats are left out unless the filter's type asks for them.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn events(
        &self,
        scope: Scope,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, StoreError> {
        let filter = filter.clone();
        self.readers
            .read(move |connection| list(connection, scope, &filter, &page))
            .await
    }

    /// All events of a session, at most [`MAX_SESSION_EVENTS`], by time, client sequence and arrival.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn session_events(&self, scope: Scope, id: &str) -> Result<Vec<Event>, StoreError> {
        let id = id.to_owned();
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES}
             WHERE e.tenant = ?1 AND e.environment = ?2 AND e.session = ?3
             ORDER BY e.time, coalesce(e.sequence, -1), e.seq LIMIT ?4"
        );
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(&sql)?;
                let limit = MAX_SESSION_EVENTS as i64;
                let rows = statement
                    .query_map(params![scope.tenant, scope.environment, id, limit], stored)?;
                rows.map(|row| row?.event()).collect()
            })
            .await
    }

    /// The event with this identity; the earliest, should two have it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn event(&self, scope: Scope, id: &str) -> Result<Option<Event>, StoreError> {
        let id = id.to_owned();
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES}
             WHERE e.tenant = ?1 AND e.environment = ?2 AND e.uid = ?3 ORDER BY e.time LIMIT 1"
        );
        self.readers
            .read(move |connection| {
                connection
                    .prepare_cached(&sql)?
                    .query_row(params![scope.tenant, scope.environment, id], stored)
                    .optional()?
                    .map(StoredEvent::event)
                    .transpose()
            })
            .await
    }
}

fn list(
    connection: &Connection,
    scope: Scope,
    filter: &EventFilter,
    page: &PageRequest,
) -> Result<Page<Event>, StoreError> {
    let Some((condition, values)) = condition(connection, scope, filter)? else {
        return Ok(Page {
            items: Vec::new(),
            next_cursor: None,
        });
    };
    let needle = filter
        .q
        .as_deref()
        .map(str::to_lowercase)
        .filter(|text| !text.trim().is_empty());
    let mut values = values;
    let mut sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE {condition}");
    if let Some((time, seq)) = page.after::<Key>()? {
        sql.push_str(" AND (e.time, e.seq) < (?, ?)");
        values.extend([Sql::from(time), Sql::from(seq)]);
    }
    sql.push_str(" ORDER BY e.time DESC, e.seq DESC LIMIT ?");
    values.push(Sql::from(match needle {
        None => page.limit_to_read(),
        Some(_) => SCAN_BUDGET as i64 + 1,
    }));

    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut items = Vec::new();
    let mut last: Option<Key> = None;
    let mut scanned = 0;
    while let Some(row) = rows.next()? {
        if items.len() == page.limit() || scanned == SCAN_BUDGET {
            let next_cursor = last.map(|key| encode_cursor(&key));
            return Ok(Page { items, next_cursor });
        }
        scanned += 1;
        let stored = stored(row)?;
        last = Some((stored.event.time.0, stored.seq));
        let event = stored.event()?;
        if needle
            .as_ref()
            .is_none_or(|needle| mentions(&event, needle))
        {
            items.push(event);
        }
    }
    Ok(Page {
        items,
        next_cursor: None,
    })
}

/// The filter in SQL, with its values; `None` when nothing can match.
fn condition(
    connection: &Connection,
    scope: Scope,
    filter: &EventFilter,
) -> Result<Option<(String, Vec<Sql>)>, StoreError> {
    let mut sql = String::from("e.tenant = ? AND e.environment = ?");
    let mut values = vec![Sql::from(scope.tenant), Sql::from(scope.environment)];
    let mut add = |condition: &str, value: Sql| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.push(value);
    };
    if let Some(session) = given(&filter.session) {
        add("e.session = ?", Sql::from(session));
    }
    if let Some(agent) = given(&filter.agent) {
        let ids = agent_ids(connection, scope, &agent)?;
        if ids.is_empty() {
            return Ok(None);
        }
        let ids = serde_json::to_string(&ids).expect("a list of strings is JSON");
        add(
            "e.agent IN (SELECT value FROM json_each(?))",
            Sql::from(ids),
        );
    }
    match given(&filter.kind) {
        None => add(
            "e.activity <> ?",
            Sql::from(Activity::Machine.slug().to_owned()),
        ),
        Some(kind) => match Activity::from_slug(&kind) {
            Some(activity) => add("e.activity = ?", Sql::from(activity.slug().to_owned())),
            None => add("e.name = ?", Sql::from(kind)),
        },
    }
    if let Some(tool) = given(&filter.tool) {
        add("e.tool = ?", Sql::from(tool));
    }
    if let Some(model) = given(&filter.model) {
        add("e.model = ?", Sql::from(model));
    }
    if let Some(from) = filter.from {
        add("e.time >= ?", Sql::from(from.0));
    }
    if let Some(to) = filter.to {
        add("e.time < ?", Sql::from(to.0));
    }
    Ok(Some((sql, values)))
}

/// A filter's text, when it is not blank: a form sends empty fields.
pub(super) fn given(text: &Option<String>) -> Option<String> {
    text.as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// The agents that an id, a name or an e-mail means.
pub(super) fn agent_ids(
    connection: &Connection,
    scope: Scope,
    agent: &str,
) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM agents
         WHERE tenant = ?1 AND environment = ?2 AND (id = ?3 OR name = ?3 OR email = lower(?3))",
    )?;
    let ids = statement
        .query_map(params![scope.tenant, scope.environment, agent], |row| {
            row.get(0)
        })?
        .collect::<Result<_, _>>()?;
    Ok(ids)
}

/// Whether a lower-case text occurs in an event's name, body or attributes.
fn mentions(event: &Event, needle: &str) -> bool {
    fn within(value: &serde_json::Value, needle: &str) -> bool {
        match value {
            serde_json::Value::String(text) => text.to_lowercase().contains(needle),
            serde_json::Value::Array(items) => items.iter().any(|item| within(item, needle)),
            serde_json::Value::Object(fields) => fields.values().any(|field| within(field, needle)),
            other => other.to_string().contains(needle),
        }
    }
    event.name.to_lowercase().contains(needle)
        || within(&event.body, needle)
        || event.attributes.values().any(|value| within(value, needle))
}

/// A row, not yet unpacked.
struct StoredEvent {
    seq: i64,
    event: Event,
    record: Vec<u8>,
    content: Option<Vec<u8>>,
}

impl StoredEvent {
    /// The event with everything that was in its record.
    fn event(self) -> Result<Event, StoreError> {
        let PlainRecord {
            body,
            attributes,
            resource,
            scope_name,
            scope_version,
        } = decode_event(&self.record, self.content.as_deref())
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Event {
            body,
            attributes,
            resource,
            scope_name,
            scope_version,
            ..self.event
        })
    }
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    let activity: String = row.get(4)?;
    let tool_kind: Option<String> = row.get(12)?;
    let event = Event {
        id: row.get(1)?,
        time: Timestamp(row.get(2)?),
        received_at: Timestamp(row.get(3)?),
        activity: Activity::from_slug(&activity).unwrap_or(Activity::Other),
        name: row.get(5)?,
        agent_id: row.get(6)?,
        agent_name: row.get(7)?,
        session_id: row.get(8)?,
        prompt_id: row.get(9)?,
        sequence: row.get(10)?,
        tool: row.get(11)?,
        tool_kind: tool_kind.as_deref().and_then(EntityKind::from_slug),
        tool_use_id: row.get(13)?,
        model: row.get(14)?,
        decision: row.get(15)?,
        decision_source: row.get(16)?,
        success: row.get(17)?,
        duration_ms: row.get(18)?,
        cost_usd: row.get::<_, Option<i64>>(19)?.map(dollars),
        input_tokens: row.get(20)?,
        output_tokens: row.get(21)?,
        redaction_count: row.get(22)?,
        machine_id: row.get(23)?,
        machine_seq: row.get(24)?,
        body: serde_json::Value::Null,
        attributes: Default::default(),
        resource: Default::default(),
        scope_name: String::new(),
        scope_version: String::new(),
    };
    Ok(StoredEvent {
        seq: row.get(0)?,
        event,
        record: row.get(25)?,
        content: row.get(26)?,
    })
}

/// Millionths of a dollar as dollars.
pub(super) fn dollars(micros: i64) -> f64 {
    micros as f64 / 1e6
}
