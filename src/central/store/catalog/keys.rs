//! Keys for an environment's API, never themselves: all of them, or those of one person.

use crate::central::store::query::{Query, Row};
use crate::central::store::{ApiKey, Role, StoreError};
use crate::event::Timestamp;

use super::{Catalog, Cataloged, Facet, Of, Rows, Values};

/// A key that was not used for so many days is idle.
const IDLE_AFTER_DAYS: i64 = 30;

impl Cataloged for ApiKey {
    const CATALOG: Catalog<ApiKey> = Catalog {
        facets: &[
            Facet {
                name: "state",
                title: "State",
                about: "Whether it can be used, and was: idle is for 30 days or longer.",
                one_of: &["in use", "idle", "not used yet", "expired"],
                values: Values::One("l.state"),
            },
            Facet {
                name: "role",
                title: "Role",
                about: "What it may do.",
                one_of: &["owner", "admin", "viewer"],
                values: Values::One("l.role"),
            },
            Facet {
                name: "whose",
                title: "Whose",
                about: "Whether it is a person's, or the environment's own.",
                one_of: &["a person", "the environment"],
                values: Values::One("l.whose"),
            },
        ],
        searches: "Name or id",
        of: &[],
        columns: &[
            ("name", "lower(l.name)"),
            ("role", "l.rank"),
            ("state", "l.state"),
            ("made", "l.created_at"),
            ("expires", "coalesce(l.expires_at, 9223372036854775807)"),
            ("last-used", "coalesce(l.last_used, 0)"),
        ],
        order: "made",
        texts: &["l.name", "l.id"],
        key: &["l.id"],
        rows: Rows::Selected(
            "l.id, l.name, l.role, l.created_at, l.person, l.expires_at, l.last_used",
            read,
        ),
        source,
        key_of: |key| vec![&key.id],
    };
}

fn source(query: &mut Query, of: &Of, now: Timestamp) {
    let (at, idle) = (
        query.name(now),
        query.name(now.days_before(IDLE_AFTER_DAYS)),
    );
    let own = match of {
        Of::Person(person) => format!(" AND person = {}", query.name(person.as_str())),
        Of::Environment | Of::Agent(_) | Of::Entity(..) => String::new(),
    };
    query.push(&format!(
        "(SELECT id, name, role, created_at, person, expires_at, last_used,
             CASE role WHEN 'owner' THEN 2 WHEN 'admin' THEN 1 ELSE 0 END AS rank,
             CASE WHEN expires_at <= {at} THEN 'expired' WHEN last_used IS NULL THEN 'not used yet'
                 WHEN last_used <= {idle} THEN 'idle' ELSE 'in use' END AS state,
             CASE WHEN person IS NULL THEN 'the environment' ELSE 'a person' END AS whose
         FROM api_keys WHERE tenant = $1 AND environment = $2{own}) l"
    ));
}

fn read(mut row: Row) -> Result<ApiKey, StoreError> {
    let role: String = row.take(2)?;
    Ok(ApiKey {
        id: row.take(0)?,
        name: row.take(1)?,
        role: Role::of(&role).word(),
        created_at: row.take(3)?,
        person_id: row.take(4)?,
        expires_at: row.take(5)?,
        last_used: row.take(6)?,
    })
}
