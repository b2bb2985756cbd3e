//! Holds values that are replaced as a whole while others use them, and sees that a file has changed.

#[cfg(feature = "edge")]
mod watch;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::Notify;

#[cfg(feature = "edge")]
pub use watch::FileWatch;

/// A value that many use and one replaces. Whoever has it keeps what they have.
pub struct Swap<T>(RwLock<Arc<T>>);

impl<T> Swap<T> {
    /// Holds a first value.
    pub fn new(value: T) -> Swap<T> {
        Swap(RwLock::new(Arc::new(value)))
    }

    /// The value that is in force.
    pub fn load(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another one in force.
    pub fn store(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

/// A value handed to the one who waits for it; a later one takes the place of one not yet fetched.
pub struct Slot<T> {
    value: Mutex<Option<T>>,
    filled: Notify,
}

impl<T> Default for Slot<T> {
    fn default() -> Slot<T> {
        Slot {
            value: Mutex::new(None),
            filled: Notify::new(),
        }
    }
}

impl<T> Slot<T> {
    /// Leaves a value.
    pub fn put(&self, value: T) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        self.filled.notify_one();
    }

    /// Fetches what is there.
    pub fn take(&self) -> Option<T> {
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        value.take()
    }

    /// Fetches what is there, or what comes.
    pub async fn next(&self) -> T {
        loop {
            if let Some(value) = self.take() {
                return value;
            }
            self.filled.notified().await;
        }
    }
}
