//! What lets somebody into an environment: its integrations, tokens and keys.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::central::Central;
use crate::central::accounts::{TokenDeletion, TokenDetail, check_name};
use crate::central::people::Actor;
use crate::central::store::{
    Access, ApiKey, AuditEntry, AuditFilter, Audited, Environment, Integration, Page, Role, Scope,
    Token,
};

use super::caller::{Admin, Reader};
use super::{Answer, Fields, List, Paging, Params, Problem, missing, whole};

/// The routes.
pub(super) fn router() -> Router<Arc<Central>> {
    Router::new()
        .route("/environment", get(environment).patch(rename_environment))
        .route("/integrations", get(integrations))
        .route("/integrations/claude-cowork", delete(uninstall))
        .route("/integrations/claude-cowork/install", post(install))
        .route("/tokens", get(tokens))
        .route("/tokens/{id}", get(token).patch(rename).delete(forget))
        .route("/tokens/{id}/revoke", post(revoke))
        .route("/api-keys", get(keys).post(create_key))
        .route("/api-keys/{id}", delete(delete_key))
        .route("/audit", get(audit))
}

/// What is only shown once must not lie in a cache.
pub(super) fn shown_once(value: impl IntoResponse) -> Response {
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::CREATED, headers, value).into_response()
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Named {
    name: String,
}

impl Named {
    fn checked(self) -> Result<String, Problem> {
        check_name(&self.name).map_err(Problem::unusable)?;
        Ok(self.name)
    }
}

async fn environment(Reader { central, scope, .. }: Reader) -> Answer<Environment> {
    let mut environments = central.store.environments().await?.into_iter();
    let found = environments.find(|environment| environment.scope == scope);
    found
        .map(Json)
        .ok_or_else(|| Problem::not_found("the environment of this API key is gone"))
}

async fn rename_environment(
    Admin {
        central,
        environment,
        actor,
        ..
    }: Admin,
    Fields(Named { name }): Fields<Named>,
) -> Result<StatusCode, Problem> {
    let entry = AuditEntry {
        was: environment.environment.clone(),
        became: name.clone(),
        ..central.entry(&actor, Some(&environment), "environment.renamed", "")
    };
    central.audit(entry).await?;
    central.rename_environment(&environment, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn integrations(Reader { central, scope, .. }: Reader) -> Answer<List<Integration>> {
    Ok(whole(central.store.integrations(scope).await?))
}

async fn install(
    Admin {
        central,
        environment,
        actor,
        ..
    }: Admin,
    Fields(named): Fields<Named>,
) -> Result<Response, Problem> {
    let name = named.checked()?;
    let entry = central.entry(&actor, Some(&environment), "token.made", &*name);
    central.audit(entry).await?;
    let installation = central.install(&environment, &name).await?;
    Ok(shown_once(Json(installation)))
}

async fn uninstall(
    Admin {
        central,
        environment,
        actor,
        ..
    }: Admin,
) -> Answer<serde_json::Value> {
    let entry = central.entry(
        &actor,
        Some(&environment),
        "integration.removed",
        "claude-cowork",
    );
    central.audit(entry).await?;
    let revoked = central.uninstall(environment.scope).await?;
    Ok(Json(json!({ "revoked_tokens": revoked })))
}

async fn tokens(Reader { central, scope, .. }: Reader) -> Answer<List<Token>> {
    Ok(whole(central.store.tokens(scope).await?))
}

async fn token(
    Reader { central, scope, .. }: Reader,
    Path(id): Path<String>,
) -> Answer<TokenDetail> {
    let token = central.token(scope, &id).await?;
    token.map(Json).ok_or_else(|| missing("token", &id))
}

/// Refuses what is not there before the audit tells that it was changed.
async fn ensure_token(central: &Central, scope: Scope, id: &str) -> Result<(), Problem> {
    let tokens = central.store.tokens(scope).await?;
    match tokens.iter().any(|token| token.id == id) {
        true => Ok(()),
        false => Err(missing("token", id)),
    }
}

async fn rename(
    Admin {
        central,
        environment,
        actor,
        ..
    }: Admin,
    Path(id): Path<String>,
    Fields(named): Fields<Named>,
) -> Result<StatusCode, Problem> {
    ensure_token(&central, environment.scope, &id).await?;
    let name = named.checked()?;
    let entry = AuditEntry {
        became: name.clone(),
        ..central.entry(&actor, Some(&environment), "token.renamed", &*id)
    };
    central.audit(entry).await?;
    let (store, scope) = (&central.store, environment.scope);
    match store.rename_token(scope, &id, &name).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing("token", &id)),
    }
}

async fn revoke(
    Admin {
        central,
        environment,
        actor,
        ..
    }: Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    ensure_token(&central, environment.scope, &id).await?;
    let entry = central.entry(&actor, Some(&environment), "token.revoked", &*id);
    central.audit(entry).await?;
    match central.revoke_token(environment.scope, &id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing("live token", &id)),
    }
}

async fn forget(
    Admin {
        central,
        environment,
        actor,
        ..
    }: Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    ensure_token(&central, environment.scope, &id).await?;
    let entry = central.entry(&actor, Some(&environment), "token.deleted", &*id);
    central.audit(entry).await?;
    match central.delete_token(environment.scope, &id).await? {
        TokenDeletion::Done => Ok(StatusCode::NO_CONTENT),
        TokenDeletion::Missing => Err(missing("token", &id)),
        TokenDeletion::Live => Err(Problem {
            status: StatusCode::CONFLICT,
            title: "The token can still be used",
            detail: "revoke it first".to_owned(),
        }),
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewKey {
    name: String,
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

/// Makes a key for an environment.
pub(super) async fn make_key(
    central: &Central,
    environment: &Environment,
    NewKey { name, role }: NewKey,
    actor: &Actor,
) -> Result<Response, Problem> {
    check_name(&name).map_err(Problem::unusable)?;
    let entry = AuditEntry {
        became: role.word().to_owned(),
        ..central.entry(actor, Some(environment), "api_key.made", &*name)
    };
    central.audit(entry).await?;
    let access = Access::Environment(environment.scope, role);
    let key = central.create_api_key(access, &name).await?;
    Ok(shown_once(Json(json!({
        "api_key": key.expose(), "name": name, "role": role,
    }))))
}

async fn keys(
    Admin {
        central,
        environment,
        ..
    }: Admin,
) -> Answer<List<ApiKey>> {
    Ok(whole(central.store.api_keys(environment.scope).await?))
}

async fn create_key(
    Admin {
        central,
        environment,
        actor,
        role: actor_role,
    }: Admin,
    Fields(new): Fields<NewKey>,
) -> Result<Response, Problem> {
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
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let keys = central.store.api_keys(environment.scope).await?;
    if !keys.iter().any(|key| key.id == id) {
        return Err(missing("API key", &id));
    }
    let entry = central.entry(&actor, Some(&environment), "api_key.deleted", &*id);
    central.audit(entry).await?;
    match central.store.delete_api_key(environment.scope, &id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing("API key", &id)),
    }
}

/// What people did, the latest first; viewers are told what they did themselves.
async fn audit(
    Reader {
        central,
        scope,
        role,
        actor,
        ..
    }: Reader,
    Params(filter): Params<AuditFilter>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Audited>> {
    let person = actor.person.unwrap_or_default();
    let only = (role == Role::Viewer).then_some(&*person);
    let page = central
        .store
        .audited(scope, only, &filter, paging.into())
        .await?;
    Ok(Json(page))
}
