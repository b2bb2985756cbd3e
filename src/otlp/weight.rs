//! How much memory a body takes once it is decoded, about and rather more, found out without decoding it.
//!
//! A record with nothing in it takes two bytes of protobuf or three of JSON, and hundreds in memory. By its length
//! alone a small body could be a thousand times as much as it seems to be.

use super::{Encoding, Signal, route::Target};

/// Bytes of an element of the outer lists: a record, a span, a metric, with the lists' room to grow and what is
/// added to each before it is stored.
const OUTER: usize = 1024;
/// Bytes of a text besides its own.
const TEXT: usize = 32;
/// Bytes of a number.
const NUMBER: usize = 16;
/// Messages in a request that hold the records: a resource and a scope.
const OUTER_DEPTH: usize = 3;
/// The same in JSON, where lists have brackets of their own and so has the request.
const OUTER_BRACKETS: usize = 7;
/// Protobuf that is nested more deeply is not decoded.
const MAX_DEPTH: usize = 100;

/// What is different between signals.
#[derive(Clone, Copy)]
struct Scale {
    /// Bytes of an element further in: an attribute, an event, a data point.
    inner: usize,
    /// Bytes that each byte of packed numbers becomes.
    packed: usize,
}

/// Bytes that `body`, as it is once inflated, takes when it is decoded.
pub fn weigh(target: Target, encoding: Encoding, body: &[u8]) -> usize {
    let scale = match target {
        Target::Signal(Signal::Logs | Signal::Traces) => Scale {
            inner: 128,
            packed: 0,
        },
        // Data points of histograms are large, and hold packed numbers.
        Target::Signal(Signal::Metrics) | Target::Sniff => Scale {
            inner: 512,
            packed: 8,
        },
    };
    let parts = match encoding {
        Encoding::Json => weigh_json(body, scale),
        Encoding::Protobuf => weigh_message(body, 1, scale).bytes,
    };
    body.len().saturating_add(parts)
}

fn weigh_json(body: &[u8], scale: Scale) -> usize {
    let (mut weight, mut depth, mut at) = (0_usize, 0_usize, 0);
    // Whether what opens next is an element of a list, or the value of a key.
    let mut is_element = false;
    while let Some(byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => {
                at = end_of_text(body, at);
                weight += TEXT;
            }
            b'{' | b'[' => {
                depth += 1;
                weight += match (is_element, depth <= OUTER_BRACKETS) {
                    (true, true) => OUTER,
                    (true, false) => scale.inner,
                    (false, _) => TEXT,
                };
                is_element = *byte == b'[';
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => {
                weight += NUMBER;
                is_element = true;
            }
            b':' => is_element = false,
            _ => {}
        }
    }
    weight
}

/// The place behind a text that begins at `at`.
fn end_of_text(body: &[u8], mut at: usize) -> usize {
    while let Some(next) = memchr::memchr2(b'"', b'\\', &body[at.min(body.len())..]) {
        at += next + 1;
        match body[at - 1] {
            b'"' => return at,
            _ => at += 1,
        }
    }
    body.len()
}

/// What bytes take that seem to be a message, and whether they are one to their end.
struct Weighed {
    bytes: usize,
    is_message: bool,
}

/// What is no message is a text, or packed numbers. A text that could be a message is taken for one; of what is
/// none in the end, that counts which a reader makes of it before it finds out.
fn weigh_message(message: &[u8], depth: usize, scale: Scale) -> Weighed {
    let (mut weight, mut numbers, mut is_message) = (0_usize, 0_usize, true);
    for field in Fields(message) {
        let bytes = match field {
            Ok(Field::Number) => {
                numbers += NUMBER;
                continue;
            }
            Ok(Field::Bytes(bytes)) if depth < MAX_DEPTH => {
                let inner = weigh_message(bytes, depth + 1, scale);
                let own = match (inner.is_message, depth <= OUTER_DEPTH) {
                    (true, true) => OUTER,
                    (true, false) => scale.inner,
                    (false, _) => TEXT + bytes.len().saturating_mul(scale.packed),
                };
                own.saturating_add(inner.bytes)
            }
            Ok(Field::Bytes(bytes)) => TEXT + bytes.len().saturating_mul(scale.packed),
            Err(Malformed) => {
                is_message = false;
                // In a text, what seems to be a number takes nothing.
                numbers = 0;
                break;
            }
        };
        weight = weight.saturating_add(bytes);
    }
    Weighed {
        bytes: weight.saturating_add(numbers),
        is_message,
    }
}

/// A field of a protobuf message.
enum Field<'a> {
    Number,
    Bytes(&'a [u8]),
}

/// The fields of a protobuf message, until something in it is none.
struct Fields<'a>(&'a [u8]);

