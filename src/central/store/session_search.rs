//! Sessions by the filters of events.
//!
//! What sessions carry themselves (agent, user, tool, MCP server, model, directory, version, machine, id) is
//! asked of the session; text, type, decision, source and `has:` are asked of one of its events, together
//! with tool and MCP server. What is excluded must be in none of its events.

use std::collections::{BTreeSet, HashSet};

use super::events::given;
use super::keys::text_key;
use super::query::Query;
use super::search::{Names, Search};
use super::terms::{Qualifier, Term, query_of};
use super::{EntityKind, EventFilter, Page, PageRequest, Scope, Session, Sight, Store, StoreError};

/// Events that are read at most to find their sessions.
const MAX_READ: usize = 5_000;

/// Sessions that are found by their events at most: the latest.
const MAX_SESSIONS: i64 = 20_000;

/// Sessions that a filter leaves.
pub struct SessionsFound {
    /// One page of them, the latest to start first.
    pub page: Page<Session>,
    /// How many there are on all pages, at most 10 001.
    pub count: i64,
    /// Whether events further back were not looked through.
    pub is_partial: bool,
}

/// Sessions that are counted at most.
const MAX_COUNTED: i64 = 10_001;

impl Store {
    /// Sessions that a filter of events leaves, the latest to start first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn find_sessions(
        &self,
        sight: &Sight,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<SessionsFound, StoreError> {
        let scope = sight.scope;
        let terms = filter
            .terms()
            .map_err(|error| StoreError::BadQuery(error.to_string()))?;
        let terms: Vec<Term> = terms
            .into_iter()
            // The page's own activity type: sessions are what it lists.
            .filter(|term| *term != Term::new(Qualifier::Type, "session"))
            .collect();
        let mut condition = Query::scoped("", scope);
        for qualifier in Qualifier::ALL {
            self.narrow_sessions(scope, &terms, qualifier, &mut condition)
                .await?;
        }
        if let Some(from) = filter.from {
            condition.push(" AND s.ended_at >= ").bind(from);
        }
        if let Some(to) = filter.to {
            condition.push(" AND s.started_at < ").bind(to);
        }
        let is_partial = self
            .narrow_by_events(sight, filter, &terms, &mut condition)
            .await?;
        let mut counting = Query {
            sql: format!(
                "SELECT count(*) FROM (SELECT 1 FROM sessions s
                 WHERE s.tenant = $1 AND s.environment = $2{} LIMIT ",
                condition.sql
            ),
            ..condition.clone()
        };
        counting.bind(MAX_COUNTED).push(") AS counted");
        let mut counted = self.derived_rows(counting).await?;
        Ok(SessionsFound {
            page: self.sessions_where(scope, &condition, page).await?,
            count: counted.first_mut().map_or(Ok(0), |row| row.take(0))?,
            is_partial,
        })
    }

    /// What sessions carry themselves.
    async fn narrow_sessions(
        &self,
        scope: Scope,
        terms: &[Term],
        qualifier: Qualifier,
        query: &mut Query,
    ) -> Result<(), StoreError> {
        for is_excluded in [false, true] {
            let values: Vec<&str> = terms
                .iter()
                .filter(|term| term.qualifier == Some(qualifier) && term.is_excluded == is_excluded)
                .map(|term| term.value.as_str())
                .collect();
            if values.is_empty() || !is_of_session(qualifier) {
                continue;
            }
            query.push(if is_excluded { " AND NOT (" } else { " AND (" });
            for (index, value) in values.into_iter().enumerate() {
                query.push(if index > 0 { " OR " } else { "" });
                self.push_condition(scope, qualifier, value, query).await?;
            }
            query.push(")");
        }
        Ok(())
    }

    async fn push_condition(
        &self,
        scope: Scope,
        qualifier: Qualifier,
        value: &str,
        query: &mut Query,
    ) -> Result<(), StoreError> {
        const OF_SESSION: &str = "s.id IN (SELECT session FROM session_entities
            WHERE tenant = $1 AND environment = $2 AND kind ";
        let name = |query: &mut Query, kinds: &str| {
            query.push(OF_SESSION).push(kinds).push(" AND name = ");
            query.bind(value).push(")");
        };
        match qualifier {
            Qualifier::Tool => name(query, "IN ('tool', 'mcp_tool')"),
            Qualifier::Model => name(query, "= 'model'"),
            Qualifier::Dir => name(query, "= 'working_directory'"),
            Qualifier::Mcp => {
                let kind = EntityKind::McpTool.slug();
                query.push(OF_SESSION).push("= ").bind(kind);
                query.push(" AND name >= ").bind(format!("{value}:"));
                query.push(" AND name < ").bind(format!("{value};"));
                query.push(")");
            }
            Qualifier::Session => {
                query.push("s.id = ").bind(value);
            }
            Qualifier::Version => {
                query.push("s.version = ").bind(value);
            }
            Qualifier::Machine => {
                let ids = self.ids_of(scope, Names::Machines, value).await?;
                query.push(
                    "s.id IN (SELECT session FROM session_machines
                         WHERE tenant = $1 AND environment = $2 AND machine IN ",
                );
                query.bind_texts(self.dialect(), &ids).push(")");
            }
            Qualifier::Agent => {
                let ids = self.ids_of(scope, Names::Agents, value).await?;
                query.push("s.agent IN ").bind_texts(self.dialect(), &ids);
            }
            Qualifier::User => {
                let ids = self.ids_of(scope, Names::Users, value).await?;
                query.push("s.agent IN ").bind_texts(self.dialect(), &ids);
            }
            Qualifier::Type
            | Qualifier::Decision
            | Qualifier::Source
            | Qualifier::Has
            | Qualifier::Text => {
                unreachable!("`is_of_session` lets none of these in")
            }
        }
        Ok(())
    }

