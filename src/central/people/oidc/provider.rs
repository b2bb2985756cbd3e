//! What the provider says of itself, and what it is asked: OpenID Connect Discovery 1.0, its keys, the token
//! endpoint and the userinfo endpoint. Nothing is followed elsewhere, and every answer is bounded.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::jwk::Jwk;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::central::config::Oidc;
use crate::event::Timestamp;
use crate::secret::Secret;

use super::OidcError;

/// Time for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// A client for the provider.
pub(super) fn client(oidc: &Oidc) -> anyhow::Result<Client> {
    let mut builder = crate::http::client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .user_agent(concat!("fieldpost/", env!("CARGO_PKG_VERSION")));
    if let Some(file) = &oidc.ca_file {
        let pem = std::fs::read(file)
            .map_err(|error| anyhow::anyhow!("oidc.ca_file: {}: {error}", file.display()))?;
        for authority in reqwest::Certificate::from_pem_bundle(&pem)? {
            builder = builder.add_root_certificate(authority);
        }
    }
    Ok(builder.build()?)
}

/// A provider as it was when it was last asked.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) metadata: Metadata,
    pub(super) keys: Vec<Jwk>,
    pub(super) asked_at: Timestamp,
}

/// The provider's configuration.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    pub(super) end_session_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether it names itself in its answers (RFC 9207).
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<Value>,
}

/// What the token endpoint gives for a code.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) id_token: String,
    access_token: Option<String>,
}

/// What is sent for the tokens.
pub(super) struct Exchange<'a> {
    pub(super) code: &'a str,
    pub(super) verifier: &'a str,
    pub(super) redirect: &'a str,
    pub(super) client_id: &'a str,
    pub(super) client_secret: Option<&'a Secret>,
}

impl Provider {
    /// Asks the provider what it is, and for its keys.
    pub(super) async fn discover(
        client: &Client,
        issuer: &str,
        now: Timestamp,
    ) -> Result<Provider, OidcError> {
        let issuer_base = issuer.trim_end_matches('/');
        let address = format!("{issuer_base}/.well-known/openid-configuration");
        let metadata: Metadata = read(client.get(address), "its configuration").await?;
        if metadata.issuer != issuer {
            let told = format!(
                "it calls itself {:?}; set oidc.issuer to that",
                metadata.issuer
            );
            return Err(OidcError::Unreachable(told));
        }
        let endpoints = [
            Some(&metadata.authorization_endpoint),
            Some(&metadata.token_endpoint),
            Some(&metadata.jwks_uri),
            metadata.userinfo_endpoint.as_ref(),
            metadata.end_session_endpoint.as_ref(),
        ];
        for endpoint in endpoints.into_iter().flatten() {
            let is_trusted = Url::parse(endpoint).is_ok_and(|url| is_trusted_address(&url));
            if !is_trusted {
                let told = format!("its endpoint {endpoint:?} is not an https address");
                return Err(OidcError::Unreachable(told));
            }
        }
        let Keys { keys } = read(client.get(&metadata.jwks_uri), "its keys").await?;
        // Keys of kinds that are not known here sign nothing for us.
        let keys = keys
            .into_iter()
            .filter_map(|key| Jwk::deserialize(key).ok());
        Ok(Provider {
            keys: keys.collect(),
            metadata,
            asked_at: now,
        })
    }

    /// Gives the code away for an ID token.
    pub(super) async fn exchange(
        &self,
        client: &Client,
        exchange: &Exchange<'_>,
    ) -> Result<Tokens, OidcError> {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", exchange.code),
            ("redirect_uri", exchange.redirect),
            ("code_verifier", exchange.verifier),
        ];
        let mut request = client.post(&self.metadata.token_endpoint);
        match exchange.client_secret {
            None => fields.push(("client_id", exchange.client_id)),
            Some(secret) if self.takes_secrets_in_the_header() => {
                let pair = format!("{}:{}", form(exchange.client_id), form(secret.expose()));
                let basic = format!("Basic {}", BASE64_STANDARD.encode(pair));
                request = request.header("authorization", basic);
            }
            Some(secret) => {
                fields.push(("client_id", exchange.client_id));
                fields.push(("client_secret", secret.expose()));
            }
        }
        let body = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", form(value)))
            .collect::<Vec<_>>()
            .join("&");
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        read(request, "a token").await
    }

    /// `client_secret_basic` is what a provider takes that names no method.
    fn takes_secrets_in_the_header(&self) -> bool {
        let methods = self.metadata.token_endpoint_auth_methods_supported.as_ref();
        methods.is_none_or(|methods| methods.iter().any(|it| it == "client_secret_basic"))
    }

    /// What else the provider tells of whoever the access token is of; nothing where there is no such
    /// endpoint.
    pub(super) async fn userinfo(
        &self,
        client: &Client,
        tokens: &Tokens,
    ) -> Result<Map<String, Value>, OidcError> {
        let endpoint = self.metadata.userinfo_endpoint.as_ref();
        let (Some(endpoint), Some(token)) = (endpoint, &tokens.access_token) else {
            return Ok(Map::new());
        };
        read(client.get(endpoint).bearer_auth(token), "who somebody is").await
    }
}

/// Whether an address is one whose answers can be trusted: by TLS, or on this machine.
pub(in crate::central) fn is_trusted_address(url: &Url) -> bool {
    let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => url.has_host(),
        "http" => is_loopback,
        _ => false,
    }
}

/// A text as forms carry it.
pub(super) fn form(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

async fn read<T: DeserializeOwned>(request: RequestBuilder, what: &str) -> Result<T, OidcError> {
    let failed = |why: String| OidcError::Unreachable(format!("asked for {what}: {why}"));
    let mut answer = request
        .header("accept", "application/json")
        .send()
        .await
        .map_err(|error| failed(chain(&error)))?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(piece) = answer
        .chunk()
        .await
        .map_err(|error| failed(chain(&error)))?
    {
        if body.len() + piece.len() > MAX_ANSWER {
            return Err(failed("its answer is too long".to_owned()));
        }
        body.extend_from_slice(&piece);
    }
    if !status.is_success() {
        // OAuth 2.0 says what is wrong in `error`; more than that could hold what is secret.
        let told = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        let told = told["error"].as_str().unwrap_or_default();
        let told: String = told.chars().take(100).collect();
        return Err(failed(format!("it answered {status} {told}")));
    }
    serde_json::from_slice(&body).map_err(|error| failed(format!("its answer: {error}")))
}

/// An error with those that led to it, without the address, which can hold a code.
fn chain(error: &reqwest::Error) -> String {
    let mut told = String::from("it cannot be reached");
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        told.push_str(&format!(": {error}"));
        source = error.source();
    }
    told
}
