//! One message of metrics or traces: what it is found by, and what of it is content. Pure.
//!
//! Names of metrics and spans and everything that is counted are no content; attributes are judged as those of
//! events are. Content of traces is hidden by role and kept as long as the environment keeps content. Attributes
//! of metrics tell series apart, so they are hidden by role and kept as long as the metrics.

mod attributes;

use std::collections::BTreeSet;
use std::fmt::Write;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, KeyValueList, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, ResourceMetrics, Sum};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;

use crate::event::content::Content;
use crate::event::{Timestamp, is_metadata_value};
use crate::otlp::{ExportMetricsServiceRequest, ExportTraceServiceRequest, Request, Signal};

use super::keys::text_key;

use attributes::{each_of_metrics, each_of_spans, statuses};

/// One `ResourceMetrics` or `ResourceSpans`.
#[derive(Clone, Debug, PartialEq)]
pub enum SignalMessage {
    /// Metrics of one resource.
    Metrics(ResourceMetrics),
    /// Spans of one resource.
    Traces(ResourceSpans),
}

/// What a message is found by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SignalKeys {
    /// The latest point of metrics; the earliest start of a span. `None` when it has no time.
    pub(super) time: Option<Timestamp>,
    /// Whether it holds content that is kept no longer than the environment keeps content.
    pub(super) has_content: bool,
    /// Keys of the traces that its spans are of.
    pub(super) traces: Vec<i64>,
}

impl SignalMessage {
    /// Reads a message as it is stored; `None` when it is none.
    pub(super) fn decode(signal: Signal, bytes: &[u8]) -> Option<SignalMessage> {
        match signal {
            Signal::Logs => None,
            Signal::Metrics => ResourceMetrics::decode(bytes).ok().map(Self::Metrics),
            Signal::Traces => ResourceSpans::decode(bytes).ok().map(Self::Traces),
        }
    }

    pub(super) fn signal(&self) -> Signal {
        match self {
            SignalMessage::Metrics(_) => Signal::Metrics,
            SignalMessage::Traces(_) => Signal::Traces,
        }
    }

    /// The message as it is stored.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            SignalMessage::Metrics(message) => message.encode_to_vec(),
            SignalMessage::Traces(message) => message.encode_to_vec(),
        }
    }

    /// A request with nothing but this message.
    pub(super) fn into_request(self) -> Request {
        match self {
            SignalMessage::Metrics(message) => Request::Metrics(ExportMetricsServiceRequest {
                resource_metrics: vec![message],
            }),
            SignalMessage::Traces(message) => Request::Traces(ExportTraceServiceRequest {
                resource_spans: vec![message],
            }),
        }
    }

    /// The message in OTLP/JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            SignalMessage::Metrics(message) => serde_json::to_value(message),
            SignalMessage::Traces(message) => serde_json::to_value(message),
        }
        .expect("OTLP messages are JSON")
    }

    pub(super) fn keys(&mut self) -> SignalKeys {
        match self {
            SignalMessage::Metrics(message) => SignalKeys {
                time: latest_point(message),
                ..SignalKeys::default()
            },
            SignalMessage::Traces(message) => {
                let spans = message.scope_spans.iter().flat_map(|scope| &scope.spans);
                let starts = spans.clone().map(|span| span.start_time_unix_nano);
                let traces: BTreeSet<i64> = spans.map(|span| trace_key(&span.trace_id)).collect();
                SignalKeys {
                    time: starts.filter(|start| *start > 0).min().map(timestamp),
                    has_content: has_content(message),
                    traces: traces.into_iter().collect(),
                }
            }
        }
    }

    /// Keeps the metrics or spans of this name, and the spans of this trace; false when there are none.
    pub(super) fn narrow(&mut self, name: Option<&str>, trace: Option<&[u8]>) -> bool {
        if name.is_none() && trace.is_none() {
            return true;
        }
        match self {
            SignalMessage::Metrics(message) => {
                let is_wanted =
                    |metric: &Metric| trace.is_none() && name.is_none_or(|it| it == metric.name);
                for scope in &mut message.scope_metrics {
                    scope.metrics.retain(is_wanted);
                }
                message
                    .scope_metrics
                    .retain(|scope| !scope.metrics.is_empty());
                !message.scope_metrics.is_empty()
            }
            SignalMessage::Traces(message) => {
                let is_wanted = |span: &Span| {
                    name.is_none_or(|it| it == span.name)
                        && trace.is_none_or(|it| it == span.trace_id)
                };
                for scope in &mut message.scope_spans {
                    scope.spans.retain(is_wanted);
                }
                message.scope_spans.retain(|scope| !scope.spans.is_empty());
                !message.scope_spans.is_empty()
            }
        }
    }

    /// Puts words in the place of content that say that it is there.
    pub(super) fn hide(&mut self) {
        let mut hide = |attributes: &mut Vec<KeyValue>, _: Option<&mut u32>| {
            for attribute in attributes.iter_mut().filter(|it| is_content(it)) {
                attribute.value = Some(hidden());
            }
        };
        match self {
            SignalMessage::Metrics(message) => each_of_metrics(message, &mut hide),
            SignalMessage::Traces(message) => {
                each_of_spans(message, &mut hide);
                for status in statuses(message) {
                    "hidden_by_role".clone_into(status);
                }
            }
        }
    }

    /// Takes content out of traces, and counts it as OTLP counts attributes that were dropped.
    pub(super) fn erase(&mut self) {
        let SignalMessage::Traces(message) = self else {
            return;
        };
        each_of_spans(message, &mut |attributes, dropped| {
            let before = attributes.len();
            attributes.retain(|attribute| !is_content(attribute));
            let gone = u32::try_from(before - attributes.len()).unwrap_or(u32::MAX);
            if let Some(dropped) = dropped {
                *dropped = dropped.saturating_add(gone);
            }
        });
        for status in statuses(message) {
            status.clear();
        }
    }
}

