//! Who may write, and who may read: ingest tokens (JWT, HS256) and API keys.

mod verified;
#[cfg(test)]
mod tests;

use std::time::Instant;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::event::Timestamp;
use crate::http::otlp::Refusal;

use super::Central;
pub use super::keys::TokenKeys;
use super::store::{Access, ApiKeyAccess, Environment, Scope, StoreError, TokenState};

use verified::Verified;
pub(super) use verified::VerifiedTokens;

/// How long a token is good: 365 days.
pub(super) const TOKEN_LIFETIME_SECONDS: i64 = 365 * 86_400;

/// How far a clock may be off before a token issued "in the future" is refused.
const CLOCK_LEEWAY_SECONDS: i64 = 60;

/// The one algorithm that is spoken here, whatever a token says.
const ALGORITHM: Algorithm = Algorithm::HS256;

/// The `iss` of every token made here.
const ISSUER: &str = "fieldpost";

/// The `aud` of tokens that may write telemetry.
const AUDIENCE: &str = "fieldpost-otlp";

/// The platform, as the token names it.
const PLATFORM: &str = "claude-cowork";

/// Longest token that is looked at, in bytes; ours have about 400.
const MAX_TOKEN: usize = 4096;

/// How exactly it is kept when an API key was used last, in nanoseconds: a minute.
const KEY_USE_STEP: i64 = 60_000_000_000;

/// What API keys begin with, so that people and scanners know one when they see it.
pub(super) const API_KEY_PREFIX: &str = "fpk_";

/// What a token says: whose telemetry it lets in, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
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
    pub fn new(environment: &Environment, issued: i64) -> Claims {
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

    /// Checks the times; `now` in seconds.
    fn check_times(&self, now: i64) -> Result<(), TokenError> {
        if self.exp <= now {
            return Err(TokenError::Expired);
        }
        if self.iat > now + CLOCK_LEEWAY_SECONDS {
            return Err(TokenError::Future);
        }
        Ok(())
    }
}

impl TokenKeys {
    /// Signs claims; gives the token and the id of the key.
    ///
    /// # Panics
    /// Never: claims are JSON, and the key fits the algorithm.
    pub fn sign(&self, claims: &Claims) -> (String, String) {
        let ring = self.ring();
        let header = Header {
            kid: Some(ring.current.clone()),
            ..Header::new(ALGORITHM)
        };
        let token = jsonwebtoken::encode(&header, claims, ring.signer())
            .expect("claims are JSON and the key fits the algorithm");
        (token, ring.current.clone())
    }

    /// Checks everything but the times: algorithm, key, signature, issuer, audience and platform.
    ///
    /// # Errors
    /// [`TokenError`]
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        if header.alg != ALGORITHM {
            return Err(TokenError::Malformed);
        }
        let key_id = header.kid.ok_or(TokenError::Malformed)?;
        let mut ring = self.ring();
        if ring.verifier(&key_id).is_none() && self.reread_for_stranger() {
            ring = self.ring();
        }
        let key = ring.verifier(&key_id).ok_or(TokenError::UnknownKey)?;
        let mut validation = Validation::new(ALGORITHM);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // Times are checked apart, at each use.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidSignature => TokenError::Forged,
                ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => TokenError::Foreign,
                _ => TokenError::Malformed,
            })?
            .claims;
        match claims.pid == PLATFORM {
            true => Ok(claims),
            false => Err(TokenError::Foreign),
        }
    }
}

/// Why a token is not accepted. The words say what to do, and nothing about the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error("the Authorization header is missing; send: Authorization: Bearer <token>")]
    Missing,
    /// It is no token, or says too little, or is of another algorithm.
    #[error("the token is malformed or was not issued here; copy it again from Integrations")]
    Malformed,
    /// It names a key that is not one of ours.
    #[error("the token is malformed or was not issued here; copy it again from Integrations")]
    UnknownKey,
    /// Its signature is not by the key that it names.
    #[error("the token is malformed or was not issued here; copy it again from Integrations")]
    Forged,
    /// It is for others: issuer, audience or platform.
    #[error("the token is malformed or was not issued here; copy it again from Integrations")]
    Foreign,
    /// Nothing is known of it in the tenant and environment that it names.
    #[error("the token is malformed or was not issued here; copy it again from Integrations")]
    Unknown,
    /// It was issued later than now.
    #[error("the token says that it was issued in the future; a clock is wrong")]
    Future,
    /// It has ended.
    #[error("the token has expired; install the integration again for a new one")]
    Expired,
    /// It was taken back.
    #[error("the token was revoked; install the integration again for a new one")]
    Revoked,
}

