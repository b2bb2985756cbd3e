//! How an edge is, as a value: what `fieldpost edge status` prints and `/metrics` counts. It holds
//! numbers, addresses and reasons, and nothing of any record.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::event::{CLOCK_TOLERANCE, Timestamp};
use crate::words;

/// A token that expires within this time is a problem, in seconds.
const EXPIRES_SOON: i64 = 7 * 86_400;

const SECOND: i64 = 1_000_000_000;

/// The form of [`Status`] as JSON: a larger number where a key has gone or means something else.
pub const SCHEMA: u32 = 1;

/// How an edge is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// [`SCHEMA`]; 0 from an edge older than it.
    #[serde(default)]
    pub schema: u32,
    /// Nothing is wrong.
    pub well: bool,
    /// What is wrong and since when, in plain words; the worst comes first.
    pub problems: Vec<String>,
    /// When this was asked.
    pub now: Timestamp,
    /// The program's version.
    pub version: String,
    /// `fieldpost.edge.id`
    pub edge_id: String,
    /// When the process started.
    pub started: Timestamp,
    /// Addresses that clients reach it at.
    pub listening: Vec<SocketAddr>,
    /// The way upstream.
    pub upstream: Upstream,
    /// What waits.
    pub queue: Queue,
    /// What the upstream refused for good; `None` when the list cannot be read.
    pub parked: Option<Parked>,
    /// Records lost since the queue was made, by reason.
    pub lost: BTreeMap<String, u64>,
    /// Of these, since the process started.
    pub lost_since_start: BTreeMap<String, u64>,
    /// Clients' requests since the process started.
    pub requests: Vec<Requests>,
    /// Records stored since the process started, by signal.
    pub stored: BTreeMap<String, u64>,
    /// Records of signals that are switched off, by signal: taken from clients and thrown away.
    pub discarded: BTreeMap<String, u64>,
    /// Records of other programs than Claude, by signal, where `listen.foreign` says to drop them.
    #[serde(default)]
    pub dropped_foreign: BTreeMap<String, u64>,
    /// Requests that were refused, and connections that were closed unheard, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Requests of accounts above their quota, by account; they are among those refused.
    pub over_quota: BTreeMap<String, u64>,
    /// What was taken out of records since the process started, by rule; `budget` counts texts that were replaced
    /// whole because they cost too much work.
    pub redacted: BTreeMap<String, u64>,
    /// Rules of one's own that are not in force: file, line and reason.
    pub refused_rules: Vec<String>,
    /// The configuration.
    pub configuration: Configuration,
    /// What the checks that the daemon makes every hour did not find well.
    #[serde(default)]
    pub checks: Vec<Check>,
}

/// A check that is not well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// As in `fieldpost edge doctor`.
    pub id: String,
    /// What was looked at.
    pub summary: String,
    /// What was seen.
    pub detail: String,
    /// What to do about it.
    pub fix: Option<String>,
}

impl fmt::Display for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.id, self.summary, self.detail)
    }
}

/// The way upstream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upstream {
    /// Where logs go.
    pub endpoint: String,
    /// Whether records get through.
    pub state: State,
    /// Since when they do not.
    pub since: Option<Timestamp>,
    /// Why they do not, in the upstream's words or the network's.
    pub reason: Option<String>,
    /// The HTTP status by which the token was refused.
    pub refused_with: Option<u16>,
    /// When it is tried again.
    pub next_attempt: Option<Timestamp>,
    /// When it last took something.
    pub last_delivery: Option<Timestamp>,
    /// Requests that are not yet answered.
    pub in_flight: u64,
    /// A token is configured. Without one none is sent, and none is needed.
    pub has_token: bool,
    /// When the token expires, if it says so.
    pub token_expires: Option<Timestamp>,
    /// Seconds by which this machine's clock is ahead of the upstream's, by its latest answer.
    pub clock_offset_seconds: Option<i64>,
    /// Heartbeats and numbers are sent along, for an upstream that is fieldpost.
    pub extras: bool,
    /// Batches settled since the process started.
    pub batches: u64,
    /// Records delivered since the process started.
    pub records: u64,
    /// Bytes sent since the process started.
    pub bytes: u64,
    /// Requests that had to be sent again.
    pub retries: u64,
    /// Times that a batch was halved.
    pub splits: u64,
}

