//! By which rules machines are late or silent.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::Json;

use crate::central::Central;
use crate::central::store::MachineRules;

use super::Answer;
use super::caller::{Admin, Reader};
use super::openapi::about;
use super::problem::Problem;
use super::request::Fields;

pub(super) fn routes() -> ApiRouter<Arc<Central>> {
    ApiRouter::new()
        .api_route(
            "/machine-rules",
            get_with(
                rules,
                about("machineRules", "When a machine is late, and when silent."),
            )
            .put_with(
                set_rules,
                about(
                    "setMachineRules",
                    "Sets when a machine is late, and when silent; what is left out is as it is unless set.",
                ),
            ),
        )
        .with_path_items(|item| item.tag("Machines"))
}

async fn rules(Reader { central, scope, .. }: Reader) -> Answer<MachineRules> {
    Ok(Json(central.store.machine_rules(scope).await?))
}

async fn set_rules(
    Admin {
        central,
        environment,
        actor,
        ..
    }: Admin,
    Fields(rules): Fields<MachineRules>,
) -> Answer<MachineRules> {
    rules.check().map_err(Problem::unusable)?;
    central
        .set_machine_rules(&environment, rules, &actor)
        .await?;
    Ok(Json(rules))
}
