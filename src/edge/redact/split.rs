//! Halves a request, when an upstream finds it too large or one record in it is at fault.
use std::mem::take;

use crate::otlp::{
    ExportLogsServiceRequest, ExportMetricsServiceRequest, ExportTraceServiceRequest, Request,
};

/// Two halves by top-level records (log records, metrics, spans), in order, each with its resource and scope.
///
/// # Errors
/// The request itself, when it holds one record or none.
#[allow(clippy::result_large_err)] // The request comes back whole; a box would not make it smaller on the heap.
pub fn split_half(request: Request) -> Result<(Request, Request), Request> {
    let records = request.record_count();
    if records < 2 {
        return Err(request);
    }
    let keep = records / 2;
    Ok(match request {
        Request::Logs(mut logs) => {
            let rest = halve(
                &mut logs.resource_logs,
                keep,
                |r| &mut r.scope_logs,
                |s| &mut s.log_records,
            );
            (
                Request::Logs(logs),
                Request::Logs(ExportLogsServiceRequest {
                    resource_logs: rest,
                }),
            )
        }
        Request::Metrics(mut metrics) => {
            let rest = halve(
                &mut metrics.resource_metrics,
                keep,
                |r| &mut r.scope_metrics,
                |s| &mut s.metrics,
            );
            (
                Request::Metrics(metrics),
                Request::Metrics(ExportMetricsServiceRequest {
                    resource_metrics: rest,
                }),
            )
        }
        Request::Traces(mut traces) => {
            let rest = halve(
                &mut traces.resource_spans,
                keep,
                |r| &mut r.scope_spans,
                |s| &mut s.spans,
            );
            (
                Request::Traces(traces),
                Request::Traces(ExportTraceServiceRequest {
                    resource_spans: rest,
                }),
            )
        }
    })
}

/// Leaves the first `keep` records in `resources` and returns the others.
fn halve<R: Clone, S: Clone, T>(
    resources: &mut Vec<R>,
    keep: usize,
    scopes: impl Fn(&mut R) -> &mut Vec<S>,
    records: impl Fn(&mut S) -> &mut Vec<T>,
) -> Vec<R> {
    let mut left = keep;
    let mut first = Vec::new();
    let mut second = Vec::new();
    for mut resource in take(resources) {
        let mut kept = Vec::new();
        let mut rest = Vec::new();
        for mut scope in take(scopes(&mut resource)) {
            let mut all = take(records(&mut scope));
            let tail = all.split_off(left.min(all.len()));
            left -= all.len();
            // A scope goes where its records go, and to both halves when they part.
            if !tail.is_empty() {
                let mut scope = scope.clone();
                *records(&mut scope) = tail;
                rest.push(scope);
            }
            if !all.is_empty() {
                *records(&mut scope) = all;
                kept.push(scope);
            }
        }
        if !rest.is_empty() {
            let mut resource = resource.clone();
            *scopes(&mut resource) = rest;
            second.push(resource);
        }
        if !kept.is_empty() {
            *scopes(&mut resource) = kept;
            first.push(resource);
        }
    }
    *resources = first;
    second
}
