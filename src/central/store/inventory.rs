//! Reads agents, owners, identities and entities.

use rusqlite::types::Value as Sql;
use rusqlite::{OptionalExtension, Row, params, params_from_iter};

use crate::event::Timestamp;

use super::events::dollars;
use super::{
    Agent, Entity, EntityKind, Identity, Owner, Page, PageRequest, Scope, Store, StoreError,
};

const AGENT_COLUMNS: &str = "a.id, a.name, a.owner, a.email,
    (SELECT value FROM identities i WHERE i.tenant = a.tenant AND i.environment = a.environment
        AND i.agent = a.id AND i.key = 'user.id' ORDER BY i.last_seen DESC, i.value DESC LIMIT 1),
    nullif(a.service, ''), nullif(a.version, ''), a.first_seen, a.last_seen, a.event_count,
    (SELECT count(*) FROM sessions s WHERE s.tenant = a.tenant AND s.environment = a.environment
        AND s.agent = a.id),
    (SELECT count(*) FROM agent_entities n WHERE n.tenant = a.tenant AND n.environment = a.environment
        AND n.agent = a.id AND n.kind = 'tool'),
    (SELECT count(*) FROM agent_entities n WHERE n.tenant = a.tenant AND n.environment = a.environment
        AND n.agent = a.id AND n.kind = 'mcp_tool'),
    (SELECT count(*) FROM agent_entities n WHERE n.tenant = a.tenant AND n.environment = a.environment
        AND n.agent = a.id AND n.kind = 'model'),
    a.cost_micros";

