//! How long to wait before the next try: exponential, with full jitter.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

/// Mean of the first wait.
const FIRST: Duration = Duration::from_millis(500);

/// Mean of the wait after the machine was asleep. Longer than the first: a whole fleet may wake at once.
const AFTER_SLEEP: Duration = Duration::from_secs(5);

/// Most that is waited besides what the upstream asked for.
const MOST_BESIDES: Duration = Duration::from_secs(30);

/// Waits that grow from try to try, so that a fleet does not come back all at once.
pub(super) struct Waits {
    waits: ExponentialBackoff,
    longest: Duration,
}

impl Waits {
    /// Waits as after a success; none is longer than `longest`.
    pub(super) fn new(longest: Duration) -> Waits {
        Waits {
            waits: random(FIRST.min(longest / 2), longest / 2),
            longest,
        }
    }

    /// The wait before the next try.
    pub(super) fn next(&mut self) -> Duration {
        self.waits.next_backoff().unwrap_or(self.longest)
    }

    /// The wait before the next try when the upstream asked for one of `asked`: that, and some more by
    /// chance, for it asks all of a fleet at once. Whoever asks for none gets the usual one.
    pub(super) fn as_asked(&mut self, asked: Duration) -> Duration {
        if asked.is_zero() {
            return self.next();
        }
        let mean = (asked / 8).min(MOST_BESIDES / 2);
        asked + random(mean, mean).next_backoff().unwrap_or(mean)
    }

    /// Begins anew, after a success.
    pub(super) fn reset(&mut self) {
        self.waits.reset();
    }

    /// Begins anew, after the machine was asleep, and says when.
    pub(super) fn after_sleep(&mut self) -> Duration {
        self.reset();
        let mean = AFTER_SLEEP.min(self.longest / 2);
        random(mean, mean).next_backoff().unwrap_or(mean)
    }
}

/// Random times between nothing and twice a mean: that grows, not the minimum.
fn random(first_mean: Duration, longest_mean: Duration) -> ExponentialBackoff {
    ExponentialBackoff {
        initial_interval: first_mean,
        current_interval: first_mean,
        randomization_factor: 1.0,
        multiplier: 2.0,
        max_interval: longest_mean,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest_and_begin_anew() {
        let longest = Duration::from_secs(8);
        let mut waits = Waits::new(longest);
        let mut largest = Duration::ZERO;
        for _ in 0..200 {
            largest = largest.max(waits.next());
        }
        assert!((longest / 2..=longest).contains(&largest), "{largest:?}");
        waits.reset();
        assert!(waits.next() <= 2 * FIRST);
        assert!(waits.after_sleep() <= longest, "not longer than any");
        for (asked, most) in [(4, 5), (3_600, 3_630)] {
            let wait = waits.as_asked(Duration::from_secs(asked));
            let expected = Duration::from_secs(asked)..=Duration::from_secs(most);
            assert!(expected.contains(&wait), "{wait:?}");
        }
        let mut short = Waits::new(Duration::from_millis(10));
        assert!(short.next() <= Duration::from_millis(10));
        assert!(short.as_asked(Duration::ZERO) <= Duration::from_millis(10));
    }
}
