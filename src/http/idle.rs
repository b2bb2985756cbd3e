//! Whether a connection has something to do.

use std::time::Duration;

use tokio::sync::watch;

/// Time that an idle connection keeps its place while others wait for one.
const YIELD_AFTER: Duration = Duration::from_secs(1);

/// The requests of one connection. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Requests(watch::Sender<State>);

#[derive(Clone, Copy, Default)]
struct State {
    under_way: usize,
    has_served: bool,
}

/// A request that is not yet answered, while it is held.
pub(super) struct UnderWay(Requests);

impl Requests {
    /// A request has come.
    pub(super) fn begin(&self) -> UnderWay {
        self.0.send_modify(|state| {
            state.under_way += 1;
            state.has_served = true;
        });
        UnderWay(self.clone())
    }

    /// Ends when no request was under way for `longest`, or for a moment while others wait. Who has
    /// not been served yet does not give way.
    pub(super) async fn idle(&self, longest: Duration, mut crowded: watch::Receiver<bool>) {
        let mut states = self.0.subscribe();
        loop {
            let State {
                under_way,
                has_served,
            } = *states.borrow_and_update();
            let gives_way = async {
                if !has_served {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(YIELD_AFTER).await;
                if crowded.wait_for(|is_crowded| *is_crowded).await.is_err() {
                    // The service stops, and says so in another way.
                    std::future::pending::<()>().await;
                }
            };
            let idles = async {
                if under_way > 0 {
                    std::future::pending::<()>().await;
                }
                tokio::select! {
                    () = tokio::time::sleep(longest) => {}
                    () = gives_way => {}
                }
            };
            tokio::select! {
                () = idles => return,
                // This sender is held here, so there is always one.
                _ = states.changed() => {}
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| state.under_way -= 1);
    }
}
