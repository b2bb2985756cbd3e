//! Records that are dropped: because the policy says so of what was found in them, or because looking through them
//! failed. What is left of one says that it was there.
use std::panic::{AssertUnwindSafe, catch_unwind};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::Metric,
    trace::v1::Span,
};

use super::{
    attributes::as_text,
    engine::{RECORD_TYPE, Scope},
    policy::{Consequence, Verdict},
    spans::PLACEHOLDER,
    walk::Walk,
};
use crate::event::RECORD_UID;

/// The rule that stands in the counts for a record that could not be looked through.
const FAILURE: &str = "failure";
/// What stays of a record that is dropped, beside what the edge itself says of it.
const KEPT: [&str; 3] = ["event.name", "event.timestamp", RECORD_UID];
/// How the names of the edge's own attributes begin.
const OWN_KEYS: &str = "fieldpost.";

/// A record of one of the signals.
pub(super) trait Record {
    /// Replaces every secret in it.
    fn redact(&mut self, walk: &mut Walk<'_>);
    /// Leaves the times, the ids, the event's name and `kept` of it, and nothing else.
    fn empty(&mut self, kept: Vec<KeyValue>);
    /// Where it says of itself what was found in it.
    fn attributes(&mut self) -> &mut Vec<KeyValue>;
}

impl Walk<'_> {
    /// Redacts a record, or leaves nothing of it.
    pub(super) fn whole_or_none(&mut self, record: &mut impl Record) {
        let redact = AssertUnwindSafe(|| record.redact(self));
        if catch_unwind(redact).is_err() {
            // How far it came is not known: only what needs no search is kept.
            self.scope = Scope::All;
            self.event.clear();
            let kept = std::mem::take(record.attributes());
            let kept = kept.into_iter().filter(|one| self.passes(one)).collect();
            record.empty(kept);
            self.hits.add(RECORD_TYPE, FAILURE);
        } else if self.drops_record() {
            let mut kept = std::mem::take(record.attributes());
            kept.retain(is_kept);
            record.empty(kept);
            self.hits.add(RECORD_TYPE, RECORD_TYPE);
        }
        self.annotate(record.attributes());
        self.event.clear();
    }

    /// Whether something was found in the record at hand that the policy drops it for.
    fn drops_record(&self) -> bool {
        let found = self.hits.by_type().map(|(kind, _)| kind);
        let consequence = self.redactor.policy.consequence(found);
        consequence.is_some_and(|(consequence, _)| consequence == Consequence::DropRecord)
    }

    fn passes(&self, attribute: &KeyValue) -> bool {
        let text = attribute.value.as_ref().and_then(as_text);
        let policy = &self.redactor.policy;
        text.is_some()
            && is_kept(attribute)
            && policy.treatment("", &attribute.key, text).verdict == Verdict::Pass
    }
}

impl Record for LogRecord {
    fn redact(&mut self, walk: &mut Walk<'_>) {
        walk.log_record(self);
    }

    fn empty(&mut self, kept: Vec<KeyValue>) {
        *self = LogRecord {
            time_unix_nano: self.time_unix_nano,
            observed_time_unix_nano: self.observed_time_unix_nano,
            severity_number: self.severity_number,
            event_name: std::mem::take(&mut self.event_name),
            body: Some(AnyValue {
                value: Some(Value::StringValue(mark())),
            }),
            attributes: kept,
            flags: self.flags,
            trace_id: std::mem::take(&mut self.trace_id),
            span_id: std::mem::take(&mut self.span_id),
            ..LogRecord::default()
        };
    }

    fn attributes(&mut self) -> &mut Vec<KeyValue> {
        &mut self.attributes
    }
}

impl Record for Metric {
    fn redact(&mut self, walk: &mut Walk<'_>) {
        walk.metric(self);
    }

    fn empty(&mut self, kept: Vec<KeyValue>) {
        *self = Metric {
            name: mark(),
            metadata: kept,
            ..Metric::default()
        };
    }

    /// On the metric, not on its points: another attribute would make another series of them.
    fn attributes(&mut self) -> &mut Vec<KeyValue> {
        &mut self.metadata
    }
}

impl Record for Span {
    fn redact(&mut self, walk: &mut Walk<'_>) {
        walk.span(self);
    }

    fn empty(&mut self, kept: Vec<KeyValue>) {
        *self = Span {
            trace_id: std::mem::take(&mut self.trace_id),
            span_id: std::mem::take(&mut self.span_id),
            parent_span_id: std::mem::take(&mut self.parent_span_id),
            flags: self.flags,
            name: mark(),
            kind: self.kind,
            start_time_unix_nano: self.start_time_unix_nano,
            end_time_unix_nano: self.end_time_unix_nano,
            attributes: kept,
            ..Span::default()
        };
    }

    fn attributes(&mut self) -> &mut Vec<KeyValue> {
        &mut self.attributes
    }
}

fn mark() -> String {
    format!("{PLACEHOLDER}{RECORD_TYPE}]")
}

fn is_kept(attribute: &KeyValue) -> bool {
    KEPT.contains(&attribute.key.as_str()) || attribute.key.starts_with(OWN_KEYS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::redact::Redactor;

    /// A record in which nobody can look.
    struct Cursed(LogRecord);

    impl Record for Cursed {
        fn redact(&mut self, _: &mut Walk<'_>) {
            panic!("as a mistake in the search would");
        }

        fn empty(&mut self, kept: Vec<KeyValue>) {
            self.0.empty(kept);
        }

        fn attributes(&mut self) -> &mut Vec<KeyValue> {
            &mut self.0.attributes
        }
    }

    fn text(key: &str, value: &str) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue {
                value: Some(Value::StringValue(value.to_owned())),
            }),
            ..KeyValue::default()
        }
    }

    #[test]
    fn a_record_that_cannot_be_searched_goes_and_is_counted_and_the_next_one_stays() {
        let redactor = Redactor::builtin();
        let mut walk = Walk::new(&redactor);
        let uid = "00112233445566778899aabbccddeeff";
        let attributes = [
            (RECORD_UID, uid),
            ("event.name", "tool_result"),
            (
                "event.timestamp",
                "a text that is no time: it was not searched",
            ),
            ("fieldpost.note", "neither was this, with whatever it holds"),
            ("prompt", "nor this"),
        ];
        let mut record = Cursed(LogRecord {
            time_unix_nano: 7,
            attributes: attributes.map(|(key, value)| text(key, value)).to_vec(),
            ..LogRecord::default()
        });
        walk.whole_or_none(&mut record);
        let Cursed(left) = record;
        let keys: Vec<&str> = left.attributes.iter().map(|one| one.key.as_str()).collect();
        let annotations = ["fieldpost.redaction.count", "fieldpost.redaction.types"];
        assert_eq!(keys[..2], [RECORD_UID, "event.name"]);
        assert_eq!(keys[2..], annotations);
        assert_eq!(left.time_unix_nano, 7);
        let body = left.body.as_ref().and_then(as_text);
        assert_eq!(body, Some("[REDACTED:record]"));
        let counts = redactor.tally.snapshot();
        let counts: Vec<_> = counts.by_rule().collect();
        assert_eq!(counts, [(FAILURE, RECORD_TYPE, 1)]);

        let mut harmless = LogRecord {
            attributes: vec![text("prompt", "hello")],
            ..LogRecord::default()
        };
        let before = harmless.clone();
        walk.whole_or_none(&mut harmless);
        assert_eq!(harmless, before);
    }
}
