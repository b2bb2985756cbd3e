//! OpenTelemetry's Rust exporter.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{
    Compression, LogExporter, Protocol, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use serde_json::Value;
use tonic::metadata::MetadataMap;

use super::clients::{Encoding, Export};
use super::records::Record;

/// Exports with `opentelemetry-otlp`, in one batch; an error is the exporter's own report.
pub(crate) async fn export(
    export: &Export<'_>,
    encoding: Encoding,
    records: &[Record],
) -> OTelSdkResult {
    // The exporter's HTTP client is the edge's too, which is built without a TLS library of its own
    // choice. It fails only when another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let mut builder = LogExporter::builder()
        .with_http()
        .with_endpoint(export.endpoint)
        .with_protocol(match encoding {
            Encoding::Json => Protocol::HttpJson,
            Encoding::Protobuf => Protocol::HttpBinary,
        })
        .with_timeout(Duration::from_secs(10));
    if let Some(authorization) = export.authorization {
        builder = builder.with_headers(HashMap::from([(
            "authorization".into(),
            authorization.into(),
        )]));
    }
    if export.gzip {
        builder = builder.with_compression(Compression::Gzip);
    }
    let exporter = builder
        .build()
        .expect("the exporter's configuration is good");
    export_with(exporter, records).await
}

/// The same over gRPC, to `endpoint`'s host.
pub(crate) async fn export_grpc(
    endpoint: &str,
    authorization: &str,
    compression: Option<Compression>,
    records: &[Record],
) -> OTelSdkResult {
    let mut metadata = MetadataMap::new();
    let authorization = authorization.parse().expect("an ASCII value");
    metadata.insert("authorization", authorization);
    let mut builder = LogExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_metadata(metadata)
        .with_timeout(Duration::from_secs(10));
    if let Some(compression) = compression {
        builder = builder.with_compression(compression);
    }
    let exporter = builder
        .build()
        .expect("the exporter's configuration is good");
    export_with(exporter, records).await
}

async fn export_with(exporter: LogExporter, records: &[Record]) -> OTelSdkResult {
    let resource = Resource::builder()
        .with_service_name("claude-code")
        .with_attribute(KeyValue::new("service.version", "2.1.197"))
        .build();
    let provider = SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build();

    let scope = InstrumentationScope::builder("com.anthropic.claude_code.events")
        .with_version("2.1.197")
        .build();
    let logger = provider.logger_with_scope(scope);
    for record in records {
        let time =
            SystemTime::UNIX_EPOCH + Duration::from_millis(record.time_unix_ms.unsigned_abs());
        let mut log = logger.create_log_record();
        log.set_timestamp(time);
        log.set_observed_timestamp(time);
        log.set_body(record.body.clone().into());
        for (key, value) in &record.attributes {
            log.add_attribute(key.clone(), any_value(value));
        }
        logger.emit(log);
    }

    // The exporter's client blocks.
    tokio::task::spawn_blocking(move || {
        let flushed = provider.force_flush();
        let ended = provider.shutdown();
        flushed.and(ended)
    })
    .await
    .expect("the exporter does not panic")
}

fn any_value(value: &Value) -> AnyValue {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Number(value) => match value.as_i64() {
            Some(integer) => integer.into(),
            None => value.as_f64().expect("a JSON number").into(),
        },
        Value::String(value) => value.clone().into(),
        Value::Array(values) => AnyValue::ListAny(Box::new(values.iter().map(any_value).collect())),
        other => panic!("no attribute of Claude's looks like {other}"),
    }
}
