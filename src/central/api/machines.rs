//! The machines that edges run on: what they have sent, what is missing, and whether they report.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::Json;
use axum::response::NoContent;

use crate::central::Central;
use crate::central::store::{Fleet, Machine, MachineAgent, MachineToken, Page};
use crate::event::Timestamp;

use super::Answer;
use super::caller::{Admin, Reader};
use super::inventory::{facets, listed};
use super::narrow::{Narrow, Which};
use super::openapi::about;
use super::problem::Problem;
use super::request::{At, Id, List, Paging, Params, whole};

pub(super) fn routes() -> ApiRouter<Arc<Central>> {
    ApiRouter::new()
        .api_route(
            "/machines",
            get_with(
                machines,
                about(
                    "machines",
                    "The machines that edges run on, the latest seen first unless sorted.",
                ),
            ),
        )
        .api_route(
            "/machines/facets",
            get_with(
                facets::<Machine>,
                about(
                    "machineFacets",
                    "How many machines a filter has, and by what they can be narrowed, with counts.",
                ),
            ),
        )
        .api_route(
            "/fleet",
            get_with(
                fleet,
                about(
                    "fleet",
                    "How many machines there are of each kind, and what their records add up to.",
                ),
            ),
        )
        .api_route(
            "/machines/{id}",
            get_with(machine, about("machine", "One machine.")),
        )
        .api_route(
            "/machines/{id}/agents",
            get_with(
                agents,
                about(
                    "machineAgents",
                    "The agents whose sessions came by one machine, the latest first.",
                ),
            ),
        )
        .api_route(
            "/machines/{id}/tokens",
            get_with(
                tokens,
                about(
                    "machineTokens",
                    "The tokens that one machine sends with, the latest used first.",
                ),
            ),
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

async fn machines(
    Reader { central, scope, .. }: Reader,
    Narrow { criteria, .. }: Narrow<Machine>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Machine>> {
    listed(&central, scope, &criteria, paging).await
}

async fn fleet(
    Reader { central, scope, .. }: Reader,
    Which(narrow): Which<Machine>,
) -> Answer<Fleet> {
    let (store, now) = (&central.store, Timestamp::now());
    Ok(Json(store.fleet(scope, &narrow.criteria, now).await?))
}

async fn machine(Reader { central, scope, .. }: Reader, At(Id { id }): At<Id>) -> Answer<Machine> {
    let machine = central.store.machine(scope, &id, Timestamp::now()).await?;
    machine
        .map(Json)
        .ok_or_else(|| Problem::missing("machine", &id))
}

async fn agents(
    Reader { central, scope, .. }: Reader,
    At(Id { id }): At<Id>,
) -> Answer<List<MachineAgent>> {
    let store = &central.store;
    let machine = store.machine(scope, &id, Timestamp::now()).await?;
    machine.ok_or_else(|| Problem::missing("machine", &id))?;
    Ok(whole(store.agents_of_machine(scope, &id).await?))
}

async fn tokens(
    Reader { central, scope, .. }: Reader,
    At(Id { id }): At<Id>,
) -> Answer<List<MachineToken>> {
    let store = &central.store;
    let machine = store.machine(scope, &id, Timestamp::now()).await?;
    machine.ok_or_else(|| Problem::missing("machine", &id))?;
    central.write_usage().await?;
    Ok(whole(store.tokens_of_machine(scope, &id).await?))
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
