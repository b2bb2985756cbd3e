//! Tells the supervisor that the edge's work goes on, and how it is.
//!
//! The watchdog is fed by the queue's writer, not by a timer: a daemon whose disk hangs answers nobody,
//! and is to be started anew. It rides on the heartbeat's minute, so that it wakes no machine.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;

use crate::shutdown::Shutdown;
use crate::supervisor::{self, News, tell};

use super::inside::Inside;

/// Tells until `shutdown`; ends at once where nobody listens.
pub(super) async fn run(inside: Arc<Inside>, mut shutdown: Shutdown) {
    let Some(interval) = supervisor::interval() else {
        return;
    };
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.requested() => return,
        }
        // A writer that hangs keeps this from going on; one that has ended is no progress either.
        if inside.queue.writer_turn().await.is_ok() {
            tell(News::Progress);
        }
        tell(News::Words(inside.status().await.in_a_line()));
    }
}
