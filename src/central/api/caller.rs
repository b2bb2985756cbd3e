//! Who asks, by their key: what they may see, and whether they may change it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use crate::central::Central;
use crate::central::store::{Access, Environment, Role, Scope};

use super::Problem;

/// A key of an environment: what it may see.
pub(super) struct Reader {
    pub(super) central: Arc<Central>,
    pub(super) scope: Scope,
}

/// A key of an environment that may change its accounts.
pub(super) struct Admin {
    pub(super) central: Arc<Central>,
    pub(super) environment: Environment,
}

/// A key for what stands above the environments.
pub(super) struct Operator {
    pub(super) central: Arc<Central>,
}

async fn access(parts: &Parts, central: &Central) -> Result<Access, Problem> {
    let access = central.access(&parts.headers).await?;
    access.ok_or(Problem {
        status: StatusCode::UNAUTHORIZED,
        title: "An API key is needed",
        detail: "send: Authorization: Bearer fpk_…".to_owned(),
    })
}

async fn scope(parts: &Parts, central: &Central) -> Result<(Scope, Role), Problem> {
    match access(parts, central).await? {
        Access::Environment(scope, role) => Ok((scope, role)),
        Access::Operator => Err(forbidden(
            "an operator's key opens tenants, environments and signing keys; make a key of the \
             environment: fieldpost central api-key",
        )),
    }
}

fn forbidden(detail: &str) -> Problem {
    Problem {
        status: StatusCode::FORBIDDEN,
        title: "This key may not do that",
        detail: detail.to_owned(),
    }
}

impl FromRequestParts<Arc<Central>> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        central: &Arc<Central>,
    ) -> Result<Reader, Problem> {
        let (scope, _) = scope(parts, central).await?;
        Ok(Reader {
            central: Arc::clone(central),
            scope,
        })
    }
}

impl FromRequestParts<Arc<Central>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        central: &Arc<Central>,
    ) -> Result<Admin, Problem> {
        let (scope, role) = scope(parts, central).await?;
        if role != Role::Admin {
            return Err(forbidden(
                "a viewer's key only reads; use one with the role admin",
            ));
        }
        let environments = central.store.environments().await?;
        let mut environments = environments.into_iter();
        let environment = environments
            .find(|environment| environment.scope == scope)
            .ok_or_else(|| Problem::not_found("the environment of this API key is gone"))?;
        Ok(Admin {
            central: Arc::clone(central),
            environment,
        })
    }
}

impl FromRequestParts<Arc<Central>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        central: &Arc<Central>,
    ) -> Result<Operator, Problem> {
        match access(parts, central).await? {
            Access::Operator => Ok(Operator {
                central: Arc::clone(central),
            }),
            Access::Environment(..) => Err(forbidden(
                "this needs an operator's key: fieldpost central api-key --role operator",
            )),
        }
    }
}
