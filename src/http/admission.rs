//! How many bytes of requests may be in memory at once. Whoever comes when there is no room is told to
//! come back: what is not taken in cannot fill the memory.
//!
//! A part can be kept for small requests, so that a few large ones, which may come slowly, do not keep
//! out the many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that requests hold. Clones share them.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Room>);

#[derive(Debug)]
struct Room {
    limit: usize,
    small: Small,
    taken: AtomicUsize,
}

/// What is kept for small requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Small {
    /// A request that holds no more than this is small.
    pub bytes: usize,
    /// So much of the room is for small requests only.
    pub kept: usize,
}

/// Bytes that one request holds; they are free again when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    room: Arc<Room>,
    bytes: usize,
}

impl Admission {
    /// Room for so many bytes.
    pub fn new(limit: usize) -> Admission {
        Admission::keeping(limit, Small::default())
    }

    /// The same, of which a part is kept for small requests.
    pub fn keeping(limit: usize, small: Small) -> Admission {
        Admission(Arc::new(Room {
            limit,
            small,
            taken: AtomicUsize::new(0),
        }))
    }

    /// A reservation of nothing yet.
    pub fn enter(&self) -> Reservation {
        Reservation {
            room: Arc::clone(&self.0),
            bytes: 0,
        }
    }

    /// Bytes that are held now.
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Bytes that may be held.
    pub fn limit(&self) -> usize {
        self.0.limit
    }
}

impl Room {
    /// What may be taken in all when one request wants so much.
    fn limit_for(&self, bytes: usize) -> usize {
        match bytes <= self.small.bytes {
            true => self.limit,
            false => self.limit.saturating_sub(self.small.kept),
        }
    }
}

impl Reservation {
    /// Bytes that all may hold together.
    pub fn limit(&self) -> usize {
        self.room.limit
    }

    /// Holds at least `bytes`; false when there is no room for more. A request that alone is larger
    /// than all the room for its like gets in when nobody else is there.
    #[must_use]
    pub fn hold(&mut self, bytes: usize) -> bool {
        let limit = self.room.limit_for(bytes);
        let wanted = bytes.min(limit);
        let Some(more) = wanted.checked_sub(self.bytes) else {
            return true;
        };
        let taken = self
            .room
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken.checked_add(more).filter(|sum| *sum <= limit)
            });
        if taken.is_ok() {
            self.bytes = wanted;
        }
        taken.is_ok()
    }

    /// Whether `bytes` could be held now.
    pub(super) fn could_hold(&self, bytes: usize) -> bool {
        let limit = self.room.limit_for(bytes);
        let more = bytes.min(limit).saturating_sub(self.bytes);
        let taken = self.room.taken.load(Ordering::Relaxed);
        more == 0 || taken.checked_add(more).is_some_and(|sum| sum <= limit)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_no_more_than_there_is_room_for_and_gives_it_back() {
        let admission = Admission::new(100);
        let mut first = admission.enter();
        assert!(first.hold(60));
        let mut second = admission.enter();
        assert!(second.hold(40));
        assert!(!second.hold(41));
        assert_eq!(admission.taken(), 100);
        assert!(first.hold(50), "what is held already is enough");
        drop(first);
        assert!(second.hold(100));
        drop(second);
        assert_eq!(admission.taken(), 0);
        let mut giant = admission.enter();
        assert!(giant.hold(1_000), "alone, with all the room");
        assert!(!admission.enter().hold(1));
    }

    #[test]
    fn large_requests_leave_room_for_small_ones() {
        let small = Small {
            bytes: 10,
            kept: 40,
        };
        let admission = Admission::keeping(100, small);
        let mut large = admission.enter();
        assert!(large.hold(10) && large.hold(1_000), "all that is theirs");
        assert_eq!(admission.taken(), 60);
        let mut second = admission.enter();
        assert!(second.hold(10), "as yet it is small");
        assert!(!second.could_hold(11) && !second.hold(11));
        let others: Vec<_> = std::iter::repeat_with(|| admission.enter())
            .take(3)
            .map(|mut other| (other.hold(10), other))
            .collect();
        assert!(others.iter().all(|(is_held, _)| *is_held));
        assert!(!admission.enter().hold(1), "there is an end for them too");
        drop(large);
        assert!(second.could_hold(30) && second.hold(30));
        assert!(!second.could_hold(31));
    }
}
