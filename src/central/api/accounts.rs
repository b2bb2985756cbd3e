//! What lets machines into an environment: its integrations and tokens; and what people did in it.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, get_with, post_with};
use axum::Json;
use axum::http::StatusCode;
use axum::response::NoContent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::central::Central;
use crate::central::accounts::{TokenDeletion, TokenDetail, check_name};
use crate::central::store::{
    AuditEntry, AuditFilter, Audited, Environment, Installation, Integration, Page, Role, Scope,
    Token,
};
use crate::event::Timestamp;

use super::Answer;
use super::caller::{Admin, Reader};
use super::inventory::{facets, listed};
use super::keys;
use super::narrow::Narrow;
use super::openapi::{about, conflicting};
use super::problem::Problem;
use super::request::{At, Created, Fields, Id, List, Paging, Params, whole};

/// The routes.
pub(super) fn routes() -> ApiRouter<Arc<Central>> {
    let tokens = ApiRouter::new()
        .api_route(
            "/integrations",
            get_with(
                integrations,
                about("integrations", "The integrations, installed or not."),
            ),
        )
        .api_route(
            "/integrations/claude-cowork",
            delete_with(
                uninstall,
                about(
                    "uninstall",
                    "Removes the integration: all its tokens are revoked.",
                ),
            ),
        )
        .api_route(
            "/integrations/claude-cowork/install",
            post_with(
                install,
                about(
                    "install",
                    "Installs Claude Cowork, for the first time or again: a new token, shown once.",
                ),
            ),
        )
        .api_route(
            "/tokens",
            get_with(
                tokens,
                about(
                    "tokens",
                    "The tokens, without themselves, the latest first unless sorted.",
                ),
            ),
        )
        .api_route(
            "/tokens/facets",
            get_with(
                facets::<Token>,
                about(
                    "tokenFacets",
                    "How many tokens a filter has, and by what they can be narrowed, with counts.",
                ),
            ),
        )
        .api_route(
            "/tokens/{id}",
            get_with(
                token,
                about(
                    "token",
                    "One token's use: addresses, and requests that were refused.",
                ),
            )
            .patch_with(rename, about("renameToken", "Names a token."))
            .delete_with(
                forget,
                conflicting("deleteToken", "Forgets a token that can no longer be used."),
            ),
        )
        .api_route(
            "/tokens/{id}/revoke",
            post_with(revoke, about("revokeToken", "Ends a token at once.")),
        )
        .with_path_items(|item| item.tag("Integrations"));
    let environment = ApiRouter::new()
        .api_route(
            "/environment",
            get_with(
                environment,
                about(
                    "environment",
                    "The environment that the request is bound to.",
                ),
            )
            .patch_with(
                rename_environment,
                conflicting("renameThisEnvironment", "Names it."),
            ),
        )
        .api_route(
            "/audit",
            get_with(
                audit,
                about(
                    "audit",
                    "What people did, the latest first; viewers are told what they did themselves.",
                ),
            ),
        )
        .with_path_items(|item| item.tag("Environment"));
    tokens.merge(environment).merge(keys::routes())
}

/// What something is to be called.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Named {
    /// The name.
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
) -> Result<NoContent, Problem> {
    let entry = AuditEntry {
        was: environment.environment.clone(),
        became: name.clone(),
        ..central.entry(&actor, Some(&environment), "environment.renamed", "")
    };
    central.audit(entry).await?;
    central.rename_environment(&environment, &name).await?;
    Ok(NoContent)
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
) -> Result<Created<Installation>, Problem> {
    let name = named.checked()?;
    let entry = central.entry(&actor, Some(&environment), "token.made", &*name);
    central.audit(entry).await?;
    let installation = central.install(&environment, &name, &actor).await?;
    Ok(Created(installation))
}

async fn uninstall(
    Admin {
        central,
        environment,
        actor,
        ..
    }: Admin,
) -> Answer<Uninstalled> {
    let entry = central.entry(
        &actor,
        Some(&environment),
        "integration.removed",
        "claude-cowork",
    );
    central.audit(entry).await?;
    let revoked_tokens = central.uninstall(environment.scope).await?;
    Ok(Json(Uninstalled { revoked_tokens }))
}

async fn tokens(
    Reader { central, scope, .. }: Reader,
    Narrow { criteria, .. }: Narrow<Token>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Token>> {
    listed(&central, scope, &criteria, paging).await
}

async fn token(
    Reader { central, scope, .. }: Reader,
    At(Id { id }): At<Id>,
) -> Answer<TokenDetail> {
    let token = central.token(scope, &id).await?;
    token
        .map(Json)
        .ok_or_else(|| Problem::missing("token", &id))
}

/// Refuses what is not there before the audit tells that it was changed.
async fn ensure_token(central: &Central, scope: Scope, id: &str) -> Result<(), Problem> {
    let token = central.store.token(scope, id, Timestamp::now()).await?;
    match token {
        Some(_) => Ok(()),
        None => Err(Problem::missing("token", id)),
    }
}

async fn rename(
    Admin {
        central,
        environment,
        actor,
        ..
    }: Admin,
    At(Id { id }): At<Id>,
    Fields(named): Fields<Named>,
) -> Result<NoContent, Problem> {
    ensure_token(&central, environment.scope, &id).await?;
    let name = named.checked()?;
    let entry = AuditEntry {
        became: name.clone(),
        ..central.entry(&actor, Some(&environment), "token.renamed", &*id)
    };
    central.audit(entry).await?;
    let (store, scope) = (&central.store, environment.scope);
    match store.rename_token(scope, &id, &name).await? {
        true => Ok(NoContent),
        false => Err(Problem::missing("token", &id)),
    }
}

async fn revoke(
    Admin {
        central,
        environment,
        actor,
        ..
    }: Admin,
    At(Id { id }): At<Id>,
) -> Result<NoContent, Problem> {
    ensure_token(&central, environment.scope, &id).await?;
    let entry = central.entry(&actor, Some(&environment), "token.revoked", &*id);
    central.audit(entry).await?;
    match central.revoke_token(environment.scope, &id).await? {
        true => Ok(NoContent),
        false => Err(Problem::missing("live token", &id)),
    }
}

async fn forget(
    Admin {
        central,
        environment,
        actor,
        ..
    }: Admin,
    At(Id { id }): At<Id>,
) -> Result<NoContent, Problem> {
    ensure_token(&central, environment.scope, &id).await?;
    let entry = central.entry(&actor, Some(&environment), "token.deleted", &*id);
    central.audit(entry).await?;
    match central.delete_token(environment.scope, &id).await? {
        TokenDeletion::Done => Ok(NoContent),
        TokenDeletion::Missing => Err(Problem::missing("token", &id)),
        TokenDeletion::Live => Err(Problem {
            status: StatusCode::CONFLICT,
            title: "The token can still be used",
            detail: "revoke it first".to_owned(),
        }),
    }
}

/// What removing an integration ended.
#[derive(Serialize, JsonSchema)]
struct Uninstalled {
    /// Tokens that were revoked.
    revoked_tokens: u64,
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
