//! Who may post to the localhost endpoint.
//!
//! Browsers can reach a localhost port, also under names that an attacker's DNS gives it: a request
//! must be addressed to loopback, and must not come from a web page. Other users of the machine can
//! reach it too; where that matters, clients show a token.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::http::otlp::Refusal;
use crate::secret::{self, Secret};

use super::config::Listen;

/// What browsers say about where a request comes from (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The checks on a request's head, before anything of its body is read.
pub(super) struct Guard {
    hosts: Vec<String>,
    /// The token that clients must show.
    token: Option<Secret>,
}

impl Guard {
    /// Reads the token, if one is configured.
    ///
    /// # Errors
    /// When it cannot be read: a door that should be locked must not stand open.
    pub(super) fn new(config: &Listen) -> anyhow::Result<Guard> {
        let token = config.bearer_token_file.as_deref().map(secret::read_file);
        let token = token
            .transpose()
            .context("cannot use listen.bearer_token_file")?;
        Ok(Guard {
            hosts: config.hosts.clone(),
            token,
        })
    }

    /// Lets a request in, or says why not.
    ///
    /// # Errors
    /// 403 for what a browser may have sent, 401 without the token where one is asked for.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if is_from_web_page(headers) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "requests from web pages are refused",
            ));
        }
        let host = headers
            .get(header::HOST)
            .map(|host| host.to_str().unwrap_or_default());
        // HTTP/1.0 clients send no Host; browsers always do.
        if host.is_some_and(|host| !self.is_own_host(host)) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "the Host header names another machine; if it is this one's, add it to listen.hosts",
            ));
        }
        if !self.has_token(headers) {
            let refusal = Refusal::new(
                StatusCode::UNAUTHORIZED,
                "this endpoint asks for a token: Authorization: Bearer, with what stands in \
                 listen.bearer_token_file",
            );
            let bearer = HeaderValue::from_static("Bearer");
            return Err(refusal.with_header(header::WWW_AUTHENTICATE, bearer));
        }
        Ok(())
    }

    fn is_own_host(&self, host: &str) -> bool {
        if let Ok(address) = host.parse::<SocketAddr>() {
            return address.ip().is_loopback();
        }
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || bare
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let Some(expected) = &self.token else {
            return true;
        };
        let shown = headers
            .get(header::AUTHORIZATION)
            .and_then(|header| header.to_str().ok())
            .and_then(|header| header.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        shown.is_some_and(|(_, token)| secret::is_same(token.trim(), expected.expose()))
    }
}

/// Scripts and forms of web pages carry an `Origin`; whatever else a page loads says from which site.
/// What a person enters in the address bar (`none`) is no page's doing.
fn is_from_web_page(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN)
        || headers
            .get_all(SEC_FETCH_SITE)
            .iter()
            .any(|site| site != "none" && site != "same-origin")
}