impl TokenError {
    /// The reason as metrics and lists name it.
    pub(super) fn word(self) -> &'static str {
        match self {
            TokenError::Missing => "missing",
            TokenError::Malformed => "malformed",
            TokenError::UnknownKey => "unknown_key",
            TokenError::Forged => "bad_signature",
            TokenError::Foreign => "for_others",
            TokenError::Unknown => "unknown_token",
            TokenError::Future => "future",
            TokenError::Expired => "expired",
            TokenError::Revoked => "revoked",
        }
    }
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
    /// How long the environment keeps records, in seconds; `None` is for ever.
    pub(super) keep_seconds: Option<i64>,
    pub(super) token_id: String,
}

impl Central {
    /// The token in a request's headers, checked. What is refused is counted.
    pub(super) async fn authenticate(&self, headers: &HeaderMap) -> Result<Writer, Refusal> {
        let now = Timestamp::now();
        let token = bearer(headers)
            .ok_or(TokenError::Missing)
            .and_then(|token| self.verified.verify(&self.token_keys, token));
        let token = token.map_err(|error| self.refuse_stranger(error))?;
        let state = self.token_state(&token).await.map_err(|error| {
            tracing::error!(%error, "a token could not be looked up");
            Refusal::unavailable("the store cannot be asked about the token right now")
        })?;
        let claims = &token.claims;
        let (scope, keep_seconds, refused) = match state {
            TokenState::Unknown => return Err(self.refuse_stranger(TokenError::Unknown)),
            TokenState::Live(scope, keep_seconds) => {
                let refused = claims.check_times(now.0 / 1_000_000_000).err();
                (scope, keep_seconds, refused)
            }
            TokenState::Revoked(scope) => (scope, None, Some(TokenError::Revoked)),
        };
        if let Some(error) = refused {
            self.counters.refused(error.word());
            self.usage.refused(scope, &claims.jti, error.word(), now);
            return Err(error.into());
        }
        Ok(Writer {
            scope,
            keep_seconds,
            token_id: claims.jti.clone(),
        })
    }

    /// What the store knows of a token, as of less than a second ago.
    async fn token_state(&self, token: &Verified) -> Result<TokenState, StoreError> {
        let asked = Instant::now();
        if let Some(state) = self.verified.state(token, asked) {
            return Ok(state);
        }
        let claims = &token.claims;
        let state = self
            .store
            .token_state(&claims.tid, &claims.eid, &claims.jti)
            .await?;
        self.verified.remember(token, state, asked);
        Ok(state)
    }

    /// What the API key in a request's headers lets in; `None` when there is no valid one.
    pub(super) async fn access(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<ApiKeyAccess>, StoreError> {
        match bearer(headers).filter(|key| key.starts_with(API_KEY_PREFIX)) {
            Some(key) => {
                let hash = api_key_hash(key);
                let now = self.clock.now();
                let found = self
                    .store
                    .api_key_access(&hash, now, self.keys_confirmed_after())
                    .await?;
                let stale = Timestamp(now.0.saturating_sub(KEY_USE_STEP));
                let is_noted = |key: &ApiKeyAccess| {
                    key.access == Access::Operator || key.last_used.is_some_and(|at| at >= stale)
                };
                if found.as_ref().is_some_and(|key| !is_noted(key)) {
                    self.store.use_api_key(&hash, now, stale).await?;
                }
                Ok(found)
            }
            None => Ok(None),
        }
    }

    fn refuse_stranger(&self, error: TokenError) -> Refusal {
        self.counters.refused(error.word());
        error.into()
    }
}

/// What is kept of an API key. The key is random and long: a plain hash cannot be reversed.
pub(super) fn api_key_hash(key: &str) -> String {
    blake3::hash(key.as_bytes()).to_hex().to_string()
}

/// The token or key of a request; `None` when there is none, or more than one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("Bearer") && !token.is_empty()).then_some(token)
}
