//! Which configuration is in force, and what became of a newer one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::Timestamp;

use super::config::Config;

/// The reloader writes it, whoever looks inside reads it. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Settings(Arc<Mutex<InForce>>);

/// What is known of the configuration.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    /// Where it was read from; `None` for one that came from no file.
    pub(super) file: Option<PathBuf>,
    pub(super) since: Timestamp,
    /// When a newer one was refused, and why.
    pub(super) rejected: Option<(Timestamp, String)>,
    /// Keys whose newer values take effect at the next start.
    pub(super) waits_for_restart: Vec<&'static str>,
    /// Where records go, without a user's name and password.
    pub(super) endpoint: String,
    /// A token is configured.
    pub(super) has_token: bool,
}

impl Settings {
    /// `config` is in force from now on.
    pub(super) fn new(config: &Config, file: Option<PathBuf>) -> Settings {
        Settings(Arc::new(Mutex::new(InForce {
            file,
            since: Timestamp::now(),
            rejected: None,
            waits_for_restart: Vec::new(),
            endpoint: config.upstream.shown_endpoint(),
            has_token: !config.upstream.token.is_empty(),
        })))
    }

    /// Another one is, but for what waits for a restart.
    pub(super) fn replaced(&self, config: &Config, waits_for_restart: Vec<&'static str>) {
        let mut settings = self.lock();
        settings.since = Timestamp::now();
        settings.rejected = None;
        settings.waits_for_restart = waits_for_restart;
        settings.endpoint = config.upstream.shown_endpoint();
        settings.has_token = !config.upstream.token.is_empty();
    }

    /// A newer one cannot be used.
    pub(super) fn rejected(&self, reason: String) {
        let mut settings = self.lock();
        // Rejected for the same reason, it is bad since the first time.
        let since = settings.rejected.take();
        let since = since.filter(|(_, before)| *before == reason);
        let since = since.map_or_else(Timestamp::now, |(since, _)| since);
        settings.rejected = Some((since, reason));
    }

    /// How things stand.
    pub(super) fn snapshot(&self) -> InForce {
        self.lock().clone()
    }

    /// Every change is made in one call, so it is whole even after a panic.
    fn lock(&self) -> MutexGuard<'_, InForce> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
