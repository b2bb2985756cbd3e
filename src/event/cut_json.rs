//! Reads objects written as JSON in a string, which clients cut at a fixed length (WIRE.md, section 2.1).

use serde::Deserialize;
use serde_json::Value;

/// The string under `key`, even when the object is cut off behind it; `None` when it is empty or was
/// itself cut, for half a name is another name.
pub(super) fn whole_string(json: &str, key: &str) -> Option<String> {
    let text = match serde_json::from_str::<Value>(json) {
        Ok(object) => object.get(key)?.as_str()?.to_owned(),
        Err(_) => field_of_cut_json(json, key)?,
    };
    (!text.is_empty()).then_some(text)
}

/// Walks over the complete pairs of a cut object until `key` or the cut.
fn field_of_cut_json(json: &str, key: &str) -> Option<String> {
    let mut rest = json.trim_start().strip_prefix('{')?;
    loop {
        let (name, after_name) = take::<String>(rest)?;
        let after_colon = after_name.trim_start().strip_prefix(':')?;
        let (value, after_value) = take::<Value>(after_colon)?;
        if name == key {
            return value.as_str().map(str::to_owned);
        }
        rest = after_value.trim_start().strip_prefix(',')?;
    }
}

/// One JSON value from the front of `text`, and what follows it.
fn take<'a, T: Deserialize<'a>>(text: &'a str) -> Option<(T, &'a str)> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<T>();
    let value = stream.next()?.ok()?;
    Some((value, &text[stream.byte_offset()..]))
}

/// The string under `key` as far as it came, for people to read.
pub fn string_as_far_as_it_came(json: &str, key: &str) -> Option<String> {
    if let Ok(value) = serde_json::from_str::<Value>(json) {
        return value.get(key)?.as_str().map(str::to_owned);
    }
    let opening = format!("\"{key}\":\"");
    let rest = &json[json.find(&opening)? + opening.len()..];
    let mut escaped = false;
    let end = rest.find(|character| {
        let closes = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        closes
    });
    let raw = &rest[..end.unwrap_or(rest.len())];
    // A cut may fall inside an escape; without its beginning the rest is sound.
    (0..=6).find_map(|dropped| {
        let kept = raw.get(..raw.len().checked_sub(dropped)?)?;
        serde_json::from_str(&format!("\"{kept}\"")).ok()
    })
}
