//! What an ID token must be (OpenID Connect Core 1.0, section 3.1.3.7) before anything in it is believed.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::event::Timestamp;

/// Longest ID token that is looked at, in bytes.
const MAX_TOKEN: usize = 64 << 10;

/// Longest subject: the specification's limit.
const MAX_SUBJECT: usize = 255;

/// How far the provider's clock may be off, in seconds.
const LEEWAY: f64 = 60.0;

/// The claims of a token that was verified.
#[derive(Debug)]
pub(super) struct Claims {
    /// Who it is, for ever, at this provider.
    pub(super) subject: String,
    /// Everything the token says.
    pub(super) all: Map<String, Value>,
}

/// What a token must say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now: Timestamp,
}

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// It is no JWT, or lacks what it must have.
    #[error("the ID token cannot be read: {0}")]
    Malformed(String),
    /// Its algorithm is none that needs the provider's private key.
    #[error("the ID token is signed by {0:?}, which is not accepted")]
    Algorithm(Algorithm),
    /// The provider publishes no such key.
    #[error("the ID token is signed by a key that the provider does not publish")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("the ID token's signature is wrong")]
    Signature,
    /// Somebody else made it.
    #[error("the ID token is of another issuer")]
    Issuer,
    /// It was made for somebody else.
    #[error("the ID token is for another client")]
    Audience,
    /// It was made for another try to sign in.
    #[error("the ID token's nonce is of another sign-in")]
    Nonce,
    /// It is too old.
    #[error("the ID token has expired; are both clocks right?")]
    Expired,
    /// It was made later than now.
    #[error("the ID token was made in the future; are both clocks right?")]
    Future,
}

#[derive(Deserialize)]
struct Checked {
    sub: String,
    exp: f64,
    iat: f64,
    nonce: Option<String>,
    azp: Option<String>,
}

/// The token's header, as far as it is needed to find the key.
pub(super) fn header(token: &str) -> Result<Header, TokenRefusal> {
    if token.len() > MAX_TOKEN {
        return Err(TokenRefusal::Malformed("it is too long".to_owned()));
    }
    let header = jsonwebtoken::decode_header(token);
    let header = header.map_err(|error| TokenRefusal::Malformed(error.to_string()))?;
    match header.alg {
        // The client's secret would sign these; what everybody can verify shall not be forged by us.
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            Err(TokenRefusal::Algorithm(header.alg))
        }
        _ => Ok(header),
    }
}

/// The key that a token says it is signed by; without a name, the only one that fits.
pub(super) fn find_key<'a>(keys: &'a [Jwk], header: &Header) -> Option<&'a Jwk> {
    let mut fitting = keys.iter().filter(|key| {
        let common = &key.common;
        let signs = common
            .public_key_use
            .as_ref()
            .is_none_or(|of_key| *of_key == PublicKeyUse::Signature);
        signs && fits(&key.algorithm, header.alg)
    });
    match &header.kid {
        Some(id) => fitting.find(|key| key.common.key_id.as_ref() == Some(id)),
        None => fitting.next().filter(|_| fitting.next().is_none()),
    }
}

fn fits(key: &AlgorithmParameters, algorithm: Algorithm) -> bool {
    match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => matches!(key, AlgorithmParameters::EllipticCurve(_)),
        Algorithm::EdDSA => matches!(key, AlgorithmParameters::OctetKeyPair(_)),
        _ => matches!(key, AlgorithmParameters::RSA(_)),
    }
}

/// Verifies a token with the key that [`find_key`] gave.
pub(super) fn verify(
    token: &str,
    header: &Header,
    key: &Jwk,
    expected: &Expected<'_>,
) -> Result<Claims, TokenRefusal> {
    let malformed = |error: &dyn std::fmt::Display| TokenRefusal::Malformed(error.to_string());
    let key = DecodingKey::from_jwk(key).map_err(|error| malformed(&error))?;
    let mut validation = Validation::new(header.alg);
    validation.set_required_spec_claims(&["aud", "exp", "iss", "sub"]);
    validation.set_audience(&[expected.client_id]);
    validation.set_issuer(&[expected.issuer]);
    // The times are checked below, by the service's own clock.
    validation.validate_exp = false;
    let all = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation)
        .map_err(|error| refusal(&error))?
        .claims;
    let checked = Checked::deserialize(Value::Object(all.clone())).map_err(|it| malformed(&it))?;
    check(&checked, &all, expected)?;
    Ok(Claims {
        subject: checked.sub,
        all,
    })
}

fn refusal(error: &jsonwebtoken::errors::Error) -> TokenRefusal {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature => TokenRefusal::Signature,
        ErrorKind::InvalidIssuer => TokenRefusal::Issuer,
        ErrorKind::InvalidAudience => TokenRefusal::Audience,
        _ => TokenRefusal::Malformed(error.to_string()),
    }
}

fn check(
    checked: &Checked,
    all: &Map<String, Value>,
    expected: &Expected<'_>,
) -> Result<(), TokenRefusal> {
    if checked.sub.is_empty() || checked.sub.len() > MAX_SUBJECT {
        return Err(TokenRefusal::Malformed(
            "its subject is empty or too long".to_owned(),
        ));
    }
    let has_several = all["aud"].as_array().is_some_and(|all| all.len() > 1);
    let is_ours = match &checked.azp {
        Some(party) => party == expected.client_id,
        None => !has_several,
    };
    if !is_ours {
        return Err(TokenRefusal::Audience);
    }
    if checked.nonce.as_deref() != Some(expected.nonce) {
        return Err(TokenRefusal::Nonce);
    }
    #[allow(clippy::cast_precision_loss)]
    let now = (expected.now.0 / 1_000_000_000) as f64;
    if checked.exp + LEEWAY <= now {
        return Err(TokenRefusal::Expired);
    }
    if checked.iat - LEEWAY > now {
        return Err(TokenRefusal::Future);
    }
    Ok(())
}
