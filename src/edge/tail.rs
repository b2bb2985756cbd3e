//! Shows records that were just stored to whoever watches. Watching costs the edge next to nothing,
//! and not watching nothing: a slow reader misses lines, and is told how many.

use serde_json::{Map, Value, json};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::otlp::Request;

use super::plain::{self, Record};

/// Lines that wait for a slow reader.
const WAITING_MAX: usize = 512;

/// Longest line, in bytes. What waits is thereby bounded to 8 MiB.
const LINE_MAX_BYTES: usize = 16 << 10;

/// Longest text in a line that would otherwise be too long, in bytes.
const TEXT_MAX_BYTES: usize = 512;

/// Where lines come from.
#[derive(Clone, Debug)]
pub(super) struct Tail(broadcast::Sender<Line>);

/// One record.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The event, the metric or the span.
    name: String,
    /// One JSON object, without a line's end.
    text: String,
}

/// Lines for one reader.
pub(super) struct Lines {
    lines: broadcast::Receiver<Line>,
    name: Option<String>,
}

impl Tail {
    pub(super) fn new() -> Tail {
        Tail(broadcast::channel(WAITING_MAX).0)
    }

    /// Lines for records to come, only of the event `name` if there is one.
    pub(super) fn watch(&self, name: Option<String>) -> Lines {
        Lines {
            lines: self.0.subscribe(),
            name,
        }
    }

    /// The lines for redacted records; none while nobody watches.
    pub(super) fn lines(&self, request: &Request) -> Vec<Line> {
        match self.0.receiver_count() {
            0 => Vec::new(),
            _ => plain::records(request).into_iter().map(Line::new).collect(),
        }
    }

    /// Shows lines, at once and without waiting for anybody.
    pub(super) fn show(&self, lines: Vec<Line>) {
        for line in lines {
            // Nobody watches any more.
            if self.0.send(line).is_err() {
                return;
            }
        }
    }
}

impl Line {
    fn new(record: Record) -> Line {
        Line {
            name: record.name,
            text: within_limit(record.object),
        }
    }
}

impl Lines {
    /// The next line, with its end. `None` when the edge stops.
    pub(super) async fn next(&mut self) -> Option<String> {
        loop {
            let line = match self.lines.recv().await {
                Ok(line) => line,
                Err(RecvError::Lagged(records)) => {
                    return Some(format!("{}\n", json!({ "skipped": records })));
                }
                Err(RecvError::Closed) => return None,
            };
            if self.name.as_ref().is_none_or(|name| *name == line.name) {
                return Some(line.text + "\n");
            }
        }
    }
}

/// The object as JSON. What makes it too long is cut, and then left out, and it says so.
fn within_limit(mut object: Map<String, Value>) -> String {
    let text = Value::Object(object.clone()).to_string();
    if text.len() <= LINE_MAX_BYTES {
        return text;
    }
    object.insert("cut".to_owned(), json!(true));
    object.values_mut().for_each(cut);
    let text = Value::Object(object.clone()).to_string();
    if text.len() <= LINE_MAX_BYTES {
        return text;
    }
    object.retain(|key, _| !matches!(key.as_str(), "attributes" | "resource" | "body" | "data"));
    Value::Object(object).to_string()
}

fn cut(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > TEXT_MAX_BYTES => {
            text.truncate(text.floor_char_boundary(TEXT_MAX_BYTES));
            text.push('…');
        }
        Value::Array(values) => values.iter_mut().for_each(cut),
        Value::Object(object) => object.values_mut().for_each(cut),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_bounded_whatever_is_in_the_record() {
        let long = Value::String("ä".repeat(LINE_MAX_BYTES));
        let mut object = Map::new();
        object.insert("event".to_owned(), json!("long"));
        object.insert("body".to_owned(), long.clone());
        let text = within_limit(object.clone());
        assert!(
            text.len() < 2 * TEXT_MAX_BYTES && text.contains("\"cut\":true"),
            "{text}"
        );
        let many: Vec<Value> = std::iter::repeat_n(long, 64).collect();
        object.insert("attributes".to_owned(), json!(many));
        let text = within_limit(object);
        assert_eq!(text, r#"{"cut":true,"event":"long"}"#);
    }
}