    /// What only their events carry. Says whether not all events could be looked through.
    async fn narrow_by_events(
        &self,
        sight: &Sight,
        filter: &EventFilter,
        terms: &[Term],
        query: &mut Query,
    ) -> Result<bool, StoreError> {
        let is_of_event = |term: &&Term| !term.qualifier.is_some_and(is_of_session);
        let mut is_partial = false;
        let wanted: Vec<Term> = terms.iter().filter(|it| !it.is_excluded).cloned().collect();
        // Whoever may see the content of one session only may look for text in that one.
        let is_session = |term: &&Term| term.qualifier == Some(Qualifier::Session);
        let sessions: Vec<Term> = wanted.iter().filter(is_session).cloned().collect();
        if wanted.iter().any(|term| is_of_event(&term)) {
            // Asked of one event are those terms that one event can meet.
            let of_one_event = wanted.into_iter().filter(|term| {
                is_of_event(&term)
                    || matches!(
                        term.qualifier,
                        Some(
                            Qualifier::Session
                                | Qualifier::Tool
                                | Qualifier::Mcp
                                | Qualifier::Agent
                                | Qualifier::User
                        )
                    )
            });
            let (ids, partial) = self
                .sessions_with(sight, filter, &of_one_event.collect::<Vec<_>>())
                .await?;
            query.push(" AND s.id IN ").bind_texts(self.dialect(), &ids);
            is_partial |= partial;
        }
        for term in terms.iter().filter(|it| it.is_excluded).filter(is_of_event) {
            let term = Term {
                is_excluded: false,
                ..term.clone()
            };
            let terms = [&sessions[..], &[term]].concat();
            let (ids, partial) = self.sessions_with(sight, filter, &terms).await?;
            query
                .push(" AND s.id NOT IN ")
                .bind_texts(self.dialect(), &ids);
            is_partial |= partial;
        }
        Ok(is_partial)
    }

    /// Sessions with an event that meets all terms, and whether not all events were looked through.
    async fn sessions_with(
        &self,
        sight: &Sight,
        filter: &EventFilter,
        terms: &[Term],
    ) -> Result<(Vec<String>, bool), StoreError> {
        let filter = EventFilter {
            q: given(&Some(query_of(terms))),
            from: filter.from,
            to: filter.to,
            ..EventFilter::default()
        };
        let Some(search) = self.search(sight, &filter).await? else {
            return Ok((Vec::new(), false));
        };
        if search.is_decided_by_keys() {
            return self.sessions_by_keys(&search).await;
        }
        let (events, next) = self.matching(&search, None, MAX_READ).await?;
        let ids: BTreeSet<String> = events
            .into_iter()
            .filter_map(|event| event.facts.session)
            .collect();
        Ok((ids.into_iter().collect(), next.is_some()))
    }

    async fn sessions_by_keys(&self, search: &Search) -> Result<(Vec<String>, bool), StoreError> {
        let sql = "SELECT DISTINCT e.session FROM events e
            WHERE e.tenant = $1 AND e.environment = $2 AND e.session IS NOT NULL";
        let mut query = Query::scoped(sql, search.scope);
        search.narrow(self.dialect(), &mut query);
        let mut keys: HashSet<i64> = HashSet::new();
        for mut row in self.rows(query).await? {
            keys.insert(row.take(0)?);
        }
        let sql = "SELECT s.id FROM sessions s WHERE s.tenant = $1 AND s.environment = $2
            ORDER BY s.started_at DESC, s.id DESC LIMIT $3";
        let mut query = Query::scoped(sql, search.scope);
        query.values.push(MAX_SESSIONS.into());
        let mut ids = Vec::new();
        for mut row in self.derived_rows(query).await? {
            let id: String = row.take(0)?;
            if keys.remove(&text_key(&id)) {
                ids.push(id);
            }
        }
        Ok((ids, !keys.is_empty()))
    }
}

/// Whether sessions carry it themselves.
fn is_of_session(qualifier: Qualifier) -> bool {
    !matches!(
        qualifier,
        Qualifier::Type
            | Qualifier::Decision
            | Qualifier::Source
            | Qualifier::Has
            | Qualifier::Text
    )
}
