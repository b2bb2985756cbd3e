//! Who may ask.
//!
//! Every page but those for signing in needs a session, and whoever has none is led to signing in. What
//! changes something must come from one of our own pages, and its form must carry the session's token: both
//! are checked here, for every route, so that no page can forget it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Form;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, FromRequest, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::central::Central;
use crate::central::people::{SignedIn, origin};
use crate::central::store::StoreError;
use crate::secret::is_same;

use super::address::with_query;
use super::failure::Failure;

/// Longest form, in bytes.
pub(super) const MAX_FORM: usize = 64 << 10;

/// Lets requests with a session through; others are led to signing in.
pub(super) async fn signed_in(
    State(central): State<Arc<Central>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let session = match session(&central, peer, request.headers()).await {
        Ok(session) => session,
        Err(error) => return Failure::from(error).into_response(),
    };
    let Some(session) = session else {
        return sign_in_first(&request);
    };
    if !reads(&request) {
        request = match with_form_token(request, &session.form_token).await {
            Ok(request) => request,
            Err(failure) => return failure.into_response(),
        };
    }
    let from = origin(peer, request.headers());
    request.extensions_mut().insert(session);
    request.extensions_mut().insert(from);
    next.run(request).await
}

/// Whose session a request belongs to.
pub(super) async fn session(
    central: &Central,
    peer: SocketAddr,
    headers: &HeaderMap,
) -> Result<Option<SignedIn>, StoreError> {
    match central.way(peer, headers).secret(headers) {
        Some(secret) => central.session(&secret).await,
        None => Ok(None),
    }
}

fn sign_in_first(request: &Request) -> Response {
    if !reads(request) {
        return Failure::SignedOut.into_response();
    }
    let asked = request.uri().path_and_query().map_or("/", |it| it.as_str());
    let next = if asked == "/" { "" } else { asked };
    Redirect::to(&with_query("/sign-in", &[("next", next)])).into_response()
}

fn reads(request: &Request) -> bool {
    matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    )
}

#[derive(Deserialize)]
struct FormToken {
    #[serde(default)]
    csrf: String,
}

/// The request again, if its form carries the token.
async fn with_form_token(request: Request, token: &str) -> Result<Request, Failure> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_FORM)
        .await
        .map_err(|_| Failure::BadRequest("The form is too long, or did not arrive whole."))?;
    let copy = Request::from_parts(parts.clone(), Body::from(body.clone()));
    let sent = Form::<FormToken>::from_request(copy, &()).await;
    match sent.is_ok_and(|Form(form)| is_same(form.csrf, token)) {
        true => Ok(Request::from_parts(parts, Body::from(body))),
        false => Err(Failure::StaleForm),
    }
}

/// Refuses changes that another site asks for.
pub(super) async fn own_changes_only(request: Request, next: Next) -> Response {
    if reads(&request) || comes_from_our_pages(request.headers()) {
        next.run(request).await
    } else {
        Failure::ForeignForm.into_response()
    }
}

/// Browsers say where a form stood: newer ones in `Sec-Fetch-Site`, all in `Origin`.
fn comes_from_our_pages(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(origin), Some(host)) = (text(header::ORIGIN), text(header::HOST)) else {
        return false;
    };
    let origin_host = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    origin_host.is_some_and(|origin_host| origin_host.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    axum::http::HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn a_change_comes_from_our_own_pages() {
        let host = ("host", "localhost:8080");
        assert!(comes_from_our_pages(&headers(&[
            host,
            ("sec-fetch-site", "same-origin")
        ])));
        assert!(comes_from_our_pages(&headers(&[
            host,
            ("origin", "http://localhost:8080")
        ])));
        assert!(!comes_from_our_pages(&headers(&[
            host,
            ("sec-fetch-site", "same-site")
        ])));
        assert!(!comes_from_our_pages(&headers(&[
            host,
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://localhost:8080")
        ])));
        assert!(!comes_from_our_pages(&headers(&[
            host,
            ("origin", "http://localhost:9")
        ])));
        assert!(!comes_from_our_pages(&headers(&[host, ("origin", "null")])));
        assert!(!comes_from_our_pages(&headers(&[host])));
    }
}
