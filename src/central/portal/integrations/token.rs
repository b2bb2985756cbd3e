//! One token: what came with it, who sends with it, and who would fall silent without it.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Html;

use crate::central::Central;
use crate::central::accounts::TokenDetail;
use crate::central::portal::event_row::{Link, Stamp, Tag};
use crate::central::portal::failure::Failure;
use crate::central::portal::inventory::fact;
use crate::central::portal::preferences::Preferences;
use crate::central::portal::shell::{Here, Section, Shell, draw};
use crate::central::portal::table::{Cell, Fact, Head, Row, Table};
use crate::central::portal::text::Text;
use crate::central::store::{SenderKind, TokenSender};
use crate::event::Timestamp;
use crate::words;

use super::tokens::{TokenRow, refused_words, rejected_words};

#[derive(Template)]
#[template(path = "token.html", config = "src/central/portal/askama.toml")]
struct TokenPage {
    shell: Shell,
    token: TokenRow,
    facts: Vec<Fact>,
    tables: Vec<Table>,
}

/// Someone looks what one token is used for.
pub(in crate::central::portal) async fn show(
    here: Here,
    State(central): State<Arc<Central>>,
) -> Result<Html<String>, Failure> {
    let detail = central.token(here.scope(), here.param("token")).await?;
    let detail = detail.ok_or(Failure::NotFound("token"))?;
    let token = TokenRow::new(&here, &detail.token, &detail.refused, Timestamp::now());
    let or_never = |time: Option<Timestamp>| {
        time.map_or(Cell::Words("never".to_owned()), |time| {
            Cell::Stamp(Stamp::brief(time))
        })
    };
    let facts = vec![
        fact("Id", Cell::Code(Text::name(&detail.token.id))),
        fact(
            "State",
            Cell::Tags(vec![Tag::new(token.icon, token.tone, token.state)]),
        ),
        fact("Made", Cell::Stamp(Stamp::brief(detail.token.issued_at))),
        fact(
            "Created by",
            match &detail.token.created_by {
                Some(by) => Cell::Name(Text::name(by)),
                None => Cell::Nothing,
            },
        ),
        fact(
            "Expires",
            Cell::Stamp(Stamp::brief(detail.token.expires_at)),
        ),
        fact("First used", or_never(detail.token.first_used)),
        fact("Last used", or_never(detail.token.last_used)),
        fact("Requests", Cell::Words(token.requests.clone())),
        fact("Signed by", Cell::Code(Text::name(&detail.token.key_id))),
    ];
    draw(&TokenPage {
        shell: here.shell(Section::Install),
        token,
        facts,
        tables: used_by(&here, &detail),
    })
}

/// What a token's page lists.
fn used_by(here: &Here, detail: &TokenDetail) -> Vec<Table> {
    let table = |heading, columns: &[&'static str], rows, empty| Table {
        heading: Some(heading),
        caption: heading,
        columns: Head::all(columns),
        rows,
        empty,
    };
    let row = |cells| Row { group: None, cells };
    let stamp = |time| Cell::Stamp(Stamp::brief(time));
    let number = |number| Cell::Words(words::count(number));
    let day = |time| Cell::Words(Preferences::current().format(time, "%Y-%m-%d"));
    let senders = detail.senders.iter().map(|sender| sender_row(here, sender));
    let days = detail.days.iter();
    let addresses = detail.addresses.iter();
    let rejected = detail.rejected.iter();
    let refused = detail.refused.iter();
    vec![
        table(
            "Who sends with it",
            &["Sender", "First used", "Last used", "When it is revoked"],
            senders.collect(),
            "No record came with it.",
        ),
        table(
            "Events by day, the last 30 days in UTC",
            &["Day", "#New events"],
            days.map(|of| row(vec![day(of.start), number(of.event_count)]))
                .collect(),
            "No event came with it.",
        ),
        table(
            "Addresses that it was used from, the latest 100",
            &["Address", "First used", "Last used", "#Requests"],
            addresses
                .map(|from| {
                    row(vec![
                        Cell::Code(Text::name(&from.address)),
                        stamp(from.first_used),
                        stamp(from.last_used),
                        number(from.request_count),
                    ])
                })
                .collect(),
            "No request was accepted with it.",
        ),
        table(
            "Records that were rejected while the rest of their request was stored",
            &["Why", "#Records", "First", "Latest"],
            rejected
                .map(|of| {
                    row(vec![
                        Cell::Words(rejected_words(&of.reason).to_owned()),
                        number(of.record_count),
                        stamp(of.first_rejected),
                        stamp(of.last_rejected),
                    ])
                })
                .collect(),
            "Every record that came with it was stored.",
        ),
        table(
            "Requests that were refused",
            &["Why", "#Requests", "First", "Latest"],
            refused
                .map(|of| {
                    row(vec![
                        Cell::Words(refused_words(&of.reason).to_owned()),
                        number(of.request_count),
                        stamp(of.first_refused),
                        stamp(of.last_refused),
                    ])
                })
                .collect(),
            "No request with it was refused.",
        ),
    ]
}

fn sender_row(here: &Here, sender: &TokenSender) -> Row {
    let name = sender.name.as_deref().unwrap_or(&sender.id);
    let href = match sender.kind {
        SenderKind::Agent => here.base.agent(&sender.id, "audit-logs"),
        SenderKind::Machine => here.base.entity("machines", &sender.id),
    };
    Row {
        group: None,
        cells: vec![
            Cell::Link(Link::new(href, name)),
            Cell::Stamp(Stamp::brief(sender.first_used)),
            Cell::Stamp(Stamp::brief(sender.last_used)),
            match sender.depends {
                true => Cell::Tags(vec![Tag::new("alert", "warn", "falls silent")]),
                false => Cell::Words(
                    "is heard: it has another token since, or sent nothing for 30 days".to_owned(),
                ),
            },
        ],
    }
}