/// This is no protobuf message.
struct Malformed;

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<Field<'a>> {
        let key = self.varint()?;
        self.value(key, 0)
    }

    /// What stands behind a key, in so many groups.
    fn value(&mut self, key: u64, depth: usize) -> Option<Field<'a>> {
        if key >> 3 == 0 {
            return None;
        }
        match key & 7 {
            0 => {
                self.varint()?;
            }
            1 => {
                self.take(8)?;
            }
            5 => {
                self.take(4)?;
            }
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                return self.take(length).map(Field::Bytes);
            }
            // A group, which no message here has: readers skip it, up to the key of its end, and go on.
            3 if depth < MAX_DEPTH => loop {
                let inner = self.varint()?;
                if inner == key + 1 {
                    break;
                }
                self.value(inner, depth + 1)?;
            },
            _ => return None,
        }
        Some(Field::Number)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::{
        Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    };
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

    use super::*;
    use crate::otlp::{
        ExportLogsServiceRequest, ExportMetricsServiceRequest, ExportTraceServiceRequest, Request,
    };

    fn logs(record: LogRecord, count: usize) -> Request {
        Request::Logs(ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                scope_logs: vec![ScopeLogs {
                    log_records: vec![record; count],
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }],
        })
    }

    fn attribute(value: &str) -> KeyValue {
        KeyValue {
            key: "some.attribute".to_owned(),
            value: Some(AnyValue {
                value: Some(Value::StringValue(value.to_owned())),
            }),
            ..KeyValue::default()
        }
    }

    fn weigh_both(request: &Request) -> [usize; 2] {
        let target = Target::Signal(request.signal());
        let json = match request {
            Request::Logs(logs) => serde_json::to_vec(logs),
            Request::Metrics(metrics) => serde_json::to_vec(metrics),
            Request::Traces(traces) => serde_json::to_vec(traces),
        };
        [
            weigh(target, Encoding::Protobuf, &request.encode()),
            weigh(target, Encoding::Json, &json.expect("JSON")),
        ]
    }

    #[test]
    fn much_in_few_bytes_weighs_what_it_takes() {
        const COUNT: usize = 10_000;
        let with_attributes = LogRecord {
            attributes: vec![KeyValue::default(); COUNT],
            ..LogRecord::default()
        };
        let spans = Request::Traces(ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                scope_spans: vec![ScopeSpans {
                    spans: vec![Span::default(); COUNT],
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        });
        let points = Sum {
            data_points: vec![NumberDataPoint::default(); COUNT],
            ..Sum::default()
        };
        let metrics = Request::Metrics(ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                scope_metrics: vec![ScopeMetrics {
                    metrics: vec![Metric {
                        data: Some(Data::Sum(points)),
                        ..Metric::default()
                    }],
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        });
        for (request, size) in [
            (logs(LogRecord::default(), COUNT), size_of::<LogRecord>()),
            (logs(with_attributes, 1), size_of::<KeyValue>()),
            (spans, size_of::<Span>()),
            (metrics, size_of::<NumberDataPoint>()),
        ] {
            let signal = request.signal();
            for weight in weigh_both(&request) {
                assert!(weight >= COUNT * size, "{signal}: {weight}");
            }
        }
        // As nobody but an attacker writes it.
        let tiny = "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[";
        let tiny = format!("{tiny}{}", "{},".repeat(COUNT));
        let weight = weigh(Target::Sniff, Encoding::Json, tiny.as_bytes());
        assert!(weight >= COUNT * size_of::<LogRecord>(), "{weight}");
    }

    #[test]
    fn nothing_is_hidden_behind_what_readers_skip_or_stop_at() {
        const COUNT: usize = 10_000;
        let records = logs(LogRecord::default(), COUNT).encode();
        let values = AnyValue {
            value: Some(Value::ArrayValue(ArrayValue {
                values: vec![AnyValue::default(); COUNT],
            })),
        };
        let record = LogRecord {
            body: Some(values),
            ..LogRecord::default()
        };
        let values = logs(record, 1).encode();
        let target = Target::Signal(Signal::Logs);
        let weight = |body: &[u8]| weigh(target, Encoding::Protobuf, body);
        for (body, size) in [
            (&records, size_of::<LogRecord>()),
            (&values, size_of::<AnyValue>()),
        ] {
            let behind_a_group = [&[0x7b, 0x08, 0x01, 0x7c][..], body].concat();
            assert!(Request::decode_protobuf(Signal::Logs, &behind_a_group).is_ok());
            assert!(weight(&behind_a_group) >= COUNT * size);
            // The last message of all is cut in the middle: what comes before is made, and then given up.
            let mut broken = body.clone();
            *broken.last_mut().expect("a byte") = 0x7f;
            assert!(Request::decode_protobuf(Signal::Logs, &broken).is_err());
            assert!(weight(&broken) >= (COUNT - 1) * size, "{}", weight(&broken));
        }
    }

    #[test]
    fn text_weighs_little_more_than_itself() {
        let text = "{\"a\": [1, 2, {}]}\\ \"and\" so on, ".repeat(1000);
        let record = LogRecord {
            attributes: vec![attribute(&text)],
            ..LogRecord::default()
        };
        let request = logs(record, 50);
        let length = request.encode().len();
        for weight in weigh_both(&request) {
            assert!(weight < length + length / 2, "{weight} of {length}");
        }
    }

    #[test]
    fn a_collectors_full_batch_is_not_heavy() {
        let record = LogRecord {
            attributes: vec![attribute("a value"); 25],
            ..LogRecord::default()
        };
        for weight in weigh_both(&logs(record, 8192)) {
            assert!(weight < 96 << 20, "{weight}");
        }
    }

    #[test]
    fn what_is_no_request_is_weighed_all_the_same() {
        for body in [
            &b""[..],
            b"\"",
            b"\"\\",
            b"{{{{\"",
            b"\xff\xff\xff",
            b"\x0a\x7f",
        ] {
            for encoding in [Encoding::Json, Encoding::Protobuf] {
                assert!(weigh(Target::Sniff, encoding, body) < 4096);
            }
        }
    }
}
