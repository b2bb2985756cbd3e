//! Who asks, by a key or by the portal's session: what they may see, and whether they may change it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response};
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::central::Central;
use crate::central::people::{Actor, SignedIn, origin};
use crate::central::store::{
    Access, ApiKeyAccess, AuditEntry, Environment, Role, Scope, Sight, StoreError,
};
use crate::event::Timestamp;
use crate::secret::is_same;

use super::openapi::{refusals, secured};
use super::problem::Problem;

/// Header by which somebody who is signed in says which environment is meant: `tenant/environment`.
const ENVIRONMENT: &str = "fieldpost-environment";

/// Header that carries a session's form token with a change.
const FORM_TOKEN: &str = "fieldpost-form-token";

/// Whoever may look into an environment.
pub(super) struct Reader {
    pub(super) central: Arc<Central>,
    pub(super) scope: Scope,
    pub(super) sight: Sight,
    pub(super) role: Role,
    pub(super) actor: Actor,
}

/// Whoever may change something of their own in an environment.
pub(super) struct Member {
    pub(super) central: Arc<Central>,
    pub(super) environment: Environment,
    pub(super) actor: Actor,
    pub(super) role: Role,
}

/// Whoever may change an environment's accounts.
pub(super) struct Admin {
    pub(super) central: Arc<Central>,
    pub(super) environment: Environment,
    pub(super) actor: Actor,
    pub(super) role: Role,
}

/// A key for what stands above the environments.
pub(super) struct Operator {
    pub(super) central: Arc<Central>,
    pub(super) actor: Actor,
}

/// Who asks.
struct Caller {
    access: Access,
    actor: Actor,
}

async fn caller(parts: &Parts, central: &Central) -> Result<Caller, Problem> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let ConnectInfo(peer) = *peer.ok_or_else(unknown)?;
    let address = origin(peer, &parts.headers).address;
    if let Some(ApiKeyAccess {
        access,
        name,
        person,
        ..
    }) = central.access(&parts.headers).await?
    {
        let key = parts.headers.get(header::AUTHORIZATION);
        let key = blake3::hash(key.map_or(&[], HeaderValue::as_bytes));
        admit(central, key.to_hex().to_string())?;
        let actor = Actor {
            person: person.as_ref().map(|person| person.id.clone()),
            name: person.map_or(format!("API key {name}"), |person| person.name),
            address,
        };
        return Ok(Caller { access, actor });
    }
    let Some(secret) = central.way(peer, &parts.headers).secret(&parts.headers) else {
        return Err(unknown());
    };
    let session = central.session(&secret).await?.ok_or_else(unknown)?;
    admit(central, session.person.id.clone())?;
    if parts.method != Method::GET && parts.method != Method::HEAD {
        check_form_token(&session, &parts.headers)?;
    }
    let access = access_of(&session, &parts.headers, central).await?;
    let actor = Actor::person(&session.person, &address);
    Ok(Caller { access, actor })
}

/// Counts a request of a key or of a person.
fn admit(central: &Central, sender: String) -> Result<(), Problem> {
    let admitted = central.api_requests.admit(sender, Instant::now());
    admitted.map_err(|_| Problem {
        status: StatusCode::TOO_MANY_REQUESTS,
        title: "Too many requests",
        detail: "wait as long as Retry-After says; api.requests_per_second is the limit".to_owned(),
    })
}

fn unknown() -> Problem {
    Problem {
        status: StatusCode::UNAUTHORIZED,
        title: "An API key is needed",
        detail: "send: Authorization: Bearer fpk_…".to_owned(),
    }
}

fn check_form_token(session: &SignedIn, headers: &HeaderMap) -> Result<(), Problem> {
    let sent = headers.get(FORM_TOKEN);
    match sent.is_some_and(|sent| is_same(sent, &session.form_token)) {
        true => Ok(()),
        false => Err(Problem::forbidden(
            "a change by a session needs its form token in the header Fieldpost-Form-Token",
        )),
    }
}

/// The environment that a session's request names, or the person's first one.
async fn access_of(
    session: &SignedIn,
    headers: &HeaderMap,
    central: &Central,
) -> Result<Access, Problem> {
    let memberships = central.store.memberships(&session.person.id).await?;
    let wanted = headers
        .get(ENVIRONMENT)
        .map(|value| value.to_str().unwrap_or_default());
    let found = memberships.into_iter().find(|known| {
        let environment = &known.environment;
        wanted.is_none_or(|wanted| {
            wanted == format!("{}/{}", environment.tenant, environment.environment)
        })
    });
    found
        .map(|known| Access::Environment(known.environment.scope, known.role))
        .ok_or_else(|| Problem::not_found("there is no such environment"))
}

