//! `/api/v1/versions`: which clients are in use, and what they are known not to tell.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use schemars::JsonSchema;
use serde::Serialize;

use crate::central::Central;
use crate::central::defects::{Defect, of_version};
use crate::central::store::ClientVersion;

use super::Answer;
use super::caller::Reader;
use super::openapi::about;
use super::request::{List, whole};

pub(super) fn routes() -> ApiRouter<Arc<Central>> {
    ApiRouter::new()
        .api_route(
            "/versions",
            get_with(
                versions,
                about(
                    "versions",
                    "Versions of the client that agents use, each with its known defects.",
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

async fn versions(Reader { central, scope, .. }: Reader) -> Answer<List<VersionDetail>> {
    let versions = central.store.client_versions(scope).await?;
    let detail = |version: ClientVersion| VersionDetail {
        defects: of_version(&version.version).collect(),
        version,
    };
    Ok(whole(versions.into_iter().map(detail).collect()))
}