/// The key of a trace's id.
pub(super) fn trace_key(id: &[u8]) -> i64 {
    let mut hex = String::with_capacity(2 * id.len());
    for byte in id {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text_key(&hex)
}

/// What stands in the place of an attribute that may not be seen, as in events.
fn hidden() -> AnyValue {
    let text = |value: &serde_json::Value| {
        let text = value.as_str().unwrap_or_default().to_owned();
        Some(any_value::Value::StringValue(text))
    };
    let hidden = Content::hidden();
    let fields = hidden.as_object().into_iter().flatten();
    let values = fields.map(|(key, value)| KeyValue {
        key: key.clone(),
        value: Some(AnyValue { value: text(value) }),
        ..KeyValue::default()
    });
    AnyValue {
        value: Some(any_value::Value::KvlistValue(KeyValueList {
            values: values.collect(),
        })),
    }
}

fn is_content(attribute: &KeyValue) -> bool {
    let value = attribute.value.as_ref();
    value.is_some_and(|value| !is_metadata_value(&attribute.key, value))
}

fn has_content(message: &mut ResourceSpans) -> bool {
    let mut found = statuses(message).next().is_some();
    each_of_spans(message, &mut |attributes, _| {
        found |= attributes.iter().any(is_content);
    });
    found
}

fn latest_point(message: &ResourceMetrics) -> Option<Timestamp> {
    let metrics = message.scope_metrics.iter().flat_map(|it| &it.metrics);
    let latest = metrics.filter_map(|metric| match metric.data.as_ref()? {
        Data::Gauge(Gauge { data_points }) | Data::Sum(Sum { data_points, .. }) => {
            data_points.iter().map(|point| point.time_unix_nano).max()
        }
        Data::Histogram(it) => it.data_points.iter().map(|it| it.time_unix_nano).max(),
        Data::ExponentialHistogram(it) => it.data_points.iter().map(|it| it.time_unix_nano).max(),
        Data::Summary(it) => it.data_points.iter().map(|it| it.time_unix_nano).max(),
    });
    latest.filter(|time| *time > 0).max().map(timestamp)
}

fn timestamp(nanos: u64) -> Timestamp {
    Timestamp(i64::try_from(nanos).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::trace::v1::span::Event;
    use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Status};

    use super::*;

    fn attribute(key: &str, text: &str) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue {
                value: Some(Value::StringValue(text.to_owned())),
            }),
            ..KeyValue::default()
        }
    }

    fn span(trace: u8, start: u64) -> Span {
        Span {
            trace_id: vec![trace; 16],
            name: "claude_code.tool".to_owned(),
            start_time_unix_nano: start,
            attributes: vec![
                attribute("session.id", "one"),
                attribute("tool_input", "SECRET command"),
            ],
            events: vec![Event {
                attributes: vec![attribute("something.new", "SECRET words")],
                ..Event::default()
            }],
            status: Some(Status {
                message: "SECRET error".to_owned(),
                code: 2,
            }),
            ..Span::default()
        }
    }

    fn traces(spans: Vec<Span>) -> SignalMessage {
        SignalMessage::Traces(ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        })
    }

    #[test]
    fn a_message_is_found_by_its_earliest_start_and_by_each_of_its_traces() {
        let mut message = traces(vec![span(1, 30), span(2, 20), span(1, 0)]);
        let keys = message.keys();
        let mut both = [trace_key(&[1; 16]), trace_key(&[2; 16])];
        both.sort_unstable();
        assert_eq!(keys.traces, both);
        assert_eq!(keys.time, Some(Timestamp(20)));
        assert!(keys.has_content);

        assert!(!message.clone().narrow(Some("another"), None));
        assert!(!message.clone().narrow(None, Some(&[3; 16])));
        assert!(message.narrow(Some("claude_code.tool"), Some(&[2; 16])));
        assert_eq!(message, traces(vec![span(2, 20)]));
    }

    #[test]
    fn content_of_traces_is_hidden_in_words_and_erased_with_a_count() {
        let whole = traces(vec![span(1, 30)]);
        let mut hidden = whole.clone();
        hidden.hide();
        let shown = hidden.json().to_string();
        assert!(!shown.contains("SECRET"), "{shown}");
        assert_eq!(shown.matches("hidden_by_role").count(), 3, "{shown}");
        assert!(shown.contains("\"one\""), "{shown}");

        let mut erased = whole;
        erased.erase();
        assert!(!erased.keys().has_content);
        let SignalMessage::Traces(message) = erased else {
            panic!("it was traces")
        };
        let span = &message.scope_spans[0].spans[0];
        assert_eq!(span.dropped_attributes_count, 1);
        assert_eq!(span.events[0].dropped_attributes_count, 1);
        assert_eq!(span.status.as_ref().map(|it| it.code), Some(2));
    }
}
