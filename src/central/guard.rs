//! Whether a request comes from the machine that the service runs on: the peer is loopback, and nothing
//! says that a proxy passed the request on.

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderName, header};

/// Headers by which proxies say that they pass a request on for someone else.
const FORWARDING: [HeaderName; 6] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// Whether a request comes from this machine itself.
pub(super) fn is_this_machine(peer: SocketAddr, headers: &HeaderMap) -> bool {
    let was_forwarded = FORWARDING.iter().any(|name| headers.contains_key(name));
    peer.ip().to_canonical().is_loopback() && !was_forwarded
}
