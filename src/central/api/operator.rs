//! What stands above the environments, for holders of an operator's key: tenants, environments, signing
//! keys. No records are shown here.
//!
//! Deleting asks for the name again (`?confirm=NAME`); without it, nothing goes, and the answer says what
//! would.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::central::Central;
use crate::central::accounts::check_name;
use crate::central::keys::{KeyChangeError, SigningKey};
use crate::central::store::{Access, ApiKey, Contents, Environment, Tenant};

use super::accounts::{NewKey, make_key, shown_once};
use super::caller::Operator;
use super::{Answer, Fields, List, Params, Problem, missing, whole};

/// The routes.
pub(super) fn router() -> Router<Arc<Central>> {
    Router::new()
        .route("/tenants", get(tenants).post(create))
        .route(
            "/tenants/{tenant}",
            get(tenant).patch(rename_tenant).delete(delete_tenant),
        )
        .route(
            "/tenants/{tenant}/environments",
            get(environments).post(create_environment),
        )
        .route(
            "/tenants/{tenant}/environments/{environment}",
            get(environment)
                .patch(rename_environment)
                .delete(delete_environment),
        )
        .route(
            "/tenants/{tenant}/environments/{environment}/api-keys",
            post(create_key),
        )
        .route("/operator-keys", get(keys).post(create_operator_key))
        .route("/operator-keys/{id}", delete(delete_operator_key))
        .route("/signing-keys", get(signing_keys))
        .route("/signing-keys/rotate", post(rotate))
        .route("/signing-keys/{id}", delete(retire))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Confirmation {
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTenant {
    name: String,
    #[serde(default = "default_environment")]
    environment: String,
}

fn default_environment() -> String {
    "default".to_owned()
}

async fn create(
    Operator { central, .. }: Operator,
    Fields(new): Fields<Option<NewTenant>>,
) -> Result<Response, Problem> {
    let new = new.ok_or_else(|| Problem::unusable("send {\"name\": \"…\"}"))?;
    let made = central
        .create_environment(&new.name, &new.environment)
        .await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

async fn tenant(Operator { central, .. }: Operator, Path(tenant): Path<String>) -> Answer<Tenant> {
    Ok(Json(central.tenant(&tenant).await?))
}

async fn rename_tenant(
    Operator { central, .. }: Operator,
    Path(tenant): Path<String>,
    Fields(Named { name }): Fields<Named>,
) -> Result<StatusCode, Problem> {
    central.rename_tenant(&tenant, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete_tenant(
    Operator { central, .. }: Operator,
    Path(tenant): Path<String>,
    Params(confirmation): Params<Confirmation>,
) -> Result<StatusCode, Problem> {
    let contents = central.tenant_contents(&tenant).await?;
    confirmation.of(&tenant, &contents)?;
    central.delete_tenant(&tenant).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn environments(
    Operator { central, .. }: Operator,
    Path(tenant): Path<String>,
) -> Answer<List<Environment>> {
    central.tenant(&tenant).await?;
    let mut environments = central.store.environments().await?;
    environments.retain(|environment| environment.tenant == tenant);
    Ok(whole(environments))
}

async fn create_environment(
    Operator { central, .. }: Operator,
    Path(tenant): Path<String>,
    Fields(Named { name }): Fields<Named>,
) -> Result<Response, Problem> {
    central.tenant(&tenant).await?;
    let made = central.create_environment(&tenant, &name).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

async fn environment(
    Operator { central, .. }: Operator,
    Path((tenant, environment)): Path<(String, String)>,
) -> Answer<Environment> {
    Ok(Json(central.environment(&tenant, &environment).await?))
}

async fn rename_environment(
    Operator { central, .. }: Operator,
    Path((tenant, environment)): Path<(String, String)>,
    Fields(Named { name }): Fields<Named>,
) -> Result<StatusCode, Problem> {
    let environment = central.environment(&tenant, &environment).await?;
    central.rename_environment(&environment, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete_environment(
    Operator { central, .. }: Operator,
    Path((tenant, environment)): Path<(String, String)>,
    Params(confirmation): Params<Confirmation>,
) -> Result<StatusCode, Problem> {
    let environment = central.environment(&tenant, &environment).await?;
    let contents = central.environment_contents(&environment).await?;
    confirmation.of(&environment.environment, &contents)?;
    central.delete_environment(&environment).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn create_key(
    Operator { central, actor }: Operator,
    Path((tenant, environment)): Path<(String, String)>,
    Fields(new): Fields<NewKey>,
) -> Result<Response, Problem> {
    let environment = central.environment(&tenant, &environment).await?;
    make_key(&central, &environment, new, &actor).await
}

async fn keys(Operator { central, .. }: Operator) -> Answer<List<ApiKey>> {
    Ok(whole(central.store.operator_keys().await?))
}

async fn create_operator_key(
    Operator { central, .. }: Operator,
    Fields(Named { name }): Fields<Named>,
) -> Result<Response, Problem> {
    check_name(&name).map_err(Problem::unusable)?;
    let key = central.create_api_key(Access::Operator, &name).await?;
    Ok(shown_once(Json(json!({
        "api_key": key.expose(), "name": name, "role": "operator",
    }))))
}

async fn delete_operator_key(
    Operator { central, .. }: Operator,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    match central.store.delete_operator_key(&id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing("operator's key", &id)),
    }
}

async fn signing_keys(Operator { central, .. }: Operator) -> Answer<List<SigningKey>> {
    Ok(whole(central.signing_keys().await?))
}

async fn rotate(Operator { central, .. }: Operator) -> Answer<serde_json::Value> {
    Ok(Json(json!({ "current": central.rotate_signing_key()? })))
}

async fn retire(
    Operator { central, .. }: Operator,
    Path(id): Path<String>,
    Params(confirmation): Params<Confirmation>,
) -> Result<StatusCode, Problem> {
    let agreed = confirmation.confirm.as_deref() == Some(id.as_str());
    central.retire_signing_key(&id, agreed).await?;
    Ok(StatusCode::NO_CONTENT)
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
