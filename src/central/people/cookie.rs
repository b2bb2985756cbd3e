//! The cookies: one holds a session's secret, the other what a sign-in through the provider follows from.
//!
//! They are called `__Host-…`, which browsers take only over TLS, for this host alone. On plain loopback there
//! is no TLS and nobody to listen: there, and only there, it goes without prefix and `Secure`.

use std::net::SocketAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, header};

use crate::central::Central;
use crate::central::guard::is_this_machine;
use crate::secret::Secret;

use super::session::From;

/// Longest value that is looked at.
const MAX_VALUE: usize = 3_000;

/// What a cookie is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::central) enum Cookie {
    /// Who is signed in.
    Session,
    /// Who is about to be, through the provider.
    Attempt,
}

/// How a request came, as far as cookies go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::central) enum Way {
    /// Over TLS, ours or a proxy's.
    Secure,
    /// From this machine itself under a loopback name, without TLS.
    Loopback,
    /// Over a network without TLS: no cookie can be kept.
    Open,
}

impl Central {
    /// How a request came.
    pub(in crate::central) fn way(&self, peer: SocketAddr, headers: &HeaderMap) -> Way {
        let is_https = |url: &str| url.starts_with("https://");
        let forwarded = headers
            .get("x-forwarded-proto")
            .is_some_and(|proto| proto == "https");
        if self.certificate.is_some() || forwarded {
            Way::Secure
        } else if is_this_machine(peer, headers) && host_is_loopback(headers) {
            Way::Loopback
        } else if is_https(&self.public_url) {
            Way::Secure
        } else {
            Way::Open
        }
    }
}

impl Way {
    /// The secret in a request's cookie of a session.
    pub(in crate::central) fn secret(self, headers: &HeaderMap) -> Option<Secret> {
        self.value(Cookie::Session, headers)
    }

    /// What a request's cookie holds.
    pub(in crate::central) fn value(self, cookie: Cookie, headers: &HeaderMap) -> Option<Secret> {
        let name = self.name(cookie)?;
        let cookies = headers.get_all(header::COOKIE).iter();
        let pairs = cookies
            .filter_map(|cookies| cookies.to_str().ok())
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) if value.len() <= MAX_VALUE => Some(Secret::new(value)),
            _ => None,
        }
    }

    /// The header that sets a cookie; `None` takes it away.
    pub(in crate::central) fn set(
        self,
        cookie: Cookie,
        secret: Option<&Secret>,
        max_age_seconds: u64,
    ) -> Option<HeaderValue> {
        let name = self.name(cookie)?;
        let (value, age) = match secret {
            Some(secret) => (secret.expose(), max_age_seconds),
            None => ("", 0),
        };
        let secure = match self {
            Way::Secure => "; Secure",
            _ => "",
        };
        let cookie =
            format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}");
        HeaderValue::try_from(cookie).ok()
    }

    fn name(self, cookie: Cookie) -> Option<&'static str> {
        match (self, cookie) {
            (Way::Secure, Cookie::Session) => Some("__Host-fieldpost"),
            (Way::Secure, Cookie::Attempt) => Some("__Host-fieldpost-sso"),
            (Way::Loopback, Cookie::Session) => Some("fieldpost"),
            (Way::Loopback, Cookie::Attempt) => Some("fieldpost-sso"),
            (Way::Open, _) => None,
        }
    }
}

/// Where a request comes from. A proxy on this machine is believed when it says for whom it asks: the last
/// address in `X-Forwarded-For` is the one that it added.
pub(in crate::central) fn origin(peer: SocketAddr, headers: &HeaderMap) -> From {
    let text = |name: &str| {
        let last = headers.get_all(name).iter().next_back();
        last.and_then(|value| value.to_str().ok())
    };
    let peer = peer.ip().to_canonical();
    let forwarded = text("x-forwarded-for")
        .filter(|_| peer.is_loopback())
        .and_then(|addresses| addresses.rsplit(',').next())
        .and_then(|address| address.trim().parse().ok());
    From {
        address: forwarded.unwrap_or(peer).to_string(),
        client: text("user-agent").unwrap_or_default().to_owned(),
    }
}

/// Whether the request is for a loopback name: one under which no other site's pages can run.
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

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_loopback_names_are_loopback() {
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
    fn the_cookie_is_secure_but_on_loopback() {
        let secret = Secret::new("s3");
        let secure = Way::Secure.set(Cookie::Session, Some(&secret), 60).unwrap();
        assert_eq!(
            secure,
            "__Host-fieldpost=s3; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure"
        );
        let plain = Way::Loopback
            .set(Cookie::Session, Some(&secret), 60)
            .unwrap();
        assert_eq!(
            plain,
            "fieldpost=s3; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"
        );
        assert!(Way::Open.set(Cookie::Session, Some(&secret), 60).is_none());
        let both = headers(&[("cookie", "fieldpost=a; __Host-fieldpost=b")]);
        assert_eq!(Way::Secure.secret(&both).unwrap().expose(), "b");
        let twice = headers(&[("cookie", "fieldpost=a; fieldpost=b")]);
        assert!(Way::Loopback.secret(&twice).is_none());
    }

    #[test]
    fn a_proxy_on_this_machine_says_for_whom_it_asks() {
        let local: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let remote: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let forwarded = headers(&[("x-forwarded-for", "203.0.113.9, 198.51.100.7")]);
        assert_eq!(origin(local, &forwarded).address, "198.51.100.7");
        assert_eq!(origin(remote, &forwarded).address, "192.0.2.1");
    }
}
