//! Reads sessions.

use std::collections::HashMap;

use super::event_row::dollars;
use super::events::given;
use super::query::{Query, Row};
use super::{
    EntityKind, Event, Page, PageRequest, Scope, Session, SessionFilter, Store, StoreError,
};

/// Events of one session that are read at most.
pub const MAX_SESSION_EVENTS: usize = 5_000;

/// The events of one session.
#[derive(Clone, Debug, Default)]
pub struct SessionEvents {
    /// The first [`MAX_SESSION_EVENTS`].
    pub events: Vec<Event>,
    /// Whether there are more.
    pub is_cut: bool,
}

const SELECT: &str = "SELECT s.id, nullif(s.agent, ''), a.name, a.owner, s.started_at, s.ended_at,
    (SELECT count(*) FROM session_turns t WHERE t.tenant = s.tenant
        AND t.environment = s.environment AND t.session = s.id),
    s.event_count, s.tool_count, s.denied_count, s.error_count, s.request_count, s.input_tokens,
    s.output_tokens, s.cache_read_tokens, s.cache_creation_tokens, s.cost_micros, s.redactions,
    nullif(s.version, ''), nullif(s.service, '')
    FROM sessions s
    LEFT JOIN agents a ON a.tenant = s.tenant AND a.environment = s.environment AND a.id = s.agent
    WHERE s.tenant = $1 AND s.environment = $2";

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
        let mut query = Query::scoped("", scope);
        if let Some(agent) = given(&filter.agent) {
            let ids = self.agent_ids(scope, &agent).await?;
            query.push(" AND s.agent IN ").bind_list(ids);
        }
        let model = given(&filter.model).map(|model| (vec![EntityKind::Model], model));
        let tool =
            given(&filter.tool).map(|tool| (vec![EntityKind::Tool, EntityKind::McpTool], tool));
        for (kinds, name) in model.into_iter().chain(tool) {
            query.push(
                " AND s.id IN (SELECT session FROM session_entities
                     WHERE tenant = $1 AND environment = $2 AND kind IN ",
            );
            query.bind_list(kinds.into_iter().map(EntityKind::slug));
            query.push(" AND name = ").bind(name).push(")");
        }
        if let Some(from) = filter.from {
            query.push(" AND s.ended_at >= ").bind(from);
        }
        if let Some(to) = filter.to {
            query.push(" AND s.started_at < ").bind(to);
        }
        self.sessions_where(scope, &query, page).await
    }

    /// Sessions that meet a condition, which begins with `AND` and has the scope as its first parameters.
    pub(super) async fn sessions_where(
        &self,
        scope: Scope,
        condition: &Query,
        page: PageRequest,
    ) -> Result<Page<Session>, StoreError> {
        let mut query = Query {
            sql: format!("{SELECT}{}", condition.sql),
            ..condition.clone()
        };
        if let Some((started, id)) = page.after::<(i64, String)>()? {
            query.push(" AND (s.started_at, s.id) < (").bind(started);
            query.push(", ").bind(id).push(")");
        }
        query.push(" ORDER BY s.started_at DESC, s.id DESC LIMIT ");
        query.bind(page.limit_to_read());
        let rows = self.derived_rows(query).await?;
        let mut sessions = rows
            .into_iter()
            .map(session)
            .collect::<Result<Vec<_>, _>>()?;
        self.add_lists(scope, &mut sessions).await?;
        Ok(page.page(sessions, |session| {
            (session.started_at.0, session.id.clone())
        }))
    }

    /// One session, summed up.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn session(&self, scope: Scope, id: &str) -> Result<Option<Session>, StoreError> {
        let mut query = Query::scoped(SELECT, scope);
        query.push(" AND s.id = ").bind(id);
        let rows = self.derived_rows(query).await?;
        let mut sessions = rows
            .into_iter()
            .map(session)
            .collect::<Result<Vec<_>, _>>()?;
        self.add_lists(scope, &mut sessions).await?;
        Ok(sessions.pop())
    }

    /// Adds the models, tools, directories and machines of a page's sessions, with two queries for all.
    async fn add_lists(&self, scope: Scope, sessions: &mut [Session]) -> Result<(), StoreError> {
        let ids: Vec<String> = sessions.iter().map(|session| session.id.clone()).collect();
        let at: HashMap<String, usize> = ids.iter().cloned().zip(0..).collect();

        let sql = "SELECT session, kind, name FROM session_entities
            WHERE tenant = $1 AND environment = $2 AND session IN ";
        let mut query = Query::scoped(sql, scope);
        query.bind_texts(self.dialect(), &ids);
        query.push(" ORDER BY session, kind, name");
        for mut row in self.rows(query).await? {
            let session = &mut sessions[at[&row.take::<String>(0)?]];
            let name = row.take(2)?;
            match EntityKind::from_slug(&row.take::<String>(1)?) {
                Some(EntityKind::Tool | EntityKind::McpTool) => session.tools.push(name),
                Some(EntityKind::Model) => session.models.push(name),
                Some(EntityKind::WorkingDirectory) => session.directories.push(name),
                None => {}
            }
        }
        let sql = "SELECT session, machine FROM session_machines
            WHERE tenant = $1 AND environment = $2 AND session IN ";
        let mut query = Query::scoped(sql, scope);
        query.bind_texts(self.dialect(), &ids);
        query.push(" ORDER BY session, machine");
        for mut row in self.rows(query).await? {
            let session = &mut sessions[at[&row.take::<String>(0)?]];
            session.machines.push(row.take(1)?);
        }
        Ok(())
    }
}

fn session(mut row: Row) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.take(0)?,
        agent_id: row.take(1)?,
        agent_name: row.take(2)?,
        owner: row.take(3)?,
        started_at: row.take(4)?,
        ended_at: row.take(5)?,
        turn_count: row.take(6)?,
        event_count: row.take(7)?,
        tool_count: row.take(8)?,
        denied_count: row.take(9)?,
        error_count: row.take(10)?,
        request_count: row.take(11)?,
        input_tokens: row.take(12)?,
        output_tokens: row.take(13)?,
        cache_read_tokens: row.take(14)?,
        cache_creation_tokens: row.take(15)?,
        cost_usd: dollars(row.take(16)?),
        redaction_count: row.take(17)?,
        client_version: row.take(18)?,
        service: row.take(19)?,
        models: Vec::new(),
        tools: Vec::new(),
        directories: Vec::new(),
        machines: Vec::new(),
    })
}
