//! Every text of a request is covered, and the request stays what it was otherwise.
use fieldpost::edge::redact::split_half;
use fieldpost::otlp::Request;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::redactor;
use super::world::*;

const COUNT: &str = "fieldpost.redaction.count";
const TYPES: &str = "fieldpost.redaction.types";
const SEQUENCE: &str = "fieldpost.edge.seq";

#[test]
fn no_secret_of_the_capture_remains_and_its_json_stays_json() {
    let captured = secrets_capture();
    let needles = made_up_secrets(&captured);
    assert!(
        needles.len() >= 4,
        "{} secrets in the capture",
        needles.len()
    );
    let encoded = Request::Logs(captured.clone()).encode();
    assert!(needles.iter().all(|needle| contains(&encoded, needle)));

    let redacted = redactor().redact(Request::Logs(captured.clone()));
    let encoded = redacted.request().encode();
    for needle in &needles {
        assert!(!contains(&encoded, needle), "{}… remains", &needle[..4]);
    }
    let Request::Logs(after) = redacted.into_request() else {
        panic!("the signal changed")
    };
    let mut parameters = 0;
    for (before, after) in records(&captured).zip(records(&after)) {
        for key in ["tool_parameters", "tool_input"] {
            if let (Some(Value::StringValue(before)), Some(Value::StringValue(after))) =
                (attribute(before, key), attribute(after, key))
            {
                parameters += 1;
                assert_eq!(is_json(&before), is_json(&after), "{after}");
            }
        }
        for key in [
            "session.id",
            "user.email",
            "user.id",
            "prompt.id",
            "tool_use_id",
            "event.timestamp",
        ] {
            assert_eq!(attribute(before, key), attribute(after, key));
        }
    }
    assert!(parameters >= 6, "{parameters} tool inputs in the capture");
}

#[test]
fn records_with_secrets_say_how_many_and_of_which_types() {
    let token = github_token();
    let prompt = format!(
        "use {token} or {token}, password=\"{}\"",
        ["hunter", "2!"].concat()
    );
    let after = redactor().redact(logs(vec![
        record(vec![text("prompt", &prompt)]),
        record(vec![text("prompt", "hi")]),
    ]));
    assert_eq!(after.record_count(), 2);
    let Request::Logs(after) = after.into_request() else {
        panic!("the signal changed")
    };
    let records: Vec<&LogRecord> = records(&after).collect();
    assert_eq!(attribute(records[0], COUNT), Some(Value::IntValue(3)));
    let types = ["github-token", "password"].map(|kind| AnyValue {
        value: Some(string(kind)),
    });
    assert_eq!(
        attribute(records[0], TYPES),
        Some(Value::ArrayValue(ArrayValue {
            values: types.to_vec()
        }))
    );
    assert_eq!(records[1].attributes.len(), 1);
}

#[test]
fn every_text_of_every_signal_is_covered() {
    let token = github_token();
    for request in everywhere(&token) {
        let places = occurrences(&request.encode(), token.as_bytes());
        let redacted = redactor().redact(request);
        let encoded = redacted.request().encode();
        assert_eq!(
            occurrences(&encoded, token.as_bytes()),
            0,
            "{}: {places} places",
            redacted.signal()
        );
        assert!(occurrences(&encoded, b"[REDACTED:github-token]") >= places);
        assert_eq!(
            redactor().redact(redacted.request().clone()),
            redacted,
            "a second time changes nothing"
        );
    }
}

#[test]
fn a_key_gives_its_value_away() {
    let secret = ["Gr8", "Lantern", "!77"].concat();
    let map = KeyValueList {
        values: vec![text("password", &secret)],
    };
    let record = record(vec![
        text("db.password", &secret),
        key_value("config", Value::KvlistValue(map)),
    ]);
    let after = redactor().redact(logs(vec![record]));
    assert!(!contains(&after.request().encode(), &secret));
    assert_eq!(
        attribute(&first_record(after.request()), COUNT),
        Some(Value::IntValue(2))
    );
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let bytes = key_value("blob", Value::BytesValue(vec![0xff, 0xfe, 0x00, 0x41]));
    let after = redactor().redact(logs(vec![record(vec![bytes])]));
    assert_eq!(
        attribute(&first_record(after.request()), "blob"),
        Some(string("[REDACTED:binary]"))
    );
}

