//! Waits between two tries, and does not sleep on when the machine has been asleep.
//!
//! The waits' clock stands still while a laptop sleeps: a wait of five minutes that began before the
//! night would go on in the morning, with the network back. Whoever has slept begins anew, with a
//! short wait that is random as a whole, so that a fleet that wakes at nine does not come at nine.
//! That the network itself changed is not looked at.
//!
//! Connections do not outlive a sleep either, though this end does not notice. Whoever sends asks here first.

use std::time::Duration;

use tokio::time::Instant;

use crate::edge::retry::Waits;

/// How often a wait, for a try or for an answer, looks whether the machine was asleep.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A sleep that is shorter changes nothing.
const SHORTEST_SLEEP: Duration = Duration::from_secs(10);

/// Waits, and knows when the machine was asleep.
pub(super) struct Rest {
    /// For how long the machine has been asleep, all in all.
    asleep: Box<dyn Fn() -> Duration + Send + Sync>,
    /// What that was when it was last looked at.
    seen: Duration,
    /// It was asleep, and [`Rest::has_slept`] has not yet said so.
    is_news: bool,
}

impl Rest {
    pub(super) fn new() -> Rest {
        let (started, awake) = (clock_that_runs_on(), std::time::Instant::now());
        Rest::on(move || {
            let passed = clock_that_runs_on().saturating_sub(started);
            passed.saturating_sub(awake.elapsed())
        })
    }

    pub(super) fn on(asleep: impl Fn() -> Duration + Send + Sync + 'static) -> Rest {
        Rest {
            seen: asleep(),
            asleep: Box::new(asleep),
            is_news: false,
        }
    }

    /// Whether the machine has been asleep since the last call, in a wait or elsewhere.
    pub(super) fn has_slept(&mut self) -> bool {
        self.slept();
        std::mem::take(&mut self.is_news)
    }

    /// Waits for `wait`; if the machine was asleep meanwhile, until it has been awake for a short
    /// while. What the upstream asked for is waited for all the same, asleep or awake.
    pub(super) async fn rest(&mut self, wait: Duration, is_asked_for: bool, waits: &mut Waits) {
        let mut until = Instant::now() + wait;
        loop {
            let now = Instant::now();
            if let Some(slept) = self.slept() {
                let left = until.saturating_duration_since(now).saturating_sub(slept);
                let short = waits.after_sleep();
                let wait = if is_asked_for { left.max(short) } else { short };
                tracing::info!(?slept, ?wait, "the machine was asleep; trying again soon");
                until = now + wait;
            }
            if now >= until {
                return;
            }
            tokio::time::sleep_until(until.min(now + LOOK_EVERY)).await;
        }
    }

    /// How long the machine slept since the last call, if it did for long enough.
    fn slept(&mut self) -> Option<Duration> {
        let asleep = (self.asleep)();
        let slept = asleep.saturating_sub(self.seen);
        // A clock that somebody sets may also go back.
        self.seen = asleep;
        let is_sleep = slept >= SHORTEST_SLEEP;
        self.is_news |= is_sleep;
        is_sleep.then_some(slept)
    }
}

/// A clock that goes on while the machine sleeps, when Rust's own stands still.
fn clock_that_runs_on() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::time::{ClockId, clock_gettime};
        // On macOS it is this one that goes on.
        #[cfg(target_os = "macos")]
        let clock = ClockId::Monotonic;
        #[cfg(target_os = "linux")]
        let clock = ClockId::Boottime;
        Duration::try_from(clock_gettime(clock)).unwrap_or_default()
    }
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// Waits for `wait` while the machine goes to sleep after 20 seconds, for so long. Says how long it was
    /// awake for it.
    async fn wait_through_sleep(wait: Duration, is_asked_for: bool, sleep: Duration) -> Duration {
        let asleep = Arc::new(AtomicU64::new(7));
        let clock = Arc::clone(&asleep);
        let mut rest = Rest::on(move || Duration::from_secs(clock.load(Ordering::Relaxed)));
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            asleep.fetch_add(sleep.as_secs(), Ordering::Relaxed);
        });
        let began = Instant::now();
        let mut waits = Waits::new(Duration::from_secs(300));
        rest.rest(wait, is_asked_for, &mut waits).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_as_long_as_it_should_be_when_nobody_sleeps() {
        let awake = wait_through_sleep(HOUR, false, Duration::ZERO).await;
        assert_eq!(awake, HOUR);
        let awake = wait_through_sleep(HOUR, false, Duration::from_secs(9)).await;
        assert_eq!(awake, HOUR);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_soon_after_a_sleep_and_at_no_certain_time() {
        let mut waits = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let awake = wait_through_sleep(HOUR, false, 8 * HOUR).await;
            // 20 seconds, 5 until it is noticed, 10 by chance.
            assert!(awake <= Duration::from_secs(35), "{awake:?}");
            waits.insert(awake);
        }
        assert!(waits.len() > 25, "{waits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_upstream_asked_for_is_waited_for_asleep_or_awake() {
        let awake = wait_through_sleep(HOUR, true, HOUR / 2).await;
        let expected = HOUR / 2..=HOUR / 2 + Duration::from_secs(25);
        assert!(expected.contains(&awake), "{awake:?}");
        let awake = wait_through_sleep(HOUR, true, 8 * HOUR).await;
        assert!(awake <= Duration::from_secs(35), "{awake:?}");
    }

    #[test]
    fn a_machine_that_is_awake_has_not_slept() {
        let mut rest = Rest::new();
        assert_eq!(rest.slept(), None);
    }
}
