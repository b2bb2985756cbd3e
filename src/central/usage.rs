//! Where tokens are used from, and how often they are refused: counted in memory, and written to the
//! store once a second. A row that every request of a fleet would update would hold them all up; a
//! process that is killed forgets at most a second of these counts, and never a record.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::Timestamp;

use super::store::{Counted, Scope, TokenUse};

/// Addresses of one token that are kept until the next write; the others are only counted.
const MAX_ADDRESSES: usize = 256;

/// What is counted and not yet written.
#[derive(Default)]
pub(super) struct Usage(Mutex<HashMap<(Scope, String), TokenUse>>);

impl Usage {
    /// A request was stored.
    pub(super) fn used(&self, scope: Scope, token_id: &str, address: &str, at: Timestamp) {
        let mut tokens = self.tokens();
        let token = entry(&mut tokens, scope, token_id);
        if token.addresses.len() < MAX_ADDRESSES || token.addresses.contains_key(address) {
            let address = token.addresses.entry(address.to_owned());
            address.or_default().add(at);
        }
    }

    /// A request with a token that is known here was refused.
    pub(super) fn refused(
        &self,
        scope: Scope,
        token_id: &str,
        reason: &'static str,
        at: Timestamp,
    ) {
        let mut tokens = self.tokens();
        let token = entry(&mut tokens, scope, token_id);
        token.refused.entry(reason.to_owned()).or_default().add(at);
    }

    /// Takes out what is counted, to write it.
    pub(super) fn take(&self) -> Vec<TokenUse> {
        std::mem::take(&mut *self.tokens()).into_values().collect()
    }

    /// Puts back what could not be written.
    pub(super) fn put_back(&self, uses: Vec<TokenUse>) {
        let mut tokens = self.tokens();
        for used in uses {
            let token = entry(&mut tokens, used.scope, &used.token_id);
            merge(&mut token.addresses, used.addresses);
            merge(&mut token.refused, used.refused);
        }
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<(Scope, String), TokenUse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry<'a>(
    tokens: &'a mut HashMap<(Scope, String), TokenUse>,
    scope: Scope,
    token_id: &str,
) -> &'a mut TokenUse {
    tokens
        .entry((scope, token_id.to_owned()))
        .or_insert_with(|| TokenUse {
            scope,
            token_id: token_id.to_owned(),
            addresses: BTreeMap::new(),
            refused: BTreeMap::new(),
        })
}

fn merge(into: &mut BTreeMap<String, Counted>, from: BTreeMap<String, Counted>) {
    for (key, counted) in from {
        into.entry(key).or_default().merge(counted);
    }
}
