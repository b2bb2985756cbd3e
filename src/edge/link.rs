//! What is known about the way upstream: the forwarder writes it, whoever looks inside reads it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;

/// The forwarder's account of itself. Clones are the same; reading takes a lock that nobody holds
/// for long.
#[derive(Clone, Debug, Default)]
pub struct Link(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    status: Mutex<Status>,
    wake: Notify,
}

/// How things stand at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether records get through.
    pub state: State,
    /// When the upstream last took something.
    pub last_delivery: Option<SystemTime>,
    /// Requests that are sent and not yet answered.
    pub in_flight: usize,
    /// What was done since the start.
    pub counters: Counters,
    /// The token as it was last read.
    pub token: TokenFacts,
    /// Seconds by which this machine's clock is ahead of the upstream's, by its latest answer.
    pub clock_offset: Option<i64>,
}

/// What is known of the token, which is not the token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenFacts {
    /// When it expires, if it says so.
    pub expires: Option<SystemTime>,
    /// Why there is none, although one is configured.
    pub problem: Option<String>,
}

/// Whether records get through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing has been answered yet.
    #[default]
    NotTried,
    /// The upstream takes what it is sent.
    Delivering,
    /// It does not, and may by itself.
    Retrying {
        /// When that began.
        since: SystemTime,
        /// Why, for a person.
        reason: String,
        /// When it is tried again, unless something happens before.
        next_attempt: SystemTime,
    },
    /// It does not until somebody gives it another token; nothing else is sent meanwhile.
    Holding {
        /// When that began.
        since: SystemTime,
        /// How the upstream answered; `None` when there is no token to send.
        status: Option<u16>,
        /// Why, for a person.
        reason: String,
    },
}

/// What was done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Batches settled: delivered, or as far as refused parked.
    pub batches: u64,
    /// Records that the upstream took.
    pub records: u64,
    /// Bytes of the bodies that were sent, as they were sent, whatever came of them.
    pub bytes: u64,
    /// Requests that have to be sent again: no answer, a refusal that may pass, a refused token.
    pub retries: u64,
    /// Records that the upstream refused for good, and that are in the parked list.
    pub parked: u64,
    /// Times that a batch was halved.
    pub split: u64,
}

impl Link {
    /// How things stand.
    pub fn status(&self) -> Status {
        self.write().clone()
    }

    /// Ends a wait of the forwarder, if it is in one: it tries again at once, with the token read
    /// anew.
    pub fn wake(&self) {
        self.0.wake.notify_waiters();
    }

    /// Ends at the first [`Link::wake`] after this call.
    pub(super) fn woken(&self) -> impl Future<Output = ()> {
        self.0.wake.notified()
    }

    /// A request is on its way.
    pub(super) fn sent(&self) {
        self.write().in_flight += 1;
    }

    /// A request with a body of so many bytes is answered, or given up. An answer says what time it is
    /// there, and so how far this machine's clock is ahead, in seconds.
    pub(super) fn answered(&self, bytes: usize, clock_offset: Option<i64>) {
        let mut status = self.write();
        status.clock_offset = clock_offset.or(status.clock_offset);
        status.in_flight = status.in_flight.saturating_sub(1);
        status.counters.bytes += bytes as u64;
    }

    /// The upstream took so many records.
    pub(super) fn delivered(&self, records: usize, now: SystemTime) {
        let mut status = self.write();
        status.counters.records += records as u64;
        status.last_delivery = Some(now);
    }

    /// The upstream takes records, again or still. True when it did not before.
    pub(super) fn delivering(&self) -> bool {
        let mut status = self.write();
        let before = std::mem::replace(&mut status.state, State::Delivering);
        matches!(before, State::Retrying { .. } | State::Holding { .. })
    }

    /// It does not, and is tried again at `next_attempt`. True when the reason is another one than
    /// before.
    pub(super) fn retrying(&self, reason: &str, next_attempt: SystemTime, now: SystemTime) -> bool {
        let mut status = self.write();
        let (since, is_new) = match &status.state {
            State::Retrying {
                since,
                reason: before,
                ..
            } => (*since, before != reason),
            _ => (now, true),
        };
        status.state = State::Retrying {
            since,
            reason: reason.to_owned(),
            next_attempt,
        };
        is_new
    }

    /// It refuses the token, or there is none. True when the reason is another one than before.
    pub(super) fn holding(&self, http_status: Option<u16>, reason: &str, now: SystemTime) -> bool {
        let mut status = self.write();
        let (since, is_new) = match &status.state {
            State::Holding {
                since,
                reason: before,
                ..
            } => (*since, before != reason),
            _ => (now, true),
        };
        status.state = State::Holding {
            since,
            status: http_status,
            reason: reason.to_owned(),
        };
        is_new
    }

    /// The token was read.
    pub(super) fn token(&self, token: TokenFacts) {
        self.write().token = token;
    }

    /// Changes the counters.
    pub(super) fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.write().counters);
    }

    fn write(&self) -> MutexGuard<'_, Status> {
        let status = self.0.status.lock();
        status.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn trouble_keeps_its_beginning_until_it_is_over() {
        let link = Link::default();
        assert_eq!(link.status().state, State::NotTried);
        assert!(!link.delivering(), "there was no trouble");
        assert!(link.retrying("no answer", at(12), at(10)));
        assert!(!link.retrying("no answer", at(16), at(12)));
        assert!(link.retrying("503: full", at(20), at(16)));
        let expected = State::Retrying {
            since: at(10),
            reason: "503: full".to_owned(),
            next_attempt: at(20),
        };
        assert_eq!(link.status().state, expected);
        assert!(link.holding(Some(401), "token refused", at(20)));
        assert!(!link.holding(Some(401), "token refused", at(30)));
        let expected = State::Holding {
            since: at(20),
            status: Some(401),
            reason: "token refused".to_owned(),
        };
        assert_eq!(link.status().state, expected);
        assert!(link.delivering());
        assert!(!link.delivering());
        assert!(link.retrying("no answer", at(42), at(40)));
    }

    #[test]
    fn what_is_done_is_counted_and_every_clone_shows_it() {
        let link = Link::default();
        let reader = link.clone();
        link.sent();
        link.sent();
        assert_eq!(reader.status().in_flight, 2);
        link.answered(150, Some(-7));
        link.delivered(7, at(5));
        link.count(|counters| counters.split += 1);
        let status = reader.status();
        assert_eq!((status.in_flight, status.last_delivery), (1, Some(at(5))));
        let expected = Counters {
            records: 7,
            bytes: 150,
            split: 1,
            ..Counters::default()
        };
        assert_eq!(status.counters, expected);
    }

    #[tokio::test]
    async fn a_wake_ends_the_wait_that_is_under_way_and_no_later_one() {
        let link = Link::default();
        link.wake();
        let woken = link.woken();
        let later = link.clone();
        tokio::spawn(async move { later.wake() });
        woken.await;
        let mut next = Box::pin(link.woken());
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        assert!(next.as_mut().poll(&mut context).is_pending());
    }
}
