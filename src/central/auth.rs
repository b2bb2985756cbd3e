//! Who may write, and who may read: ingest tokens (JWT, HS256) and API keys.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::event::Timestamp;
use crate::http::otlp::Refusal;
use crate::secret::{self, random_digits};

use super::Central;
use super::store::{Environment, Scope, StoreError, TokenState};

/// How long a token is good: 365 days.
pub(super) const TOKEN_LIFETIME_SECONDS: i64 = 365 * 86_400;

/// How far a clock may be off before a token issued "in the future" is refused.
const CLOCK_LEEWAY_SECONDS: i64 = 60;

/// The `iss` of every token made here.
const ISSUER: &str = "fieldpost";

/// The `aud` of tokens that may write telemetry.
const AUDIENCE: &str = "fieldpost-otlp";

/// The platform, as the token names it.
const PLATFORM: &str = "claude-cowork";

/// What API keys begin with, so that people and scanners know one when they see it.
pub(super) const API_KEY_PREFIX: &str = "fpk_";

/// What a token says: whose telemetry it lets in, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: String,
    pub(super) jti: String,
    iat: i64,
    exp: i64,
    tid: String,
    eid: String,
    pid: String,
}

impl Claims {
    /// Claims for a new token; `issued` in seconds since the Unix epoch.
    pub(super) fn new(environment: &Environment, issued: i64) -> Claims {
        Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            jti: super::new_id(),
            iat: issued,
            exp: issued + TOKEN_LIFETIME_SECONDS,
            tid: environment.tenant_id.clone(),
            eid: environment.environment_id.clone(),
            pid: PLATFORM.to_owned(),
        }
    }
}

/// The keys that sign tokens: one signs, all verify.
pub(super) struct TokenKeys {
    current: String,
    keys: BTreeMap<String, (EncodingKey, DecodingKey)>,
}

/// The key file's form: key ids with 64 hexadecimal digits each.
#[derive(Serialize, Deserialize)]
struct KeyFile {
    current: String,
    keys: BTreeMap<String, String>,
}

impl TokenKeys {
    /// Reads the key file, made with one key when it does not exist.
    pub(super) fn open(path: &Path) -> anyhow::Result<TokenKeys> {
        let context = || format!("cannot use the signing keys in {}", path.display());
        if !path.exists() {
            let id = "k1".to_owned();
            let file = KeyFile {
                current: id.clone(),
                keys: BTreeMap::from([(id, random_digits())]),
            };
            let json = serde_json::to_string_pretty(&file).with_context(context)?;
            secret::write_file(path, &json).with_context(context)?;
        }
        let text = secret::read_file(path).with_context(context)?;
        let file: KeyFile = serde_json::from_str(text.expose()).with_context(context)?;
        anyhow::ensure!(
            file.keys.contains_key(&file.current),
            "{} names a current key that is not in it",
            path.display()
        );
        let keys = file
            .keys
            .into_iter()
            .map(|(id, secret)| {
                let secret = secret.as_bytes();
                (
                    id,
                    (
                        EncodingKey::from_secret(secret),
                        DecodingKey::from_secret(secret),
                    ),
                )
            })
            .collect();
        Ok(TokenKeys {
            current: file.current,
            keys,
        })
    }

    /// Signs claims; gives the token and the id of the key.
    pub(super) fn sign(&self, claims: &Claims) -> (String, String) {
        let header = Header {
            kid: Some(self.current.clone()),
            ..Header::new(Algorithm::HS256)
        };
        let (key, _) = &self.keys[&self.current];
        let token = jsonwebtoken::encode(&header, claims, key)
            .expect("claims are JSON and the key fits the algorithm");
        (token, self.current.clone())
    }

    /// Checks signature, algorithm, issuer, audience and times; `now` in seconds.
    fn verify(&self, token: &str, now: i64) -> Result<Claims, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        let key_id = header.kid.ok_or(TokenError::Malformed)?;
        let (_, key) = self.keys.get(&key_id).ok_or(TokenError::Malformed)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // Times are checked below, against the clock that was handed in.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation)
            .map_err(|_| TokenError::Malformed)?
            .claims;
        if claims.exp <= now {
            return Err(TokenError::Expired);
        }
        if claims.iat > now + CLOCK_LEEWAY_SECONDS || claims.pid != PLATFORM {
            return Err(TokenError::Malformed);
        }
        Ok(claims)
    }
}

