//! `/api/v1/versions`: which clients are in use, and what they are known not to tell.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::Json;
use schemars::JsonSchema;
use serde::Serialize;

use crate::central::Central;
use crate::central::defects::{Defect, of_version};
use crate::central::store::{ClientVersion, Page};
use crate::event::Timestamp;

use super::Answer;
use super::caller::Reader;
use super::narrow::Narrow;
use super::openapi::about;
use super::request::{Paging, Params};

pub(super) fn routes() -> ApiRouter<Arc<Central>> {
    ApiRouter::new()
        .api_route(
            "/versions",
            get_with(
                versions,
                about(
                    "versions",
                    "Versions of the client that agents use, each with its known defects, the most used first unless sorted.",
                ),
            ),
        )
        .with_path_items(|item| item.tag("Inventory"))
}

#[derive(Serialize, JsonSchema)]
struct VersionDetail {
    #[serde(flatten)]
    version: ClientVersion,
    /// What it is known not to tell.
    defects: Vec<&'static Defect>,
}

async fn versions(
    Reader { central, scope, .. }: Reader,
    Narrow { criteria, .. }: Narrow<ClientVersion>,
    Params(paging): Params<Paging>,
) -> Answer<Page<VersionDetail>> {
    let store = &central.store;
    let page = store.list(scope, &criteria, Timestamp::now(), paging.into());
    let Page { items, next_cursor } = page.await?;
    let detail = |version: ClientVersion| VersionDetail {
        defects: of_version(&version.version).collect(),
        version,
    };
    Ok(Json(Page {
        items: items.into_iter().map(detail).collect(),
        next_cursor,
    }))
}
