//! One try to sign in through the provider, from the first redirect to the last.
//!
//! The browser keeps one random secret in a cookie meanwhile, and what OpenID Connect asks for follows from
//! it: the state, by which we know that this browser began; the nonce, by which we know that the ID token
//! was made for this try; and the verifier of PKCE (RFC 7636), without which the provider gives nobody a
//! token for the code. So nothing is kept here, and every replica can finish what another began.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::secret::{Secret, random_digits};

/// Longest address to go on to that is kept.
const MAX_NEXT: usize = 2_000;

/// One try to sign in.
#[derive(Debug)]
pub(in crate::central) struct Attempt {
    secret: Secret,
    /// Where to go on afterwards.
    pub(in crate::central) next: String,
}

impl Attempt {
    /// A new one, that leads on to `next`.
    pub(super) fn new(next: &str) -> Attempt {
        let next = Some(next).filter(|next| next.len() <= MAX_NEXT);
        Attempt {
            secret: Secret::new(random_digits()),
            next: next.unwrap_or_default().to_owned(),
        }
    }

    /// Reads what a cookie held.
    pub(in crate::central) fn of_cookie(value: &Secret) -> Option<Attempt> {
        let (secret, next) = value.expose().split_once('.')?;
        let next = BASE64_URL_SAFE_NO_PAD.decode(next).ok()?;
        Some(Attempt {
            secret: Secret::new(secret),
            next: String::from_utf8(next).ok()?,
        })
    }

    /// What the cookie holds.
    pub(in crate::central) fn cookie(&self) -> Secret {
        let next = BASE64_URL_SAFE_NO_PAD.encode(&self.next);
        Secret::new(format!("{}.{next}", self.secret.expose()))
    }

    /// The parameter `state`.
    pub(super) fn state(&self) -> String {
        self.derived("fieldpost 2026 single sign-on state")
    }

    /// The parameter and claim `nonce`.
    pub(super) fn nonce(&self) -> String {
        self.derived("fieldpost 2026 single sign-on nonce")
    }

    /// The verifier of PKCE.
    pub(super) fn verifier(&self) -> String {
        self.derived("fieldpost 2026 single sign-on verifier")
    }

    /// The challenge of PKCE, by the method `S256`.
    pub(super) fn challenge(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier()))
    }

    fn derived(&self, context: &str) -> String {
        let key = blake3::derive_key(context, self.secret.expose().as_bytes());
        blake3::Hash::from_bytes(key).to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_holds_the_whole_attempt() {
        let begun = Attempt::new("/t/a/b/?q=x y");
        let back = Attempt::of_cookie(&begun.cookie()).unwrap();
        assert_eq!(back.next, begun.next);
        assert_eq!(back.state(), begun.state());
        assert_eq!(back.challenge(), begun.challenge());
        let all = [
            begun.state(),
            begun.nonce(),
            begun.verifier(),
            begun.secret.expose().to_owned(),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(!all[..place].contains(one), "each is another value");
        }
        assert_ne!(Attempt::new("").state(), Attempt::new("").state());
        assert!(Attempt::of_cookie(&Secret::new("no-dot")).is_none());
    }
}