/// Whether records get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing has been answered yet.
    NotTried,
    /// They do.
    Delivering,
    /// They do not, and may by themselves.
    Retrying,
    /// They do not until there is another token.
    Holding,
}

/// What waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Queue {
    /// Its directory.
    pub directory: PathBuf,
    /// Why it takes no records; `None` when it does.
    pub not_ready: Option<String>,
    /// Since when it takes none, where that is known.
    pub not_ready_since: Option<Timestamp>,
    /// Records that wait.
    pub records: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// When the oldest of them was stored.
    pub oldest: Option<Timestamp>,
    /// The highest record number.
    pub last_seq: u64,
    /// Entries found damaged since the process started.
    pub damaged: u64,
    /// The first entry that is not settled.
    pub next_entry: u64,
}

/// What the upstream refused for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Items of the list.
    pub items: u64,
    /// Records in them.
    pub records: u64,
    /// Records that had to go from the list to make room, since the queue was made.
    #[serde(default)]
    pub dropped: u64,
}

/// Requests of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// The signal, where it became known.
    pub signal: Option<String>,
    /// The status that they were answered with.
    pub status: u16,
    /// How many.
    pub count: u64,
}

/// The configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Configuration {
    /// Its file.
    pub file: Option<PathBuf>,
    /// Since when it is in force.
    pub in_force_since: Timestamp,
    /// When a newer one was rejected.
    pub rejected_since: Option<Timestamp>,
    /// Why it was.
    pub rejected_because: Option<String>,
    /// Keys whose newer values take effect at the next start.
    pub waits_for_restart: Vec<String>,
}

impl Status {
    /// Finds out what is wrong.
    pub(super) fn judged(mut self) -> Status {
        let queue = self.queue_problem();
        let problems = [
            queue,
            self.upstream_problem(),
            self.token_problem(),
            self.clock_problem(),
            self.loss_problem(),
            self.parked_problem(),
            self.configuration_problem(),
            self.rules_problem(),
        ];
        self.problems = problems.into_iter().flatten().collect();
        self.well = self.problems.is_empty();
        self
    }

    /// `12 480 records wait, the oldest for 3 h`
    pub fn waiting(&self) -> String {
        let waits = words::plural(self.queue.records as usize, "record waits", "records wait");
        match self.queue.oldest.filter(|_| self.queue.records > 0) {
            Some(oldest) => format!("{waits}, the oldest for {}", self.age(oldest)),
            None => waits,
        }
    }

    /// The time since then, in words.
    pub fn age(&self, then: Timestamp) -> String {
        words::span(self.now.0.saturating_sub(then.0).max(0))
    }

    /// `14:02 UTC`, or with the date where that is another day.
    pub fn clock(&self, time: Timestamp) -> String {
        let text = time.display();
        let minutes = "2026-11-22 14:03".len();
        let from = match time.day() == self.now.day() {
            true => "2026-11-22 ".len(),
            false => 0,
        };
        format!("{} UTC", &text[from..minutes])
    }

    /// For one line of a supervisor's own status.
    pub fn in_a_line(&self) -> String {
        let check = self.checks.first().map(ToString::to_string);
        let state = self.problems.first().cloned().or(check);
        let state = state.unwrap_or_else(|| "all well".to_owned());
        format!("{}; {state}", self.waiting())
    }

    fn queue_problem(&self) -> Option<String> {
        let reason = self.queue.not_ready.as_ref()?;
        let since = self.queue.not_ready_since;
        let since = since.map(|since| format!(" since {}", self.clock(since)));
        let since = since.unwrap_or_default();
        Some(format!("new records are refused{since}: {reason}"))
    }

    fn upstream_problem(&self) -> Option<String> {
        let Upstream { state, since, .. } = self.upstream;
        let since = since.map(|since| format!(" since {}", self.clock(since)));
        let since = since.unwrap_or_default();
        let reason = self.upstream.reason.as_deref().unwrap_or("no reason given");
        let what = match (state, self.upstream.refused_with) {
            (State::NotTried | State::Delivering, _) => return None,
            (State::Retrying, _) => {
                let again = self.upstream.next_attempt.filter(|again| *again > self.now);
                let again = again.map(|again| {
                    let wait = words::span(again.0.saturating_sub(self.now.0));
                    format!("; tried again in {wait}")
                });
                let again = again.unwrap_or_default();
                format!("the upstream takes no records{since}: {reason}{again}")
            }
            (State::Holding, Some(status)) => {
                let words = reason.split_once(&format!("{status}: "));
                let words = words.map_or(reason, |(_, words)| words);
                format!("token refused by the upstream ({status}){since}: {words}")
            }
            (State::Holding, None) => format!("there is no token to send{since}: {reason}"),
        };
        Some(format!("{what}; {}", self.waiting()))
    }

