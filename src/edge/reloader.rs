//! Takes a changed configuration into force while the daemon runs.
//!
//! Everything that a new configuration needs is made before anything is replaced: a configuration
//! with a mistake, or with a file that cannot be used, leaves the old one in force as a whole.
//! Requests under way go on with what they began with.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::config::Mistakes;
use crate::http::Limits;
use crate::reload::{FileWatch, Slot, Swap};
use crate::shutdown::Shutdown;
use crate::supervisor::{News, tell};

use super::config::Config;
use super::link::Link;
use super::pipeline::Pipeline;
use super::receiver::{self, Door};
use super::settings::Settings;
use super::upstream::Upstream;

/// Time for whoever writes a file to write all of it.
const SETTLE: Duration = Duration::from_millis(200);

/// Where the configuration comes from, to read it again.
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// Reads it, as at the start.
    pub read: Box<dyn Fn() -> Result<Config, Mistakes> + Send>,
}

/// What a new configuration replaces.
pub(super) struct Reloader {
    pub(super) source: Source,
    /// What is in force.
    pub(super) config: Config,
    /// The files of the configuration that was read last, in force or not.
    pub(super) tried: Vec<PathBuf>,
    pub(super) edge_id: String,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) door: Arc<Swap<Door>>,
    pub(super) limits: watch::Sender<Limits>,
    pub(super) upstream: Arc<Slot<Upstream>>,
    pub(super) link: Link,
    pub(super) settings: Settings,
}

impl Reloader {
    /// Reads the configuration again when it, or a file that it names, has changed, and on SIGHUP;
    /// until `shutdown`. From this call on, not only from the first poll, SIGHUP ends no process.
    pub(super) fn run(self, shutdown: Shutdown) -> impl Future<Output = ()> {
        let hangup = Hangup::new();
        let seen = contents(self.files());
        self.obey(hangup, seen, shutdown)
    }

    async fn obey(mut self, mut hangup: Hangup, mut seen: Contents, mut shutdown: Shutdown) {
        loop {
            let files = self.files();
            let mut watch = FileWatch::new(files.iter().map(PathBuf::as_path))
                .inspect_err(|error| {
                    tracing::warn!(%error, "the configuration is read again on SIGHUP only");
                })
                .ok();
            // A change that came before the watch began is a change as well.
            let has_changed = differ(&files, &seen);
            let is_asked_for = tokio::select! {
                biased;
                () = std::future::ready(()), if has_changed => false,
                () = changed(&mut watch) => false,
                () = hangup.received() => true,
                () = shutdown.requested() => return,
            };
            if !is_asked_for {
                tokio::time::sleep(SETTLE).await;
            }
            if is_asked_for || differ(&files, &seen) {
                // Before they are used: what changes from here on is another change.
                seen = contents(files);
                self.reload(&mut seen).await;
            }
        }
    }

    async fn reload(&mut self, seen: &mut Contents) {
        tell(News::Reloading);
        self.read_and_apply(seen).await;
        tell(News::Ready);
    }

    async fn read_and_apply(&mut self, seen: &mut Contents) {
        let config = match (self.source.read)() {
            Ok(config) => config,
            Err(mistakes) => {
                let told = mistakes.to_string();
                for mistake in told.lines() {
                    tracing::error!("{mistake}");
                }
                tracing::error!("the configuration has mistakes; the old one stays in force");
                self.settings.rejected(told.replace('\n', "; "));
                return;
            }
        };
        // A file that makes this configuration bad is watched too, so that its correction is seen.
        self.tried = files_of(&config);
        let named = self.tried.iter().filter(|file| !seen.contains_key(*file));
        let named = contents(named.cloned().collect());
        seen.extend(named);
        match self.apply(config).await {
            Ok(()) => tracing::info!("the configuration was read again and is in force"),
            Err(error) => {
                tracing::error!("{error:#}");
                tracing::error!("the configuration cannot be used; the old one stays in force");
                self.settings.rejected(format!("{error:#}"));
            }
        }
    }

    async fn apply(&mut self, mut config: Config) -> anyhow::Result<()> {
        let waits = self.keep_what_needs_a_restart(&mut config);
        let (edge_id, link) = (self.edge_id.clone(), self.link.clone());
        let pipeline = Arc::clone(&self.pipeline);
        // Rules are compiled and certificates read off the threads that serve connections.
        let made = tokio::task::spawn_blocking(move || {
            let steps = pipeline.prepare(&config, &edge_id)?;
            let door = Door::new(&config)?;
            let upstream = Upstream::new(&config.upstream, &link)?;
            anyhow::Ok((config, steps, door, upstream))
        });
        let (config, steps, door, upstream) = made.await??;

        self.pipeline.replace(steps);
        self.door.store(door);
        self.limits.send_replace(receiver::limits(&config.listen));
        self.upstream.put(upstream);
        self.settings.replaced(&config, waits);
        self.config = config;
        Ok(())
    }

    /// What cannot be changed while running stays as it is, and is said. Names the keys.
    fn keep_what_needs_a_restart(&self, config: &mut Config) -> Vec<&'static str> {
        let mut changed = Vec::new();
        if config.listen.addresses != self.config.listen.addresses {
            config
                .listen
                .addresses
                .clone_from(&self.config.listen.addresses);
            changed.push("listen.addresses");
        }
        if config.queue != self.config.queue {
            config.queue.clone_from(&self.config.queue);
            changed.push("[queue]");
        }
        if config.control != self.config.control {
            config.control.clone_from(&self.config.control);
            changed.push("[control]");
        }
        if config.upstream.extras != self.config.upstream.extras {
            config.upstream.extras = self.config.upstream.extras;
            changed.push("upstream.extras");
        }
        if !changed.is_empty() {
            let keys = changed.join(", ");
            tracing::warn!(keys, "these changes take effect when the edge is restarted");
        }
        changed
    }

    /// The configuration and the files whose contents are read along with it.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.source.path.clone()];
        files.extend(files_of(&self.config));
        files.extend(self.tried.iter().cloned());
        files
    }
}

/// The files whose contents are read along with a configuration.
fn files_of(config: &Config) -> Vec<PathBuf> {
    let upstream = &config.upstream;
    let client = upstream.client_certificate.as_ref();
    let named = [
        config.listen.bearer_token_file.as_ref(),
        upstream.ca_file.as_ref(),
        client.map(|client| &client.certificate),
        client.map(|client| &client.key),
    ];
    let named = named.into_iter().flatten();
    named.chain(&config.redact.rules).cloned().collect()
}

/// What stood in each file; `None` where there was none.
type Contents = BTreeMap<PathBuf, Option<Vec<u8>>>;

fn contents(files: Vec<PathBuf>) -> Contents {
    let read = |file: PathBuf| {
        let content = std::fs::read(&file).ok();
        (file, content)
    };
    files.into_iter().map(read).collect()
}

fn differ(files: &[PathBuf], seen: &Contents) -> bool {
    let is_same = |file: &PathBuf| seen.get(file) == Some(&std::fs::read(file).ok());
    !files.iter().all(is_same)
}

async fn changed(watch: &mut Option<FileWatch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// SIGHUP, where there is one.
struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    fn new() -> Hangup {
        Hangup {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
                .inspect_err(|error| tracing::warn!(%error, "SIGHUP is not heard"))
                .ok(),
        }
    }

    async fn received(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}
