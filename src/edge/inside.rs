//! The running edge as it looks from inside: everything that `status` and `/metrics` tell.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::event::Timestamp;

use super::Gauges;
use super::intake::{Intake, Numbers};
use super::link::{self, Link};
use super::origins::Origins;
use super::pipeline::Pipeline;
use super::queue::{AppendError, Losses, Queue};
use super::redact::Hits;
use super::rounds::Findings;
use super::settings::Settings;
use super::status::{self, Configuration, Parked, Requests, State, Status, Upstream};
use super::tail::Tail;

/// Longest reason that the upstream gave, in bytes.
const REASON_MAX_BYTES: usize = 300;

/// The parts of a running edge that can be looked at.
pub(super) struct Inside {
    edge_id: String,
    started: Timestamp,
    listening: Vec<SocketAddr>,
    pub(super) directory: PathBuf,
    extras: bool,
    /// What was lost before the start.
    lost_before: Losses,
    pipeline: Arc<Pipeline>,
    pub(super) queue: Queue,
    pub(super) intake: Intake,
    pub(super) tail: Tail,
    pub(super) origins: Origins,
    pub(super) findings: Findings,
    pub(super) link: Link,
    pub(super) settings: Settings,
}

/// What an edge is for as long as it runs.
pub(super) struct Fixed {
    pub(super) edge_id: String,
    pub(super) listening: Vec<SocketAddr>,
    /// The queue's.
    pub(super) directory: PathBuf,
    pub(super) extras: bool,
}

impl Inside {
    pub(super) fn new(
        fixed: Fixed,
        pipeline: Arc<Pipeline>,
        queue: Queue,
        gauges: Gauges,
        settings: Settings,
    ) -> Inside {
        Inside {
            edge_id: fixed.edge_id,
            started: Timestamp::now(),
            listening: fixed.listening,
            directory: fixed.directory,
            extras: fixed.extras,
            lost_before: queue.losses(0),
            pipeline,
            queue,
            intake: gauges.intake,
            tail: Tail::new(),
            origins: Origins::default(),
            findings: Findings::default(),
            link: gauges.link,
            settings,
        }
    }

    /// Why the queue takes no records, and since when if that is known; `None` when it takes them.
    pub(super) fn not_ready(&self) -> Option<(String, Option<Timestamp>)> {
        let trouble = self.intake.numbers().trouble;
        if let Err(error) = self.queue.takes_records() {
            return Some((error.to_string(), trouble.map(|trouble| trouble.0)));
        }
        // Full at the time, it has room now.
        let (since, error) = trouble.filter(|(_, error)| !matches!(error, AppendError::Full))?;
        Some((error.to_string(), Some(since)))
    }

    /// How the edge is now.
    pub(super) async fn status(&self) -> Status {
        let depth = self.queue.depth();
        let losses = self.queue.losses(0);
        let settings = self.settings.snapshot();
        let numbers = self.intake.numbers();
        let (not_ready, not_ready_since) = match self.not_ready() {
            Some((reason, since)) => (Some(reason), since),
            None => (None, None),
        };
        let parked = self.queue.parked_totals().await;
        let parked = parked.inspect_err(|error| {
            tracing::warn!(%error, "the parked list cannot be read");
        });
        let status = Status {
            well: true,
            problems: Vec::new(),
            schema: status::SCHEMA,
            now: Timestamp::now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            edge_id: self.edge_id.clone(),
            started: self.started,
            listening: self.listening.clone(),
            upstream: self.upstream(settings.endpoint, settings.has_token),
            queue: status::Queue {
                directory: self.directory.clone(),
                not_ready,
                not_ready_since,
                records: depth.records,
                bytes: depth.bytes,
                oldest: depth.oldest.map(Timestamp::from),
                last_seq: self.queue.last_seq(),
                damaged: depth.damaged,
                next_entry: self.queue.position().0,
            },
            parked: parked.ok().map(|(items, records)| Parked {
                items,
                records,
                dropped: self.queue.parked_dropped(),
            }),
            lost: by_reason(&losses, &Losses::default()),
            lost_since_start: by_reason(&losses, &self.lost_before),
            requests: requests(&numbers),
            refused: refused(&numbers),
            stored: by_word(numbers.stored),
            discarded: by_word(numbers.untaken.discarded),
            dropped_foreign: by_word(numbers.untaken.foreign),
            over_quota: by_account(numbers.untaken.over_quota),
            redacted: by_rule(&self.pipeline.redactions()),
            refused_rules: self
                .pipeline
                .refused_rules()
                .iter()
                .map(ToString::to_string)
                .collect(),
            configuration: Configuration {
                file: settings.file,
                in_force_since: settings.since,
                rejected_since: settings.rejected.as_ref().map(|rejected| rejected.0),
                rejected_because: settings.rejected.map(|rejected| rejected.1),
                waits_for_restart: words(&settings.waits_for_restart),
            },
            checks: self.findings.list(),
        };
        status.judged()
    }

