//! Owners: the people behind the agents.

use schemars::JsonSchema;
use serde::Serialize;

use crate::central::store::StoreError;
use crate::central::store::query::{Query, Row};
use crate::event::Timestamp;

use super::{Catalog, Cataloged, Facet, Of, Rows, Values};

/// An owner: the person, or the raw id, behind one or more agents.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Owner {
    /// The e-mail, else the raw id.
    pub owner: String,
    /// The e-mail, when there is one.
    pub user_email: Option<String>,
    /// The ids of the owner's agents.
    pub agent_ids: Vec<String>,
    /// Earliest event time.
    pub first_seen: Timestamp,
    /// Latest event time.
    pub last_seen: Timestamp,
    /// Events stored.
    pub event_count: i64,
}

impl Cataloged for Owner {
    const CATALOG: Catalog<Owner> = Catalog {
        facets: &[
            Facet {
                name: "known",
                title: "Known by",
                about: "Whether their agents' records carry an e-mail, or the client's own id alone.",
                one_of: &["e-mail", "raw id"],
                values: Values::One("l.known"),
            },
            Facet {
                name: "domain",
                title: "Domain",
                about: "What stands behind the @ of the e-mail.",
                one_of: &[],
                values: Values::One("l.domain"),
            },
        ],
        searches: "E-mail or id",
        of: &[],
        columns: &[
            ("owner", "lower(l.owner)"),
            ("known-by", "l.known"),
            ("agent-ids", "l.agents"),
            ("first-seen", "l.first_seen"),
            ("last-seen", "l.last_seen"),
            ("events", "l.event_count"),
        ],
        order: "-last-seen",
        texts: &["l.owner"],
        key: &["l.owner"],
        rows: Rows::Selected(
            "l.owner, l.email, l.ids, l.first_seen, l.last_seen, l.event_count",
            read,
        ),
        source,
        key_of: |owner| vec![&owner.owner],
    };
}

fn source(query: &mut Query, _: &Of, _: Timestamp) {
    query.push(
        "(SELECT o.owner, o.email, o.ids, o.agents, o.first_seen, o.last_seen, o.event_count,
             CASE WHEN o.email IS NULL THEN 'raw id' ELSE 'e-mail' END AS known,
             CASE WHEN strpos(o.email, '@') > 0
                 THEN substr(o.email, strpos(o.email, '@') + 1) END AS domain
         FROM (SELECT owner, max(email) AS email, string_agg(id, ',' ORDER BY id) AS ids,
                 count(*) AS agents, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
                 CAST(sum(event_count) AS bigint) AS event_count
             FROM agents WHERE tenant = $1 AND environment = $2 GROUP BY owner) o) l",
    );
}

fn read(mut row: Row) -> Result<Owner, StoreError> {
    let ids: String = row.take(2)?;
    Ok(Owner {
        owner: row.take(0)?,
        user_email: row.take(1)?,
        agent_ids: ids.split(',').map(str::to_owned).collect(),
        first_seen: row.take(3)?,
        last_seen: row.take(4)?,
        event_count: row.take(5)?,
    })
}
