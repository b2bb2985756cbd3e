//! Whose records give way in a full queue.
//!
//! Segments go whole, and hold what all accounts appended at the time. An account that runs wild fills segments
//! nearly alone, so to drop the oldest of those takes little from the others; where nobody is above an equal
//! share, or no segment is mostly of those who are, the oldest goes.

use std::collections::BTreeMap;

use super::{Backlog, Held, Part};

impl Backlog {
    /// The segment that gives way when the queue is full.
    pub(in crate::edge::queue) fn next_to_give_way(&self) -> Option<u64> {
        let above = self.above_their_share();
        let is_mostly_theirs = |part: &&Part| {
            let theirs: u64 = above.keys().filter_map(|uid| part.held.get(uid)).sum();
            theirs > part.totals.bytes / 2
        };
        let mostly_theirs = self.droppable().find(is_mostly_theirs);
        let part = mostly_theirs.or_else(|| self.droppable().next())?;
        Some(part.first)
    }

    /// Accounts that hold more of the queue than what each would have if all had the same. One that is alone
    /// never does.
    fn above_their_share(&self) -> Held {
        let mut held: Held = BTreeMap::new();
        for (uid, bytes) in self.segments.iter().flat_map(|part| &part.held) {
            *held.entry(*uid).or_default() += bytes;
        }
        let share = self.stored_bytes() / (held.len() as u64).max(1);
        held.retain(|_, bytes| *bytes > share);
        held
    }
}
