//! One's own account: password, browsers that are signed in.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{Html, Redirect};
use serde::Deserialize;

use crate::central::Central;
use crate::central::people::NewPassword;
use crate::secret::Secret;

use super::{Tab, tabs};
use crate::central::portal::event_row::Stamp;
use crate::central::portal::failure::Failure;
use crate::central::portal::shell::{Here, Section, Shell, draw};
use crate::central::portal::text::Text;

#[derive(Template)]
#[template(
    path = "settings_account.html",
    config = "src/central/portal/askama.toml"
)]
struct AccountPage {
    shell: Shell,
    tabs: Vec<Tab>,
    /// Whether a password would let the person in.
    passwords: bool,
    has_password: bool,
    action: String,
    rows: Vec<SignInView>,
}

struct SignInView {
    client: Text,
    how: Text,
    address: Text,
    since: Stamp,
    used: Stamp,
}

/// What the form for a new password sends.
#[derive(Deserialize)]
pub(in crate::central::portal) struct Change {
    #[serde(default)]
    old: String,
    #[serde(default)]
    new: String,
}

/// Someone looks at their account.
pub(in crate::central::portal) async fn page(
    here: Here,
    State(central): State<Arc<Central>>,
) -> Result<Html<String>, Failure> {
    let person = &here.session.person;
    let rows = central.store.sign_ins(&person.id).await?;
    draw(&AccountPage {
        shell: here.shell(Section::Settings),
        tabs: tabs(&here, "account"),
        passwords: central.has_passwords && !central.follows_groups(person).await?,
        has_password: person.has_password,
        action: here.base.settings("account/password"),
        rows: rows
            .iter()
            .map(|row| SignInView {
                client: Text::name(&row.client),
                how: Text::name(&row.how),
                address: Text::name(&row.address),
                since: Stamp::brief(row.created_at),
                used: Stamp::brief(row.used_at),
            })
            .collect(),
    })
}

/// Someone sets their password. Whoever has one must know it; every other browser is signed out.
pub(in crate::central::portal) async fn change_password(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(change): Form<Change>,
) -> Result<Redirect, Failure> {
    let person = &here.session.person;
    if person.has_password {
        let old = Secret::new(change.old);
        central.check_password(person, &old, &here.from).await?;
    }
    let new = NewPassword::Given(Secret::new(change.new));
    let kept = Some(&*here.session.hash);
    central
        .change_password(person, new, kept, &here.actor())
        .await?;
    Ok(Redirect::to(&here.base.settings("account")))
}
