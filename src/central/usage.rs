//! Where tokens are used from and by whom, and how often they are refused: counted in memory, and written to the
//! store once a second. A row that every request of a fleet would update would hold them all up; a
//! process that is killed forgets at most a second of these counts, and never a record.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::Timestamp;

use super::materialize::NewEvent;
use super::rejection::{Rejected, Rejection};
use super::store::{Counted, Scope, TokenUse};

/// Addresses, agents and machines of one token that are kept until the next write; the others show when they
/// send again.
const MAX_SENDERS: usize = 4_096;

/// What a request brought that was stored.
pub(super) struct Brought<'a> {
    /// Where it came from.
    pub(super) address: &'a str,
    /// When.
    pub(super) at: Timestamp,
    /// Whose records it had.
    pub(super) agents: BTreeSet<String>,
    /// The edges that they came through.
    pub(super) machines: BTreeSet<String>,
    /// Events that were new.
    pub(super) events: usize,
    pub(super) rejected: Rejected,
}

impl<'a> Brought<'a> {
    /// What a request brings, as far as it is known before it is stored.
    pub(super) fn of(
        events: &[NewEvent],
        address: &'a str,
        at: Timestamp,
        rejected: Rejected,
    ) -> Brought<'a> {
        let agents = events.iter().filter_map(|event| event.agent.as_deref());
        let agents: BTreeSet<&str> = agents.collect();
        let machines = events
            .iter()
            .filter_map(|event| event.facts.machine.as_ref());
        let machines: BTreeSet<&str> = machines.map(|machine| &*machine.id).collect();
        Brought {
            address,
            at,
            agents: agents.into_iter().map(str::to_owned).collect(),
            machines: machines.into_iter().map(str::to_owned).collect(),
            events: 0,
            rejected,
        }
    }
}

/// What is counted and not yet written.
#[derive(Default)]
pub(super) struct Usage(Mutex<HashMap<(Scope, String), TokenUse>>);

impl Usage {
    /// A request was stored.
    pub(super) fn used(&self, scope: Scope, token_id: &str, brought: Brought<'_>) {
        let mut tokens = self.tokens();
        let token = entry(&mut tokens, scope, token_id);
        let at = brought.at;
        add(&mut token.addresses, [brought.address.to_owned()], at);
        add(&mut token.agents, brought.agents, at);
        add(&mut token.machines, brought.machines, at);
        if brought.events > 0 {
            let day = token.days.entry(at.day()).or_default();
            *day += i64::try_from(brought.events).unwrap_or(i64::MAX);
        }
        for reason in Rejection::ALL {
            let records = brought.rejected.of(reason);
            if records > 0 {
                let counted = token.rejected.entry(reason.word().to_owned());
                counted.or_default().merge(Counted {
                    count: i64::try_from(records).unwrap_or(i64::MAX),
                    seen: Some((at, at)),
                });
            }
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
            merge(&mut token.agents, used.agents);
            merge(&mut token.machines, used.machines);
            merge(&mut token.rejected, used.rejected);
            for (day, events) in used.days {
                *token.days.entry(day).or_default() += events;
            }
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
            agents: BTreeMap::new(),
            machines: BTreeMap::new(),
            days: BTreeMap::new(),
            refused: BTreeMap::new(),
            rejected: BTreeMap::new(),
        })
}

/// Counts each of them once more, as far as there is room.
fn add(
    counts: &mut BTreeMap<String, Counted>,
    words: impl IntoIterator<Item = String>,
    at: Timestamp,
) {
    for word in words {
        if counts.len() < MAX_SENDERS || counts.contains_key(&word) {
            counts.entry(word).or_default().add(at);
        }
    }
}

fn merge(into: &mut BTreeMap<String, Counted>, from: BTreeMap<String, Counted>) {
    for (key, counted) in from {
        into.entry(key).or_default().merge(counted);
    }
}
