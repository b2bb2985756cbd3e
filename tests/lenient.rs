//! JSON as clients really write it (WIRE.md, section 1): coerced, repaired, and never refused whole
//! for the sake of one record.

use fieldpost::event::{Attributes, Facts};
use fieldpost::otlp::decode::{Decoded, decode};
use fieldpost::otlp::route::{Target, sibling_endpoint};
use fieldpost::otlp::{Encoding, Request, Signal};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use proptest::prelude::*;

use crate::support::random::cases;
use crate::support::wire;

fn logs(json: &str) -> Decoded {
    decode(
        Target::Signal(Signal::Logs),
        Encoding::Json,
        json.as_bytes(),
    )
    .unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn records(decoded: &Decoded) -> Vec<LogRecord> {
    let Request::Logs(logs) = &decoded.request else {
        panic!("these are logs");
    };
    let scopes = logs
        .resource_logs
        .iter()
        .flat_map(|resource| &resource.scope_logs);
    scopes.flat_map(|scope| scope.log_records.clone()).collect()
}

/// The only record of a request whose record has these fields.
fn record(fields: &str) -> LogRecord {
    let json = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{fields}}}]}}]}}]}}"#);
    let decoded = logs(&json);
    assert_eq!(decoded.rejected, 0, "{json}");
    records(&decoded).remove(0)
}

