//! What the API answers when it does not do what it was asked.

use aide::generate::GenContext;
use aide::openapi::{self, MediaType, SchemaObject};
use aide::{OperationOutput, openapi::Operation};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::central::request_id;
use crate::central::store::StoreError;
use crate::central::tenancy::TenancyError;

/// The media type of problems.
const MEDIA_TYPE: &str = "application/problem+json";

/// Seconds after which it is worth trying again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// An error as RFC 9457 writes it.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    pub(super) detail: String,
}

/// A problem (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Body {
    /// `about:blank`: the status says what kind it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What kind of problem it is, in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong here, and what to do.
    detail: String,
    /// The request's number, as its header `X-Request-Id` and the service's log have it.
    request_id: String,
}

impl Problem {
    pub(super) fn unusable(detail: impl Into<String>) -> Problem {
        Problem {
            status: StatusCode::BAD_REQUEST,
            title: "The request cannot be used",
            detail: detail.into(),
        }
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Problem {
        Problem {
            status: StatusCode::FORBIDDEN,
            title: "The role may not do that",
            detail: detail.into(),
        }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Problem {
        Problem {
            status: StatusCode::NOT_FOUND,
            title: "Not found",
            detail: detail.into(),
        }
    }

    /// There is no such thing in the environment.
    pub(super) fn missing(kind: &str, id: &str) -> Problem {
        Problem::not_found(format!("there is no {kind} {id:?} in this environment"))
    }

    /// What the document says of a refusal with this status.
    pub(super) fn documented(
        context: &mut GenContext,
        operation: &mut Operation,
        status: StatusCode,
    ) -> (Option<u16>, openapi::Response) {
        let response = Problem::operation_response(context, operation).unwrap_or_default();
        let description = match status {
            StatusCode::BAD_REQUEST => "A parameter, the cursor or the body cannot be read.",
            StatusCode::UNAUTHORIZED => "No API key and no session, or one that is not good.",
            StatusCode::FORBIDDEN => "The role may not do that.",
            StatusCode::NOT_FOUND => "There is none of this name in the environment.",
            StatusCode::CONFLICT => "What is there stands against it; the detail says what to do.",
            StatusCode::TOO_MANY_REQUESTS => {
                "Too many requests; Retry-After says how long to wait."
            }
            _ => "The store is not available; try again after Retry-After.",
        };
        let response = openapi::Response {
            description: description.to_owned(),
            ..response
        };
        (Some(status.as_u16()), response)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::BadCursor => Problem {
                status: StatusCode::BAD_REQUEST,
                title: "The cursor cannot be read",
                detail: error.to_string(),
            },
            StoreError::ContentHidden => Problem {
                status: StatusCode::FORBIDDEN,
                title: "Content is hidden by your role",
                detail: error.to_string(),
            },
            StoreError::BadQuery(reason) => Problem {
                status: StatusCode::BAD_REQUEST,
                title: "The filter cannot be read",
                detail: reason,
            },
            StoreError::Unavailable(reason) => {
                tracing::error!(reason, "a request for the API failed");
                Problem {
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    title: "The store is not available",
                    detail: "try again shortly; the service's log says why".to_owned(),
                }
            }
        }
    }
}

impl From<TenancyError> for Problem {
    fn from(error: TenancyError) -> Problem {
        match error {
            TenancyError::Store(error) => error.into(),
            TenancyError::Missing(_) => Problem::not_found(error.to_string()),
            TenancyError::BadName(_) => Problem::unusable(error.to_string()),
            TenancyError::Taken(_) => Problem {
                status: StatusCode::CONFLICT,
                title: "The name is taken",
                detail: error.to_string(),
            },
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            kind: "about:blank",
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail,
            request_id: request_id::current(),
        };
        let body = serde_json::to_string(&body).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let scheme = HeaderValue::from_static("Bearer realm=\"fieldpost\"");
                headers.insert(header::WWW_AUTHENTICATE, scheme);
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            _ => {}
        }
        response
    }
}

impl OperationOutput for Problem {
    type Inner = Body;

    fn operation_response(
        context: &mut GenContext,
        _: &mut Operation,
    ) -> Option<openapi::Response> {
        let schema = SchemaObject {
            json_schema: context.schema.subschema_for::<Body>(),
            example: None,
            external_docs: None,
        };
        let media = MediaType {
            schema: Some(schema),
            ..MediaType::default()
        };
        Some(openapi::Response {
            content: [(MEDIA_TYPE.to_owned(), media)].into_iter().collect(),
            ..openapi::Response::default()
        })
    }
}
