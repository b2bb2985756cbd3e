//! Reads sessions.

use std::collections::HashMap;

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use crate::event::Timestamp;

use super::events::{agent_ids, dollars, given};
use super::{EntityKind, Page, PageRequest, Scope, Session, SessionFilter, Store, StoreError};

/// Events of one session that are read at most.
pub const MAX_SESSION_EVENTS: usize = 5_000;

const COLUMNS: &str = "s.id, nullif(s.agent, ''), a.name, a.owner, s.started_at, s.ended_at,
    (SELECT count(*) FROM session_turns t WHERE t.tenant = s.tenant
        AND t.environment = s.environment AND t.session = s.id),
    s.event_count, s.tool_count, s.denied_count, s.error_count, s.request_count, s.input_tokens,
    s.output_tokens, s.cache_read_tokens, s.cache_creation_tokens, s.cost_micros, s.redactions,
    nullif(s.version, ''), nullif(s.service, '')";

const TABLES: &str = "sessions s
    LEFT JOIN agents a ON a.tenant = s.tenant AND a.environment = s.environment AND a.id = s.agent";

impl Store {
    /// Sessions, the latest to start first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn sessions(
        &self,
        scope: Scope,
        filter: &SessionFilter,
        page: PageRequest,
    ) -> Result<Page<Session>, StoreError> {
        let filter = filter.clone();
        self.readers
            .read(move |connection| list(connection, scope, &filter, &page))
            .await
    }

    /// One session, summed up.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn session(&self, scope: Scope, id: &str) -> Result<Option<Session>, StoreError> {
        let id = id.to_owned();
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE s.tenant = ?1 AND s.environment = ?2 AND s.id = ?3"
        );
        self.readers
            .read(move |connection| {
                let key = params![scope.tenant, scope.environment, id];
                let session = connection
                    .prepare_cached(&sql)?
                    .query_row(key, row)
                    .optional()?;
                let mut sessions: Vec<Session> = session.into_iter().collect();
                add_lists(connection, scope, &mut sessions)?;
                Ok(sessions.pop())
            })
            .await
    }
}

fn list(
    connection: &Connection,
    scope: Scope,
    filter: &SessionFilter,
    page: &PageRequest,
) -> Result<Page<Session>, StoreError> {
    let mut sql =
        format!("SELECT {COLUMNS} FROM {TABLES} WHERE s.tenant = ? AND s.environment = ?");
    let mut values = vec![Sql::from(scope.tenant), Sql::from(scope.environment)];
    if let Some(agent) = given(&filter.agent) {
        let ids = agent_ids(connection, scope, &agent)?;
        sql.push_str(" AND s.agent IN (SELECT value FROM json_each(?))");
        values.push(Sql::from(
            serde_json::to_string(&ids).expect("a list of strings is JSON"),
        ));
    }
    let models = given(&filter.model).map(|model| (vec![EntityKind::Model], model));
    let tools = given(&filter.tool).map(|tool| (vec![EntityKind::Tool, EntityKind::McpTool], tool));
    for (kinds, name) in models.into_iter().chain(tools) {
        let kinds: Vec<&str> = kinds.into_iter().map(EntityKind::slug).collect();
        sql.push_str(
            " AND s.id IN (SELECT session FROM session_entities
                 WHERE tenant = ? AND environment = ?
                     AND kind IN (SELECT value FROM json_each(?)) AND name = ?)",
        );
        values.extend([
            Sql::from(scope.tenant),
            Sql::from(scope.environment),
            Sql::from(serde_json::to_string(&kinds).expect("a list of strings is JSON")),
            Sql::from(name),
        ]);
    }
    if let Some(from) = filter.from {
        sql.push_str(" AND s.ended_at >= ?");
        values.push(Sql::from(from.0));
    }
    if let Some(to) = filter.to {
        sql.push_str(" AND s.started_at < ?");
        values.push(Sql::from(to.0));
    }
    if let Some((started, id)) = page.after::<(i64, String)>()? {
        sql.push_str(" AND (s.started_at, s.id) < (?, ?)");
        values.extend([Sql::from(started), Sql::from(id)]);
    }
    sql.push_str(" ORDER BY s.started_at DESC, s.id DESC LIMIT ?");
    values.push(Sql::from(page.limit_to_read()));
    let mut sessions: Vec<Session> = connection
        .prepare_cached(&sql)?
        .query_map(params_from_iter(values), row)?
        .collect::<Result<_, _>>()?;
    add_lists(connection, scope, &mut sessions)?;
    Ok(page.page(sessions, |session| {
        (session.started_at.0, session.id.clone())
    }))
}

fn row(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        agent_id: row.get(1)?,
        agent_name: row.get(2)?,
        owner: row.get(3)?,
        started_at: Timestamp(row.get(4)?),
        ended_at: Timestamp(row.get(5)?),
        turn_count: row.get(6)?,
        event_count: row.get(7)?,
        tool_count: row.get(8)?,
        denied_count: row.get(9)?,
        error_count: row.get(10)?,
        request_count: row.get(11)?,
        input_tokens: row.get(12)?,
        output_tokens: row.get(13)?,
        cache_read_tokens: row.get(14)?,
        cache_creation_tokens: row.get(15)?,
        cost_usd: dollars(row.get(16)?),
        redaction_count: row.get(17)?,
        client_version: row.get(18)?,
        service: row.get(19)?,
        models: Vec::new(),
        tools: Vec::new(),
        directories: Vec::new(),
        machines: Vec::new(),
    })
}

/// Adds the models, tools, directories and machines of a page's sessions, with two queries for all.
fn add_lists(
    connection: &Connection,
    scope: Scope,
    sessions: &mut [Session],
) -> Result<(), StoreError> {
    let ids: Vec<&str> = sessions.iter().map(|session| session.id.as_str()).collect();
    let ids = serde_json::to_string(&ids).expect("a list of strings is JSON");
    let at: HashMap<String, usize> = sessions
        .iter()
        .enumerate()
        .map(|(index, session)| (session.id.clone(), index))
        .collect();
    let key = params![scope.tenant, scope.environment, ids];

    let mut statement = connection.prepare_cached(
        "SELECT session, kind, name FROM session_entities
         WHERE tenant = ?1 AND environment = ?2 AND session IN (SELECT value FROM json_each(?3))
         ORDER BY session, kind, name",
    )?;
    let mut rows = statement.query(key)?;
    while let Some(row) = rows.next()? {
        let session = &mut sessions[at[&row.get::<_, String>(0)?]];
        let name = row.get(2)?;
        match EntityKind::from_slug(&row.get::<_, String>(1)?) {
            Some(EntityKind::Tool | EntityKind::McpTool) => session.tools.push(name),
            Some(EntityKind::Model) => session.models.push(name),
            Some(EntityKind::WorkingDirectory) => session.directories.push(name),
            None => {}
        }
    }
    let mut statement = connection.prepare_cached(
        "SELECT session, machine FROM session_machines
         WHERE tenant = ?1 AND environment = ?2 AND session IN (SELECT value FROM json_each(?3))
         ORDER BY session, machine",
    )?;
    let mut rows = statement.query(key)?;
    while let Some(row) = rows.next()? {
        sessions[at[&row.get::<_, String>(0)?]]
            .machines
            .push(row.get(1)?);
    }
    Ok(())
}
