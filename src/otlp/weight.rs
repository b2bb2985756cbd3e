//! How much memory the messages of a body will take, told before they are read.
//!
//! A message that says nothing takes two bytes on the wire and hundreds in memory, so the length of a body says
//! little. The scan finds the messages without making them, and counts what each takes: also of bodies that
//! turn out to be no OTLP, as far as a reader gets.

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, Metric};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, span};
use prost::encoding::{WireType, decode_key, decode_varint};

use super::{Encoding, Signal};

/// Lists grow by doubling, so that up to twice as much is held as there is.
const GROWTH: usize = 2;

/// What an object of JSON takes on its way into a message.
const OBJECT: usize = 300;

/// What any other value of JSON does.
const SCALAR: usize = 32;

/// Depth at which readers give up.
const MAX_DEPTH: usize = 100;

/// Bytes that the messages of an inflated body take in memory, about.
pub fn weigh(signal: Signal, encoding: Encoding, body: &[u8]) -> usize {
    match encoding {
        Encoding::Json => weigh_json(body),
        Encoding::Protobuf => {
            let mut weight = 0;
            walk(Part::Request, signal, body, 0, &mut weight);
            weight
        }
    }
}

/// A message within a request; the same fields hold the same in all signals, down to the records.
#[derive(Clone, Copy)]
enum Part {
    Request,
    OfResource,
    Resource,
    OfScope,
    Scope,
    Record,
    Attribute,
    Value,
    Values,
    /// The points of a metric.
    Points,
    Point,
    /// What points, spans and their like are made of, whatever it is.
    Piece,
}

impl Part {
    /// The message in a field; `None` for one that holds no message.
    fn of_field(self, signal: Signal, field: u32) -> Option<Part> {
        Some(match (self, field) {
            (Part::Request, 1) => Part::OfResource,
            (Part::OfResource, 1) => Part::Resource,
            (Part::OfResource, 2) => Part::OfScope,
            (Part::OfScope, 1) => Part::Scope,
            (Part::OfScope, 2) => Part::Record,
            (Part::Resource, 1) | (Part::Scope, 3) => Part::Attribute,
            (Part::Resource, 3) => Part::Piece,
            (Part::Attribute, 2) => Part::Value,
            (Part::Value | Part::Attribute, 5 | 6) => Part::Values,
            // Of a list of values, or of one of pairs: taken as pairs, which weigh more.
            (Part::Values, 1) => Part::Attribute,
            (Part::Record, field) => match (signal, field) {
                (Signal::Logs, 5) => Part::Value,
                (Signal::Logs, 6) | (Signal::Metrics, 12) | (Signal::Traces, 9) => Part::Attribute,
                (Signal::Metrics, 5 | 7 | 9 | 10 | 11) => Part::Points,
                (Signal::Traces, 11 | 13 | 15) => Part::Piece,
                _ => return None,
            },
            (Part::Points, 1) => Part::Point,
            // Attributes have another number in each kind of point.
            (Part::Point, 1 | 7 | 9) | (Part::Piece, 3 | 4 | 7) => Part::Attribute,
            (Part::Point, 5 | 6 | 8 | 11) => Part::Piece,
            _ => return None,
        })
    }

    fn weight(self, signal: Signal) -> usize {
        let size = match (self, signal) {
            (Part::Request, _) => 0,
            (Part::OfResource, _) => size_of::<ResourceLogs>(),
            (Part::Resource, _) => size_of::<Resource>(),
            (Part::OfScope, _) => size_of::<ScopeLogs>(),
            (Part::Scope, _) => size_of::<InstrumentationScope>(),
            (Part::Record, Signal::Logs) => size_of::<LogRecord>(),
            (Part::Record, Signal::Metrics) => size_of::<Metric>(),
            (Part::Record, Signal::Traces) => size_of::<Span>(),
            (Part::Attribute, _) => size_of::<KeyValue>(),
            (Part::Value | Part::Values, _) => size_of::<AnyValue>(),
            (Part::Points | Part::Point, _) => size_of::<ExponentialHistogramDataPoint>(),
            (Part::Piece, _) => size_of::<span::Event>(),
        };
        size * GROWTH
    }
}

