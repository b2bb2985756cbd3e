//! What requests carry and answers bring, each with what the document says of it.

use std::sync::Arc;

use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, RequestBody, Response as Documented, SchemaObject};
use aide::operation::{ParamLocation, add_parameters, parameters_from_schema, set_body};
use aide::{OperationInput, OperationOutput};
use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::central::Central;
use crate::central::store::PageRequest;

use super::problem::Problem;

/// Longest body of a request, in bytes.
const MAX_FIELDS: usize = 64 << 10;

/// What the address names; a name that nothing has is a problem of the handler's.
pub(super) struct At<T>(pub(super) T);

/// The query's parameters; a wrong one is a problem that names it.
pub(super) struct Params<T>(pub(super) T);

/// A request's body; none at all is the value's default.
pub(super) struct Fields<T>(pub(super) T);

/// What was made: shown in this answer, and to lie in no cache, for some of it is never shown again.
pub(super) struct Created<T>(pub(super) T);

/// The id of what the address names.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Id {
    /// Its id, as the list gives it.
    pub(super) id: String,
}

/// Which part of a list is wanted.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Paging {
    /// Where the page begins: `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows on the page: 100 unless given, 1000 at most.
    limit: Option<u32>,
}

/// A list that comes whole.
#[derive(Serialize, JsonSchema)]
pub(super) struct List<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

/// A list that comes whole.
pub(super) fn whole<T>(items: Vec<T>) -> Json<List<T>> {
    Json(List {
        items,
        next_cursor: None,
    })
}

impl From<Paging> for PageRequest {
    fn from(paging: Paging) -> PageRequest {
        PageRequest::new(paging.cursor, paging.limit)
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Central>> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        central: &Arc<Central>,
    ) -> Result<At<T>, Problem> {
        let path = Path::<T>::from_request_parts(parts, central).await;
        let path = path.map_err(|rejection| Problem::unusable(rejection.body_text()))?;
        Ok(At(path.0))
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Central>> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        central: &Arc<Central>,
    ) -> Result<Params<T>, Problem> {
        match Query::<T>::from_request_parts(parts, central).await {
            Ok(Query(params)) => Ok(Params(params)),
            Err(rejection) => Err(Problem {
                status: StatusCode::BAD_REQUEST,
                title: "A parameter cannot be read",
                detail: rejection.body_text(),
            }),
        }
    }
}

impl<T: DeserializeOwned + Default> FromRequest<Arc<Central>> for Fields<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<Central>) -> Result<Fields<T>, Problem> {
        let body = axum::body::to_bytes(request.into_body(), MAX_FIELDS).await;
        let body =
            body.map_err(|_| Problem::unusable("the body did not arrive, or is too long"))?;
        if body.is_empty() {
            return Ok(Fields(T::default()));
        }
        serde_json::from_slice(&body).map(Fields).map_err(|error| {
            Problem::unusable(format!("the body is not what is asked for: {error}"))
        })
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        (StatusCode::CREATED, headers, Json(self.0)).into_response()
    }
}

fn schema_of<T: JsonSchema>(context: &mut GenContext) -> MediaType {
    let schema = SchemaObject {
        json_schema: context.schema.subschema_for::<T>(),
        example: None,
        external_docs: None,
    };
    MediaType {
        schema: Some(schema),
        ..MediaType::default()
    }
}

impl<T: JsonSchema> OperationInput for At<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        let schema = context.schema.subschema_for::<T>();
        let parameters = parameters_from_schema(context, schema, ParamLocation::Path);
        add_parameters(context, operation, parameters);
    }

    fn inferred_early_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Documented)> {
        [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND]
            .map(|status| Problem::documented(context, operation, status))
            .into()
    }
}

impl<T: JsonSchema> OperationInput for Params<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        let schema = context.schema.subschema_for::<T>();
        let parameters = parameters_from_schema(context, schema, ParamLocation::Query);
        add_parameters(context, operation, parameters);
    }

    fn inferred_early_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Documented)> {
        let status = StatusCode::BAD_REQUEST;
        vec![Problem::documented(context, operation, status)]
    }
}

impl<T: JsonSchema> OperationInput for Fields<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        let content = [("application/json".to_owned(), schema_of::<T>(context))];
        let body = RequestBody {
            content: content.into_iter().collect(),
            ..RequestBody::default()
        };
        set_body(context, operation, body);
    }

    fn inferred_early_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Documented)> {
        let status = StatusCode::BAD_REQUEST;
        vec![Problem::documented(context, operation, status)]
    }
}

impl<T: JsonSchema> OperationOutput for Created<T> {
    type Inner = T;

    fn operation_response(context: &mut GenContext, _: &mut Operation) -> Option<Documented> {
        let content = [("application/json".to_owned(), schema_of::<T>(context))];
        Some(Documented {
            description: "It was made.".to_owned(),
            content: content.into_iter().collect(),
            ..Documented::default()
        })
    }

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Documented)> {
        let response = Created::<T>::operation_response(context, operation);
        response
            .map(|response| (Some(StatusCode::CREATED.as_u16()), response))
            .into_iter()
            .collect()
    }
}
