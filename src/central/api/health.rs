//! `/api/v1/agents/{id}/health`: the way of one agent's records.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::Json;
use schemars::JsonSchema;
use serde::Serialize;

use crate::central::Central;
use crate::central::store::{AgentMachine, AgentVersion};
use crate::event::Timestamp;

use super::Answer;
use super::caller::Reader;
use super::openapi::about;
use super::problem::Problem;
use super::request::{At, Id};

pub(super) fn routes() -> ApiRouter<Arc<Central>> {
    ApiRouter::new()
        .api_route(
            "/agents/{id}/health",
            get_with(
                health,
                about(
                    "agentHealth",
                    "The machines and versions of the client that one agent's sessions came by.",
                ),
            ),
        )
        .with_path_items(|item| item.tag("Inventory"))
}

#[derive(Serialize, JsonSchema)]
struct AgentHealth {
    /// Machines, the latest first.
    machines: Vec<AgentMachine>,
    /// Versions of the client, the latest first.
    versions: Vec<AgentVersion>,
}

async fn health(
    Reader { central, scope, .. }: Reader,
    At(Id { id }): At<Id>,
) -> Answer<AgentHealth> {
    let store = &central.store;
    if store.agent(scope, &id, Timestamp::now()).await?.is_none() {
        return Err(Problem::missing("agent", &id));
    }
    Ok(Json(AgentHealth {
        machines: store.machines_of_agent(scope, &id).await?,
        versions: store.versions_of_agent(scope, &id).await?,
    }))
}
