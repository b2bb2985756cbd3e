//! How much one sender may send: a bucket for each, which fills at a steady rate and holds what comes
//! in two seconds. Pure: the time is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Seconds of the rate that may come at once.
const BURST_SECONDS: f64 = 2.0;

/// The rates of all senders. Only those whose number is bounded come here: tokens that were checked,
/// accounts of a machine.
#[derive(Debug)]
pub struct Rates<K> {
    per_second: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    /// What may come now; below nothing, what came too much.
    level: f64,
    filled_at: Instant,
}

impl<K: Eq + Hash> Rates<K> {
    /// Grants each sender so much a second.
    pub fn new(per_second: u64) -> Rates<K> {
        Rates {
            per_second: per_second as f64,
            buckets: Mutex::default(),
        }
    }

    /// Takes one thing of a sender's in at `now`.
    ///
    /// # Errors
    /// The time after which there is room again.
    pub fn admit(&self, sender: K, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets();
        let bucket = self.filled(&mut buckets, sender, now);
        self.room(bucket)?;
        bucket.level -= 1.0;
        Ok(())
    }

    /// Whether a sender may send something at `now`, which is charged once its size is known.
    ///
    /// # Errors
    /// The time after which there is room again.
    pub fn check(&self, sender: K, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets();
        self.room(self.filled(&mut buckets, sender, now))
    }

    /// Takes out what a sender sent, even more than there was room for: then it waits until that is
    /// made up for.
    pub fn charge(&self, sender: K, amount: usize, now: Instant) {
        let mut buckets = self.buckets();
        self.filled(&mut buckets, sender, now).level -= amount as f64;
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<K, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn filled<'a>(
        &self,
        buckets: &'a mut HashMap<K, Bucket>,
        sender: K,
        now: Instant,
    ) -> &'a mut Bucket {
        let full = (self.per_second * BURST_SECONDS).max(1.0);
        let bucket = buckets.entry(sender).or_insert(Bucket {
            level: full,
            filled_at: now,
        });
        let elapsed = now.saturating_duration_since(bucket.filled_at);
        bucket.level = (bucket.level + elapsed.as_secs_f64() * self.per_second).min(full);
        bucket.filled_at = now.max(bucket.filled_at);
        bucket
    }

    fn room(&self, bucket: &Bucket) -> Result<(), Duration> {
        if bucket.level < 1.0 {
            let wait = (1.0 - bucket.level) / self.per_second;
            return Err(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate_for_each_sender_on_its_own() {
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

    #[test]
    fn what_was_too_much_is_made_up_for() {
        let rates = Rates::new(10);
        let start = Instant::now();
        assert_eq!(rates.check("one", start), Ok(()));
        rates.charge("one", 119, start);
        assert_eq!(rates.check("one", start), Err(Duration::from_secs(10)));
        assert_eq!(rates.check("two", start), Ok(()));
        let almost = start + Duration::from_millis(9_900);
        assert!(rates.check("one", almost).is_err());
        assert_eq!(rates.check("one", start + Duration::from_secs(10)), Ok(()));
    }
}
