//! Bytes to OTLP messages and back. Nothing here opens a socket or decides what a record means.
//!
//! One request passes through this module like this: [`route::Target::of_path`] says which signal
//! its path is for, [`Encoding::of_content_type`] how its body is written,
//! [`compression::Coding::of_header`] how it is compressed, [`decode::decode`] turns the body into a
//! [`Request`], and [`reply`] writes the answer in the encoding in which the request came.

pub mod route;
pub mod compression;
pub mod weight;
pub mod decode;
pub mod lenient;
mod logs_json;
pub mod json;
pub mod reply;

use std::fmt;

pub use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
pub use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
pub use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

/// One of OTLP's signals that fieldpost carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Log records: Claude's events.
    Logs,
    /// Metrics.
    Metrics,
    /// Spans.
    Traces,
}

impl Signal {
    /// All of them.
    pub const ALL: [Signal; 3] = [Signal::Logs, Signal::Metrics, Signal::Traces];

    /// The word that ends an OTLP path, and names the signal in configuration.
    pub fn word(self) -> &'static str {
        match self {
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
            Signal::Traces => "traces",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

/// How a message is written (OTLP specification, "OTLP/HTTP").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/x-protobuf`
    Protobuf,
}

impl Encoding {
    /// The encoding that a `Content-Type` names.
    pub fn of_content_type(content_type: &str) -> Option<Encoding> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("application/json") {
            Some(Encoding::Json)
        } else if media_type.eq_ignore_ascii_case("application/x-protobuf")
            || media_type.eq_ignore_ascii_case("application/protobuf")
        {
            Some(Encoding::Protobuf)
        } else {
            None
        }
    }

    /// The `Content-Type` to answer with.
    pub fn content_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/x-protobuf",
        }
    }
}

/// A decoded OTLP export request.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// `ExportLogsServiceRequest`
    Logs(ExportLogsServiceRequest),
    /// `ExportMetricsServiceRequest`
    Metrics(ExportMetricsServiceRequest),
    /// `ExportTraceServiceRequest`
    Traces(ExportTraceServiceRequest),
}

impl Request {
    /// The signal of this request.
    pub fn signal(&self) -> Signal {
        match self {
            Request::Logs(_) => Signal::Logs,
            Request::Metrics(_) => Signal::Metrics,
            Request::Traces(_) => Signal::Traces,
        }
    }

    /// Log records, metrics or spans in this request.
    pub fn record_count(&self) -> usize {
        match self {
            Request::Logs(request) => request
                .resource_logs
                .iter()
                .flat_map(|resource| &resource.scope_logs)
                .map(|scope| scope.log_records.len())
                .sum(),
            Request::Metrics(request) => request
                .resource_metrics
                .iter()
                .flat_map(|resource| &resource.scope_metrics)
                .map(|scope| scope.metrics.len())
                .sum(),
            Request::Traces(request) => request
                .resource_spans
                .iter()
                .flat_map(|resource| &resource.scope_spans)
                .map(|scope| scope.spans.len())
                .sum(),
        }
    }

    /// This request as OTLP protobuf. The bytes of several requests of one signal, one after
    /// another, are one request with all their records.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Request::Logs(request) => request.encode_to_vec(),
            Request::Metrics(request) => request.encode_to_vec(),
            Request::Traces(request) => request.encode_to_vec(),
        }
    }

    /// The same as requests of one resource each.
    pub fn into_messages(self) -> Vec<Request> {
        match self {
            Request::Logs(request) => {
                let messages = request.resource_logs.into_iter();
                let request = |message| ExportLogsServiceRequest {
                    resource_logs: vec![message],
                };
                messages.map(request).map(Request::Logs).collect()
            }
            Request::Metrics(request) => {
                let messages = request.resource_metrics.into_iter();
                let request = |message| ExportMetricsServiceRequest {
                    resource_metrics: vec![message],
                };
                messages.map(request).map(Request::Metrics).collect()
            }
            Request::Traces(request) => {
                let messages = request.resource_spans.into_iter();
                let request = |message| ExportTraceServiceRequest {
                    resource_spans: vec![message],
                };
                messages.map(request).map(Request::Traces).collect()
            }
        }
    }

    /// Reads OTLP protobuf.
    ///
    /// # Errors
    /// When the bytes are not a message of this signal.
    pub fn decode_protobuf(signal: Signal, bytes: &[u8]) -> Result<Request, prost::DecodeError> {
        Ok(match signal {
            Signal::Logs => Request::Logs(Message::decode(bytes)?),
            Signal::Metrics => Request::Metrics(Message::decode(bytes)?),
            Signal::Traces => Request::Traces(Message::decode(bytes)?),
        })
    }
}
