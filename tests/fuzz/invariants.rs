//! What holds for redaction whatever it is given: it does not panic, JSON stays JSON at every level, a second time
//! changes nothing, what is said to be found is what is cut, and a planted secret is gone.
//!
//! The fuzz target and the ordinary tests share this.
use std::fmt;

use fieldpost::edge::redact::Redactor;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Panics when something does not hold for `data` as text.
pub(crate) fn check(redactor: &Redactor, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let once = redactor.redact_text(&text).0.into_owned();
    let (twice, hits) = redactor.redact_text(&once);
    assert!(
        hits.is_empty() && twice == once,
        "{text:?} became {once:?}, then {twice:?}"
    );

    let before = documents(&text);
    let is_whole = documents(&once) >= before || once == "[REDACTED:budget]";
    assert!(is_whole, "{text:?} became {once:?}, which is less JSON");

    let findings = redactor.findings(&text);
    assert_eq!(findings.is_empty(), once == text, "{text:?}: {findings:?}");
    for finding in &findings {
        assert!(
            text.get(finding.range.clone()).is_some(),
            "{text:?}: {finding:?}"
        );
    }

    let token = ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA2bC4"].concat();
    let middle = text.floor_char_boundary(text.len() / 2);
    let (start, end) = text.split_at(middle);
    let planted = format!("{start} {token} {end}");
    let left = redactor.redact_text(&planted).0;
    assert!(!left.contains(&token), "{planted:?} became {left:?}");
    let wrapped = serde_json::json!({ "text": planted }).to_string();
    let left = redactor.redact_text(&wrapped).0;
    assert!(!left.contains(&token), "{wrapped:?} became {left:?}");
}

/// How many JSON documents a text is, those in its strings included; none when it is no JSON itself.
fn documents(text: &str) -> usize {
    serde_json::from_str::<Documents>(text).map_or(0, |inside| 1 + inside.0)
}

/// The documents inside a value, in strings. Two keys may become the same, so no map is made of them.
struct Documents(usize);

impl<'de> Deserialize<'de> for Documents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Count)
    }
}

struct Count;

impl<'de> Visitor<'de> for Count {
    type Value = Documents;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Documents, E> {
        Ok(Documents(0))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Documents, E> {
        Ok(Documents(0))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Documents, E> {
        Ok(Documents(0))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Documents, E> {
        Ok(Documents(0))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Documents, E> {
        Ok(Documents(0))
    }

    fn visit_str<E>(self, text: &str) -> Result<Documents, E> {
        let is_document = text.starts_with(['{', '[']);
        Ok(Documents(if is_document { documents(text) } else { 0 }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Documents, A::Error> {
        let mut sum = 0;
        while let Some(Documents(inside)) = values.next_element()? {
            sum += inside;
        }
        Ok(Documents(sum))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Documents, A::Error> {
        let mut sum = 0;
        while let Some((_, Documents(inside))) = entries.next_entry::<IgnoredAny, _>()? {
            sum += inside;
        }
        Ok(Documents(sum))
    }
}
