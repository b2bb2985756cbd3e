//! Once a minute the edge says how it is, as a log record that goes the way of all records.
//!
//! The central service learns from it that the machine is there, what still waits on it, and up to
//! which number it should have records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::event::{
    CLOCK_OFFSET, HEARTBEAT, LOST, PARKED_RECORDS, REDACTED, TOKEN_EXPIRES, Timestamp, attribute,
};
use crate::otlp::{Request, Signal};
use crate::shutdown::Shutdown;

use super::inside::Inside;
use super::pipeline::Pipeline;
use super::queue::{Losses, Reason};
use super::redact::Hits;

/// Time between two heartbeats.
const INTERVAL: Duration = Duration::from_secs(60);

/// Ranges of lost numbers that one heartbeat tells of; the others follow in later ones.
const MAX_RANGES: usize = 256;

/// Writes a heartbeat at once and then every minute, until `shutdown`.
pub(super) async fn run(pipeline: Arc<Pipeline>, inside: Arc<Inside>, mut shutdown: Shutdown) {
    let queue = &inside.queue;
    let mut beats = tokio::time::interval(INTERVAL);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = beats.tick() => {}
            () = shutdown.requested() => return,
        }
        let losses = queue.losses(MAX_RANGES);
        let mut attributes = state(&inside).await;
        attributes.extend(lost(&losses));
        attributes.extend(by_rule(&pipeline.redactions()));
        let record = Request::Logs(heartbeat(attributes, Timestamp::now()));
        let appended = queue.append(pipeline.process(record)).await;
        inside
            .intake
            .appended(Signal::Logs, 1, appended.as_ref().err());
        match appended {
            Ok(number) => queue.told(number, &losses),
            Err(error) => tracing::warn!(%error, "no heartbeat was written"),
        }
    }
}

/// What waits, what was refused, and what is known of the way upstream.
async fn state(inside: &Inside) -> Vec<KeyValue> {
    let (depth, link) = (inside.queue.depth(), inside.link.status());
    let mut attributes = vec![
        attribute("queue.records", whole(depth.records)),
        attribute("queue.bytes", whole(depth.bytes)),
        attribute("queue.last_seq", whole(inside.queue.last_seq())),
    ];
    let foreign: u64 = inside.intake.untaken().foreign.values().sum();
    if foreign > 0 {
        attributes.push(attribute("dropped_foreign", whole(foreign)));
    }
    // What cannot be read is not told as none.
    if let Ok((_, parked)) = inside.queue.parked_totals().await {
        attributes.push(attribute(PARKED_RECORDS, whole(parked)));
    }
    if let Some(seconds) = link.clock_offset {
        attributes.push(attribute(CLOCK_OFFSET, Value::IntValue(seconds)));
    }
    let since_epoch = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
    if let Some(expires) = link.token.expires.and_then(since_epoch) {
        attributes.push(attribute(TOKEN_EXPIRES, whole(expires.as_secs())));
    }
    attributes
}

/// What was lost, by reason.
fn lost(losses: &Losses) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    for reason in Reason::ALL {
        let key = format!("{LOST}{}", reason.word());
        let of_reason = losses.ranges.iter().filter(|(of, _)| *of == reason);
        let ends: Vec<AnyValue> = of_reason
            .flat_map(|(_, range)| [*range.start(), *range.end()])
            .map(|number| AnyValue {
                value: Some(whole(number)),
            })
            .collect();
        if !ends.is_empty() {
            let list = Value::ArrayValue(ArrayValue { values: ends });
            attributes.push(attribute(&format!("{key}.ranges"), list));
        }
        if let Some(records) = losses.counts.get(&reason) {
            attributes.push(attribute(&key, whole(*records)));
        }
    }
    attributes
}

fn heartbeat(says: Vec<KeyValue>, now: Timestamp) -> ExportLogsServiceRequest {
    let nanos = u64::try_from(now.0).unwrap_or(0);
    let name = Value::StringValue(HEARTBEAT.to_owned());
    let mut attributes = vec![attribute("event.name", name)];
    attributes.extend(says);
    let record = LogRecord {
        time_unix_nano: nanos,
        observed_time_unix_nano: nanos,
        body: Some(text(HEARTBEAT)),
        attributes,
        ..LogRecord::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource {
                attributes: vec![attribute(
                    "service.name",
                    Value::StringValue("fieldpost-edge".to_owned()),
                )],
                ..Resource::default()
            }),
            scope_logs: vec![ScopeLogs {
                scope: Some(InstrumentationScope {
                    name: "fieldpost.edge".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    ..InstrumentationScope::default()
                }),
                log_records: vec![record],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

/// How often each rule found something; one that changed its type while the edge ran counts once.
fn by_rule(redactions: &Hits) -> Vec<KeyValue> {
    let mut rules = BTreeMap::<&str, u64>::new();
    for (rule, _, count) in redactions.by_rule() {
        *rules.entry(rule).or_default() += count;
    }
    let counts = rules.into_iter().map(|(rule, count)| {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        attribute(&format!("{REDACTED}{rule}"), Value::IntValue(count))
    });
    counts.collect()
}

fn whole(number: u64) -> Value {
    Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX))
}

fn text(text: &str) -> AnyValue {
    AnyValue {
        value: Some(Value::StringValue(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::redact::Redactor;

    #[test]
    fn tells_how_often_each_rule_found_something_and_redaction_leaves_it_so() {
        let redactor = Redactor::builtin();
        let token = ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA2bC4"].concat();
        let password = ["password='Gr8", "Lantern77!'"].concat();
        let (_, hits) = redactor.redact_text(&format!("{token}\n{token}\n{password}\n"));
        let attributes = by_rule(&hits);
        let counts: i64 = attributes
            .iter()
            .map(|attribute| {
                assert!(attribute.key.starts_with(REDACTED), "{}", attribute.key);
                match attribute.value.as_ref().and_then(|it| it.value.as_ref()) {
                    Some(Value::IntValue(count)) => *count,
                    other => panic!("no count: {other:?}"),
                }
            })
            .sum();
        assert_eq!((attributes.len(), counts), (2, 3));
        let mut request = ExportLogsServiceRequest::default();
        let record = LogRecord {
            attributes,
            ..LogRecord::default()
        };
        request.resource_logs.push(ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![record],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        });
        let request = Request::Logs(request);
        assert_eq!(*redactor.redact(request.clone()).request(), request);
    }
}