    fn upstream(&self, endpoint: String, has_token: bool) -> Upstream {
        let link::Status {
            state,
            last_delivery,
            in_flight,
            counters,
            token,
            clock_offset,
        } = self.link.status();
        let mut upstream = Upstream {
            endpoint,
            state: State::NotTried,
            since: None,
            reason: None,
            refused_with: None,
            next_attempt: None,
            last_delivery: last_delivery.map(Timestamp::from),
            in_flight: in_flight as u64,
            has_token,
            token_expires: token.expires.map(Timestamp::from),
            clock_offset_seconds: clock_offset,
            extras: self.extras,
            batches: counters.batches,
            records: counters.records,
            bytes: counters.bytes,
            retries: counters.retries,
            splits: counters.split,
        };
        match state {
            link::State::NotTried => {}
            link::State::Delivering => upstream.state = State::Delivering,
            link::State::Retrying {
                since,
                reason,
                next_attempt,
            } => {
                upstream.state = State::Retrying;
                upstream.since = Some(since.into());
                upstream.reason = Some(shortened(&reason));
                upstream.next_attempt = Some(next_attempt.into());
            }
            link::State::Holding {
                since,
                status,
                reason,
            } => {
                upstream.state = State::Holding;
                upstream.since = Some(since.into());
                upstream.refused_with = status;
                let reason = token.problem.filter(|_| status.is_none()).unwrap_or(reason);
                upstream.reason = Some(shortened(&reason));
            }
        }
        upstream
    }
}

/// The upstream's own words may be a whole page.
fn shortened(reason: &str) -> String {
    let reason = crate::words::printable(reason);
    match reason.floor_char_boundary(REASON_MAX_BYTES) {
        end if end < reason.len() => format!("{}…", &reason[..end]),
        _ => reason,
    }
}

fn by_reason(losses: &Losses, before: &Losses) -> BTreeMap<String, u64> {
    let counts = losses.counts.iter().map(|(reason, records)| {
        let before = before.counts.get(reason).copied().unwrap_or(0);
        (reason.word().to_owned(), records.saturating_sub(before))
    });
    counts.filter(|(_, records)| *records > 0).collect()
}

fn by_word(counts: BTreeMap<crate::otlp::Signal, u64>) -> BTreeMap<String, u64> {
    let counts = counts.into_iter();
    counts
        .map(|(signal, count)| (signal.word().to_owned(), count))
        .collect()
}

fn by_account(requests: BTreeMap<Option<u32>, u64>) -> BTreeMap<String, u64> {
    let requests = requests.into_iter().map(|(uid, count)| {
        let account = uid.map_or("unknown".to_owned(), |uid| format!("uid {uid}"));
        (account, count)
    });
    requests.collect()
}

fn by_rule(redactions: &Hits) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (rule, _, count) in redactions.by_rule() {
        *counts.entry(rule.to_owned()).or_default() += count;
    }
    counts
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn requests(numbers: &Numbers) -> Vec<Requests> {
    let requests = numbers.requests.iter();
    let requests = requests.map(|((signal, status), count)| Requests {
        signal: signal.map(|signal| signal.word().to_owned()),
        status: *status,
        count: *count,
    });
    requests.collect()
}

fn refused(numbers: &Numbers) -> BTreeMap<String, u64> {
    let mut refused = BTreeMap::new();
    for ((_, status), count) in &numbers.requests {
        if let Some(reason) = status::refused_because(*status) {
            *refused.entry(reason.to_owned()).or_default() += count;
        }
    }
    let connections: u64 = numbers.untaken.crowded_out.values().sum();
    if connections > 0 {
        refused.insert("too_many_connections".to_owned(), connections);
    }
    refused
}
