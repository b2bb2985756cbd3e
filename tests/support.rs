//! What the tests stand on: the product's parts started for real, captured requests, other people's
//! clients.

pub(crate) mod fieldpost;
pub(crate) mod postgres;
pub(crate) mod api;
pub(crate) mod browser;
pub(crate) mod wire;
pub(crate) mod upstream;
pub(crate) mod relay;
pub(crate) mod random;
pub(crate) mod tls;
pub(crate) mod proxy;
pub(crate) mod process;
pub(crate) mod records;
pub(crate) mod flood;
pub(crate) mod disk;
pub(crate) mod queue;
pub(crate) mod preload;
pub(crate) mod powercut;
pub(crate) mod clients;
pub(crate) mod rust_exporter;
pub(crate) mod model;
pub(crate) mod claude;
pub(crate) mod chromium;
pub(crate) mod hands;
pub(crate) mod provider;

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// How long something may take that happens by itself. Long, so that a busy machine fails no test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
