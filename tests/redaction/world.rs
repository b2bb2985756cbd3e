//! Made-up secrets, and requests to put them into.
use std::io::Read;

use fieldpost::otlp::Request;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};

pub(super) fn github_token() -> String {
    ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA2bC4"].concat()
}

pub(super) fn string(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

pub(super) fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    key_value(key, string(value))
}

pub(super) fn record(attributes: Vec<KeyValue>) -> LogRecord {
    LogRecord {
        attributes,
        ..Default::default()
    }
}

pub(super) fn logs(log_records: Vec<LogRecord>) -> Request {
    let scope_logs = vec![ScopeLogs {
        log_records,
        ..Default::default()
    }];
    Request::Logs(ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs,
            ..Default::default()
        }],
    })
}

pub(super) fn records(logs: &ExportLogsServiceRequest) -> impl Iterator<Item = &LogRecord> {
    logs.resource_logs
        .iter()
        .flat_map(|resource| &resource.scope_logs)
        .flat_map(|scope| &scope.log_records)
}

pub(super) fn first_record(request: &Request) -> LogRecord {
    let Request::Logs(logs) = request else {
        panic!("the signal changed")
    };
    records(logs).next().expect("a record").clone()
}

pub(super) fn attribute(record: &LogRecord, key: &str) -> Option<Value> {
    record
        .attributes
        .iter()
        .find(|attribute| attribute.key == key)?
        .value
        .as_ref()?
        .value
        .clone()
}

/// Each record's first attribute with the names of its resource and scope.
pub(super) fn placed(logs: &ExportLogsServiceRequest) -> Vec<(Option<Resource>, String, KeyValue)> {
    let mut placed = Vec::new();
    for resource in &logs.resource_logs {
        for scope in &resource.scope_logs {
            let name = scope
                .scope
                .as_ref()
                .map_or(String::new(), |scope| scope.name.clone());
            for record in &scope.log_records {
                placed.push((
                    resource.resource.clone(),
                    name.clone(),
                    record.attributes[0].clone(),
                ));
            }
        }
    }
    placed
}

/// A request of each signal with one record and the secret in every text it can hold.
pub(super) fn everywhere(secret: &str) -> [Request; 3] {
    let attributes = || {
        let values = vec![AnyValue {
            value: Some(string(secret)),
        }];
        let list = KeyValueList {
            values: vec![key_value("list", Value::ArrayValue(ArrayValue { values }))],
        };
        vec![
            text("command", secret),
            key_value("bytes", Value::BytesValue(secret.as_bytes().to_vec())),
            key_value("nested", Value::KvlistValue(list)),
        ]
    };
    let resource = || {
        Some(Resource {
            attributes: attributes(),
            ..Default::default()
        })
    };
    let scope = || {
        Some(InstrumentationScope {
            name: secret.into(),
            version: secret.into(),
            attributes: attributes(),
            ..Default::default()
        })
    };
    let log_record = LogRecord {
        severity_text: secret.into(),
        event_name: secret.into(),
        body: Some(AnyValue {
            value: Some(string(secret)),
        }),
        attributes: attributes(),
        ..Default::default()
    };
    let scope_logs = vec![ScopeLogs {
        scope: scope(),
        log_records: vec![log_record],
        schema_url: secret.into(),
    }];
    let point = NumberDataPoint {
        attributes: attributes(),
        exemplars: vec![Exemplar {
            filtered_attributes: attributes(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let metric = Metric {
        name: secret.into(),
        description: secret.into(),
        unit: secret.into(),
        metadata: attributes(),
        data: Some(Data::Sum(Sum {
            data_points: vec![point],
            ..Default::default()
        })),
    };
    let scope_metrics = vec![ScopeMetrics {
        scope: scope(),
        metrics: vec![metric],
        schema_url: secret.into(),
    }];
    let span = Span {
        name: secret.into(),
        trace_state: secret.into(),
        attributes: attributes(),
        events: vec![span::Event {
            name: secret.into(),
            attributes: attributes(),
            ..Default::default()
        }],
        links: vec![span::Link {
            trace_state: secret.into(),
            attributes: attributes(),
            ..Default::default()
        }],
        status: Some(Status {
            message: secret.into(),
            code: 2,
        }),
        ..Default::default()
    };
    let scope_spans = vec![ScopeSpans {
        scope: scope(),
        spans: vec![span],
        schema_url: secret.into(),
    }];
    [
        Request::Logs(ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: resource(),
                scope_logs,
                schema_url: secret.into(),
            }],
        }),
        Request::Metrics(ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: resource(),
                scope_metrics,
                schema_url: secret.into(),
            }],
        }),
        Request::Traces(ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: resource(),
                scope_spans,
                schema_url: secret.into(),
            }],
        }),
    ]
}

/// What the real client sent when made-up secrets were put into its prompt and its commands.
pub(super) fn secrets_capture() -> ExportLogsServiceRequest {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/wire/secrets/001-logs.json.gz"
    );
    let file = std::fs::File::open(path).expect("the capture is part of the tests");
    let mut json = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut json)
        .expect("the capture is gzip");
    serde_json::from_str(&json).expect("the capture is OTLP")
}

/// The secrets of the capture, read from it by what stands around them.
pub(super) fn made_up_secrets(capture: &ExportLogsServiceRequest) -> Vec<String> {
    let around = [
        ("My key is ", " "),
        ("AWS_ACCESS_KEY_ID=", " "),
        ("AWS_SECRET_ACCESS_KEY=", ";"),
        ("postgres://app:", "@"),
    ];
    let texts: Vec<String> = records(capture)
        .flat_map(|record| &record.attributes)
        .filter_map(
            |attribute| match attribute.value.as_ref()?.value.as_ref()? {
                Value::StringValue(text) => Some(text.clone()),
                _ => None,
            },
        )
        .collect();
    let mut secrets = Vec::new();
    for (before, after) in around {
        let rest = texts.iter().find_map(|text| text.split_once(before));
        let (secret, _) = rest
            .and_then(|(_, rest)| rest.split_once(after))
            .expect("the capture holds it");
        secrets.push(secret.to_owned());
    }
    secrets
}

pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok()
}

pub(super) fn contains(bytes: &[u8], needle: &str) -> bool {
    occurrences(bytes, needle.as_bytes()) > 0
}

pub(super) fn occurrences(bytes: &[u8], needle: &[u8]) -> usize {
    bytes
        .windows(needle.len())
        .filter(|window| *window == needle)
        .count()
}
