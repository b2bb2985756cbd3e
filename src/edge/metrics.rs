//! The edge's status as metrics.

use crate::event::Timestamp;
use crate::metrics::Page;

use super::status::{State, Status};

/// `status` as metrics.
pub(super) fn text(status: &Status) -> String {
    let mut page = Page::default();
    edge(&mut page, status);
    received(&mut page, status);
    queue(&mut page, status);
    upstream(&mut page, status);
    page.text()
}

fn edge(page: &mut Page, status: &Status) {
    page.gauge("fieldpost_edge_info", "The edge and its version.")
        .sample(
            &[("version", &status.version), ("edge_id", &status.edge_id)],
            1,
        );
    page.gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970.",
    )
    .value(seconds(status.started));
    page.gauge(
        "fieldpost_edge_well",
        "1 when nothing is wrong; `fieldpost edge status` says what is.",
    )
    .value(u64::from(status.well));
    let configuration = &status.configuration;
    page.gauge(
        "fieldpost_edge_configuration_rejected",
        "1 while the configuration file cannot be used and an older one is in force.",
    )
    .value(u64::from(configuration.rejected_since.is_some()));
    page.gauge(
        "fieldpost_edge_configuration_in_force_timestamp_seconds",
        "When the configuration came into force, in seconds since 1970.",
    )
    .value(seconds(configuration.in_force_since));
}

fn received(page: &mut Page, status: &Status) {
    let mut requests = page.counter(
        "fieldpost_edge_requests_total",
        "Clients' requests, by signal and by the HTTP status they were answered with.",
    );
    for of_kind in &status.requests {
        let code = of_kind.status.to_string();
        let signal = of_kind.signal.as_deref().unwrap_or("unknown");
        requests.sample(&[("signal", signal), ("status", &code)], of_kind.count);
    }
    page.counter(
        "fieldpost_edge_requests_refused_total",
        "Clients' requests that were refused, by reason.",
    )
    .by("reason", &status.refused);
    page.counter(
        "fieldpost_edge_records_stored_total",
        "Records appended to the queue and synced to disk, by signal.",
    )
    .by("signal", &status.stored);
    page.counter(
        "fieldpost_edge_records_discarded_total",
        "Records of signals that are switched off, by signal.",
    )
    .by("signal", &status.discarded);
    page.counter(
        "fieldpost_edge_records_dropped_foreign_total",
        "Records of other programs than Claude, where listen.foreign says to drop them, by signal.",
    )
    .by("signal", &status.dropped_foreign);
    page.counter(
        "fieldpost_edge_redactions_total",
        "Secrets and personal data taken out of records, by rule.",
    )
    .by("rule", &status.redacted);
    page.gauge(
        "fieldpost_edge_rules_refused",
        "Rules of one's own that are not in force.",
    )
    .value(status.refused_rules.len() as u64);
}

fn queue(page: &mut Page, status: &Status) {
    let queue = &status.queue;
    page.gauge(
        "fieldpost_edge_queue_ready",
        "1 when the queue takes records.",
    )
    .value(u64::from(queue.not_ready.is_none()));
    page.gauge("fieldpost_edge_queue_records", "Records that wait.")
        .value(queue.records);
    page.gauge(
        "fieldpost_edge_queue_bytes",
        "Bytes on disk of the records that wait.",
    )
    .value(queue.bytes);
    let age = |oldest: Timestamp| seconds(status.now) - seconds(oldest);
    page.gauge(
        "fieldpost_edge_queue_oldest_age_seconds",
        "How long the oldest record has waited; 0 when none waits.",
    )
    .value(queue.oldest.map_or(0.0, age).max(0.0));
    page.gauge(
        "fieldpost_edge_queue_last_seq",
        "The highest record number.",
    )
    .value(queue.last_seq);
    page.counter(
        "fieldpost_edge_queue_damaged_entries_total",
        "Entries of the queue found damaged.",
    )
    .value(queue.damaged);
    page.counter(
        "fieldpost_edge_records_lost_total",
        "Records lost since the queue was made, by reason.",
    )
    .by("reason", &status.lost);
    let parked = status.parked.unwrap_or_default();
    page.gauge(
        "fieldpost_edge_parked_records",
        "Records in the parked list: the upstream refuses them.",
    )
    .value(parked.records);
}

fn upstream(page: &mut Page, status: &Status) {
    let upstream = &status.upstream;
    let mut state = page.gauge(
        "fieldpost_edge_upstream_state",
        "1 for the state that the way upstream is in.",
    );
    for (word, of) in [
        ("not_tried", State::NotTried),
        ("delivering", State::Delivering),
        ("retrying", State::Retrying),
        ("holding", State::Holding),
    ] {
        state.sample(&[("state", word)], u64::from(upstream.state == of));
    }
    page.counter(
        "fieldpost_edge_records_delivered_total",
        "Records that the upstream took.",
    )
    .value(upstream.records);
    page.counter(
        "fieldpost_edge_batches_settled_total",
        "Batches that were delivered, or parked as far as refused.",
    )
    .value(upstream.batches);
    page.counter(
        "fieldpost_edge_upstream_sent_bytes_total",
        "Bytes of the bodies sent upstream, whatever came of them.",
    )
    .value(upstream.bytes);
    page.counter(
        "fieldpost_edge_upstream_retries_total",
        "Requests that had to be sent again.",
    )
    .value(upstream.retries);
    page.counter(
        "fieldpost_edge_upstream_splits_total",
        "Times that a batch was halved.",
    )
    .value(upstream.splits);
    page.gauge(
        "fieldpost_edge_upstream_requests_in_flight",
        "Requests upstream that are not yet answered.",
    )
    .value(upstream.in_flight);
    if let Some(time) = upstream.last_delivery {
        page.gauge(
            "fieldpost_edge_upstream_last_delivery_timestamp_seconds",
            "When the upstream last took something, in seconds since 1970.",
        )
        .value(seconds(time));
    }
    if let Some(time) = upstream.token_expires {
        page.gauge(
            "fieldpost_edge_token_expiry_timestamp_seconds",
            "When the upstream's token expires, in seconds since 1970.",
        )
        .value(seconds(time));
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.0 as f64 / 1e9
}
