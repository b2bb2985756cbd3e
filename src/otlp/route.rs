//! Which signal a path is for.
//!
//! Clients append `/v1/logs` to the generic endpoint, also when it already ends so, and post to `/`
//! when a per-signal endpoint has no path (WIRE.md, section 3). So the path is read from its end, and
//! any prefix is accepted.

use super::Signal;

/// What a request's path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The path ends in a signal's suffix.
    Signal(Signal),
    /// `/`, or a bare prefix: the body tells the signal.
    Sniff,
}

impl Target {
    /// The target of `path`; `None` when it is no OTLP path. `bare_prefix` is a path without a
    /// suffix that is one nevertheless, besides `/`.
    pub fn of_path(path: &str, bare_prefix: Option<&str>) -> Option<Target> {
        let path = path.trim_end_matches('/');
        if path.is_empty() || bare_prefix == Some(path) {
            return Some(Target::Sniff);
        }
        Signal::ALL
            .into_iter()
            .find(|signal| {
                path.strip_suffix(signal.word())
                    .is_some_and(|front| front.ends_with("/v1/"))
            })
            .map(Target::Signal)
    }

    /// The signal of a body in protobuf, which does not name its message: whoever posts to `/` means logs, for
    /// only a per-signal endpoint is used without a suffix, and logs are the mission.
    pub fn protobuf_signal(self) -> Signal {
        match self {
            Target::Signal(signal) => signal,
            Target::Sniff => Signal::Logs,
        }
    }
}

impl Signal {
    /// The signal of a gRPC method's path: the `Export` of one of OTLP's three services.
    pub fn of_grpc_path(path: &str) -> Option<Signal> {
        match path {
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Some(Signal::Logs),
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => {
                Some(Signal::Metrics)
            }
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Some(Signal::Traces),
            _ => None,
        }
    }
}

/// The endpoint for `signal` beside the one for logs: the last word of its path replaced.
///
/// An endpoint without a suffix, such as a bare collector address, gets one.
pub fn sibling_endpoint(logs_endpoint: &str, signal: Signal) -> String {
    if signal == Signal::Logs {
        return logs_endpoint.to_owned();
    }
    let base = logs_endpoint.trim_end_matches('/');
    let base = base.strip_suffix("/v1/logs").unwrap_or(base);
    format!("{base}/v1/{signal}")
}