/// Why a token is not accepted. The words say what to do, and nothing about the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum TokenError {
    #[error("the Authorization header is missing; send: Authorization: Bearer <token>")]
    Missing,
    #[error("the token is malformed or was not issued here; copy it again from Integrations")]
    Malformed,
    #[error("the token has expired; install the integration again for a new one")]
    Expired,
    #[error("the token was revoked; install the integration again for a new one")]
    Revoked,
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Refusal {
        let challenge = match error {
            TokenError::Missing => "Bearer realm=\"fieldpost\"".to_owned(),
            // RFC 6750, section 3.1
            _ => format!(
                "Bearer realm=\"fieldpost\", error=\"invalid_token\", error_description=\"{error}\""
            ),
        };
        let challenge =
            HeaderValue::from_str(&challenge).expect("the messages above are plain ASCII");
        Refusal::new(StatusCode::UNAUTHORIZED, error.to_string())
            .with_header(header::WWW_AUTHENTICATE, challenge)
    }
}

/// The token behind a request that may write.
pub(super) struct Writer {
    pub(super) scope: Scope,
    pub(super) token_id: String,
}

impl Central {
    /// The token in a request's headers, checked.
    pub(super) async fn authenticate(&self, headers: &HeaderMap) -> Result<Writer, Refusal> {
        let token = bearer(headers).ok_or(TokenError::Missing)?;
        let now = Timestamp::now().0 / 1_000_000_000;
        let claims = self.token_keys.verify(token, now)?;
        let state = self
            .store
            .token_state(&claims.tid, &claims.eid, &claims.jti)
            .await
            .map_err(|error| Refusal::unavailable(error.to_string()))?;
        match state {
            TokenState::Live(scope) => Ok(Writer {
                scope,
                token_id: claims.jti,
            }),
            TokenState::Revoked => Err(TokenError::Revoked.into()),
            TokenState::Unknown => Err(TokenError::Malformed.into()),
        }
    }

    /// The scope of the API key in a request's headers; `None` when there is no valid one.
    pub(super) async fn reader(&self, headers: &HeaderMap) -> Result<Option<Scope>, StoreError> {
        match bearer(headers).filter(|key| key.starts_with(API_KEY_PREFIX)) {
            Some(key) => self.store.api_key_scope(&api_key_hash(key)).await,
            None => Ok(None),
        }
    }
}

/// What is kept of an API key. The key is random and long: a plain hash cannot be reversed.
pub(super) fn api_key_hash(key: &str) -> String {
    blake3::hash(key.as_bytes()).to_hex().to_string()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_351_565;

    fn keys() -> TokenKeys {
        let directory = tempfile::tempdir().expect("a temporary directory");
        TokenKeys::open(&directory.path().join("keys.json")).expect("keys are made")
    }

    fn claims(issued: i64) -> Claims {
        let scope = Scope {
            tenant: 1,
            environment: 1,
        };
        Claims::new(
            &Environment {
                scope,
                tenant: "acme".to_owned(),
                environment: "laptops".to_owned(),
                tenant_id: "t".to_owned(),
                environment_id: "e".to_owned(),
            },
            issued,
        )
    }

    #[test]
    fn a_token_is_good_for_365_days_and_not_before_it_was_issued() {
        let keys = keys();
        let (token, _) = keys.sign(&claims(NOW));
        let day = 86_400;
        assert!(keys.verify(&token, NOW).is_ok());
        assert!(keys.verify(&token, NOW + 365 * day - 1).is_ok());
        assert_eq!(
            keys.verify(&token, NOW + 365 * day),
            Err(TokenError::Expired)
        );
        assert!(keys.verify(&token, NOW - CLOCK_LEEWAY_SECONDS).is_ok());
        assert_eq!(
            keys.verify(&token, NOW - CLOCK_LEEWAY_SECONDS - 1),
            Err(TokenError::Malformed)
        );
    }

    #[test]
    fn tokens_for_others_or_by_other_keys_are_refused() {
        let keys = keys();
        let refused = |change: fn(&mut Claims)| {
            let mut claims = claims(NOW);
            change(&mut claims);
            let (token, _) = keys.sign(&claims);
            assert_eq!(keys.verify(&token, NOW), Err(TokenError::Malformed));
        };
        refused(|claims| claims.aud = "somebody-else".to_owned());
        refused(|claims| claims.iss = "somebody-else".to_owned());
        refused(|claims| claims.pid = "other-platform".to_owned());
        let (foreign, _) = self::keys().sign(&claims(NOW));
        assert_eq!(keys.verify(&foreign, NOW), Err(TokenError::Malformed));
    }
}
