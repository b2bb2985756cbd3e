//! What becomes of attributes and of the values in them: the policy says so by their keys, the rules by what stands
//! there.
use std::{borrow::Cow, collections::BTreeSet};

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};

use super::{
    engine::{BINARY_TYPE, DEPTH_TYPE, IDENTITY_TYPE, Scope},
    hash::HASH_SIGN,
    policy::{Treatment, Verdict},
    spans::{PLACEHOLDER, is_placeholder_of},
    truncate::{self, truncate},
    walk::{Walk, int},
};
use crate::event::{REDACTION_COUNT, set_attribute};

/// Of which types the secrets were that [`REDACTION_COUNT`] counts.
const TYPES: &str = "fieldpost.redaction.types";
/// Arrays and maps in one another.
const MAX_DEPTH: usize = 64;

impl Walk<'_> {
    pub(super) fn attributes(&mut self, attributes: &mut [KeyValue]) {
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
        let nothing = BTreeSet::new();
        let kinds = match &self.redactor.engine {
            Some(engine) => &engine.kinds,
            None => &nothing,
        };
        if let (Some(keep), Some(Value::StringValue(text))) = (treatment.truncate, &mut value.value)
            && truncate(text, keep, kinds)
        {
            self.hits.add(truncate::TYPE, truncate::TYPE);
        }
    }

    /// Treats one value, which is replaced whole where something was found in it that the policy wants it dropped for.
    pub(super) fn within(
        &mut self,
        value: &mut AnyValue,
        treat: impl FnOnce(&mut Self, &mut AnyValue),
    ) {
        let before = std::mem::take(&mut self.hits);
        treat(self, value);
        let redactor = self.redactor;
        let found = self.hits.by_type().map(|(kind, _)| kind);
        if let Some((_, kind)) = redactor.policy.consequence(found) {
            value.value = Some(Value::StringValue(format!("{PLACEHOLDER}{kind}]")));
        }
        self.hits.merge(&before);
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

    pub(super) fn value(&mut self, value: &mut AnyValue, depth: usize) {
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

    pub(super) fn text(&mut self, text: &mut String) {
        // Should the search fail, nothing of the text is left.
        let whole = std::mem::take(text);
        let (redacted, hits) = self.redactor.search(&whole, self.scope);
        *text = match redacted {
            Cow::Owned(redacted) => {
                self.hits.merge(&hits);
                redacted
            }
            Cow::Borrowed(_) => whole,
        };
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
    pub(super) fn annotate(&mut self, attributes: &mut Vec<KeyValue>) {
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

pub(super) fn as_text(value: &AnyValue) -> Option<&str> {
    match &value.value {
        Some(Value::StringValue(text)) => Some(text),
        _ => None,
    }
}
