//! What can be asked for.

use std::convert::Infallible;
use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::channel::{Channel, Sender};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::edge::inside::Inside;
use crate::edge::origins::Origin;
use crate::edge::pipeline::Pipeline;
use crate::edge::plain;
use crate::edge::queue::{AppendError, ParkedSummary, SegmentCheck, SegmentSummary, StorageError};
use crate::edge::status::Status;
use crate::edge::tail::Lines;
use crate::event::Timestamp;
use crate::shutdown::Shutdown;

use super::access::{Operators, operators_only};

/// Time after which an empty line is sent to whoever watches, to see whether they still do.
const STILL_THERE: Duration = Duration::from_secs(15);

/// Lines on their way to whoever watches.
const LINES_ON_THE_WAY: usize = 16;

/// What the requests ask.
pub(super) struct Control {
    pub(super) inside: Arc<Inside>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) operators: Operators,
    pub(super) shutdown: Shutdown,
}

/// The queue's segments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Segments {
    /// The queue's directory.
    pub directory: PathBuf,
    /// Oldest first.
    pub segments: Vec<SegmentSummary>,
    /// Damaged ones that were put aside, by their first entries.
    pub put_aside: Vec<u64>,
}

/// What was asked of a flush.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Flush {
    /// It is over when all entries before this one are settled.
    pub until: u64,
}

/// The parked list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ParkedItems {
    /// Oldest first.
    pub items: Vec<ParkedItem>,
    /// Records that had to go to make room, since the queue was made.
    pub dropped_records: u64,
}

/// One request that the upstream refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ParkedItem {
    /// Its number in the list.
    pub id: u64,
    /// When it was refused.
    pub parked_at: Timestamp,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
    /// The upstream's words.
    pub reason: String,
    /// Logs, metrics or traces.
    pub signal: String,
    /// How many records.
    pub records: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// A refused request, whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ParkedRecords {
    /// Its number in the list.
    pub id: u64,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
    /// The upstream's words.
    pub reason: String,
    /// Its records as plain JSON.
    pub records: Vec<Value>,
}

pub(super) fn router(control: Control) -> Router {
    let control = Arc::new(control);
    let for_operators = Router::new()
        .route("/queue/segments/{first}/check", post(check))
        .route("/flush", post(flush))
        .route("/tail", get(tail))
        .route("/origins", get(origins))
        .route("/parked", get(parked))
        .route("/parked/{id}", get(show_parked).delete(drop_parked))
        .route("/parked/{id}/send", post(send_parked))
        .route_layer(from_fn_with_state(Arc::clone(&control), operators_only));
    Router::new()
        .route("/status", get(status))
        .route("/queue/segments", get(segments))
        .merge(for_operators)
        .with_state(control)
}

type Asked = State<Arc<Control>>;

async fn status(State(control): Asked) -> Json<Status> {
    Json(control.inside.status().await)
}

async fn segments(State(control): Asked) -> Result<Json<Segments>, Failure> {
    let inside = &control.inside;
    Ok(Json(Segments {
        directory: inside.directory.clone(),
        segments: inside.queue.segments(),
        put_aside: inside.queue.put_aside()?,
    }))
}

async fn check(
    State(control): Asked,
    Path(first): Path<u64>,
) -> Result<Json<Option<SegmentCheck>>, Failure> {
    Ok(Json(control.inside.queue.check(first).await?))
}

async fn flush(State(control): Asked) -> Json<Flush> {
    let (_, until) = control.inside.queue.position();
    control.inside.link.wake();
    Json(Flush { until })
}

async fn origins(State(control): Asked) -> Json<Vec<Origin>> {
    Json(control.inside.origins.list())
}

#[derive(Deserialize)]
struct Filter {
    event: Option<String>,
}

async fn tail(State(control): Asked, Query(filter): Query<Filter>) -> Response {
    let (sender, body) = Channel::<Bytes, Infallible>::new(LINES_ON_THE_WAY);
    let lines = control.inside.tail.watch(filter.event);
    tokio::spawn(send_lines(lines, sender, control.shutdown.clone()));
    Body::new(body).into_response()
}

/// Sends lines until nobody reads them, or the edge stops.
async fn send_lines(mut lines: Lines, mut sender: Sender<Bytes>, mut shutdown: Shutdown) {
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            () = tokio::time::sleep(STILL_THERE) => Some("\n".to_owned()),
            () = shutdown.requested() => None,
        };
        let Some(line) = line else { return };
        let sent = tokio::select! {
            sent = sender.send_data(Bytes::from(line)) => sent,
            () = shutdown.requested() => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn parked(State(control): Asked) -> Result<Json<ParkedItems>, Failure> {
    let list = control.inside.queue.parked().await?;
    Ok(Json(ParkedItems {
        items: list.items.into_iter().map(item).collect(),
        dropped_records: list.dropped_records,
    }))
}

fn item(summary: ParkedSummary) -> ParkedItem {
    ParkedItem {
        id: summary.id,
        parked_at: summary.parked_at.into(),
        status: summary.status,
        reason: summary.reason,
        signal: summary.signal.word().to_owned(),
        records: summary.records,
        bytes: summary.bytes,
    }
}

async fn show_parked(
    State(control): Asked,
    Path(id): Path<u64>,
) -> Result<Json<ParkedRecords>, Failure> {
    let found = control.inside.queue.read_parked(id).await?;
    let parked = found.ok_or_else(|| Failure::not_parked(id))?;
    let records = plain::records(&parked.request).into_iter();
    Ok(Json(ParkedRecords {
        id,
        status: parked.status,
        reason: parked.reason,
        records: records.map(|record| Value::Object(record.object)).collect(),
    }))
}

async fn send_parked(State(control): Asked, Path(id): Path<u64>) -> Result<Json<Value>, Failure> {
    let redact = |request| control.pipeline.redact_again(request);
    match control.inside.queue.send_parked(id, redact).await? {
        true => Ok(Json(json!({ "id": id }))),
        false => Err(Failure::not_parked(id)),
    }
}

async fn drop_parked(State(control): Asked, Path(id): Path<u64>) -> Result<Json<Value>, Failure> {
    match control.inside.queue.drop_parked(id).await? {
        true => Ok(Json(json!({ "id": id }))),
        false => Err(Failure::not_parked(id)),
    }
}

/// Why something was not done, for the person who asked.
pub(super) struct Failure {
    status: StatusCode,
    error: String,
}

impl Failure {
    pub(super) fn forbidden(error: String) -> Failure {
        let status = StatusCode::FORBIDDEN;
        Failure { status, error }
    }

    pub(super) fn internal(error: impl Display) -> Failure {
        Failure {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            error: error.to_string(),
        }
    }

    fn not_parked(id: u64) -> Failure {
        Failure {
            status: StatusCode::NOT_FOUND,
            error: format!("nothing is parked under {id}; see `fieldpost edge parked list`"),
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Failure {
        Failure::internal(error)
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Failure {
        Failure::internal(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::internal(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.error }))).into_response()
    }
}
