//! Tokens that were verified before: a signature is good for as long as the keys are the same, and what
//! the store said of a token for less than a second, so that a revocation is in force within a second
//! in every process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::keys::TokenKeys;
use super::super::store::TokenState;
use super::{Claims, TokenError};

/// Tokens that are remembered at most.
const MAX_TOKENS: usize = 50_000;

/// Time for which the store's word is taken.
const STATE_GOOD_FOR: Duration = Duration::from_millis(800);

/// The tokens that were seen of late.
#[derive(Default)]
pub(crate) struct VerifiedTokens(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    /// The keys that the claims were verified with.
    generation: u64,
    claims: HashMap<Digest, Arc<Claims>>,
    /// By the token's hash, too, since what the store knows is of the whole of its claims; with the time
    /// when the store was asked.
    states: HashMap<Digest, (TokenState, Instant)>,
}

/// A token's hash: memory that is read by others betrays no token.
type Digest = [u8; 32];

/// A token whose signature is good.
pub(super) struct Verified {
    pub(super) claims: Arc<Claims>,
    digest: Digest,
}

impl VerifiedTokens {
    /// A token, if its signature is good.
    pub(super) fn verify(&self, keys: &TokenKeys, token: &str) -> Result<Verified, TokenError> {
        let digest = *blake3::hash(token.as_bytes()).as_bytes();
        let generation = keys.generation();
        if let Some(claims) = self.of_generation(generation).claims.get(&digest) {
            let claims = Arc::clone(claims);
            return Ok(Verified { claims, digest });
        }
        let claims = Arc::new(keys.verify(token)?);
        let mut memory = self.of_generation(generation);
        if memory.claims.len() >= MAX_TOKENS {
            memory.claims.clear();
        }
        memory.claims.insert(digest, Arc::clone(&claims));
        Ok(Verified { claims, digest })
    }

    /// What the store said of a token, if that was a moment before `now`.
    pub(super) fn state(&self, token: &Verified, now: Instant) -> Option<TokenState> {
        let memory = self.memory();
        let (state, asked) = memory.states.get(&token.digest)?;
        (now.saturating_duration_since(*asked) < STATE_GOOD_FOR).then_some(*state)
    }

    /// Keeps what the store said when it was asked at `asked`.
    pub(super) fn remember(&self, token: &Verified, state: TokenState, asked: Instant) {
        let mut memory = self.memory();
        if memory.states.len() >= MAX_TOKENS {
            memory
                .states
                .retain(|_, (_, at)| asked.saturating_duration_since(*at) < STATE_GOOD_FOR);
        }
        memory.states.insert(token.digest, (state, asked));
    }

    /// Asks the store again about every token: something has changed.
    pub(crate) fn forget(&self) {
        self.memory().states.clear();
    }

    fn of_generation(&self, generation: u64) -> MutexGuard<'_, Memory> {
        let mut memory = self.memory();
        if memory.generation != generation {
            memory.claims.clear();
            memory.generation = generation;
        }
        memory
    }

    /// Every change is made in one call, so the memory is whole even after a panic.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
