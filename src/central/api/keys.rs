//! `/api/v1/api-keys`: what lets programs into an environment.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, get_with};
use axum::response::NoContent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::central::Central;
use crate::central::accounts::check_name;
use crate::central::people::Actor;
use crate::central::store::{Access, ApiKey, AuditEntry, Environment, Page, Role};

use super::Answer;
use super::caller::Admin;
use super::inventory::listed;
use super::narrow::Narrow;
use super::openapi::about;
use super::problem::Problem;
use super::request::{At, Created, Fields, Id, Paging, Params};

pub(super) fn routes() -> ApiRouter<Arc<Central>> {
    ApiRouter::new()
        .api_route(
            "/api-keys",
            get_with(
                keys,
                about(
                    "apiKeys",
                    "The environment's API keys, without themselves, the oldest first unless sorted.",
                ),
            )
            .post_with(
                create_key,
                about("makeApiKey", "Makes an API key, shown once."),
            ),
        )
        .api_route(
            "/api-keys/{id}",
            delete_with(
                delete_key,
                about("deleteApiKey", "Ends an API key at once."),
            ),
        )
        .with_path_items(|item| item.tag("Environment"))
}

/// The key to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewKey {
    /// What it is for.
    name: String,
    /// What it may do: `viewer` unless given.
    role: Role,
}

impl Default for NewKey {
    fn default() -> NewKey {
        NewKey {
            name: String::new(),
            role: Role::Viewer,
        }
    }
}

/// A key that was made.
#[derive(Serialize, JsonSchema)]
pub(super) struct ShownKey {
    /// The key itself, which is not shown again.
    pub(super) api_key: String,
    /// What it is for.
    pub(super) name: String,
    /// What it may do.
    pub(super) role: &'static str,
}

/// Makes a key for an environment.
pub(super) async fn make_key(
    central: &Central,
    environment: &Environment,
    NewKey { name, role }: NewKey,
    actor: &Actor,
) -> Result<Created<ShownKey>, Problem> {
    check_name(&name).map_err(Problem::unusable)?;
    let entry = AuditEntry {
        became: role.word().to_owned(),
        ..central.entry(actor, Some(environment), "api_key.made", &*name)
    };
    central.audit(entry).await?;
    let access = Access::Environment(environment.scope, role);
    let key = central.create_api_key(access, &name).await?;
    Ok(Created(ShownKey {
        api_key: key.expose().to_owned(),
        name,
        role: role.word(),
    }))
}

async fn keys(
    Admin {
        central,
        environment,
        ..
    }: Admin,
    Narrow { criteria, .. }: Narrow<ApiKey>,
    Params(paging): Params<Paging>,
) -> Answer<Page<ApiKey>> {
    listed(&central, environment.scope, &criteria, paging).await
}

async fn create_key(
    Admin {
        central,
        environment,
        actor,
        role: actor_role,
    }: Admin,
    Fields(new): Fields<NewKey>,
) -> Result<Created<ShownKey>, Problem> {
    if actor_role < new.role {
        return Err(Problem::forbidden(
            "a key may do no more than whoever makes it",
        ));
    }
    make_key(&central, &environment, new, &actor).await
}

async fn delete_key(
    Admin {
        central,
        environment,
        actor,
        ..
    }: Admin,
    At(Id { id }): At<Id>,
) -> Result<NoContent, Problem> {
    let key = central.store.api_key(environment.scope, &id).await?;
    key.ok_or_else(|| Problem::missing("API key", &id))?;
    let entry = central.entry(&actor, Some(&environment), "api_key.deleted", &*id);
    central.audit(entry).await?;
    match central.store.delete_api_key(environment.scope, &id).await? {
        true => Ok(NoContent),
        false => Err(Problem::missing("API key", &id)),
    }
}
