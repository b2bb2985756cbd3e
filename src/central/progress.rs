//! Tells the supervisor that the service's work goes on, and how it is.
//!
//! The watchdog is fed by the store's answer, not by a timer. That the store cannot write is an answer:
//! a database that is down is no reason to start the service anew. A service that gets none is.

use tokio::time::MissedTickBehavior;

use crate::supervisor::{self, News, tell};

use super::store::Store;

/// Tells as long as it is polled; ends at once where nobody listens.
pub(super) async fn run(store: &Store) {
    let Some(interval) = supervisor::interval() else {
        return;
    };
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = store.check_writable().await;
        tell(News::Progress);
        tell(News::Words(match answer {
            Ok(()) => "takes records".to_owned(),
            Err(error) => format!("cannot store records: {error}"),
        }));
    }
}
