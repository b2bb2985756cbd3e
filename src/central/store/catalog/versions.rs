//! Versions of the client, by the agents whose latest record came from them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::central::store::StoreError;
use crate::central::store::query::{Query, Row};
use crate::event::Timestamp;

use super::{Catalog, Cataloged, Facet, Of, Rows, Values};

/// A version of a client, by the agents whose latest record came from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ClientVersion {
    /// The client: `claude-code`, `cowork`, …
    pub client: Option<String>,
    /// Its version.
    pub version: String,
    /// Agents that use it.
    pub agent_count: i64,
    /// The latest activity of any of them.
    pub last_seen: Timestamp,
}

impl Cataloged for ClientVersion {
    const CATALOG: Catalog<ClientVersion> = Catalog {
        facets: &[Facet {
            name: "client",
            title: "Client",
            about: "The client: `claude-code`, `cowork`, …",
            one_of: &[],
            values: Values::One("nullif(l.client, '')"),
        }],
        searches: "Version",
        of: &[],
        columns: &[
            ("version", "lower(l.version)"),
            ("client", "lower(l.client)"),
            ("agents", "l.agents"),
            ("last-activity", "l.last_seen"),
        ],
        order: "-agents",
        texts: &["l.version"],
        key: &["l.client", "l.version"],
        rows: Rows::Selected("l.client, l.version, l.agents, l.last_seen", read),
        source,
        key_of: |version| vec![version.client.as_deref().unwrap_or(""), &version.version],
    };
}

fn source(query: &mut Query, _: &Of, _: Timestamp) {
    query.push(
        "(SELECT service AS client, version, count(*) AS agents, max(last_seen) AS last_seen FROM agents
         WHERE tenant = $1 AND environment = $2 AND version <> '' GROUP BY service, version) l",
    );
}

fn read(mut row: Row) -> Result<ClientVersion, StoreError> {
    let client: String = row.take(0)?;
    Ok(ClientVersion {
        client: Some(client).filter(|client| !client.is_empty()),
        version: row.take(1)?,
        agent_count: row.take(2)?,
        last_seen: row.take(3)?,
    })
}
