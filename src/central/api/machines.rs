//! The machines that edges run on: what they have sent, what is missing, and whether they report.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::central::Central;
use crate::central::store::Machine;
use crate::event::Timestamp;

use super::caller::{Admin, Reader};
use super::{Answer, List, Problem, missing, whole};

pub(super) fn router() -> Router<Arc<Central>> {
    Router::new()
        .route("/machines", get(machines))
        .route("/machines/{id}", get(machine))
        .route("/machines/{id}/retire", post(retire))
        .route("/machines/{id}/restore", post(restore))
}

async fn machines(Reader { central, scope, .. }: Reader) -> Answer<List<Machine>> {
    Ok(whole(
        central.store.machines(scope, Timestamp::now()).await?,
    ))
}

async fn machine(Reader { central, scope, .. }: Reader, Path(id): Path<String>) -> Answer<Machine> {
    let machine = central.store.machine(scope, &id, Timestamp::now()).await?;
    machine.map(Json).ok_or_else(|| missing("machine", &id))
}

async fn retire(admin: Admin, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    put_aside(&admin, &id, true).await
}

async fn restore(admin: Admin, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    put_aside(&admin, &id, false).await
}

async fn put_aside(
    Admin {
        central,
        environment,
        actor,
        ..
    }: &Admin,
    id: &str,
    retired: bool,
) -> Result<StatusCode, Problem> {
    match central
        .retire_machine(environment, id, retired, actor)
        .await?
    {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing("machine", id)),
    }
}
