//! Every list of attributes in a message, wherever it stands.

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, Gauge, Metric, ResourceMetrics, Sum};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

/// What is done with a list of attributes, and with the count of those that were dropped from it, if it has one.
pub(super) type Visit<'a> = dyn FnMut(&mut Vec<KeyValue>, Option<&mut u32>) + 'a;

pub(super) fn each_of_metrics(message: &mut ResourceMetrics, visit: &mut Visit<'_>) {
    visit_resource(&mut message.resource, visit);
    for scope in &mut message.scope_metrics {
        visit_scope(&mut scope.scope, visit);
        for metric in &mut scope.metrics {
            visit(&mut metric.metadata, None);
            each_of_points(metric, visit);
        }
    }
}

fn each_of_points(metric: &mut Metric, visit: &mut Visit<'_>) {
    let exemplars = |exemplars: &mut Vec<Exemplar>, visit: &mut Visit<'_>| {
        for exemplar in exemplars {
            visit(&mut exemplar.filtered_attributes, None);
        }
    };
    match &mut metric.data {
        None => {}
        Some(Data::Gauge(Gauge { data_points }) | Data::Sum(Sum { data_points, .. })) => {
            for point in data_points {
                visit(&mut point.attributes, None);
                exemplars(&mut point.exemplars, visit);
            }
        }
        Some(Data::Histogram(histogram)) => {
            for point in &mut histogram.data_points {
                visit(&mut point.attributes, None);
                exemplars(&mut point.exemplars, visit);
            }
        }
        Some(Data::ExponentialHistogram(histogram)) => {
            for point in &mut histogram.data_points {
                visit(&mut point.attributes, None);
                exemplars(&mut point.exemplars, visit);
            }
        }
        Some(Data::Summary(summary)) => {
            for point in &mut summary.data_points {
                visit(&mut point.attributes, None);
            }
        }
    }
}

pub(super) fn each_of_spans(message: &mut ResourceSpans, visit: &mut Visit<'_>) {
    visit_resource(&mut message.resource, visit);
    for scope in &mut message.scope_spans {
        visit_scope(&mut scope.scope, visit);
        for span in &mut scope.spans {
            visit(
                &mut span.attributes,
                Some(&mut span.dropped_attributes_count),
            );
            for event in &mut span.events {
                visit(
                    &mut event.attributes,
                    Some(&mut event.dropped_attributes_count),
                );
            }
            for link in &mut span.links {
                visit(
                    &mut link.attributes,
                    Some(&mut link.dropped_attributes_count),
                );
            }
        }
    }
}

fn visit_resource(resource: &mut Option<Resource>, visit: &mut Visit<'_>) {
    if let Some(it) = resource {
        visit(&mut it.attributes, Some(&mut it.dropped_attributes_count));
    }
}

fn visit_scope(scope: &mut Option<InstrumentationScope>, visit: &mut Visit<'_>) {
    if let Some(it) = scope {
        visit(&mut it.attributes, Some(&mut it.dropped_attributes_count));
    }
}

/// What spans say of how they ended: texts of errors.
pub(super) fn statuses(message: &mut ResourceSpans) -> impl Iterator<Item = &mut String> {
    let scopes = message.scope_spans.iter_mut();
    let spans = scopes.flat_map(|scope| &mut scope.spans);
    let statuses = spans.filter_map(|span| Some(&mut span.status.as_mut()?.message));
    statuses.filter(|message| !message.is_empty())
}
