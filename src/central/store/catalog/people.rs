//! The people of an environment.

use crate::central::store::people::person;
use crate::central::store::query::{Query, Row};
use crate::central::store::{Member, Role, StoreError};
use crate::event::Timestamp;

use super::{Catalog, Cataloged, Facet, Of, Rows, Values};

impl Cataloged for Member {
    const CATALOG: Catalog<Member> = Catalog {
        facets: &[
            Facet {
                name: "role",
                title: "Role",
                about: "What the person is here.",
                one_of: &["owner", "admin", "viewer"],
                values: Values::One("l.role"),
            },
            Facet {
                name: "given",
                title: "Role given",
                about: "By whom the role was given: by somebody here, or by groups at the identity provider.",
                one_of: &["by hand", "by groups"],
                values: Values::One("l.given"),
            },
            Facet {
                name: "way",
                title: "Way in",
                about: "What the person can sign in with; who has neither needs a link.",
                one_of: &["single sign-on", "password", "neither"],
                values: Values::Each(&[
                    "l.identities > 0",
                    "l.has_password = 1",
                    "(l.identities = 0 AND l.has_password = 0)",
                ]),
            },
            Facet {
                name: "signed-in",
                title: "Signed in",
                about: "Whether a browser of the person's is signed in.",
                one_of: &["now", "not now"],
                values: Values::One("l.signed_in"),
            },
        ],
        searches: "Name",
        of: &[],
        columns: &[
            ("name", "lower(l.name)"),
            ("role", "l.rank"),
            ("last-seen", "coalesce(l.last_seen, 0)"),
            ("made", "l.created_at"),
        ],
        order: "name",
        texts: &["l.name"],
        key: &["l.id"],
        rows: Rows::Selected(
            "l.id, l.name, l.has_password, l.created_at, l.role, l.last_seen, l.sign_ins, l.identities, l.given",
            read,
        ),
        source,
        key_of: |member| vec![&member.person.id],
    };
}

fn source(query: &mut Query, _: &Of, _: Timestamp) {
    query.push(
        "(SELECT s.*, CASE WHEN s.sign_ins > 0 THEN 'now' ELSE 'not now' END AS signed_in
         FROM (SELECT p.id, p.name, p.created_at, m.role,
                 CASE WHEN p.password IS NULL THEN 0 ELSE 1 END AS has_password,
                 CASE m.role WHEN 'owner' THEN 2 WHEN 'admin' THEN 1 ELSE 0 END AS rank,
                 CASE WHEN m.by_groups_at IS NULL THEN 'by hand' ELSE 'by groups' END AS given,
                 (SELECT max(i.used_at) FROM sign_ins i WHERE i.person = p.id) AS last_seen,
                 (SELECT count(*) FROM sign_ins i WHERE i.person = p.id) AS sign_ins,
                 (SELECT count(*) FROM person_identities i WHERE i.person = p.id) AS identities
             FROM memberships m JOIN people p ON p.id = m.person
             WHERE m.tenant = $1 AND m.environment = $2) s) l",
    );
}

fn read(mut row: Row) -> Result<Member, StoreError> {
    let role: String = row.take(4)?;
    let given: String = row.take(8)?;
    Ok(Member {
        person: person(&mut row)?,
        role: Role::of(&role),
        last_seen: row.take(5)?,
        sign_in_count: row.take(6)?,
        has_single_sign_on: row.take::<i64>(7)? != 0,
        is_by_groups: given == "by groups",
    })
}
