//! Roll-ups of the counters that Claude exports as metrics.
//!
//! A counter comes as differences (each point is added) or as running totals (of each series, the most
//! counts: what was reached earlier is in it). Values are kept in millionths, whole, so that sums do not
//! depend on order.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, NumberDataPoint, ResourceMetrics, metric,
};
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::event::{AgentIdentity, Attributes, Timestamp, bound};

use super::{Seen, Span, entry};

/// What the names of Claude's own metrics begin with.
const PREFIXES: [&str; 3] = ["claude_code.", "claude_cowork.", "cowork."];

/// Largest value of a point that is believed. A sum holds nine hundred such points of one person, metric and
/// hour, and stays at its greatest when more come.
const MAX_VALUE: f64 = 1e10;

/// What a sum is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MetricKey {
    /// Name without prefix: `token.usage`, `lines_of_code.count`, …
    pub metric: String,
    /// The person's e-mail, or the raw id; empty when no attribute says who.
    pub owner: String,
    /// `type`, else `start_type`, else `decision`; empty when there is none.
    pub kind: String,
    /// `model`; empty when there is none.
    pub model: String,
    /// Start of the hour, in seconds since the Unix epoch.
    pub hour: i64,
    /// Of a running total: which one, by a hash of everything that tells it from others. Else 0.
    pub series: i64,
    /// Of a running total: when it began to count, in nanoseconds since the Unix epoch. Else 0.
    pub started: i64,
}

/// Sums in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricSum {
    /// Differences, added up.
    pub added: i64,
    /// The most that a running total reached in this hour.
    pub reached: i64,
}

impl MetricSum {
    pub(super) fn merge(&mut self, other: MetricSum) {
        self.added = self.added.saturating_add(other.added);
        self.reached = self.reached.max(other.reached);
    }
}

/// Adds the points of a newly stored message, and the sessions that they are of.
pub(super) fn add(
    sums: &mut BTreeMap<MetricKey, MetricSum>,
    sessions: &mut BTreeMap<String, Seen>,
    message: &ResourceMetrics,
) {
    let resource = message
        .resource
        .as_ref()
        .map_or(&[][..], |resource| &resource.attributes);
    for scope in &message.scope_metrics {
        for metric in &scope.metrics {
            let Some(metric::Data::Sum(sum)) = &metric.data else {
                continue;
            };
            let prefix = PREFIXES
                .iter()
                .find_map(|prefix| metric.name.strip_prefix(prefix));
            let (Some(name), true) = (prefix, sum.is_monotonic) else {
                continue;
            };
            let is_total = sum.aggregation_temporality() == AggregationTemporality::Cumulative;
            for point in &sum.data_points {
                add_point(sums, sessions, name, is_total, point, resource);
            }
        }
    }
}

fn add_point(
    sums: &mut BTreeMap<MetricKey, MetricSum>,
    sessions: &mut BTreeMap<String, Seen>,
    name: &str,
    is_total: bool,
    point: &NumberDataPoint,
    resource: &[KeyValue],
) {
    let value = match point.value {
        Some(Value::AsDouble(value)) => value,
        Some(Value::AsInt(value)) => value as f64,
        None => return,
    };
    if !(0.0..=MAX_VALUE).contains(&value) {
        return;
    }
    let micros = (value * 1e6).round() as i64;
    let attributes = Attributes::new(&point.attributes, resource);
    let text = |keys: &[&str]| {
        let found = keys.iter().find_map(|key| attributes.text(key));
        found
            .map(|text| text.chars().take(200).collect())
            .unwrap_or_default()
    };
    let time = Timestamp(i64::try_from(point.time_unix_nano).unwrap_or(i64::MAX));
    let started = i64::try_from(point.start_time_unix_nano).unwrap_or(i64::MAX);
    let key = MetricKey {
        metric: name.chars().take(200).collect(),
        owner: AgentIdentity::read(&attributes)
            .map_or_else(String::new, |it| it.owner().chars().take(200).collect()),
        kind: text(&["type", "start_type", "decision"]),
        model: text(&["model"]),
        hour: Span::Hour.start_of(time),
        series: if is_total {
            series(name, point, resource)
        } else {
            0
        },
        started: if is_total { started } else { 0 },
    };
    let sum = match is_total {
        true => MetricSum {
            added: 0,
            reached: micros,
        },
        false => MetricSum {
            added: micros,
            reached: 0,
        },
    };
    sums.entry(key).or_default().merge(sum);
    // A difference says that something happened then; a running total is sent again while nothing happens.
    let happened = if is_total { Timestamp(started) } else { time };
    if let Some(mut session) = attributes.text("session.id").filter(|_| micros > 0) {
        bound(&mut session);
        let seen = Seen::at(happened);
        entry(sessions, &session, || seen).merge(seen);
    }
}

/// Which running total a point belongs to: all attributes count, whatever their order.
fn series(name: &str, point: &NumberDataPoint, resource: &[KeyValue]) -> i64 {
    let mut attributes: Vec<Vec<u8>> = point
        .attributes
        .iter()
        .chain(resource)
        .map(Message::encode_to_vec)
        .collect();
    attributes.sort();
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes());
    for attribute in &attributes {
        hasher.update(&(attribute.len() as u64).to_be_bytes());
        hasher.update(attribute);
    }
    let hash = hasher.finalize();
    let (head, _) = hash
        .as_bytes()
        .split_first_chunk()
        .expect("a hash has 32 bytes");
    i64::from_be_bytes(*head)
}
