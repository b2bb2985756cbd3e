//! The machines that edges run on: what they have sent, what is missing, and whether they report.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::Json;
use axum::response::NoContent;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{
    Concern, Fleet, Machine, MachineAgent, MachineFacet, MachineFilter, MachineState, MachineTerm,
    Page,
};
use crate::event::Timestamp;

use super::Answer;
use super::caller::{Admin, Reader};
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

/// Which machines are asked for. A name with a `-` before it leaves those out that have the value.
#[derive(Deserialize, JsonSchema)]
struct MachineQuery {
    /// Text in the host's name or the edge's id.
    text: Option<String>,
    /// How they report.
    state: Option<MachineState>,
    #[serde(rename = "-state")]
    not_state: Option<MachineState>,
    /// Why somebody should look at them.
    concern: Option<Concern>,
    #[serde(rename = "-concern")]
    not_concern: Option<Concern>,
    /// The operating system, as machines tell it.
    system: Option<String>,
    #[serde(rename = "-system")]
    not_system: Option<String>,
    /// The edge's version.
    version: Option<String>,
    #[serde(rename = "-version")]
    not_version: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct MachineOrder {
    /// `machine`, `system`, `last-seen`, `last-heartbeat`, `edge`, `appended`, `stored`, `waiting`, `dropped`
    /// or `unexplained`; with a `-` before it, the greatest first.
    sort: Option<String>,
}

impl MachineQuery {
    fn filter(self) -> MachineFilter {
        let state = |state: Option<MachineState>| state.map(|it| it.word().to_owned());
        let concern = |concern: Option<Concern>| concern.map(|it| it.slug().to_owned());
        let (of, not) = (false, true);
        let terms = [
            (MachineFacet::State, state(self.state), of),
            (MachineFacet::State, state(self.not_state), not),
            (MachineFacet::Concern, concern(self.concern), of),
            (MachineFacet::Concern, concern(self.not_concern), not),
            (MachineFacet::System, self.system, of),
            (MachineFacet::System, self.not_system, not),
            (MachineFacet::Version, self.version, of),
            (MachineFacet::Version, self.not_version, not),
        ];
        let term = |(facet, value, is_excluded): (_, Option<String>, _)| {
            Some(MachineTerm {
                facet,
                value: value?,
                is_excluded,
            })
        };
        MachineFilter {
            text: self.text.unwrap_or_default(),
            terms: terms.into_iter().filter_map(term).collect(),
            sort: String::new(),
        }
    }
}

async fn machines(
    Reader { central, scope, .. }: Reader,
    Params(query): Params<MachineQuery>,
    Params(order): Params<MachineOrder>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Machine>> {
    let filter = MachineFilter {
        sort: order.sort.unwrap_or_default(),
        ..query.filter()
    };
    if !filter.sort.is_empty() && !filter.has_order() {
        return Err(Problem::unusable(format!(
            "sort can be one of {}, or - and one of them",
            MachineFilter::COLUMNS.join(", ")
        )));
    }
    let now = Timestamp::now();
    Ok(Json(
        central
            .store
            .machines(scope, &filter, now, paging.into())
            .await?,
    ))
}

async fn fleet(
    Reader { central, scope, .. }: Reader,
    Params(query): Params<MachineQuery>,
) -> Answer<Fleet> {
    let filter = query.filter();
    Ok(Json(
        central
            .store
            .fleet(scope, &filter, Timestamp::now())
            .await?,
    ))
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
