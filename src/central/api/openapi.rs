//! The API described by itself: the OpenAPI document is read off the types that its handlers take and
//! give, so that it cannot say anything else than they do.

use std::sync::LazyLock;

use aide::generate::GenContext;
use aide::openapi::{
    ApiKeyLocation, OpenApi, Operation, Response, SecurityRequirement, SecurityScheme, Server,
};
use aide::transform::{TransformOpenApi, TransformOperation};
use axum::Json;
use axum::http::StatusCode;

use super::caller::Reader;
use super::problem::Problem;

/// The security schemes' names.
const API_KEY: &str = "api_key";
const SESSION: &str = "session";

const DESCRIPTION: &str = "What the portal's pages show, as JSON. Lists answer `items` and \
     `next_cursor`, which the next request hands back as `cursor`. Times are RFC 3339 in UTC. Errors are \
     problem+json (RFC 9457) and say what to do. Every request is bound to the environment of its API \
     key; with the portal's session, the header `Fieldpost-Environment: tenant/environment` names one of \
     the person's, and changes carry the session's form token in `Fieldpost-Form-Token`. Content that \
     the role may not see reads `hidden_by_role`, and cannot be searched.";

/// The document, the same as long as the program runs.
static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(|| {
    let mut document = OpenApi::default();
    let _ = super::routes().finish_api_with(&mut document, described);
    document
});

/// The OpenAPI document of `/api/v1`.
pub(in crate::central) fn document() -> &'static OpenApi {
    &DOCUMENT
}

/// Somebody asks what can be asked.
pub(super) async fn show(_: Reader) -> Json<&'static OpenApi> {
    Json(document())
}

/// Names an operation and says in a sentence what it does.
pub(super) fn about(
    id: &'static str,
    summary: &'static str,
) -> impl for<'t> FnOnce(TransformOperation<'t>) -> TransformOperation<'t> {
    move |operation| operation.id(id).summary(summary)
}

/// The same for an operation that what is there can stand against.
pub(super) fn conflicting(
    id: &'static str,
    summary: &'static str,
) -> impl for<'t> FnOnce(TransformOperation<'t>) -> TransformOperation<'t> {
    move |operation| {
        operation
            .id(id)
            .summary(summary)
            .response_with::<409, Problem, _>(|response| {
                response.description("What is there stands against it; the detail says what to do.")
            })
    }
}

fn described(document: TransformOpenApi<'_>) -> TransformOpenApi<'_> {
    let key = SecurityScheme::Http {
        scheme: "bearer".to_owned(),
        bearer_format: Some("fpk_…".to_owned()),
        description: Some(
            "An API key of an environment, of a person, or an operator's.".to_owned(),
        ),
        extensions: Default::default(),
    };
    let session = SecurityScheme::ApiKey {
        location: ApiKeyLocation::Cookie,
        name: "__Host-fieldpost".to_owned(),
        description: Some("The portal's session.".to_owned()),
        extensions: Default::default(),
    };
    let server = Server {
        url: "/api/v1".to_owned(),
        ..Server::default()
    };
    document
        .title("fieldpost")
        .version(env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .server(server)
        .security_scheme(API_KEY, key)
        .security_scheme(SESSION, session)
}

/// What an operation asks of whoever calls it.
pub(super) fn secured(operation: &mut Operation, by_session: bool) {
    let scheme = |name: &str| SecurityRequirement::from_iter([(name.to_owned(), Vec::new())]);
    operation.security.push(scheme(API_KEY));
    if by_session {
        operation.security.push(scheme(SESSION));
    }
}

/// How whoever calls can be turned away before anything is looked at.
pub(super) fn refusals(
    context: &mut GenContext,
    operation: &mut Operation,
) -> Vec<(Option<u16>, Response)> {
    [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ]
    .map(|status| Problem::documented(context, operation, status))
    .into()
}