async fn scope(parts: &Parts, central: &Central) -> Result<(Scope, Role, Actor), Problem> {
    let Caller { access, actor } = caller(parts, central).await?;
    match access {
        Access::Environment(scope, role) => Ok((scope, role, actor)),
        Access::Operator => Err(Problem::forbidden(
            "an operator's key opens tenants, environments and signing keys; make a key of the \
             environment: fieldpost central api-key",
        )),
    }
}

impl FromRequestParts<Arc<Central>> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        central: &Arc<Central>,
    ) -> Result<Reader, Problem> {
        let (scope, role, actor) = scope(parts, central).await?;
        let retention = central.store.retention_of(scope).await?;
        let sight = match role {
            Role::Owner => Sight::everything(scope),
            Role::Viewer | Role::Admin => Sight::metadata(scope),
        };
        Ok(Reader {
            central: Arc::clone(central),
            scope,
            role,
            actor,
            sight: sight.kept(retention, Timestamp::now()),
        })
    }
}

impl FromRequestParts<Arc<Central>> for Member {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        central: &Arc<Central>,
    ) -> Result<Member, Problem> {
        let (scope, role, actor) = scope(parts, central).await?;
        let environments = central.store.environments().await?;
        let mut environments = environments.into_iter();
        let environment = environments
            .find(|environment| environment.scope == scope)
            .ok_or_else(|| Problem::not_found("the environment of this API key is gone"))?;
        Ok(Member {
            central: Arc::clone(central),
            environment,
            actor,
            role,
        })
    }
}

impl FromRequestParts<Arc<Central>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        central: &Arc<Central>,
    ) -> Result<Admin, Problem> {
        let Member {
            central,
            environment,
            actor,
            role,
        } = Member::from_request_parts(parts, central).await?;
        if role < Role::Admin {
            return Err(Problem::forbidden(
                "a viewer's key only reads; use one with the role admin",
            ));
        }
        Ok(Admin {
            central,
            environment,
            actor,
            role,
        })
    }
}

impl FromRequestParts<Arc<Central>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        central: &Arc<Central>,
    ) -> Result<Operator, Problem> {
        let Caller { access, actor } = caller(parts, central).await?;
        match access {
            Access::Operator => {
                if parts.method != Method::GET && parts.method != Method::HEAD {
                    let change = format!("{} {}", parts.method, parts.uri.path());
                    let entry = central.entry(&actor, None, "operator.change", change);
                    audit_change(central, parts.uri.path(), entry).await?;
                }
                Ok(Operator {
                    central: Arc::clone(central),
                    actor,
                })
            }
            Access::Environment(..) => Err(Problem::forbidden(
                "this needs an operator's key: fieldpost central api-key --role operator",
            )),
        }
    }
}

/// Writes an operator's change where the people whom it concerns can read it.
async fn audit_change(central: &Central, path: &str, entry: AuditEntry) -> Result<(), StoreError> {
    let mut words = path.trim_start_matches("/api/v1").split('/').skip(1);
    match (words.next(), words.next()) {
        (Some("tenants"), Some(tenant)) => central.audit_above(entry, Some(tenant)).await,
        // A tenant that is not there yet: whoever makes it tells in it, too.
        (Some("tenants"), None) => central.audit(entry).await,
        _ => central.audit_above(entry, None).await,
    }
}

/// Says in the document that an operation wants a key, of an environment or an operator's, and what is answered
/// without one.
macro_rules! document {
    ($($caller:ty: $is_of_environment:literal,)+) => {$(
        impl OperationInput for $caller {
            fn operation_input(_: &mut GenContext, operation: &mut Operation) {
                secured(operation, $is_of_environment);
            }

            fn inferred_early_responses(
                context: &mut GenContext,
                operation: &mut Operation,
            ) -> Vec<(Option<u16>, Response)> {
                refusals(context, operation)
            }
        }
    )+};
}

document! {
    Reader: true,
    Member: true,
    Admin: true,
    Operator: false,
}
