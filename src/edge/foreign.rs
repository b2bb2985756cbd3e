//! Telemetry of other programs than Claude.
//!
//! Where OTEL variables stand in the environment of everything, every instrumented program of the
//! machine exports here. What is Claude's is told by the name of its instrumentation scope; a name can
//! change with any version of Claude, so that nothing is dropped unless `listen.foreign` says so.

use std::mem::take;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;

use crate::otlp::Request;

/// What the scopes of Claude's clients begin with, and the edge's own.
const OURS: [&str; 3] = ["com.anthropic.", "claude", "fieldpost."];

/// Takes the records of other programs' scopes out of `request`. Says how many there were.
pub(super) fn take_out(request: &mut Request) -> u64 {
    let before = request.record_count();
    match request {
        Request::Logs(logs) => {
            let resources = take(&mut logs.resource_logs).into_iter();
            let kept = resources.filter_map(|mut resource| {
                resource
                    .scope_logs
                    .retain(|logs| is_ours(logs.scope.as_ref()));
                (!resource.scope_logs.is_empty()).then_some(resource)
            });
            logs.resource_logs = kept.collect();
        }
        Request::Metrics(metrics) => {
            let resources = take(&mut metrics.resource_metrics).into_iter();
            let kept = resources.filter_map(|mut resource| {
                resource
                    .scope_metrics
                    .retain(|metrics| is_ours(metrics.scope.as_ref()));
                (!resource.scope_metrics.is_empty()).then_some(resource)
            });
            metrics.resource_metrics = kept.collect();
        }
        Request::Traces(traces) => {
            let resources = take(&mut traces.resource_spans).into_iter();
            let kept = resources.filter_map(|mut resource| {
                resource
                    .scope_spans
                    .retain(|spans| is_ours(spans.scope.as_ref()));
                (!resource.scope_spans.is_empty()).then_some(resource)
            });
            traces.resource_spans = kept.collect();
        }
    }
    (before - request.record_count()) as u64
}

/// What has no scope, or none with a name, may be anybody's, and stays.
fn is_ours(scope: Option<&InstrumentationScope>) -> bool {
    let name = scope.map_or("", |scope| scope.name.as_str());
    name.is_empty() || OURS.iter().any(|ours| name.starts_with(ours))
}