impl Store {
    /// Agents, latest activity first. `text` matches a part of name, e-mail or id.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn agents(
        &self,
        scope: Scope,
        text: Option<&str>,
        page: PageRequest,
    ) -> Result<Page<Agent>, StoreError> {
        let mut sql = format!(
            "SELECT {AGENT_COLUMNS} FROM agents a WHERE a.tenant = ? AND a.environment = ?"
        );
        let mut values = vec![Sql::from(scope.tenant), Sql::from(scope.environment)];
        if let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) {
            sql.push_str(" AND (instr(lower(a.name), ?) OR instr(a.owner, ?) OR a.id = ?)");
            let text = text.to_lowercase();
            values.extend([text.clone(), text.clone(), text].map(Sql::from));
        }
        if let Some((last_seen, id)) = page.after::<(i64, String)>()? {
            sql.push_str(" AND (a.last_seen, a.id) < (?, ?)");
            values.extend([Sql::from(last_seen), Sql::from(id)]);
        }
        sql.push_str(" ORDER BY a.last_seen DESC, a.id DESC LIMIT ?");
        values.push(Sql::from(page.limit_to_read()));
        self.readers
            .read(move |connection| {
                let agents = connection
                    .prepare_cached(&sql)?
                    .query_map(params_from_iter(values), agent)?
                    .collect::<Result<_, _>>()?;
                Ok(page.page(agents, |agent: &Agent| {
                    (agent.last_seen.0, agent.id.clone())
                }))
            })
            .await
    }

    /// One agent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn agent(&self, scope: Scope, id: &str) -> Result<Option<Agent>, StoreError> {
        let id = id.to_owned();
        let sql = format!(
            "SELECT {AGENT_COLUMNS} FROM agents a
             WHERE a.tenant = ?1 AND a.environment = ?2 AND a.id = ?3"
        );
        self.readers
            .read(move |connection| {
                let key = params![scope.tenant, scope.environment, id];
                Ok(connection
                    .prepare_cached(&sql)?
                    .query_row(key, agent)
                    .optional()?)
            })
            .await
    }

    /// Every identity attribute seen on an agent's records.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn identities(
        &self,
        scope: Scope,
        agent_id: &str,
    ) -> Result<Vec<Identity>, StoreError> {
        let agent_id = agent_id.to_owned();
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT key, value, first_seen, last_seen FROM identities
                     WHERE tenant = ?1 AND environment = ?2 AND agent = ?3
                     ORDER BY key, last_seen DESC LIMIT 500",
                )?;
                let identities = statement
                    .query_map(params![scope.tenant, scope.environment, agent_id], |row| {
                        Ok(Identity {
                            key: row.get(0)?,
                            value: row.get(1)?,
                            first_seen: Timestamp(row.get(2)?),
                            last_seen: Timestamp(row.get(3)?),
                        })
                    })?
                    .collect::<Result<_, _>>()?;
                Ok(identities)
            })
            .await
    }

    /// Owners, latest activity first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn owners(&self, scope: Scope, page: PageRequest) -> Result<Page<Owner>, StoreError> {
        let after = page.after::<(i64, String)>()?;
        self.readers
            .read(move |connection| {
                let (last_seen, owner) = after.unwrap_or((i64::MAX, String::new()));
                let mut statement = connection.prepare_cached(
                    "SELECT owner, max(email), json_group_array(id), min(first_seen),
                         max(last_seen) AS latest, sum(event_count)
                     FROM agents WHERE tenant = ?1 AND environment = ?2
                     GROUP BY owner HAVING (max(last_seen), owner) < (?3, ?4)
                     ORDER BY latest DESC, owner DESC LIMIT ?5",
                )?;
                let key = params![
                    scope.tenant,
                    scope.environment,
                    last_seen,
                    owner,
                    page.limit_to_read()
                ];
                let owners = statement
                    .query_map(key, |row| {
                        let ids: String = row.get(2)?;
                        Ok(Owner {
                            owner: row.get(0)?,
                            user_email: row.get(1)?,
                            agent_ids: serde_json::from_str(&ids).unwrap_or_default(),
                            first_seen: Timestamp(row.get(3)?),
                            last_seen: Timestamp(row.get(4)?),
                            event_count: row.get(5)?,
                        })
                    })?
                    .collect::<Result<_, _>>()?;
                Ok(page.page(owners, |owner: &Owner| {
                    (owner.last_seen.0, owner.owner.clone())
                }))
            })
            .await
    }

    /// Entities, the most named first; of one agent when `agent_id` is given.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn entities(
        &self,
        scope: Scope,
        kind: Option<EntityKind>,
        agent_id: Option<&str>,
        page: PageRequest,
    ) -> Result<Page<Entity>, StoreError> {
        let (table, agents) = match agent_id {
            None => (
                "entities",
                "(SELECT count(*) FROM agent_entities n WHERE n.tenant = t.tenant
                     AND n.environment = t.environment AND n.kind = t.kind AND n.name = t.name)",
            ),
            Some(_) => ("agent_entities", "1"),
        };
        let mut sql = format!(
            "SELECT t.kind, t.name, t.first_seen, t.last_seen, t.event_count, t.use_count,
                 t.denied_count, {agents},
                 (SELECT count(*) FROM session_entities n JOIN sessions s ON s.tenant = n.tenant
                     AND s.environment = n.environment AND s.id = n.session
                     WHERE n.tenant = t.tenant AND n.environment = t.environment
                         AND n.kind = t.kind AND n.name = t.name{})
             FROM {table} t WHERE t.tenant = ? AND t.environment = ?",
            if agent_id.is_some() {
                " AND s.agent = t.agent"
            } else {
                ""
            },
        );
        let mut values = vec![Sql::from(scope.tenant), Sql::from(scope.environment)];
        if let Some(agent_id) = agent_id {
            sql.push_str(" AND t.agent = ?");
            values.push(Sql::from(agent_id.to_owned()));
        }
        if let Some(kind) = kind {
            sql.push_str(" AND t.kind = ?");
            values.push(Sql::from(kind.slug().to_owned()));
        }
        if let Some((count, kind, name)) = page.after::<(i64, String, String)>()? {
            sql.push_str(" AND (-t.event_count, t.kind, t.name) > (?, ?, ?)");
            values.extend([Sql::from(-count), Sql::from(kind), Sql::from(name)]);
        }
        sql.push_str(" ORDER BY -t.event_count, t.kind, t.name LIMIT ?");
        values.push(Sql::from(page.limit_to_read()));
        self.readers
            .read(move |connection| {
                let entities = connection
                    .prepare_cached(&sql)?
                    .query_map(params_from_iter(values), entity)?
                    .collect::<Result<_, _>>()?;
                Ok(page.page(entities, |entity: &Entity| {
                    (entity.event_count, entity.kind.slug(), entity.name.clone())
                }))
            })
            .await
    }
}

fn agent(row: &Row<'_>) -> rusqlite::Result<Agent> {
    Ok(Agent {
        id: row.get(0)?,
        name: row.get(1)?,
        owner: row.get(2)?,
        user_email: row.get(3)?,
        user_id: row.get(4)?,
        service: row.get(5)?,
        client_version: row.get(6)?,
        first_seen: Timestamp(row.get(7)?),
        last_seen: Timestamp(row.get(8)?),
        event_count: row.get(9)?,
        session_count: row.get(10)?,
        tool_count: row.get(11)?,
        mcp_tool_count: row.get(12)?,
        model_count: row.get(13)?,
        cost_usd: dollars(row.get(14)?),
    })
}

fn entity(row: &Row<'_>) -> rusqlite::Result<Entity> {
    let kind: String = row.get(0)?;
    let kind = EntityKind::from_slug(&kind).ok_or_else(|| {
        rusqlite::Error::InvalidColumnType(0, "kind".to_owned(), rusqlite::types::Type::Text)
    })?;
    Ok(Entity {
        kind,
        name: row.get(1)?,
        protocol: (kind == EntityKind::McpTool).then_some("MCP"),
        first_seen: Timestamp(row.get(2)?),
        last_seen: Timestamp(row.get(3)?),
        event_count: row.get(4)?,
        use_count: row.get(5)?,
        denied_count: row.get(6)?,
        agent_count: row.get(7)?,
        session_count: row.get(8)?,
    })
}
