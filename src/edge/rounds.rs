//! Looks every hour at what nothing else would tell: the checks of [`doctor`](super::doctor) that a
//! daemon in its sandbox can make. What is not well stands in the log, in `status`, in the supervisor's
//! line and at `/readyz`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::shutdown::Shutdown;

use super::doctor::{Report, examine_daemon};
use super::status::Check;

const INTERVAL: Duration = Duration::from_secs(3600);

/// What the last round found. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(Arc<Mutex<Vec<Check>>>);

impl Findings {
    /// What is not well; empty before the first round.
    pub(super) fn list(&self) -> Vec<Check> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// True when they are others than before.
    fn replace(&self, checks: Vec<Check>) -> bool {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *found, checks);
        before != *found
    }
}

/// Makes the rounds until `shutdown`, the first at once; the configuration lies in `file`.
pub(super) async fn run(file: PathBuf, findings: Findings, mut shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.requested() => return,
        }
        let checks = examine_daemon(file.clone()).await.into_iter().map(check);
        let checks: Vec<Check> = checks.collect();
        if !findings.replace(checks.clone()) {
            continue;
        }
        match checks.as_slice() {
            [] => tracing::info!("the checks that found something wrong are well again"),
            _ => {
                let found: Vec<String> = checks.iter().map(ToString::to_string).collect();
                let found = found.join("; ");
                tracing::warn!(
                    found,
                    "not all checks are well; `fieldpost edge doctor` says more"
                );
            }
        }
    }
}

fn check(report: Report) -> Check {
    Check {
        id: report.id.to_owned(),
        summary: report.summary.to_owned(),
        detail: report.detail,
        fix: report.fix,
    }
}
