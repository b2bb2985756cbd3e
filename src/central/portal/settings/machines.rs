//! When machines are late or silent, for the environment's admins.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{Html, Redirect};
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{MachineRules, Role};

use super::{Tab, tabs};
use crate::central::portal::failure::Failure;
use crate::central::portal::shell::{Here, Section, Shell, draw};

#[derive(Template)]
#[template(
    path = "settings_machines.html",
    config = "src/central/portal/askama.toml"
)]
struct MachinesPage {
    shell: Shell,
    tabs: Vec<Tab>,
    action: String,
    late_minutes: i64,
    rules: MachineRules,
}

/// What the form sends: minutes and working days.
#[derive(Deserialize)]
pub(in crate::central::portal) struct Rules {
    late: i64,
    silent: i64,
    usual: i64,
    of: i64,
}

/// Someone looks at the rules.
pub(in crate::central::portal) async fn page(
    here: Here,
    State(central): State<Arc<Central>>,
) -> Result<Html<String>, Failure> {
    here.require(Role::Admin)?;
    let rules = central.store.machine_rules(here.scope()).await?;
    draw(&MachinesPage {
        shell: here.shell(Section::Settings),
        tabs: tabs(&here, "machines"),
        action: here.base.settings("machines"),
        // The form knows whole minutes; one that was begun counts.
        late_minutes: (rules.late_after_seconds + 59) / 60,
        rules,
    })
}

/// Someone changes them.
pub(in crate::central::portal) async fn change(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(form): Form<Rules>,
) -> Result<Redirect, Failure> {
    here.require(Role::Admin)?;
    let rules = MachineRules {
        late_after_seconds: form.late.saturating_mul(60),
        silent_after_days: form.silent,
        usual_days: form.usual,
        usual_of_days: form.of,
    };
    rules.check().map_err(Failure::BadRequest)?;
    central
        .set_machine_rules(&here.environment, rules, &here.actor())
        .await?;
    Ok(Redirect::to(&here.base.settings("machines")))
}
