//! What stands above the environments, for holders of an operator's key: tenants, environments, signing
//! keys. No records are shown here.
//!
//! Deleting asks for the name again (`?confirm=NAME`); without it, nothing goes, and the answer says what
//! would.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, get_with, post_with};
use axum::Json;
use axum::http::StatusCode;
use axum::response::NoContent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::central::Central;
use crate::central::accounts::check_name;
use crate::central::keys::{KeyChangeError, SigningKey};
use crate::central::store::{Access, ApiKey, Contents, Environment, Tenant};

use super::Answer;
use super::caller::Operator;
use super::keys::{NewKey, ShownKey, make_key};
use super::openapi::{about, conflicting};
use super::problem::Problem;
use super::request::{At, Created, Fields, Id, List, Params, whole};

/// The routes.
pub(super) fn routes() -> ApiRouter<Arc<Central>> {
    let tenants = ApiRouter::new()
        .api_route(
            "/tenants",
            get_with(tenants, about("tenants", "The tenants.")).post_with(
                create,
                conflicting("makeTenant", "Makes a tenant with an environment."),
            ),
        )
        .api_route(
            "/tenants/{tenant}",
            get_with(tenant, about("tenant", "One tenant."))
                .patch_with(
                    rename_tenant,
                    conflicting("renameTenant", "Names a tenant."),
                )
                .delete_with(
                    delete_tenant,
                    conflicting(
                        "deleteTenant",
                        "Deletes a tenant and everything in it, once it is confirmed.",
                    ),
                ),
        )
        .api_route(
            "/tenants/{tenant}/environments",
            get_with(
                environments,
                about("environments", "A tenant's environments."),
            )
            .post_with(
                create_environment,
                conflicting("makeEnvironment", "Makes an environment."),
            ),
        )
        .api_route(
            "/tenants/{tenant}/environments/{environment}",
            get_with(environment, about("anEnvironment", "One environment."))
                .patch_with(
                    rename_environment,
                    conflicting("renameEnvironment", "Names an environment."),
                )
                .delete_with(
                    delete_environment,
                    conflicting(
                        "deleteEnvironment",
                        "Deletes an environment and everything in it, once it is confirmed.",
                    ),
                ),
        )
        .api_route(
            "/tenants/{tenant}/environments/{environment}/api-keys",
            post_with(
                create_key,
                about(
                    "makeKeyOfEnvironment",
                    "Makes an API key for an environment, shown once.",
                ),
            ),
        );
    let keys = ApiRouter::new()
        .api_route(
            "/operator-keys",
            get_with(
                keys,
                about("operatorKeys", "The operators' keys, without themselves."),
            )
            .post_with(
                create_operator_key,
                about("makeOperatorKey", "Makes an operator's key, shown once."),
            ),
        )
        .api_route(
            "/operator-keys/{id}",
            delete_with(
                delete_operator_key,
                about("deleteOperatorKey", "Ends an operator's key at once."),
            ),
        )
        .api_route(
            "/signing-keys",
            get_with(
                signing_keys,
                about(
                    "signingKeys",
                    "The keys that sign tokens, without themselves.",
                ),
            ),
        )
        .api_route(
            "/signing-keys/rotate",
            post_with(
                rotate,
                conflicting(
                    "rotateSigningKey",
                    "Makes a new signing key; the old ones go on verifying.",
                ),
            ),
        )
        .api_route(
            "/signing-keys/{id}",
            delete_with(
                retire,
                conflicting(
                    "retireSigningKey",
                    "Ends a signing key, and the tokens that it signed.",
                ),
            ),
        );
    tenants
        .merge(keys)
        .with_path_items(|item| item.tag("Operators"))
}

/// A tenant's name, as the address has it.
#[derive(Deserialize, JsonSchema)]
struct InTenant {
    /// The tenant's name.
    tenant: String,
}

/// An environment, as the address has it.
#[derive(Deserialize, JsonSchema)]
struct InEnvironment {
    /// The tenant's name.
    tenant: String,
    /// The environment's name.
    environment: String,
}

/// What something is to be called.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Named {
    /// The name.
    name: String,
}

#[derive(Deserialize, JsonSchema)]
struct Confirmation {
    /// The name of what is to go, again.
    confirm: Option<String>,
}

impl Confirmation {
    /// Refuses what was not confirmed by its name, and says what would go.
    fn of(&self, name: &str, contents: &Contents) -> Result<(), Problem> {
        if self.confirm.as_deref() == Some(name) {
            return Ok(());
        }
        Err(Problem {
            status: StatusCode::CONFLICT,
            title: "This deletes what cannot be brought back",
            detail: format!("add ?confirm={name} to delete {contents}"),
        })
    }
}

async fn tenants(Operator { central, .. }: Operator) -> Answer<List<Tenant>> {
    Ok(whole(central.store.tenants().await?))
}

/// The tenant to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewTenant {
    /// Its name in addresses.
    name: String,
    /// The name of its first environment: `default` unless given.
    #[serde(default = "default_environment")]
    environment: String,
}

fn default_environment() -> String {
    "default".to_owned()
}

async fn create(
    Operator { central, actor }: Operator,
    Fields(new): Fields<Option<NewTenant>>,
) -> Result<Created<Environment>, Problem> {
    let new = new.ok_or_else(|| Problem::unusable("send {\"name\": \"…\"}"))?;
    let made = central
        .create_environment(&new.name, &new.environment)
        .await?;
    central
        .audit(central.entry(&actor, Some(&made), "environment.made", ""))
        .await?;
    Ok(Created(made))
}

async fn tenant(
    Operator { central, .. }: Operator,
    At(InTenant { tenant }): At<InTenant>,
) -> Answer<Tenant> {
    Ok(Json(central.tenant(&tenant).await?))
}

