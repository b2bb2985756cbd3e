//! The machines that edges run on: what they have sent, what is missing, and whether they report.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::Json;
use axum::response::NoContent;

use crate::central::Central;
use crate::central::store::Machine;
use crate::event::Timestamp;

use super::Answer;
use super::caller::{Admin, Reader};
use super::openapi::about;
use super::problem::Problem;
use super::request::{At, Id, List, whole};

pub(super) fn routes() -> ApiRouter<Arc<Central>> {
    ApiRouter::new()
        .api_route(
            "/machines",
            get_with(
                machines,
                about("machines", "The machines that edges run on."),
            ),
        )
        .api_route(
            "/machines/{id}",
            get_with(machine, about("machine", "One machine.")),
        )
        .api_route(
            "/machines/{id}/retire",
            post_with(
                retire,
                about(
                    "retireMachine",
                    "Puts a machine aside until it reports again.",
                ),
            ),
        )
        .api_route(
            "/machines/{id}/restore",
            post_with(
                restore,
                about("restoreMachine", "Takes back that a machine was put aside."),
            ),
        )
        .with_path_items(|item| item.tag("Machines"))
}

async fn machines(Reader { central, scope, .. }: Reader) -> Answer<List<Machine>> {
    Ok(whole(
        central.store.machines(scope, Timestamp::now()).await?,
    ))
}

async fn machine(Reader { central, scope, .. }: Reader, At(Id { id }): At<Id>) -> Answer<Machine> {
    let machine = central.store.machine(scope, &id, Timestamp::now()).await?;
    machine
        .map(Json)
        .ok_or_else(|| Problem::missing("machine", &id))
}

async fn retire(admin: Admin, At(Id { id }): At<Id>) -> Result<NoContent, Problem> {
    put_aside(&admin, &id, true).await
}

async fn restore(admin: Admin, At(Id { id }): At<Id>) -> Result<NoContent, Problem> {
    put_aside(&admin, &id, false).await
}

async fn put_aside(
    Admin {
        central,
        environment,
        actor,
        ..
    }: &Admin,
    id: &str,
    retired: bool,
) -> Result<NoContent, Problem> {
    match central
        .retire_machine(environment, id, retired, actor)
        .await?
    {
        true => Ok(NoContent),
        false => Err(Problem::missing("machine", id)),
    }
}
