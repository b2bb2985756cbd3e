//! How many requests one token may send: a bucket for each, which fills at a steady rate and holds
//! what comes in two seconds. Pure: the time is an argument.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Seconds of requests that may come at once.
const BURST_SECONDS: f64 = 2.0;

/// The rates of all tokens. Only tokens that were checked come here, so there are not many.
#[derive(Debug)]
pub(super) struct Rates {
    per_second: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    /// Requests that may come now.
    level: f64,
    filled_at: Instant,
}

impl Rates {
    /// Grants each token so many requests a second.
    pub(super) fn new(per_second: u32) -> Rates {
        Rates {
            per_second: f64::from(per_second),
            buckets: Mutex::default(),
        }
    }

    /// Lets one request of a token in at `now`.
    ///
    /// # Errors
    /// The time after which there is room again.
    pub(super) fn admit(&self, token_id: &str, now: Instant) -> Result<(), Duration> {
        let full = (self.per_second * BURST_SECONDS).max(1.0);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(token_id.to_owned()).or_insert(Bucket {
            level: full,
            filled_at: now,
        });
        let elapsed = now.saturating_duration_since(bucket.filled_at);
        bucket.level = (bucket.level + elapsed.as_secs_f64() * self.per_second).min(full);
        bucket.filled_at = now;
        if bucket.level < 1.0 {
            return Err(Duration::from_secs_f64(
                (1.0 - bucket.level) / self.per_second,
            ));
        }
        bucket.level -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate_for_each_token_on_its_own() {
        let rates = Rates::new(2);
        let start = Instant::now();
        for _ in 0..4 {
            assert_eq!(rates.admit("one", start), Ok(()));
        }
        assert_eq!(rates.admit("one", start), Err(Duration::from_millis(500)));
        assert_eq!(rates.admit("two", start), Ok(()));
        let later = start + Duration::from_millis(500);
        assert_eq!(rates.admit("one", later), Ok(()));
        assert!(rates.admit("one", later).is_err());
        let much_later = start + Duration::from_secs(3_600);
        let admitted = (0..10).filter(|_| rates.admit("one", much_later).is_ok());
        assert_eq!(admitted.count(), 4, "nobody saves up more than a burst");
    }
}
