//! How many bytes of requests may be in memory at once. Whoever comes when there is no room is told to
//! come back: what is not taken in cannot fill the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that requests hold. Clones share them.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Room>);

#[derive(Debug)]
struct Room {
    limit: usize,
    taken: AtomicUsize,
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
        Admission(Arc::new(Room {
            limit,
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

impl Reservation {
    /// Bytes that all may hold together.
    pub fn limit(&self) -> usize {
        self.room.limit
    }

    /// Holds at least `bytes`; false when there is no room for more. A request that alone is larger
    /// than all the room gets in when nobody else is there.
    #[must_use]
    pub fn hold(&mut self, bytes: usize) -> bool {
        let wanted = bytes.min(self.room.limit);
        let Some(more) = wanted.checked_sub(self.bytes) else {
            return true;
        };
        let taken = self
            .room
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken
                    .checked_add(more)
                    .filter(|sum| *sum <= self.room.limit)
            });
        if taken.is_ok() {
            self.bytes = wanted;
        }
        taken.is_ok()
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
}
