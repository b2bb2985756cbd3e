//! Reads agents, owners, identities and entities.

use crate::event::Timestamp;

use super::event_row::dollars;
use super::query::{Query, Row};
use super::{
    Agent, Entity, EntityKind, Identity, Owner, Page, PageRequest, Scope, Store, StoreError,
};

const AGENT_COLUMNS: &str = "a.id, a.name, a.owner, a.email,
    (SELECT value FROM identities i WHERE i.tenant = a.tenant AND i.environment = a.environment
        AND i.agent = a.id AND i.key = 'user.id' ORDER BY i.last_seen DESC, i.value DESC LIMIT 1),
    nullif(a.service, ''), nullif(a.version, ''), a.first_seen, a.last_seen, a.event_count,
    coalesce((SELECT u.session_count FROM used_by u WHERE u.tenant = a.tenant
        AND u.environment = a.environment AND u.subject = 'agent' AND u.name = a.id), 0),
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
        let sql = format!(
            "SELECT {AGENT_COLUMNS} FROM agents a WHERE a.tenant = $1 AND a.environment = $2"
        );
        let mut query = Query::scoped(sql, scope);
        if let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) {
            let pattern = like(&text.to_lowercase());
            query
                .push(" AND (lower(a.name) LIKE ")
                .bind(pattern.as_str());
            query.push(" ESCAPE '!' OR a.owner LIKE ").bind(pattern);
            query
                .push(" ESCAPE '!' OR a.id = ")
                .bind(text.to_lowercase())
                .push(")");
        }
        if let Some((last_seen, id)) = page.after::<(i64, String)>()? {
            query.push(" AND (a.last_seen, a.id) < (").bind(last_seen);
            query.push(", ").bind(id).push(")");
        }
        query.push(" ORDER BY a.last_seen DESC, a.id DESC LIMIT ");
        query.bind(page.limit_to_read());
        let rows = self.derived_rows(query).await?;
        let agents = rows.into_iter().map(agent).collect::<Result<_, _>>()?;
        Ok(page.page(agents, |agent: &Agent| {
            (agent.last_seen.0, agent.id.clone())
        }))
    }

    /// One agent.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn agent(&self, scope: Scope, id: &str) -> Result<Option<Agent>, StoreError> {
        let sql = format!(
            "SELECT {AGENT_COLUMNS} FROM agents a WHERE a.tenant = $1 AND a.environment = $2 AND a.id = "
        );
        let mut query = Query::scoped(sql, scope);
        query.bind(id);
        let mut rows = self.derived_rows(query).await?;
        rows.pop().map(agent).transpose()
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
        let sql = "SELECT key, value, first_seen, last_seen FROM identities
            WHERE tenant = $1 AND environment = $2 AND agent = ";
        let mut query = Query::scoped(sql, scope);
        query.bind(agent_id);
        query.push(" ORDER BY key, last_seen DESC, value LIMIT 500");
        let rows = self.derived_rows(query).await?.into_iter();
        rows.map(|mut row| {
            Ok(Identity {
                key: row.take(0)?,
                value: row.take(1)?,
                first_seen: row.take(2)?,
                last_seen: row.take(3)?,
            })
        })
        .collect()
    }

    /// Owners, latest activity first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn owners(&self, scope: Scope, page: PageRequest) -> Result<Page<Owner>, StoreError> {
        let (last_seen, owner) = page
            .after::<(i64, String)>()?
            .unwrap_or((i64::MAX, String::new()));
        let sql = "SELECT owner, max(email), string_agg(id, ','), min(first_seen), max(last_seen),
                CAST(sum(event_count) AS bigint)
            FROM agents WHERE tenant = $1 AND environment = $2
            GROUP BY owner HAVING (max(last_seen), owner) < (";
        let mut query = Query::scoped(sql, scope);
        query.bind(last_seen).push(", ").bind(owner);
        query.push(") ORDER BY max(last_seen) DESC, owner DESC LIMIT ");
        query.bind(page.limit_to_read());
        let rows = self.derived_rows(query).await?.into_iter();
        let owners = rows
            .map(|mut row| {
                let ids: String = row.take(2)?;
                Ok(Owner {
                    owner: row.take(0)?,
                    user_email: row.take(1)?,
                    agent_ids: ids.split(',').map(str::to_owned).collect(),
                    first_seen: row.take(3)?,
                    last_seen: row.take(4)?,
                    event_count: row.take(5)?,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(page.page(owners, |owner: &Owner| {
            (owner.last_seen.0, owner.owner.clone())
        }))
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
        let mut query = Query::scoped(entity_sql(agent_id.is_some()), scope);
        if let Some(agent_id) = agent_id {
            query.push(" AND t.agent = ").bind(agent_id);
        }
        if let Some(kind) = kind {
            query.push(" AND t.kind = ").bind(kind.slug());
        }
        if let Some((count, kind, name)) = page.after::<(i64, String, String)>()? {
            query
                .push(" AND (-t.event_count, t.kind, t.name) > (")
                .bind(-count);
            query.push(", ").bind(kind).push(", ").bind(name).push(")");
        }
        query.push(" ORDER BY -t.event_count, t.kind, t.name LIMIT ");
        query.bind(page.limit_to_read());
        let rows = self.derived_rows(query).await?;
        let entities = rows.into_iter().map(entity).collect::<Result<_, _>>()?;
        Ok(page.page(entities, |entity: &Entity| {
            (entity.event_count, entity.kind.slug(), entity.name.clone())
        }))
    }

    /// The agents that an id, a name or an e-mail means.
    pub(super) async fn agent_ids(
        &self,
        scope: Scope,
        agent: &str,
    ) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT id FROM agents WHERE tenant = $1 AND environment = $2 AND (id = ";
        let mut query = Query::scoped(sql, scope);
        query.bind(agent).push(" OR name = ").bind(agent);
        query
            .push(" OR email = ")
            .bind(agent.to_lowercase())
            .push(")");
        let rows = self.derived_rows(query).await?;
        rows.into_iter().map(|mut row| row.take(0)).collect()
    }
}

/// A pattern for `LIKE … ESCAPE '!'` that finds a text anywhere.
pub(super) fn like(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

/// Entities with what they are used by: of an environment, or `t.agent`'s.
pub(super) fn entity_sql(is_of_one_agent: bool) -> &'static str {
    match is_of_one_agent {
        false => {
            "SELECT t.kind, t.name, t.first_seen, t.last_seen, t.event_count, t.use_count, t.denied_count,
                 coalesce(u.agent_count, 0), coalesce(u.session_count, 0)
             FROM entities t LEFT JOIN used_by u ON u.tenant = t.tenant AND u.environment = t.environment
                 AND u.subject = t.kind AND u.name = t.name
             WHERE t.tenant = $1 AND t.environment = $2"
        }
        true => {
            "SELECT t.kind, t.name, t.first_seen, t.last_seen, t.event_count, t.use_count, t.denied_count,
                 CAST(1 AS bigint),
                 (SELECT count(*) FROM sessions s JOIN session_entities n ON n.tenant = s.tenant
                     AND n.environment = s.environment AND n.session = s.id
                     WHERE s.tenant = t.tenant AND s.environment = t.environment AND s.agent = t.agent
                         AND n.kind = t.kind AND n.name = t.name)
             FROM agent_entities t WHERE t.tenant = $1 AND t.environment = $2"
        }
    }
}

fn agent(mut row: Row) -> Result<Agent, StoreError> {
    Ok(Agent {
        id: row.take(0)?,
        name: row.take(1)?,
        owner: row.take(2)?,
        user_email: row.take(3)?,
        user_id: row.take(4)?,
        service: row.take(5)?,
        client_version: row.take(6)?,
        first_seen: row.take::<Timestamp>(7)?,
        last_seen: row.take(8)?,
        event_count: row.take(9)?,
        session_count: row.take(10)?,
        tool_count: row.take(11)?,
        mcp_tool_count: row.take(12)?,
        model_count: row.take(13)?,
        cost_usd: dollars(row.take(14)?),
    })
}

pub(super) fn entity(mut row: Row) -> Result<Entity, StoreError> {
    let kind: String = row.take(0)?;
    let kind = EntityKind::from_slug(&kind)
        .ok_or_else(|| StoreError::Unavailable(format!("{kind:?} is no kind of entity")))?;
    Ok(Entity {
        kind,
        name: row.take(1)?,
        protocol: (kind == EntityKind::McpTool).then_some("MCP"),
        first_seen: row.take(2)?,
        last_seen: row.take(3)?,
        event_count: row.take(4)?,
        use_count: row.take(5)?,
        denied_count: row.take(6)?,
        agent_count: row.take(7)?,
        session_count: row.take(8)?,
    })
}
