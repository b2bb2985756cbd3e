//! Room for new records: what is refused, and what gives way.

use std::sync::PoisonError;

use tokio::sync::oneshot;

use super::{
    super::{
        AppendError, StorageError, backlog::Backlog, keeper::Errand, ledger::Reason,
        limits::WhenFull, recovery, shared::Shared,
    },
    Active, Append, Writer,
};

impl Writer {
    /// Makes room for new records, or refuses them.
    pub(super) fn admit(&mut self, appends: Vec<Append>) -> Vec<Append> {
        let limits = self.shared.limits.clone();
        let mut admitted = Vec::with_capacity(appends.len());
        let mut coming = 0;
        for append in appends {
            let bytes = append.stored_bytes();
            let excess = |shared: &Shared| {
                let stored = shared.backlog().stored_bytes();
                (stored + coming + bytes).saturating_sub(limits.max_bytes)
            };
            if limits.when_full == WhenFull::Reject {
                if excess(&self.shared) > 0 || self.shared.lacking() > 0 {
                    append.note_refusal(&self.shared);
                    let _ = append.done.send(Err(AppendError::Full));
                    continue;
                }
            } else {
                while excess(&self.shared) > 0 && self.give_way(Reason::Size) {}
                while self.shared.lacking() > 0 && self.give_way(Reason::Disk) {}
            }
            coming += bytes;
            admitted.push(append);
        }
        admitted
    }

    /// Ends a segment that grew old, and drops those that are too old.
    pub(super) fn drop_what_is_old(&mut self) {
        let (now, limits) = (self.now(), self.shared.limits.clone());
        let is_old = |active: &Active| now.saturating_sub(active.begun) >= limits.segment_age();
        if self.active.as_ref().is_some_and(is_old) {
            self.end_segment();
        }
        let is_over = |first: &u64| self.ages.is_over(*first, now, limits.max_age);
        let oldest = |backlog: &Backlog| backlog.oldest_to_drop().filter(is_over);
        while self.drop_segment(Reason::Age, oldest) {}
    }

    /// Drops the segment whose turn it is in a full queue. False when none can go.
    fn give_way(&self, reason: Reason) -> bool {
        self.drop_segment(reason, Backlog::next_to_give_way)
    }

    /// Drops the segment that is chosen. False when there is none.
    fn drop_segment(&self, reason: Reason, choose: impl FnOnce(&Backlog) -> Option<u64>) -> bool {
        // While the reader is held, nothing is handed out.
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen = choose(&self.shared.backlog());
        let Some(first) = chosen else {
            return false;
        };
        let (unsettled, (after, up_to)) = {
            let backlog = self.shared.backlog();
            (backlog.unsettled(first), backlog.numbers_of(first))
        };
        let ledger = &self.shared.ledger;
        match reader.numbers_in(first, &unsettled) {
            Ok(lost) => ledger.add(reason, &lost.ranges, lost.unnumbered),
            Err(lost) => {
                ledger.add(reason, &lost.ranges, lost.unnumbered);
                ledger.add(Reason::Damaged, &[after + 1..=up_to], 0);
            }
        }
        let (dropped, before) = {
            let mut backlog = self.shared.backlog();
            (backlog.drop_segment(first), backlog.before(first))
        };
        let Some(dropped) = dropped else {
            return false;
        };
        drop(reader);
        if let Some((before, totals)) = before {
            recovery::note(&self.shared.root, before, totals);
        }
        if dropped.records > 0 {
            tracing::warn!(
                records = dropped.records,
                reason = reason.word(),
                "the queue's oldest records were dropped"
            );
        }
        self.shared.given_back(dropped.bytes);
        self.wait_for_keeper();
        // On a full disk there may have been no room for it before.
        ledger.save_what_is_unsaved();
        true
    }

    /// When this returns, the space of full segments' reserves and of deleted segments is free. Only a
    /// keeper that has stopped does not answer; the next start then does its work.
    fn wait_for_keeper(&self) {
        let (done, deleted) = oneshot::channel();
        if self.keeper.send(Errand::Drained(done)).is_ok() {
            let _ = deleted.blocking_recv();
        }
    }

    /// Where the disk is full, waits for what is being given back; then, if old records give way, the
    /// oldest go until the new ones fit: others may fill the disk faster than its space is measured.
    pub(super) fn commit_or_make_room(&mut self, appends: &[Append]) -> Result<(), StorageError> {
        let mut waited = false;
        let mut result = self.commit(appends);
        while let Err(error) = &result {
            self.abandon();
            if !error.is_full_disk() {
                break;
            }
            if !waited {
                self.wait_for_keeper();
                waited = true;
            } else if !self.drop_for_the_disk() {
                break;
            }
            result = self.commit(appends);
        }
        result
    }

    /// Drops the oldest segment, and more until the disk has its floor again, where that is allowed.
    fn drop_for_the_disk(&self) -> bool {
        self.shared.measure_space();
        let drops = self.shared.limits.when_full == WhenFull::DropOldest;
        let dropped = drops && self.give_way(Reason::Disk);
        while dropped && self.shared.lacking() > 0 && self.give_way(Reason::Disk) {}
        dropped
    }
}