/// Adds what a message holds. Where it is malformed, a reader stops, too.
fn walk(message: Part, signal: Signal, mut bytes: &[u8], depth: usize, weight: &mut usize) {
    if depth > MAX_DEPTH {
        return;
    }
    while !bytes.is_empty() {
        let Ok((field, wire_type)) = decode_key(&mut bytes) else {
            return;
        };
        let length = match wire_type {
            WireType::Varint => decode_varint(&mut bytes).map(|_| 0),
            WireType::SixtyFourBit => Ok(8),
            WireType::ThirtyTwoBit => Ok(4),
            WireType::LengthDelimited => decode_varint(&mut bytes),
            // Readers skip groups; their fields are read here as the message's own.
            WireType::StartGroup | WireType::EndGroup => Ok(0),
        };
        let length = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let Some((inner, rest)) = length.ok().and_then(|it| bytes.split_at_checked(it)) else {
            return;
        };
        bytes = rest;
        if wire_type == WireType::LengthDelimited
            && let Some(part) = message.of_field(signal, field)
        {
            *weight += part.weight(signal);
            walk(part, signal, inner, depth + 1, weight);
        }
    }
}

/// Objects and values, by the marks outside of texts.
fn weigh_json(body: &[u8]) -> usize {
    let (mut objects, mut values) = (0_usize, 0_usize);
    let mut at = 0;
    while let Some(byte) = body.get(at) {
        match byte {
            b'{' => objects += 1,
            b',' | b'[' => values += 1,
            b'"' => at += length_of_text(&body[at + 1..]),
            _ => {}
        }
        at += 1;
    }
    objects * OBJECT + values * SCALAR
}

/// Length of a text with the mark at its end.
fn length_of_text(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(skipped) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
        at += skipped;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at = (at + 2).min(bytes.len());
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::{ExportLogsServiceRequest, Request};

    fn logs(record: &LogRecord, count: usize) -> ExportLogsServiceRequest {
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                scope_logs: vec![ScopeLogs {
                    log_records: vec![record.clone(); count],
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }],
        }
    }

    #[test]
    fn empty_messages_weigh_what_they_take_in_memory() {
        let empty = LogRecord::default();
        let request = Request::Logs(logs(&empty, 10_000));
        let body = request.encode();
        assert!(body.len() < 21_000);
        let weight = weigh(Signal::Logs, Encoding::Protobuf, &body);
        assert!(weight >= 10_000 * size_of::<LogRecord>(), "{weight}");

        let attributes = LogRecord {
            attributes: vec![KeyValue::default(); 10_000],
            ..LogRecord::default()
        };
        let body = Request::Logs(logs(&attributes, 1)).encode();
        let weight = weigh(Signal::Logs, Encoding::Protobuf, &body);
        assert!(weight >= 10_000 * size_of::<KeyValue>(), "{weight}");
        // A group that a reader skips hides nothing.
        let hidden = [&[0x7b, 0x7c][..], &body].concat();
        assert_eq!(weigh(Signal::Logs, Encoding::Protobuf, &hidden), weight);

        let json = format!(r#"{{"resourceLogs":[{}{{}}]}}"#, "{},".repeat(10_000));
        assert!(weigh(Signal::Logs, Encoding::Json, json.as_bytes()) > 10_000 * 200);
        let text = format!(r#"{{"resourceLogs":"\"{}"}}"#, "{},".repeat(10_000));
        assert!(weigh(Signal::Logs, Encoding::Json, text.as_bytes()) < 1_000);
    }

    #[test]
    fn what_is_cut_or_made_up_is_weighed_as_far_as_it_goes() {
        let body = Request::Logs(logs(&LogRecord::default(), 100)).encode();
        for cut in 0..body.len() {
            weigh(Signal::Metrics, Encoding::Protobuf, &body[..cut]);
            weigh(Signal::Logs, Encoding::Json, &body[cut..]);
        }
        for end in [&b"\"\\"[..], b"\"", b"{\"a"] {
            weigh(Signal::Logs, Encoding::Json, end);
        }
    }
}
