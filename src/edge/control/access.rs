//! Who may see records and change things.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::routes::{Control, Failure};

#[cfg(unix)]
pub(super) use unix::{Operators, Peer};
#[cfg(windows)]
pub(super) use windows::{Operators, Peer};

/// Lets only operators through.
pub(super) async fn operators_only(
    State(control): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let operators = control.operators.clone();
    let asked = tokio::task::spawn_blocking(move || match operators.include(peer) {
        true => Ok(()),
        false => Err(operators.refusal()),
    });
    asked.await.map_err(Failure::internal)??;
    Ok(next.run(request).await)
}
