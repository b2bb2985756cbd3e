//! Answers to OTLP requests, in the encoding in which the request came.

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use serde_json::json;

use super::{Encoding, Signal};

/// What was not stored of a request that was otherwise accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialSuccess {
    /// Records that were not stored.
    pub rejected: i64,
    /// Why, for a person.
    pub message: String,
}

impl PartialSuccess {
    /// `count` records could not be read, although the request around them could.
    pub fn unreadable(count: usize) -> PartialSuccess {
        if count == 0 {
            return PartialSuccess::default();
        }
        PartialSuccess {
            rejected: i64::try_from(count).unwrap_or(i64::MAX),
            message: format!("{count} records could not be read as OTLP"),
        }
    }
}

/// The body of a 200: OTLP's `Export…ServiceResponse`.
pub fn success(signal: Signal, encoding: Encoding, partial: &PartialSuccess) -> Vec<u8> {
    match encoding {
        Encoding::Json => success_json(signal, partial),
        Encoding::Protobuf => success_protobuf(signal, partial),
    }
}

/// The body of an error: OTLP asks for a `google.rpc.Status`.
pub fn error(encoding: Option<Encoding>, message: &str) -> Vec<u8> {
    match encoding {
        Some(Encoding::Protobuf) => Status {
            message: message.to_owned(),
        }
        .encode_to_vec(),
        _ => json!({ "message": message }).to_string().into_bytes(),
    }
}

/// Reads the partial success out of an upstream's protobuf or JSON answer; `None` when all was
/// accepted or the body says nothing that can be read.
pub fn read_partial_success(
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
) -> Option<PartialSuccess> {
    let partial = match encoding {
        Encoding::Json => {
            let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
            let partial = answer.get("partialSuccess")?;
            let rejected = partial.get(rejected_field(signal))?;
            PartialSuccess {
                rejected: rejected
                    .as_i64()
                    .or_else(|| rejected.as_str()?.parse().ok())?,
                message: partial
                    .get("errorMessage")
                    .and_then(|message| message.as_str())
                    .unwrap_or_default()
                    .to_owned(),
            }
        }
        Encoding::Protobuf => {
            // The three messages have the same shape: rejected count and message.
            let partial = ExportLogsServiceResponse::decode(body)
                .ok()?
                .partial_success?;
            PartialSuccess {
                rejected: partial.rejected_log_records,
                message: partial.error_message,
            }
        }
    };
    (partial.rejected > 0).then_some(partial)
}

/// The message of an upstream's error answer, as far as it can be read, shortened for a log line.
pub fn read_error(encoding: Option<Encoding>, body: &[u8]) -> String {
    const MAX_CHARS: usize = 300;
    let message = match encoding {
        Some(Encoding::Protobuf) => Status::decode(body).map(|status| status.message).ok(),
        _ => serde_json::from_slice::<serde_json::Value>(body)
            .ok()
            .and_then(|answer| Some(answer.get("message")?.as_str()?.to_owned())),
    };
    let message = message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    message.chars().take(MAX_CHARS).collect()
}

fn success_json(signal: Signal, partial: &PartialSuccess) -> Vec<u8> {
    let mut fields = serde_json::Map::new();
    if *partial != PartialSuccess::default() {
        // Protobuf's JSON mapping writes 64-bit integers as strings.
        fields.insert(
            rejected_field(signal).to_owned(),
            json!(partial.rejected.to_string()),
        );
        fields.insert("errorMessage".to_owned(), json!(partial.message));
    }
    json!({ "partialSuccess": fields }).to_string().into_bytes()
}

fn rejected_field(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Traces => "rejectedSpans",
    }
}

fn success_protobuf(signal: Signal, partial: &PartialSuccess) -> Vec<u8> {
    let PartialSuccess { rejected, message } = partial.clone();
    match signal {
        Signal::Logs => ExportLogsServiceResponse {
            partial_success: Some(ExportLogsPartialSuccess {
                rejected_log_records: rejected,
                error_message: message,
            }),
        }
        .encode_to_vec(),
        Signal::Metrics => ExportMetricsServiceResponse {
            partial_success: Some(ExportMetricsPartialSuccess {
                rejected_data_points: rejected,
                error_message: message,
            }),
        }
        .encode_to_vec(),
        Signal::Traces => ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: rejected,
                error_message: message,
            }),
        }
        .encode_to_vec(),
    }
}

/// `google.rpc.Status`, as far as OTLP uses it.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}
