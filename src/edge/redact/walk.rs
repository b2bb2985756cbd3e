//! Takes a request apart down to its last text, and puts it together redacted.
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::{Exemplar, Metric, metric::Data},
    resource::v1::Resource,
    trace::v1::Span,
};

use super::{
    Hits, Redactor,
    engine::{BINARY_TYPE, DEPTH_TYPE, IDENTITY_TYPE, RECORD_TYPE, Scope},
    hash::HASH_SIGN,
    policy::{Consequence, Treatment, Verdict},
    spans::{PLACEHOLDER, is_placeholder_of},
    truncate::{self, truncate},
};
use crate::event::{REDACTION_COUNT, event_name, set_attribute};
use crate::otlp::Request;

/// Of which types the secrets were that [`REDACTION_COUNT`] counts.
const TYPES: &str = "fieldpost.redaction.types";
/// What stays of a record that is dropped, beside what the edge itself says of it.
const KEPT_OF_RECORDS: [&str; 2] = ["event.name", "event.timestamp"];
/// How the names of the edge's own attributes begin.
const OWN_KEYS: &str = "fieldpost.";
/// Arrays and maps in one another.
const MAX_DEPTH: usize = 64;

pub(super) fn request(redactor: &Redactor, mut request: Request) -> Request {
    let mut walk = Walk {
        redactor,
        event: String::new(),
        scope: Scope::All,
        hits: Hits::default(),
    };
    match &mut request {
        Request::Logs(logs) => {
            for resource in &mut logs.resource_logs {
                walk.resource(resource.resource.as_mut(), &mut resource.schema_url);
                for scope in &mut resource.scope_logs {
                    walk.scope(scope.scope.as_mut(), &mut scope.schema_url);
                    scope
                        .log_records
                        .iter_mut()
                        .for_each(|record| walk.log_record(record));
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
                        .for_each(|metric| walk.metric(metric));
                }
            }
        }
        Request::Traces(traces) => {
            for resource in &mut traces.resource_spans {
                walk.resource(resource.resource.as_mut(), &mut resource.schema_url);
                for scope in &mut resource.scope_spans {
                    walk.scope(scope.scope.as_mut(), &mut scope.schema_url);
                    scope.spans.iter_mut().for_each(|span| walk.span(span));
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
struct Walk<'r> {
    redactor: &'r Redactor,
    /// The event that the record at hand tells of, without prefix.
    event: String,
    /// What is looked for in the attribute at hand.
    scope: Scope,
    hits: Hits,
}

impl Walk<'_> {
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

    fn log_record(&mut self, record: &mut LogRecord) {
        self.event = event_name(record).unwrap_or_default();
        self.text(&mut record.severity_text);
        self.text(&mut record.event_name);
        if let Some(body) = &mut record.body {
            self.within(body, |walk, body| walk.value(body, 0));
        }
        self.attributes(&mut record.attributes);
        if self.drops_record() {
            record.body = Some(self.mark_of_record());
            record.attributes.retain(is_kept_of_records);
        }
        self.annotate(&mut record.attributes);
        self.event.clear();
    }

    fn metric(&mut self, metric: &mut Metric) {
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
        if self.drops_record() {
            metric.data = None;
            self.mark_of_record();
        }
        // On the metric, not on its points: another attribute would make another series of them.
        self.annotate(&mut metric.metadata);
    }

    fn data_point(&mut self, attributes: &mut [KeyValue], exemplars: &mut [Exemplar]) {
        self.attributes(attributes);
        exemplars
            .iter_mut()
            .for_each(|exemplar| self.attributes(&mut exemplar.filtered_attributes));
    }

    fn span(&mut self, span: &mut Span) {
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
        if self.drops_record() {
            span.events.clear();
            span.links.clear();
            span.attributes.retain(is_kept_of_records);
            self.mark_of_record();
        }
        self.annotate(&mut span.attributes);
    }

    fn attributes(&mut self, attributes: &mut [KeyValue]) {
        for attribute in attributes {
            let Some(value) = &mut attribute.value else {
                self.text(&mut attribute.key);
                continue;
            };
            let redactor = self.redactor;
            let treatment = redactor
                .policy
                .treatment(&self.event, &attribute.key, as_text(value));
            let key = &mut attribute.key;
            self.within(value, |walk, value| walk.treat(key, value, treatment));
        }
    }

    fn treat(&mut self, key: &mut String, value: &mut AnyValue, treatment: Treatment<'_>) {
        match treatment.verdict {
            Verdict::Pass => {}
            Verdict::Drop(marker) => self.replace(value, marker, marker),
            Verdict::HideIdentity => self.hide_identity(value),
            Verdict::SearchFormats => {
                self.scope = Scope::Formats;
                self.value(value, 0);
                self.text(key);
                self.scope = Scope::All;
            }
            Verdict::Search => self.keyed(key, value, 0),
            Verdict::SearchSecrets => {
                self.scope = Scope::Secrets;
                self.keyed(key, value, 0);
                self.scope = Scope::All;
            }
        }
        if let (Some(keep), Some(Value::StringValue(text)), Some(engine)) =
            (treatment.truncate, &mut value.value, &self.redactor.engine)
            && truncate(text, keep, &engine.kinds)
        {
            self.hits.add(truncate::TYPE, truncate::TYPE);
        }
    }

    /// Treats one value, which is replaced whole where something was found in it that the policy wants it dropped for.
    fn within(&mut self, value: &mut AnyValue, treat: impl FnOnce(&mut Self, &mut AnyValue)) {
        let before = std::mem::take(&mut self.hits);
        treat(self, value);
        let redactor = self.redactor;
        let found = self.hits.by_type().map(|(kind, _)| kind);
        if let Some((_, kind)) = redactor.policy.consequence(found) {
            value.value = Some(Value::StringValue(format!("{PLACEHOLDER}{kind}]")));
        }
        self.hits.merge(&before);
    }

    /// Whether something was found in the record at hand that the policy drops it for.
    fn drops_record(&self) -> bool {
        let found = self.hits.by_type().map(|(kind, _)| kind);
        let consequence = self.redactor.policy.consequence(found);
        consequence.is_some_and(|(consequence, _)| consequence == Consequence::DropRecord)
    }

    /// What says in the place of a record that it was there.
    fn mark_of_record(&mut self) -> AnyValue {
        self.hits.add(RECORD_TYPE, RECORD_TYPE);
        AnyValue {
            value: Some(Value::StringValue(format!("{PLACEHOLDER}{RECORD_TYPE}]"))),
        }
    }

    fn hide_identity(&mut self, value: &mut AnyValue) {
        let identity = as_text(value).unwrap_or_default();
        if is_placeholder_of(IDENTITY_TYPE, identity) {
            return;
        }
        let hidden = match &self.redactor.identity_key {
            Some(key) if !identity.is_empty() => {
                let hash = key.hash_whatever(IDENTITY_TYPE, identity);
                format!("{PLACEHOLDER}{IDENTITY_TYPE}{HASH_SIGN}{hash}]")
            }
            _ => format!("{PLACEHOLDER}{IDENTITY_TYPE}]"),
        };
        value.value = Some(Value::StringValue(hidden));
        self.hits.add(IDENTITY_TYPE, IDENTITY_TYPE);
    }

    /// A value that has a key: the key may say what the value is.
    fn keyed(&mut self, key: &mut String, value: &mut AnyValue, depth: usize) {
        let secret = match (&self.redactor.engine, as_text(value)) {
            (Some(engine), Some(text)) if self.scope != Scope::Formats => {
                engine.kind_by_key(key, text)
            }
            _ => None,
        };
        match secret {
            Some((kind, rule)) => self.replace(value, kind, rule),
            None => self.value(value, depth),
        }
        self.text(key);
    }

    fn value(&mut self, value: &mut AnyValue, depth: usize) {
        match &mut value.value {
            Some(Value::ArrayValue(_) | Value::KvlistValue(_)) if depth >= MAX_DEPTH => {
                self.replace(value, DEPTH_TYPE, DEPTH_TYPE)
            }
            Some(Value::StringValue(text)) => self.text(text),
            Some(Value::ArrayValue(array)) => array
                .values
                .iter_mut()
                .for_each(|value| self.value(value, depth + 1)),
            Some(Value::KvlistValue(map)) => {
                for KeyValue { key, value, .. } in &mut map.values {
                    match value {
                        Some(value) => self.keyed(key, value, depth + 1),
                        None => self.text(key),
                    }
                }
            }
            Some(Value::BytesValue(bytes)) => match String::from_utf8(std::mem::take(bytes)) {
                Ok(mut text) => {
                    self.text(&mut text);
                    *bytes = text.into_bytes();
                }
                Err(_) => self.replace(value, BINARY_TYPE, BINARY_TYPE),
            },
            Some(
                Value::BoolValue(_)
                | Value::IntValue(_)
                | Value::DoubleValue(_)
                | Value::StringValueStrindex(_),
            )
            | None => {}
        }
    }

    fn text(&mut self, text: &mut String) {
        let (redacted, hits) = self.redactor.search(text, self.scope);
        if let std::borrow::Cow::Owned(redacted) = redacted {
            *text = redacted;
            self.hits.merge(&hits);
        }
    }

    fn replace(&mut self, value: &mut AnyValue, kind: &str, rule: &str) {
        let secret = as_text(value).unwrap_or_default();
        let placeholder = match &self.redactor.engine {
            Some(engine) if !secret.starts_with(PLACEHOLDER) => engine.placeholder(kind, secret),
            _ => format!("{PLACEHOLDER}{kind}]"),
        };
        if secret != placeholder {
            value.value = Some(Value::StringValue(placeholder));
            self.hits.add(kind, rule);
        }
    }

    /// Says in the part's attributes what was found in it, and begins anew.
    fn annotate(&mut self, attributes: &mut Vec<KeyValue>) {
        if self.hits.is_empty() {
            return;
        }
        let hits = std::mem::take(&mut self.hits);
        self.redactor.tally.add(&hits);
        if !self.redactor.extras {
            return;
        }
        set_attribute(attributes, REDACTION_COUNT, int(hits.total()));
        let name = |kind: &str| AnyValue {
            value: Some(Value::StringValue(kind.to_owned())),
        };
        let values = hits.by_type().map(|(kind, _)| name(kind)).collect();
        set_attribute(attributes, TYPES, Value::ArrayValue(ArrayValue { values }));
    }
}

fn as_text(value: &AnyValue) -> Option<&str> {
    match &value.value {
        Some(Value::StringValue(text)) => Some(text),
        _ => None,
    }
}

fn is_kept_of_records(attribute: &KeyValue) -> bool {
    KEPT_OF_RECORDS.contains(&attribute.key.as_str()) || attribute.key.starts_with(OWN_KEYS)
}
