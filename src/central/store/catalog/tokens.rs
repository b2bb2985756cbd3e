//! Tokens, never themselves: what is known of them, and of who sends with them.

use crate::central::store::query::{Query, Row};
use crate::central::store::token_senders::{depends, since};
use crate::central::store::{StoreError, Token};
use crate::event::Timestamp;

use super::{Catalog, Cataloged, Facet, Of, Rows, Values};

impl Cataloged for Token {
    const CATALOG: Catalog<Token> = Catalog {
        facets: &[
            Facet {
                name: "state",
                title: "State",
                about: "Whether it can be used, and was.",
                one_of: &["in use", "not used yet", "expired", "revoked"],
                values: Values::One("l.state"),
            },
            Facet {
                name: "trouble",
                title: "Trouble",
                about: "Whether requests with it were refused, or some of its records were rejected.",
                one_of: &["requests refused", "records rejected"],
                values: Values::Each(&[
                    "EXISTS (SELECT 1 FROM token_refusals x WHERE x.tenant = $1 AND x.environment = $2
                         AND x.token = l.id)",
                    "EXISTS (SELECT 1 FROM token_rejections x WHERE x.tenant = $1
                         AND x.environment = $2 AND x.token = l.id)",
                ]),
            },
            Facet {
                name: "by",
                title: "Created by",
                about: "Who made it, by name.",
                one_of: &[],
                values: Values::One("l.created_by"),
            },
        ],
        searches: "Name or id",
        of: &[],
        columns: &[
            ("token", "lower(l.name)"),
            ("state", "l.state"),
            ("made", "l.issued_at"),
            ("created-by", "lower(coalesce(l.created_by, ''))"),
            ("expires", "l.expires_at"),
            ("first-used", "coalesce(l.first_used, 0)"),
            ("last-used", "coalesce(l.last_used, 0)"),
            ("requests", "l.requests"),
            ("events-a-day", "l.events_7d"),
            ("agents", "l.agents"),
            ("machines", "l.machines"),
        ],
        order: "-made",
        texts: &["l.name", "l.id"],
        key: &["l.id"],
        rows: Rows::Selected(
            "l.id, l.name, l.platform, l.key_id, l.created_by, l.issued_at, l.expires_at, l.revoked_at,
            l.first_used, l.last_used, l.requests, l.last_address, l.events_7d, l.agents, l.machines,
            l.agents_depend, l.machines_depend",
            read,
        ),
        source,
        key_of: |token| vec![&token.id],
    };
}

fn source(query: &mut Query, _: &Of, now: Timestamp) {
    let (since, at) = (query.name(since(now)), query.name(now));
    let week = query.name(now.day() - 7);
    let senders = |table: &str, which: &str| {
        format!(
            "(SELECT count(*) FROM {table} x WHERE x.tenant = k.tenant
                 AND x.environment = k.environment AND x.token = k.id AND {which})"
        )
    };
    let lately = format!("x.last_used >= {since}");
    let agents = senders("token_agents", &lately);
    let machines = senders("token_machines", &lately);
    let agents_depend = depends("token_agents", "agent", &since, &at);
    let agents_depend = senders("token_agents", &agents_depend);
    let machines_depend = depends("token_machines", "machine", &since, &at);
    let machines_depend = senders("token_machines", &machines_depend);
    query.push(&format!(
        "(SELECT k.id, k.name, k.platform, k.key_id, nullif(k.created_by, '') AS created_by, k.issued_at,
             k.expires_at, k.revoked_at, u.first_used, u.last_used,
             coalesce(u.request_count, 0) AS requests, nullif(u.last_address, '') AS last_address,
             CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked' WHEN k.expires_at <= {at} THEN 'expired'
                 WHEN u.first_used IS NULL THEN 'not used yet' ELSE 'in use' END AS state,
             coalesce((SELECT CAST(sum(d.event_count) AS bigint) FROM token_days d
                 WHERE d.tenant = k.tenant AND d.environment = k.environment AND d.token = k.id
                     AND d.day > {week}), 0) AS events_7d,
             {agents} AS agents, {machines} AS machines,
             {agents_depend} AS agents_depend, {machines_depend} AS machines_depend
         FROM tokens k
         LEFT JOIN token_use u ON u.tenant = k.tenant AND u.environment = k.environment
             AND u.token = k.id
         WHERE k.tenant = $1 AND k.environment = $2) l"
    ));
}

fn read(mut row: Row) -> Result<Token, StoreError> {
    Ok(Token {
        id: row.take(0)?,
        name: row.take(1)?,
        platform: row.take(2)?,
        key_id: row.take(3)?,
        created_by: row.take(4)?,
        issued_at: row.take(5)?,
        expires_at: row.take(6)?,
        revoked_at: row.take(7)?,
        first_used: row.take(8)?,
        last_used: row.take(9)?,
        request_count: row.take(10)?,
        last_address: row.take(11)?,
        event_count_7d: row.take(12)?,
        agent_count: row.take(13)?,
        machine_count: row.take(14)?,
        dependent_agents: row.take(15)?,
        dependent_machines: row.take(16)?,
    })
}
