//! How long to wait before the next try: exponential, with full jitter.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

/// Mean of the first wait.
const FIRST: Duration = Duration::from_millis(500);

/// Longest wait.
const LONGEST: Duration = Duration::from_secs(300);

/// Waits that grow from try to try, so that a fleet does not come back all at once.
pub(super) struct Waits(ExponentialBackoff);

impl Waits {
    /// Waits as after a success.
    pub(super) fn new() -> Waits {
        Waits(ExponentialBackoff {
            initial_interval: FIRST,
            current_interval: FIRST,
            // A random time between nothing and twice the interval: the mean grows, not the minimum.
            randomization_factor: 1.0,
            multiplier: 2.0,
            max_interval: LONGEST / 2,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        })
    }

    /// The wait before the next try.
    pub(super) fn next(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(LONGEST)
    }

    /// Begins anew, after a success.
    pub(super) fn reset(&mut self) {
        self.0.reset();
    }
}
