//! Redacted records as plain JSON objects, for a person who looks at them on this machine.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Map, Value, json};

use crate::event::{Facts, Timestamp};
use crate::otlp::Request;
use crate::otlp::json::{plain, plain_attributes};

/// One log record, metric or span.
pub(super) struct Record {
    /// The event, the metric or the span.
    pub(super) name: String,
    /// `time`, `signal`, `event`, `attributes`, `resource` and what else its signal has.
    pub(super) object: Map<String, Value>,
}

/// The records of a request, in its order.
pub(super) fn records(request: &Request) -> Vec<Record> {
    let mut records = Vec::with_capacity(request.record_count());
    match request {
        Request::Logs(logs) => {
            for of_resource in &logs.resource_logs {
                let resource = attributes(of_resource.resource.as_ref());
                let scopes = of_resource.scope_logs.iter();
                let logs = scopes.flat_map(|scope| &scope.log_records);
                records.extend(logs.map(|log| of_log(log, resource)));
            }
        }
        Request::Metrics(metrics) => {
            for of_resource in &metrics.resource_metrics {
                let resource = attributes(of_resource.resource.as_ref());
                let scopes = of_resource.scope_metrics.iter();
                let metrics = scopes.flat_map(|scope| &scope.metrics);
                records.extend(metrics.map(|metric| of_metric(metric, resource)));
            }
        }
        Request::Traces(traces) => {
            for of_resource in &traces.resource_spans {
                let resource = attributes(of_resource.resource.as_ref());
                let scopes = of_resource.scope_spans.iter();
                let spans = scopes.flat_map(|scope| &scope.spans);
                records.extend(spans.map(|span| of_span(span, resource)));
            }
        }
    }
    records
}

fn of_log(log: &LogRecord, resource: &[KeyValue]) -> Record {
    let facts = Facts::read(log, resource, None);
    Record::new(
        facts.name,
        json!({
            "time": facts.time,
            "signal": "logs",
            "session": facts.session,
            "user": facts.agent.as_ref().map(|agent| agent.owner()),
            "body": log.body.as_ref().map(plain),
            "attributes": plain_attributes(&log.attributes),
            "resource": plain_attributes(resource),
        }),
    )
}

fn of_metric(metric: &Metric, resource: &[KeyValue]) -> Record {
    let data = serde_json::to_value(&metric.data).unwrap_or_default();
    Record::new(
        metric.name.clone(),
        json!({
            "signal": "metrics",
            "unit": metric.unit,
            "data": data,
            "resource": plain_attributes(resource),
        }),
    )
}

fn of_span(span: &Span, resource: &[KeyValue]) -> Record {
    let start = i64::try_from(span.start_time_unix_nano).ok();
    Record::new(
        span.name.clone(),
        json!({
            "time": start.filter(|nanos| *nanos > 0).map(Timestamp),
            "signal": "traces",
            "attributes": plain_attributes(&span.attributes),
            "resource": plain_attributes(resource),
        }),
    )
}

impl Record {
    fn new(name: String, details: Value) -> Record {
        let mut object = Map::new();
        object.insert("event".to_owned(), json!(name));
        if let Value::Object(details) = details {
            object.extend(details);
        }
        Record { name, object }
    }
}

fn attributes(resource: Option<&Resource>) -> &[KeyValue] {
    resource.map_or(&[], |resource| &resource.attributes)
}