#[test]
fn identity_passes_only_in_the_shape_of_an_identifier() {
    let token = github_token();
    let session = "1ad5a034-f7c2-4c28-9c9f-bb30a0a0ca4f";
    let after = redactor().redact(logs(vec![record(vec![
        text("session.id", session),
        text("user.id", &token),
    ])]));
    let record = first_record(after.request());
    assert_eq!(attribute(&record, "session.id"), Some(string(session)));
    assert_eq!(
        attribute(&record, "user.id"),
        Some(string("[REDACTED:github-token]"))
    );
}

#[test]
fn raw_bodies_are_dropped_and_other_bodies_are_not() {
    for (event, expected) in [
        ("api_response_body", "[REDACTED:raw-body]"),
        ("user_prompt", "hello"),
    ] {
        let mut record = record(vec![text("body", "hello")]);
        record.body = Some(AnyValue {
            value: Some(string(&format!("claude_code.{event}"))),
        });
        let after = redactor().redact(logs(vec![record]));
        assert_eq!(
            attribute(&first_record(after.request()), "body"),
            Some(string(expected))
        );
    }
}

#[test]
fn log_records_are_numbered_in_order_and_other_signals_are_not() {
    let forged = record(vec![key_value(SEQUENCE, Value::IntValue(1))]);
    let mut redacted = redactor().redact(logs(vec![record(vec![]), forged, record(vec![])]));
    assert_eq!(redacted.numbered_records(), 3);
    redacted.number_from(41);
    let Request::Logs(after) = redacted.request() else {
        panic!("the signal changed")
    };
    for (record, number) in records(after).zip(41..) {
        assert_eq!(attribute(record, SEQUENCE), Some(Value::IntValue(number)));
        assert_eq!(
            record
                .attributes
                .iter()
                .filter(|a| a.key == SEQUENCE)
                .count(),
            1
        );
    }
    for request in everywhere("nothing").into_iter().skip(1) {
        let mut redacted = redactor().redact(request);
        let before = redacted.clone();
        redacted.number_from(41);
        assert_eq!((redacted.numbered_records(), redacted), (0, before));
    }
}

#[test]
fn halves_keep_every_record_in_order_with_its_resource_and_scope() {
    let scope = |name: &str, bodies: &[&str]| ScopeLogs {
        scope: Some(InstrumentationScope {
            name: name.into(),
            ..Default::default()
        }),
        log_records: bodies
            .iter()
            .map(|body| record(vec![text("n", body)]))
            .collect(),
        ..Default::default()
    };
    let resource = |name: &str, scope_logs| ResourceLogs {
        resource: Some(Resource {
            attributes: vec![text("service.name", name)],
            ..Default::default()
        }),
        scope_logs,
        ..Default::default()
    };
    let whole = ExportLogsServiceRequest {
        resource_logs: vec![
            resource(
                "one",
                vec![scope("a", &["1"]), scope("b", &["2", "3", "4"])],
            ),
            resource("two", vec![scope("c", &["5"])]),
        ],
    };
    let all = placed(&whole);
    let (first, second) = redactor()
        .redact(Request::Logs(whole))
        .split_at_half()
        .expect("five records have halves");
    assert_eq!((first.record_count(), second.record_count()), (2, 3));
    let mut joined = Vec::new();
    for half in [first.into_request(), second.into_request()] {
        let Request::Logs(half) = half else {
            panic!("the signal changed")
        };
        joined.extend(placed(&half));
    }
    assert_eq!(joined, all);
}

#[test]
fn one_record_has_no_halves() {
    for request in everywhere("nothing") {
        assert_eq!(split_half(request.clone()), Err(request));
    }
}
