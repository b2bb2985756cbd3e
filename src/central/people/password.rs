//! Passwords: argon2id, with the parameters that OWASP recommends (19 MiB, two passes).

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::secret::Secret;

/// Passwords that are hashed at once: each takes 19 MiB and a core for a while.
const AT_ONCE: usize = 2;

/// Shortest password, in characters, as NIST SP 800-63B asks for.
pub(super) const MIN_PASSWORD: usize = 12;

/// Longest password, in bytes.
const MAX_PASSWORD: usize = 1024;

/// Hashes and checks passwords, a few at once.
pub(in crate::central) struct Passwords {
    places: Semaphore,
    /// What is checked when there is no such account, so that the time does not tell.
    nobody: String,
}

impl Default for Passwords {
    fn default() -> Passwords {
        Passwords {
            places: Semaphore::new(AT_ONCE),
            nobody: NOBODY.to_owned(),
        }
    }
}

/// A hash with our parameters that no password is known for.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$\
    bm90aGluZyBzZWNyZXQhIQ$1VQz1G4zXw9W3Q0cXU8bH4p2kN0o2rT8yqLwZ0x5Y3E";

impl Passwords {
    /// Hashes a password, in the form of the PHC string.
    ///
    /// # Errors
    /// Words that say which password would do.
    pub(in crate::central) async fn hash(&self, password: &Secret) -> Result<String, &'static str> {
        let length = password.expose().chars().count();
        if length < MIN_PASSWORD || password.expose().len() > MAX_PASSWORD {
            return Err("a password has at least 12 characters, and at most 1024 bytes");
        }
        let password = password.clone();
        let hashed = self
            .apart(move || {
                let hash = argon2().hash_password(password.expose().as_bytes());
                hash.map(|hash| hash.to_string())
            })
            .await;
        Ok(hashed
            .expect("the task is not cancelled")
            .expect("argon2 takes every password of this length"))
    }

    /// Whether this is the password of the hash; `None` where there is no account, which takes as long.
    pub(in crate::central) async fn matches(&self, password: &Secret, hash: Option<&str>) -> bool {
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.nobody).to_owned();
        let password = password.clone();
        let matches = self.apart(move || {
            password.expose().len() <= MAX_PASSWORD
                && PasswordHash::new(&hash).is_ok_and(|hash| {
                    argon2()
                        .verify_password(password.expose().as_bytes(), &hash)
                        .is_ok()
                })
        });
        matches.await.unwrap_or(false) && known
    }

    /// Does work off the threads that serve connections.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _place = self.places.acquire().await.ok()?;
        tokio::task::spawn_blocking(work).await.ok()
    }
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_kept_as_argon2id_and_known_again() {
        let passwords = Passwords::default();
        let password = Secret::new("correct horse battery");
        let hash = passwords.hash(&password).await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert!(passwords.matches(&password, Some(&hash)).await);
        let wrong = Secret::new("correct horse batterz");
        assert!(!passwords.matches(&wrong, Some(&hash)).await);
        assert!(!passwords.matches(&password, None).await);
        assert!(PasswordHash::new(NOBODY).is_ok(), "it takes as long");
    }

    #[tokio::test]
    async fn a_password_has_twelve_characters() {
        let short = Passwords::default().hash(&Secret::new("elevenchars")).await;
        assert!(short.is_err());
    }
}
