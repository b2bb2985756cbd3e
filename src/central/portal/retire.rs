//! Putting a machine aside that will not report again, and taking that back.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{Html, Redirect};
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{Machine, MachineState, Role};
use crate::event::Timestamp;

use super::failure::Failure;
use super::shell::{Here, Section, Shell, draw};
use super::text::visible;

#[derive(Template)]
#[template(path = "retire.html", config = "src/central/portal/askama.toml")]
struct RetirePage {
    shell: Shell,
    machines: String,
    machine: String,
    name: String,
    is_retired: bool,
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Decision {
    retired: bool,
}

/// Someone thinks about it.
pub(super) async fn page(
    here: Here,
    State(central): State<Arc<Central>>,
) -> Result<Html<String>, Failure> {
    here.require(Role::Admin)?;
    let id = here.param("machine");
    let machine = central.store.machine(here.scope(), id, Timestamp::now());
    let machine = machine.await?.ok_or(Failure::NotFound("machine"))?;
    draw(&RetirePage {
        shell: here.shell(Section::Machines),
        machines: here.base.inventory("machines"),
        machine: here.base.entity("machines", id),
        name: visible(machine.host_name.as_deref().unwrap_or(id)),
        is_retired: machine.state == MachineState::Retired,
    })
}

/// Someone decides.
pub(super) async fn decide(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(Decision { retired }): Form<Decision>,
) -> Result<Redirect, Failure> {
    here.require(Role::Admin)?;
    let id = here.param("machine");
    let actor = here.actor();
    let is_known = central
        .retire_machine(&here.environment, id, retired, &actor)
        .await?;
    match is_known {
        true => Ok(Redirect::to(&here.base.entity("machines", id))),
        false => Err(Failure::NotFound("machine")),
    }
}

/// The link to the page, for whoever may decide.
pub(super) fn action(here: &Here, machine: &Machine) -> Option<(String, &'static str)> {
    let label = match machine.state {
        MachineState::Retired => "Restore…",
        _ => "Retire…",
    };
    let address = format!("{}/retire", here.base.entity("machines", &machine.id));
    (here.role >= Role::Admin).then_some((address, label))
}