async fn rename_tenant(
    Operator { central, .. }: Operator,
    At(InTenant { tenant }): At<InTenant>,
    Fields(Named { name }): Fields<Named>,
) -> Result<NoContent, Problem> {
    central.rename_tenant(&tenant, &name).await?;
    Ok(NoContent)
}

async fn delete_tenant(
    Operator { central, .. }: Operator,
    At(InTenant { tenant }): At<InTenant>,
    Params(confirmation): Params<Confirmation>,
) -> Result<NoContent, Problem> {
    let contents = central.tenant_contents(&tenant).await?;
    confirmation.of(&tenant, &contents)?;
    central.delete_tenant(&tenant).await?;
    Ok(NoContent)
}

async fn environments(
    Operator { central, .. }: Operator,
    At(InTenant { tenant }): At<InTenant>,
) -> Answer<List<Environment>> {
    central.tenant(&tenant).await?;
    let mut environments = central.store.environments().await?;
    environments.retain(|environment| environment.tenant == tenant);
    Ok(whole(environments))
}

async fn create_environment(
    Operator { central, .. }: Operator,
    At(InTenant { tenant }): At<InTenant>,
    Fields(Named { name }): Fields<Named>,
) -> Result<Created<Environment>, Problem> {
    central.tenant(&tenant).await?;
    let made = central.create_environment(&tenant, &name).await?;
    Ok(Created(made))
}

async fn environment(
    Operator { central, .. }: Operator,
    At(InEnvironment {
        tenant,
        environment,
    }): At<InEnvironment>,
) -> Answer<Environment> {
    Ok(Json(central.environment(&tenant, &environment).await?))
}

async fn rename_environment(
    Operator { central, .. }: Operator,
    At(InEnvironment {
        tenant,
        environment,
    }): At<InEnvironment>,
    Fields(Named { name }): Fields<Named>,
) -> Result<NoContent, Problem> {
    let environment = central.environment(&tenant, &environment).await?;
    central.rename_environment(&environment, &name).await?;
    Ok(NoContent)
}

async fn delete_environment(
    Operator { central, .. }: Operator,
    At(InEnvironment {
        tenant,
        environment,
    }): At<InEnvironment>,
    Params(confirmation): Params<Confirmation>,
) -> Result<NoContent, Problem> {
    let environment = central.environment(&tenant, &environment).await?;
    let contents = central.environment_contents(&environment).await?;
    confirmation.of(&environment.environment, &contents)?;
    central.delete_environment(&environment).await?;
    Ok(NoContent)
}

async fn create_key(
    Operator { central, actor }: Operator,
    At(InEnvironment {
        tenant,
        environment,
    }): At<InEnvironment>,
    Fields(new): Fields<NewKey>,
) -> Result<Created<ShownKey>, Problem> {
    let environment = central.environment(&tenant, &environment).await?;
    make_key(&central, &environment, new, &actor).await
}

async fn keys(Operator { central, .. }: Operator) -> Answer<List<ApiKey>> {
    Ok(whole(central.store.operator_keys().await?))
}

async fn create_operator_key(
    Operator { central, .. }: Operator,
    Fields(Named { name }): Fields<Named>,
) -> Result<Created<ShownKey>, Problem> {
    check_name(&name).map_err(Problem::unusable)?;
    let key = central.create_api_key(Access::Operator, &name).await?;
    Ok(Created(ShownKey {
        api_key: key.expose().to_owned(),
        name,
        role: "operator",
    }))
}

async fn delete_operator_key(
    Operator { central, .. }: Operator,
    At(Id { id }): At<Id>,
) -> Result<NoContent, Problem> {
    match central.store.delete_operator_key(&id).await? {
        true => Ok(NoContent),
        false => Err(Problem::missing("operator's key", &id)),
    }
}

async fn signing_keys(Operator { central, .. }: Operator) -> Answer<List<SigningKey>> {
    Ok(whole(central.signing_keys().await?))
}

/// What signs from now on.
#[derive(Serialize, JsonSchema)]
struct Rotated {
    /// The new key's id.
    current: String,
}

async fn rotate(Operator { central, .. }: Operator) -> Answer<Rotated> {
    let current = central.rotate_signing_key()?;
    Ok(Json(Rotated { current }))
}

async fn retire(
    Operator { central, .. }: Operator,
    At(Id { id }): At<Id>,
    Params(confirmation): Params<Confirmation>,
) -> Result<NoContent, Problem> {
    let agreed = confirmation.confirm.as_deref() == Some(id.as_str());
    central.retire_signing_key(&id, agreed).await?;
    Ok(NoContent)
}

impl From<KeyChangeError> for Problem {
    fn from(error: KeyChangeError) -> Problem {
        let (status, title) = match &error {
            KeyChangeError::Store(_) | KeyChangeError::File(_) => {
                tracing::error!(%error, "the signing keys were not changed");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The keys cannot be changed now",
                )
            }
            KeyChangeError::Unknown(_) => (StatusCode::NOT_FOUND, "Not found"),
            KeyChangeError::InUse { .. } => (StatusCode::CONFLICT, "Tokens would stop working"),
            KeyChangeError::Current(_) | KeyChangeError::NotAFile => {
                (StatusCode::CONFLICT, "The keys cannot be changed so")
            }
        };
        let detail = match &error {
            KeyChangeError::InUse { id, .. } => {
                format!("{error}; add ?confirm={id} if that is meant")
            }
            KeyChangeError::File(_) => "the service's log says why".to_owned(),
            _ => error.to_string(),
        };
        Problem {
            status,
            title,
            detail,
        }
    }
}
