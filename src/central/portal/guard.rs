//! Who may ask.
//!
//! Until people can sign in, the portal answers the machine it runs on and nobody else: the
//! peer is loopback, `Host` is a loopback name (a page that rebinds its own name to
//! 127.0.0.1 is refused), and nothing says that a proxy passed the request on. What changes
//! something must come from one of our own pages.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::central::guard::is_this_machine;

use super::failure::Failure;

/// Refuses every request that does not come from the machine itself.
pub(super) async fn local_only(request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let headers = request.headers();
    let is_local = peer.is_some_and(|ConnectInfo(peer)| is_this_machine(*peer, headers));
    if is_local && host_is_loopback(headers) {
        next.run(request).await
    } else {
        Failure::NotLocal.into_response()
    }
}

/// Refuses changes that another site asks for.
pub(super) async fn own_changes_only(request: Request, next: Next) -> Response {
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if reads || comes_from_our_pages(request.headers()) {
        next.run(request).await
    } else {
        Failure::ForeignForm.into_response()
    }
}

fn host_is_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let authority = host
        .to_str()
        .ok()
        .and_then(|host| host.parse::<Authority>().ok());
    authority.is_some_and(|authority| {
        let plain = !authority.as_str().contains('@');
        plain && matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]")
    })
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
    fn only_loopback_names_are_hosts_of_the_portal() {
        for host in [
            "localhost",
            "localhost:8080",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:4320",
        ] {
            assert!(host_is_loopback(&headers(&[("host", host)])), "{host}");
        }
        for host in [
            "example.com",
            "localhost.example.com",
            "127.0.0.1@example.com",
            "127.0.0.2",
            "",
            "[::2]:80",
        ] {
            assert!(!host_is_loopback(&headers(&[("host", host)])), "{host}");
        }
        assert!(!host_is_loopback(&HeaderMap::new()));
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
