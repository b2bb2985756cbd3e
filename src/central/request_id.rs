//! A number for each request to the portal or the API: in a header of its answer, on pages and in problems that
//! say what went wrong, and beside each line of the log that is written meanwhile. Whoever is told "it did not
//! work" can name it, and whoever runs the service finds what happened.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

/// The header that carries it.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Digits of a number.
const DIGITS: usize = 16;

tokio::task_local! {
    static CURRENT: String;
}

/// The number of the request that is being answered; empty where none is.
pub(super) fn current() -> String {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// Answers a request under a number of its own. What went wrong is logged once, without the address itself,
/// which can hold a secret.
pub(super) async fn numbered(request: Request, next: Next) -> Response {
    let id = number();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(String::new, |route| route.as_str().to_owned());
    let span = tracing::error_span!("request", id);
    let answering = async {
        let response = next.run(request).await;
        let status = response.status();
        if status.is_server_error() {
            tracing::warn!(%method, route, status = status.as_u16(), "a request failed");
        } else if status.is_client_error() {
            tracing::info!(%method, route, status = status.as_u16(), "a request was refused");
        }
        response
    };
    let answering = answering.instrument(span);
    let mut response = CURRENT.scope(id.clone(), answering).await;
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, id);
    }
    response
}

fn number() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    let number = u64::from_le_bytes(bytes) % 10_u64.pow(DIGITS as u32);
    format!("{number:0DIGITS$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_number_is_known_while_its_request_is_answered_and_no_longer() {
        assert_eq!(current(), "");
        let id = number();
        assert!(id.len() == DIGITS && id.bytes().all(|byte| byte.is_ascii_digit()));
        assert_ne!(id, number());
        let seen = CURRENT.scope(id.clone(), async { current() }).await;
        assert_eq!(seen, id);
    }
}
