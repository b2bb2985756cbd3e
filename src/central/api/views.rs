//! `/api/v1/views`: the views that people saved.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, get_with};
use axum::http::StatusCode;
use axum::response::NoContent;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{Criteria, Of, Page, SavedView};
use crate::central::views::{NewView, ViewError};

use super::Answer;
use super::caller::{Member, Reader};
use super::inventory::listed;
use super::narrow::Narrow;
use super::openapi::{about, conflicting};
use super::problem::Problem;
use super::request::{At, Created, Fields, Id, Paging, Params};

pub(super) fn routes() -> ApiRouter<Arc<Central>> {
    ApiRouter::new()
        .api_route(
            "/views",
            get_with(
                views,
                about(
                    "views",
                    "Saved views: those of whoever asks, and those that are shared; by name unless sorted.",
                ),
            )
            .post_with(
                save,
                conflicting("saveView", "Saves the address of a list under a name."),
            ),
        )
        .api_route(
            "/views/{id}",
            delete_with(
                delete,
                about(
                    "deleteView",
                    "Forgets a view: one's own, or for owners any that is shared. Keys of the environment \
                     have what such keys shared.",
                ),
            ),
        )
        .with_path_items(|item| item.tag("Views"))
}

/// The view to be saved.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ViewFields {
    /// What it is called.
    name: String,
    /// The list's address below the environment's own: `observability?type=error`.
    address: String,
    /// Whether everybody in the environment has it. Keys of the environment can only share.
    is_shared: bool,
}

async fn views(
    Reader {
        central,
        scope,
        actor,
        ..
    }: Reader,
    Narrow { criteria, .. }: Narrow<SavedView>,
    Params(paging): Params<Paging>,
) -> Answer<Page<SavedView>> {
    let criteria = Criteria {
        of: Of::Person(actor.person.unwrap_or_default()),
        ..criteria
    };
    listed(&central, scope, &criteria, paging).await
}

async fn save(
    Member {
        central,
        environment,
        actor,
        role,
    }: Member,
    Fields(fields): Fields<ViewFields>,
) -> Result<Created<SavedView>, Problem> {
    let new = NewView {
        name: fields.name,
        address: fields.address,
        is_shared: fields.is_shared,
    };
    let saved = central.save_view(&environment, new, role, &actor).await?;
    Ok(Created(saved))
}

async fn delete(
    Member {
        central,
        environment,
        actor,
        role,
    }: Member,
    At(Id { id }): At<Id>,
) -> Result<NoContent, Problem> {
    let deleted = central.delete_view(&environment, &id, role, &actor).await?;
    match deleted {
        true => Ok(NoContent),
        false => Err(Problem::missing("view of yours", &id)),
    }
}

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Problem {
        match error {
            ViewError::Unusable(why) => Problem::unusable(why),
            ViewError::NotShared => Problem::forbidden(error.to_string()),
            ViewError::Full => Problem {
                status: StatusCode::CONFLICT,
                title: "There are too many views",
                detail: error.to_string(),
            },
            ViewError::Store(error) => error.into(),
        }
    }
}