fn attribute(value: &str) -> Option<Value> {
    let fields = format!(r#""attributes":[{{"key":"k","value":{value}}}]"#);
    record(&fields)
        .attributes
        .remove(0)
        .value
        .and_then(|value| value.value)
}

#[test]
fn captured_requests_decode_to_what_the_library_reads() {
    for capture in wire::all()
        .iter()
        .filter(|capture| capture.path().ends_with("logs"))
    {
        if capture.folder == "protobuf-gzip" {
            continue;
        }
        let decoded = decode(Target::Sniff, Encoding::Json, &capture.body).expect("it decodes");
        assert_eq!(
            decoded.request,
            Request::Logs(capture.logs()),
            "{}",
            capture.folder
        );
        assert_eq!(decoded.rejected, 0);
    }
}

#[test]
fn the_long_way_reads_the_same_as_the_short_one() {
    // A null makes the strict reader give up; what comes out must be the same.
    for capture in wire::all() {
        let json = match std::str::from_utf8(&capture.body) {
            Ok(json) if json.starts_with('{') => json,
            _ => continue,
        };
        let target = Target::Signal(capture.signal());
        let strict = decode(target, Encoding::Json, json.as_bytes()).expect("it decodes");
        let key = match capture.signal() {
            Signal::Logs => "resourceLogs",
            Signal::Metrics => "resourceMetrics",
            Signal::Traces => "resourceSpans",
        };
        let mut marked: serde_json::Value = serde_json::from_str(json).expect("JSON");
        marked[key]
            .as_array_mut()
            .expect("a list")
            .insert(0, serde_json::Value::Null);
        let lenient =
            decode(target, Encoding::Json, marked.to_string().as_bytes()).expect("it decodes");
        assert_eq!(lenient.request, strict.request, "{}", capture.folder);
        assert_eq!(lenient.rejected, 0);
    }
}

#[test]
fn numbers_come_as_numbers_and_as_strings() {
    for time in [r#""1795351565408000000""#, "1795351565408000000"] {
        let read = record(&format!(r#""timeUnixNano":{time}"#));
        assert_eq!(read.time_unix_nano, 1_795_351_565_408_000_000);
    }
    assert_eq!(attribute(r#"{"intValue":15}"#), Some(Value::IntValue(15)));
    assert_eq!(attribute(r#"{"intValue":"15"}"#), Some(Value::IntValue(15)));
    assert_eq!(attribute(r#"{"intValue":15.0}"#), Some(Value::IntValue(15)));
    assert_eq!(
        attribute(r#"{"intValue":15.5}"#),
        Some(Value::DoubleValue(15.5))
    );
    assert_eq!(
        attribute(r#"{"doubleValue":"0.25"}"#),
        Some(Value::DoubleValue(0.25))
    );
    assert_eq!(
        attribute(r#"{"doubleValue":2}"#),
        Some(Value::DoubleValue(2.0))
    );
    assert_eq!(
        attribute(r#"{"boolValue":"true"}"#),
        Some(Value::BoolValue(true))
    );
    assert_eq!(
        attribute(r#"{"intValue":"undefined"}"#),
        Some(Value::StringValue("undefined".to_owned()))
    );
}

#[test]
fn facts_are_read_from_strings_numbers_and_booleans_alike() {
    for (success, duration) in [
        (r#"{"stringValue":"false"}"#, r#"{"stringValue":"35"}"#),
        (r#"{"boolValue":false}"#, r#"{"intValue":35}"#),
        (r#"{"intValue":0}"#, r#"{"doubleValue":35.0}"#),
    ] {
        let read = record(&format!(
            r#""attributes":[{{"key":"event.name","value":{{"stringValue":"tool_result"}}}},
                {{"key":"success","value":{success}}},{{"key":"duration_ms","value":{duration}}}]"#
        ));
        let facts = Facts::read(&read, &[], None);
        assert_eq!((facts.success, facts.duration_ms), (Some(false), Some(35)));
        assert!(facts.is_error());
    }
}

#[test]
fn lone_surrogates_are_replaced_and_pairs_are_kept() {
    let text = |json: &str| match attribute(&format!(r#"{{"stringValue":"{json}"}}"#)) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(text(r"cut \ud83d"), "cut \u{fffd}");
    assert_eq!(text(r"cut \uDE00 here"), "cut \u{fffd} here");
    assert_eq!(text(r"\ud83d\ud83d\ude00"), "\u{fffd}\u{1f600}");
    assert_eq!(text(r"\ud83d\ude00"), "\u{1f600}");
    assert_eq!(text(r"a backslash \\ud83d"), r"a backslash \ud83d");
}

#[test]
fn invalid_utf8_is_replaced() {
    let mut body =
        br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"#.to_vec();
    body.extend_from_slice(b"\xff\xfe\"}}]}]}]}");
    let decoded = decode(Target::Signal(Signal::Logs), Encoding::Json, &body).expect("it decodes");
    assert_eq!(decoded.request.record_count(), 1);
}

#[test]
fn what_is_missing_null_or_unknown_is_no_reason_to_refuse() {
    for json in [
        "{}",
        r#"{"resourceLogs":null}"#,
        r#"{"resourceLogs":[]}"#,
        r#"{"resourceLogs":[{}]}"#,
        r#"{"resourceLogs":[{"resource":null,"scopeLogs":[{"scope":null,"logRecords":null}]}]}"#,
        r#"{"somethingNew":{"a":[1]},"resourceLogs":[{"futureField":true}]}"#,
    ] {
        assert_eq!(logs(json).request.record_count(), 0, "{json}");
    }
    let read = record(r#""timeUnixNano":null,"newField":[{}],"severityNumber":"9","traceId":"zz""#);
    assert_eq!((read.severity_number, read.trace_id.len()), (9, 0));
    assert_eq!(attribute("{}"), None);
    assert_eq!(attribute("null"), None);
    assert_eq!(attribute(r#"{"futureValue":1}"#), None);
    assert_eq!(
        attribute(r#""bare""#),
        Some(Value::StringValue("bare".to_owned()))
    );
    let map = record(r#""attributes":{"session.id":"s","n":4}"#);
    let attributes = Attributes::new(&map.attributes, &[]);
    assert_eq!(attributes.text("session.id").as_deref(), Some("s"));
    assert_eq!(attributes.integer("n"), Some(4));
}

#[test]
fn one_bad_record_costs_only_itself() {
    let good = r#"{"body":{"stringValue":"good"}}"#;
    let json = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{good},{{"flags":-1}},7,{good}]}}]}}]}}"#
    );
    let decoded = logs(&json);
    assert_eq!(records(&decoded).len(), 2);
    assert_eq!(decoded.rejected, 2);
}

#[test]
fn deep_values_are_cut_and_whatever_is_read_can_be_written_and_read_again() {
    for depth in [1, 10, 30, 55] {
        let open = r#"{"arrayValue":{"values":["#.repeat(depth);
        let close = "]}}".repeat(depth);
        let json = format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{open}{close}}}]}}]}}]}}"#
        );
        if let Ok(decoded) = decode(
            Target::Signal(Signal::Logs),
            Encoding::Json,
            json.as_bytes(),
        ) {
            let bytes = decoded.request.encode();
            let again = Request::decode_protobuf(Signal::Logs, &bytes).expect("it reads again");
            assert_eq!(again, decoded.request);
        }
    }
    let bottomless = "[".repeat(100_000);
    assert!(decode(Target::Sniff, Encoding::Json, bottomless.as_bytes()).is_err());
}

#[test]
fn the_target_is_read_from_the_end_of_a_path() {
    let logs = Some(Target::Signal(Signal::Logs));
    let metrics = Some(Target::Signal(Signal::Metrics));
    for (path, target) in [
        ("/v1/logs", logs),
        ("/v1/logs/", logs),
        ("/v1/claude-cowork/otel/v1/logs", logs),
        ("/v1/claude-cowork/otel/v1/logs/v1/logs", logs),
        ("/v1/logs/v1/metrics", metrics),
        ("/", Some(Target::Sniff)),
        ("", Some(Target::Sniff)),
        ("/v1/claude-cowork/otel", Some(Target::Sniff)),
        ("/v1/catalogs", None),
        ("/logs", None),
        ("/v1/logs/extra", None),
    ] {
        assert_eq!(
            Target::of_path(path, Some("/v1/claude-cowork/otel")),
            target,
            "{path}"
        );
    }
    let endpoint = "https://h/v1/claude-cowork/otel/v1/logs";
    assert_eq!(sibling_endpoint(endpoint, Signal::Logs), endpoint);
    assert_eq!(
        sibling_endpoint(endpoint, Signal::Metrics),
        "https://h/v1/claude-cowork/otel/v1/metrics"
    );
    assert_eq!(
        sibling_endpoint("https://h:4318/", Signal::Traces),
        "https://h:4318/v1/traces"
    );
}

proptest! {
    #![proptest_config(cases(300, 7))]

    /// No bytes make the reader panic, and whatever it accepts is OTLP that reads again.
    #[test]
    fn any_bytes_are_refused_or_read(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            if let Ok(decoded) = decode(Target::Sniff, encoding, &body) {
                let signal = decoded.request.signal();
                prop_assert!(Request::decode_protobuf(signal, &decoded.request.encode()).is_ok());
            }
        }
    }

    /// The same for JSON that was once right.
    #[test]
    fn damaged_json_is_refused_or_read(at in 0_usize..2_000, with in "[\\[\\]{}\":,0-9a-z\\\\]{0,4}") {
        let mut json = String::from_utf8(wire::folder("list-files").remove(0).body).expect("text");
        let at = at.min(json.len());
        json.replace_range(at..(at + 3).min(json.len()), &with);
        if let Ok(decoded) = decode(Target::Sniff, Encoding::Json, json.as_bytes()) {
            let signal = decoded.request.signal();
            prop_assert!(Request::decode_protobuf(signal, &decoded.request.encode()).is_ok());
        }
    }
}