    fn token_problem(&self) -> Option<String> {
        let expires = self.upstream.token_expires?;
        let left = expires.0.saturating_sub(self.now.0) / SECOND;
        match left {
            ..=0 => Some(format!("the token has expired at {}", self.clock(expires))),
            1..=EXPIRES_SOON => Some(format!(
                "the token expires in {}; put a new one in its place",
                words::span(left * SECOND)
            )),
            _ => None,
        }
    }

    fn clock_problem(&self) -> Option<String> {
        let offset = self.upstream.clock_offset_seconds?;
        (offset.unsigned_abs() > CLOCK_TOLERANCE.as_secs()).then(|| {
            let word = if offset > 0 { "ahead of" } else { "behind" };
            let off = words::span(offset.saturating_abs().saturating_mul(SECOND));
            format!("this machine's clock is {off} {word} the upstream's; synchronize it")
        })
    }

    fn loss_problem(&self) -> Option<String> {
        let lost = self.lost_for_good();
        let records: u64 = lost.values().sum();
        let reasons: Vec<&str> = lost.keys().map(|reason| lost_because(reason)).collect();
        (records > 0).then(|| {
            let lost = words::plural(records as usize, "record was lost", "records were lost");
            format!("{lost} since the start: {}", reasons.join(", "))
        })
    }

    /// Records lost since the process started, by reason. What was refused was told to its sender, and what was parked is
    /// still there.
    pub(super) fn lost_for_good(&self) -> BTreeMap<&str, u64> {
        let is_loss = |reason: &str| !matches!(reason, "refused" | "parked");
        let lost = self.lost_since_start.iter();
        lost.filter(|(reason, _)| is_loss(reason))
            .map(|(reason, records)| (reason.as_str(), *records))
            .collect()
    }

    fn parked_problem(&self) -> Option<String> {
        let Some(parked) = self.parked else {
            return Some("the parked list cannot be read; the log says why".to_owned());
        };
        (parked.items > 0).then(|| {
            let records = words::plural(parked.records as usize, "record is", "records are");
            let dropped = match parked.dropped {
                0 => String::new(),
                dropped => format!("; {dropped} before them had to go, for the list was full"),
            };
            format!(
                "{records} parked because the upstream refuses them; \
                 `fieldpost edge parked list` says why{dropped}"
            )
        })
    }

    fn configuration_problem(&self) -> Option<String> {
        let since = self.clock(self.configuration.rejected_since?);
        let reason = self.configuration.rejected_because.as_deref();
        let file = self.configuration.file.as_deref();
        Some(format!(
            "the configuration {} cannot be used since {since}, and an older one is in force: {}",
            file.map_or_else(String::new, |file| file.display().to_string()),
            reason.unwrap_or_default()
        ))
    }

    fn rules_problem(&self) -> Option<String> {
        let rules = self.refused_rules.as_slice();
        let first = rules.first()?;
        let refused = words::plural(rules.len(), "rule is", "rules are");
        let others = if rules.len() > 1 { "; and others" } else { "" };
        Some(format!("{refused} not in force: {first}{others}"))
    }
}

/// Why records were lost, in words.
pub fn lost_because(reason: &str) -> &str {
    match reason {
        "size" => "the queue was full",
        "age" => "they waited for too long",
        "disk" => "the disk was almost full",
        "parked" => "the upstream refuses them",
        "damaged" => "they were damaged on disk",
        "refused" => "they could not be stored, and their sender was told",
        other => other,
    }
}

/// The reason for which requests are answered with `status`; `None` for one that is no refusal.
pub(super) fn refused_because(status: u16) -> Option<&'static str> {
    match status {
        ..=399 => None,
        401 => Some("no_local_token"),
        403 => Some("web_page_or_other_host"),
        404 => Some("unknown_path"),
        405 => Some("not_post"),
        408 => Some("too_slow"),
        413 => Some("too_large"),
        415 => Some("not_otlp"),
        429 => Some("quota"),
        503 => Some("not_stored"),
        _ => Some("malformed"),
    }
}
