//! The agents that used one tool, MCP tool, model or directory.

use schemars::JsonSchema;
use serde::Serialize;

use crate::central::store::StoreError;
use crate::central::store::query::{Query, Row};
use crate::event::Timestamp;

use super::{Catalog, Cataloged, Facet, Of, Rows, Values};

/// An agent that used an entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EntityUser {
    /// The agent's id.
    pub agent_id: String,
    /// Its name.
    pub agent_name: String,
    /// Its owner.
    pub owner: String,
    /// Earliest event that names both.
    pub first_seen: Timestamp,
    /// Latest event that names both.
    pub last_seen: Timestamp,
    /// Times that it was used.
    pub use_count: i64,
    /// Permission decisions against it.
    pub denied_count: i64,
}

impl Cataloged for EntityUser {
    const CATALOG: Catalog<EntityUser> = Catalog {
        facets: &[
            Facet {
                name: "platform",
                title: "Platform",
                about: "The client, as the agent's latest record names it.",
                one_of: &[],
                values: Values::One("l.service"),
            },
            Facet {
                name: "version",
                title: "Client version",
                about: "The client's version in the agent's latest record.",
                one_of: &[],
                values: Values::One("l.version"),
            },
            Facet {
                name: "denials",
                title: "Denials",
                about: "Whether anybody ever said no to it, of those that are asked for.",
                one_of: &["denied at times", "never denied"],
                values: Values::One("l.denials"),
            },
        ],
        searches: "Agent, e-mail or id",
        of: &["kind", "name"],
        columns: &[
            ("agent", "lower(l.agent_name)"),
            ("owner", "lower(l.owner)"),
            ("first-used", "l.first_seen"),
            ("last-used", "l.last_seen"),
            ("uses", "l.use_count"),
            ("denied", "l.denied_count"),
        ],
        order: "-last-used",
        texts: &["l.agent_name", "l.owner", "l.agent_id"],
        key: &["l.agent_id"],
        rows: Rows::Selected(
            "l.agent_id, l.agent_name, l.owner, l.first_seen, l.last_seen, l.use_count, l.denied_count",
            read,
        ),
        source,
        key_of: |user| vec![&user.agent_id],
    };
}

fn source(query: &mut Query, of: &Of, _: Timestamp) {
    let (kind, name) = match of {
        Of::Entity(kind, name) => (kind.slug(), name.as_str()),
        Of::Environment | Of::Agent(_) | Of::Person(_) => ("", ""),
    };
    let (kind, name) = (query.name(kind), query.name(name));
    query.push(&format!(
        "(SELECT a.id AS agent_id, a.name AS agent_name, a.owner, nullif(a.service, '') AS service,
             nullif(a.version, '') AS version, n.first_seen, n.last_seen, n.use_count, n.denied_count,
             CASE WHEN n.kind NOT IN ('tool', 'mcp_tool') THEN NULL
                 WHEN n.denied_count > 0 THEN 'denied at times' ELSE 'never denied' END AS denials
         FROM agent_entities n
         JOIN agents a ON a.tenant = n.tenant AND a.environment = n.environment AND a.id = n.agent
         WHERE n.tenant = $1 AND n.environment = $2 AND n.kind = {kind} AND n.name = {name}) l"
    ));
}

fn read(mut row: Row) -> Result<EntityUser, StoreError> {
    Ok(EntityUser {
        agent_id: row.take(0)?,
        agent_name: row.take(1)?,
        owner: row.take(2)?,
        first_seen: row.take(3)?,
        last_seen: row.take(4)?,
        use_count: row.take(5)?,
        denied_count: row.take(6)?,
    })
}
