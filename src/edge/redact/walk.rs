//! Takes a request apart down to its last text, and puts it together redacted.
use opentelemetry_proto::tonic::{
    common::v1::{InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::{Exemplar, Metric, metric::Data},
    resource::v1::Resource,
    trace::v1::Span,
};

use super::{Hits, Redactor, engine::Scope};
use crate::event::event_name;
use crate::otlp::Request;

pub(super) fn request(redactor: &Redactor, mut request: Request) -> Request {
    let mut walk = Walk::new(redactor);
    match &mut request {
        Request::Logs(logs) => {
            for resource in &mut logs.resource_logs {
                walk.resource(resource.resource.as_mut(), &mut resource.schema_url);
                for scope in &mut resource.scope_logs {
                    walk.scope(scope.scope.as_mut(), &mut scope.schema_url);
                    scope
                        .log_records
                        .iter_mut()
                        .for_each(|record| walk.whole_or_none(record));
                }
            }
        }
        Request::Metrics(metrics) => {
            for resource in &mut metrics.resource_metrics {
                walk.resource(resource.resource.as_mut(), &mut resource.schema_url);
                for scope in &mut resource.scope_metrics {
                    walk.scope(scope.scope.as_mut(), &mut scope.schema_url);
                    scope
                        .metrics
                        .iter_mut()
                        .for_each(|metric| walk.whole_or_none(metric));
                }
            }
        }
        Request::Traces(traces) => {
            for resource in &mut traces.resource_spans {
                walk.resource(resource.resource.as_mut(), &mut resource.schema_url);
                for scope in &mut resource.scope_spans {
                    walk.scope(scope.scope.as_mut(), &mut scope.schema_url);
                    scope
                        .spans
                        .iter_mut()
                        .for_each(|span| walk.whole_or_none(span));
                }
            }
        }
    }
    request
}

/// A count as OTLP has it.
pub(super) fn int(number: u64) -> Value {
    Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX))
}

/// The way through one request, with what was found in the part at hand.
pub(super) struct Walk<'r> {
    pub(super) redactor: &'r Redactor,
    /// The event that the record at hand tells of, without prefix.
    pub(super) event: String,
    /// What is looked for in the attribute at hand.
    pub(super) scope: Scope,
    pub(super) hits: Hits,
}

impl<'r> Walk<'r> {
    pub(super) fn new(redactor: &'r Redactor) -> Self {
        Self {
            redactor,
            event: String::new(),
            scope: Scope::All,
            hits: Hits::default(),
        }
    }

    fn resource(&mut self, resource: Option<&mut Resource>, schema_url: &mut String) {
        self.text(schema_url);
        let Some(resource) = resource else { return };
        for entity in &mut resource.entity_refs {
            self.text(&mut entity.schema_url);
            self.text(&mut entity.r#type);
            entity
                .id_keys
                .iter_mut()
                .chain(&mut entity.description_keys)
                .for_each(|key| self.text(key));
        }
        self.attributes(&mut resource.attributes);
        self.annotate(&mut resource.attributes);
    }

    fn scope(&mut self, scope: Option<&mut InstrumentationScope>, schema_url: &mut String) {
        self.text(schema_url);
        let Some(scope) = scope else { return };
        self.text(&mut scope.name);
        self.text(&mut scope.version);
        self.attributes(&mut scope.attributes);
        self.annotate(&mut scope.attributes);
    }

    pub(super) fn log_record(&mut self, record: &mut LogRecord) {
        self.event = event_name(record).unwrap_or_default();
        self.text(&mut record.event_name);
        self.text(&mut record.severity_text);
        if let Some(body) = &mut record.body {
            self.within(body, |walk, body| walk.value(body, 0));
        }
        self.attributes(&mut record.attributes);
    }

    pub(super) fn metric(&mut self, metric: &mut Metric) {
        [&mut metric.name, &mut metric.description, &mut metric.unit]
            .into_iter()
            .for_each(|text| self.text(text));
        match &mut metric.data {
            Some(Data::Gauge(gauge)) => {
                gauge
                    .data_points
                    .iter_mut()
                    .for_each(|p| self.data_point(&mut p.attributes, &mut p.exemplars));
            }
            Some(Data::Sum(sum)) => {
                sum.data_points
                    .iter_mut()
                    .for_each(|p| self.data_point(&mut p.attributes, &mut p.exemplars));
            }
            Some(Data::Histogram(histogram)) => {
                histogram
                    .data_points
                    .iter_mut()
                    .for_each(|p| self.data_point(&mut p.attributes, &mut p.exemplars));
            }
            Some(Data::ExponentialHistogram(histogram)) => {
                histogram
                    .data_points
                    .iter_mut()
                    .for_each(|p| self.data_point(&mut p.attributes, &mut p.exemplars));
            }
            Some(Data::Summary(summary)) => {
                summary
                    .data_points
                    .iter_mut()
                    .for_each(|p| self.data_point(&mut p.attributes, &mut []));
            }
            None => {}
        }
        self.attributes(&mut metric.metadata);
    }

    fn data_point(&mut self, attributes: &mut [KeyValue], exemplars: &mut [Exemplar]) {
        self.attributes(attributes);
        exemplars
            .iter_mut()
            .for_each(|exemplar| self.attributes(&mut exemplar.filtered_attributes));
    }

    pub(super) fn span(&mut self, span: &mut Span) {
        self.text(&mut span.name);
        self.text(&mut span.trace_state);
        if let Some(status) = &mut span.status {
            self.text(&mut status.message);
        }
        for event in &mut span.events {
            self.text(&mut event.name);
            self.event.clone_from(&event.name);
            self.attributes(&mut event.attributes);
        }
        self.event.clear();
        for link in &mut span.links {
            self.text(&mut link.trace_state);
            self.attributes(&mut link.attributes);
        }
        self.attributes(&mut span.attributes);
    }
}
