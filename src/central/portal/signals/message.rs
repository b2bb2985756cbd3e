//! What a message of OTLP/JSON says that a list and a page show. Pure.

use std::collections::HashSet;

use serde_json::Value;

/// Names of a message that its title says; how many others there are, it counts.
const NAMED: usize = 2;

/// A `ResourceMetrics` or `ResourceSpans`.
pub(in crate::central::portal) struct Message<'a> {
    /// Its metrics or spans.
    pub(super) items: Vec<Item<'a>>,
    resource: Vec<&'a Value>,
}

/// A metric, or a span.
pub(super) struct Item<'a> {
    pub(super) name: &'a str,
    /// What kind of metric it is, or `span`.
    pub(super) kind: &'static str,
    /// Points of a metric; 1 for a span.
    pub(super) point_count: usize,
    /// How long a span lasted, in milliseconds.
    pub(super) lasted: Option<i64>,
    trace: Option<&'a str>,
    /// Where its attributes stand: itself, or its points.
    parts: Vec<&'a Value>,
}

/// Kinds of metrics: the field that holds the points, and the kind in words.
const KINDS: [(&str, &str); 5] = [
    ("sum", "sum"),
    ("gauge", "gauge"),
    ("histogram", "histogram"),
    ("exponentialHistogram", "exponential histogram"),
    ("summary", "summary"),
];

impl<'a> Message<'a> {
    pub(in crate::central::portal) fn new(message: &'a Value) -> Message<'a> {
        let of_scopes = |scopes: &str, items: &'static str| {
            let scopes = list(&message[scopes]).iter();
            scopes.flat_map(move |scope| list(&scope[items]))
        };
        let metrics = of_scopes("scopeMetrics", "metrics").map(Item::metric);
        let spans = of_scopes("scopeSpans", "spans").map(Item::span);
        Message {
            items: metrics.chain(spans).collect(),
            resource: vec![&message["resource"]],
        }
    }

    /// The names of its metrics or spans: the first of them, and how many others there are.
    pub(in crate::central::portal) fn title(&self) -> String {
        let names = self.names();
        match names.len().saturating_sub(NAMED) {
            0 if names.is_empty() => "nothing".to_owned(),
            0 => names.join(", "),
            others => format!("{} and {others} more", names[..NAMED].join(", ")),
        }
    }

    /// The names of its metrics or spans, each once.
    pub(in crate::central::portal) fn names(&self) -> Vec<&'a str> {
        let mut seen = HashSet::new();
        let names = self.items.iter().map(|item| item.name);
        names.filter(|name| seen.insert(*name)).collect()
    }

    /// Points of its metrics, or spans.
    pub(in crate::central::portal) fn point_count(&self) -> usize {
        self.items.iter().map(|item| item.point_count).sum()
    }

    /// A text attribute of the first point or span that has it, else of the resource.
    pub(in crate::central::portal) fn text(&self, key: &str) -> Option<&'a str> {
        let parts = self.items.iter().flat_map(|item| &item.parts);
        let mut found = parts.chain(&self.resource).filter_map(|part| {
            let attributes = list(&part["attributes"]).iter();
            let mut named = attributes.filter(|attribute| attribute["key"] == *key);
            named.find_map(|attribute| attribute["value"]["stringValue"].as_str())
        });
        found.find(|text| !text.is_empty())
    }

    /// The traces that its spans are of, each once.
    pub(super) fn traces(&self) -> Vec<&'a str> {
        let mut traces: Vec<&str> = self.items.iter().filter_map(|item| item.trace).collect();
        traces.sort_unstable();
        traces.dedup();
        traces
    }
}

impl<'a> Item<'a> {
    fn metric(metric: &'a Value) -> Item<'a> {
        let kind = KINDS.iter().find(|(field, _)| metric[field].is_object());
        let points = kind.map_or(&[][..], |(field, _)| list(&metric[field]["dataPoints"]));
        Item {
            name: metric["name"].as_str().unwrap_or_default(),
            kind: kind.map_or("empty", |(_, words)| words),
            point_count: points.len(),
            lasted: None,
            trace: None,
            parts: points.iter().collect(),
        }
    }

    fn span(span: &'a Value) -> Item<'a> {
        let [start, end] =
            ["startTimeUnixNano", "endTimeUnixNano"].map(|field| nanoseconds(&span[field]));
        let lasted = start
            .zip(end)
            .map(|(start, end)| end.saturating_sub(start) / 1_000_000);
        Item {
            name: span["name"].as_str().unwrap_or_default(),
            kind: "span",
            point_count: 1,
            lasted: lasted.filter(|lasted| *lasted >= 0),
            trace: span["traceId"].as_str().filter(|id| !id.is_empty()),
            parts: vec![span],
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// OTLP/JSON writes numbers of 64 bits as text.
fn nanoseconds(value: &Value) -> Option<i64> {
    value.as_str().and_then(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_says_whose_it_is_and_what_it_holds() {
        let attribute = |key: &str, text: &str| json!({"key": key, "value": {"stringValue": text}});
        let metric = |name: &str| {
            json!({"name": name, "sum": {"dataPoints": [
                {"attributes": [attribute("user.email", "ada@example.com")]}, {},
            ]}})
        };
        let message = json!({
            "resource": {"attributes": [attribute("user.email", "other"), attribute("host.name", "laptop")]},
            "scopeMetrics": [{"metrics": [metric("a"), metric("b"), metric("a"), metric("c")]}],
        });
        let message = Message::new(&message);
        assert_eq!(message.title(), "a, b and 1 more");
        assert_eq!(message.point_count(), 8);
        assert_eq!(message.text("user.email"), Some("ada@example.com"));
        assert_eq!(message.text("host.name"), Some("laptop"));
        assert!(message.traces().is_empty());
    }

    #[test]
    fn spans_have_a_time_and_a_trace_and_what_is_odd_says_nothing() {
        let span = |start: &str, end: &str| json!({"name": "s", "traceId": "0612", "startTimeUnixNano": start, "endTimeUnixNano": end});
        let spans =
            json!({"scopeSpans": [{"spans": [span("1000000", "6000000"), span("9", "1")]}]});
        let message = Message::new(&spans);
        assert_eq!(message.traces(), ["0612"]);
        let lasted: Vec<_> = message.items.iter().map(|item| item.lasted).collect();
        assert_eq!(lasted, [Some(5), Some(0)]);
        let odd = json!({"scopeSpans": "no", "resource": 7, "scopeMetrics": [{"metrics": [3]}]});
        let message = Message::new(&odd);
        assert_eq!((message.items.len(), message.text("user.id")), (1, None));
        assert_eq!(Message::new(&json!({})).title(), "nothing");
    }
}
