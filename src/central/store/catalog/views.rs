//! Saved views: those that a person has, their own and the shared ones.

use crate::central::store::query::{Query, Row};
use crate::central::store::{SavedView, StoreError};
use crate::event::Timestamp;

use super::{Catalog, Cataloged, Facet, Of, Rows, Values};

impl Cataloged for SavedView {
    const CATALOG: Catalog<SavedView> = Catalog {
        facets: &[
            Facet {
                name: "for",
                title: "For",
                about: "Whether everybody in the environment has it.",
                one_of: &["everybody", "you"],
                values: Values::One("l.whose"),
            },
            Facet {
                name: "list",
                title: "List",
                about: "Of which list it is, by the address without its filters.",
                one_of: &[],
                values: Values::One("l.list"),
            },
            Facet {
                name: "by",
                title: "Saved by",
                about: "Who saved it, by name.",
                one_of: &[],
                values: Values::One("l.saved_by"),
            },
        ],
        searches: "Name or address",
        of: &[],
        columns: &[
            ("name", "lower(l.name)"),
            ("address", "l.address"),
            ("for", "l.whose"),
            ("saved-by", "lower(l.saved_by)"),
            ("saved", "l.saved_at"),
        ],
        order: "name",
        texts: &["l.name", "l.address"],
        key: &["l.id"],
        rows: Rows::Selected(
            "l.id, l.name, l.address, l.is_shared, l.person, l.saved_by, l.saved_at",
            read,
        ),
        source,
        key_of: |view| vec![&view.id],
    };
}

fn source(query: &mut Query, of: &Of, _: Timestamp) {
    let person = match of {
        Of::Person(person) => query.name(person.as_str()),
        Of::Environment | Of::Agent(_) | Of::Entity(..) => query.name(""),
    };
    query.push(&format!(
        "(SELECT id, name, address, is_shared, person, saved_by, saved_at,
             CASE WHEN is_shared = 1 THEN 'everybody' ELSE 'you' END AS whose,
             CASE WHEN strpos(address, '?') > 0
                 THEN substr(address, 1, strpos(address, '?') - 1) ELSE address END AS list
         FROM saved_views WHERE tenant = $1 AND environment = $2
             AND (is_shared = 1 OR person = {person})) l"
    ));
}

fn read(mut row: Row) -> Result<SavedView, StoreError> {
    Ok(SavedView {
        id: row.take(0)?,
        name: row.take(1)?,
        address: row.take(2)?,
        is_shared: row.take::<i64>(3)? == 1,
        person_id: row.take(4)?,
        saved_by: row.take(5)?,
        saved_at: row.take(6)?,
    })
}
