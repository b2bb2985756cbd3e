//! No secret gets past redaction, and nothing else changes.
//!
//! Secrets in these tests are made up, and put together when a test runs: no scanner of this source finds one.
use std::io::Read;
use std::sync::OnceLock;

use fieldpost::edge::redact::{RedactConfig, Redactor, split_half};
use fieldpost::otlp::Request;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use proptest::prelude::*;

const COUNT: &str = "fieldpost.redaction.count";
const TYPES: &str = "fieldpost.redaction.types";
const SEQUENCE: &str = "fieldpost.edge.seq";

/// The built-in rules, compiled once for all tests.
fn redactor() -> &'static Redactor {
    static REDACTOR: OnceLock<Redactor> = OnceLock::new();
    REDACTOR.get_or_init(Redactor::builtin)
}

fn redact(text: &str) -> String {
    redactor().redact_text(text).0.into_owned()
}

// ---- The rules ----

#[test]
fn every_rule_finds_its_examples_and_leaves_its_counter_examples() {
    let failures = redactor().check_rules().err().unwrap_or_default();
    assert!(
        failures.is_empty(),
        "{}",
        failures
            .iter()
            .map(|e| format!("{e}\n"))
            .collect::<String>()
    );
    assert!(
        redactor().rule_count() >= 100,
        "only {} rules",
        redactor().rule_count()
    );
}

#[test]
fn no_example_in_the_source_is_found_as_it_stands_there() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/edge/redact/rules.toml");
    let source = std::fs::read_to_string(source).expect("the rules are part of the source");
    let provider_formats = ["AKIA", "ghp_", "glpat-", "xoxb-", "sk_live_", "sk-ant-api"];
    for (number, line) in source
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("examples"))
    {
        for prefix in provider_formats {
            let whole = line.split(prefix).skip(1).any(|rest| {
                rest.bytes()
                    .take_while(|b| b.is_ascii_alphanumeric() || b"_-".contains(b))
                    .count()
                    >= 16
            });
            assert!(!whole, "line {}: {prefix}…", number + 1);
        }
    }
}

#[test]
fn without_secrets_the_text_stays_and_the_policy_acts() {
    let redactor = Redactor::new(&RedactConfig { secrets: false }).expect("the policy is valid");
    let token = github_token();
    assert_eq!(redactor.redact_text(&token).0, token);
    let record = record(vec![
        text("event.name", "api_request_body"),
        text("body", "whole conversation"),
    ]);
    let redacted = redactor.redact(logs(vec![record])).into_request();
    assert_eq!(
        attribute(&first_record(&redacted), "body"),
        Some(string("[REDACTED:raw-body]"))
    );
}

// ---- Notations of keys and values ----

#[test]
fn a_password_is_cut_from_every_notation_and_nothing_else_is() {
    let secret = ["Gr8", "Lantern", "!77"].concat();
    let notations = [
        "DB_PASSWORD=@",
        "export PGPASSWORD='@' && psql",
        "password: \"@\"",
        "{\"password\": \"@\", \"port\": 5432}",
        "{\"cmd\": \"{\\\"password\\\": \\\"@\\\"}\"}",
        "{\"a\": \"{\\\"b\\\": \\\"{\\\\\\\"password\\\\\\\": \\\\\\\"@\\\\\\\"}\\\"}\"}",
        "<server><password>@</password></server>",
        "jdbc:sqlserver://sql:1433;user=sa;password=@;encrypt=true",
        "const dbPassword: string = '@';",
        "password := \"@\"",
        "'password' => '@',",
        "define('DB_PASSWORD', '@');",
        "<add key=\"SmtpPassword\" value=\"@\"/>",
        "{\"name\": \"DB_PASSWORD\", \"value\": \"@\"}",
        "mycli login --password @ --host db",
        "mycli login --password=@ --host db",
        "machine git.example.com login ci password @",
        "postgres://app:@@db.internal:5432/prod",
        "sshpass -p '@' ssh admin@10.0.0.5",
        "mysql -u root -p@ -h db",
        "curl -u ci:@ https://example.com",
        "redis-cli -a @ ping",
        "https://example.com/login?password=@&page=2",
    ];
    for notation in notations {
        // The secret's place is the first `@`, or the second where the notation has its own after it.
        let place = if notation.contains("@@") { "@@" } else { "@" };
        let rest = if place == "@@" { "@" } else { "" };
        let before = notation.replacen(place, &format!("{secret}{rest}"), 1);
        let (after, hits) = redactor().redact_text(&before);
        assert_eq!(hits.total(), 1, "{before} became {after}");
        let kind = hits.by_type().next().expect("one hit has one type").0;
        assert_eq!(
            after,
            before.replace(&secret, &format!("[REDACTED:{kind}]")),
            "{before}"
        );
    }
}

#[test]
fn a_token_is_found_after_an_escape_and_ends_before_one() {
    let token = github_token();
    for (before, after) in [
        ("\\n", "\\n"),
        ("\\\\n", "\\\\\""),
        ("\\u0026t=", "\\u0026"),
        ("%3D", "%26"),
        ("(", ")"),
    ] {
        let text = format!("x{before}{token}{after}y");
        assert_eq!(
            redact(&text),
            format!("x{before}[REDACTED:github-token]{after}y")
        );
    }
}

#[test]
fn the_first_letter_of_a_token_stays_where_it_may_belong_to_an_escape() {
    let token = ["npm", "_", &"aB3dE5gH7j".repeat(4)[..36]].concat();
    let text = format!("{{\"a\": \"\\{token}\"}}");
    let after = redact(&text);
    assert_eq!(after, "{\"a\": \"\\n[REDACTED:npm-token]\"}");
    assert!(is_json(&after));
}

#[test]
fn a_bare_number_becomes_a_string_of_the_same_level() {
    assert_eq!(
        redact(r#"{"password": 8675309112}"#),
        r#"{"password": "[REDACTED:password]"}"#
    );
    assert_eq!(
        redact(r#"{"password": -867530911.2e5}"#),
        r#"{"password": "[REDACTED:password]"}"#
    );
    let nested = r#"{"a": "{\"password\": 8675309112}"}"#;
    assert_eq!(
        redact(nested),
        r#"{"a": "{\"password\": \"[REDACTED:password]\"}"}"#
    );
}

#[test]
fn a_private_key_goes_whole_or_cut_off_at_any_depth() {
    let body =
        |line_break: &str| vec!["MIIEvQIBADANBgkqhkiG9w0BAQEFAASC".repeat(2); 6].join(line_break);
    let [begin, end] =
        ["BEGIN", "END"].map(|word| format!("-----{word} RSA {} KEY-----", "PRIVATE"));
    for line_break in ["\n", "\\n", "\\\\n", "\r\n", "\\\\\\\\n"] {
        let whole = format!(
            "cat key\n{begin}{line_break}{}{line_break}{end}\nok",
            body(line_break)
        );
        let expected =
            format!("cat key\n{begin}{line_break}[REDACTED:private-key]{line_break}{end}\nok");
        assert_eq!(redact(&whole), expected);
        let cut = format!("{begin}{line_break}{}", body(line_break));
        assert_eq!(
            redact(&cut),
            format!("{begin}{line_break}[REDACTED:private-key]")
        );
    }
    let public = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----",
        body("\n")
    );
    assert_eq!(redact(&public), public);
}

#[test]
fn a_secret_of_long_characters_is_cut_between_characters() {
    for length in [100, 127, 128, 129, 255, 256, 600, 3000] {
        for character in ["é", "日", "🔑"] {
            let secret = format!("7!{}", character.repeat(length));
            for text in [
                format!("postgres://app:{secret}@db/x"),
                format!("curl -u ci:{secret} x"),
                format!("password={secret}"),
            ] {
                let once = redact(&text);
                assert_eq!(redact(&once), once);
            }
        }
    }
}

#[test]
fn what_only_names_a_secret_stays() {
    let names = [
        "db_pass = os.environ[\"APP_DB_PASS2\"]",
        "SESSION_SECRET=$(pass show web/session2)",
        "mysql -h db1 -u shop -p\"$SHOP_DB_PW\" orders",
        "curl --user \"$ROBOT:$ROBOT_PASS1\" https://ci.example.com",
        "const token = getToken(user2);",
        "secretName: shop-frontend-tls-0042",
        "cache_key=5d8f0a1b9c3e7d2f6a4b8c0e1d3f5a7b9c1e3d5f",
        "Idempotency-Key: 0b9d7c3a-58f2-4e61-9a0d-c4e87b215f36",
        "kms_key_id = \"arn:aws:kms:eu-west-3:123456789012:key/0b9d7c3a-58f2-4e61-9a0d-c4e87b215f36\"",
        "To change your password, open the link with the token that we mailed on day 21.",
        "max_tokens: 200000, token_count: 31415926535",
        "Authorization: Bearer <token>",
        "password=********",
        "smtp_password: ENC[AES256_GCM,data:q1w2e3r4t5y6u7i8o9p0,type:str]",
        "request_id: req_011Qz7TtBv5nXk2LmR9pWc4Yd",
        "https://localhost:8080/@scope/package",
    ];
    for name in names {
        assert_eq!(redact(name), name);
    }
}

#[test]
fn the_more_specific_type_names_what_several_rules_find() {
    let token = github_token();
    assert_eq!(
        redact(&format!("API_TOKEN=\"{token}\"")),
        "API_TOKEN=\"[REDACTED:github-token]\""
    );
    assert_eq!(
        redact(&format!("Authorization: Bearer {token}")),
        "Authorization: Bearer [REDACTED:github-token]"
    );
}

#[test]
fn brackets_of_ones_own_hide_no_secret() {
    let token = github_token();
    for text in [
        format!("[REDACTED:{token}]"),
        format!("[REDACTED:note {token}"),
        format!("[REDACTED:github-token]{token}"),
    ] {
        let after = redact(&text);
        assert!(!after.contains(&token), "{text} became {after}");
        assert_eq!(redact(&after), after);
    }
    let password = "correct4horse-battery";
    let after = redact(&format!("[REDACTED:password={password}"));
    assert!(!after.contains(password), "{after}");
}

#[test]
fn a_text_that_costs_too_much_work_is_replaced_whole() {
    let text = "token=key=secret=".repeat(60_000);
    let (after, hits) = redactor().redact_text(&text);
    assert_eq!(after, "[REDACTED:budget]");
    assert_eq!(hits.by_type().collect::<Vec<_>>(), [("budget", 1)]);
}

// ---- Requests ----

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

// ---- Properties ----

/// Pieces of text that are nasty together.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "\"",
            "'",
            "`",
            "\\",
            "\\\\",
            "\\n",
            "\\\"",
            "\n",
            " ",
            "=",
            ":",
            ": ",
            ",",
            "{",
            "}",
            "[",
            "]",
            "(",
            ")",
            "<",
            ">",
            "password",
            "token",
            "secret",
            "api_key",
            "Authorization: Bearer ",
            "://",
            "@",
            "user:",
            "-p ",
            "--password ",
            "value",
            "KEY",
            "is ",
            "-----",
            "[REDACTED:",
            "[REDACTED:password]",
            "$",
            "${X}",
            "%",
            "é",
            "日本",
            "🔑",
            "\u{0}",
            "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----",
            "eyJ",
            "ghp_",
            "sk-",
            "AKIA",
            "npm_",
            "xoxb-",
            "8675309112",
            "-1.5e9",
            "q8Zk2LmX9vTd4RwY",
            "Gr8Lantern!77",
            "MIIEvQIBADANBgkqhkiG9w0BAQ",
            "null",
            "true",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z0-9_/+=!-]{1,40}",
    ]
}

fn nasty_text() -> impl Strategy<Value = String> {
    prop::collection::vec(fragment(), 0..24).prop_map(|parts| parts.concat())
}

/// A document whose keys and values are nasty, with documents as strings in it up to `depth`.
fn nasty_json(depth: u32) -> BoxedStrategy<serde_json::Value> {
    let key = prop_oneof![
        Just("password".to_owned()),
        Just("apiKey".to_owned()),
        Just("command".to_owned()),
        nasty_text()
    ];
    let number = prop_oneof![
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from)
    ];
    let leaf =
        prop_oneof![4 => nasty_text().prop_map(serde_json::Value::from), 1 => number].boxed();
    let value = match depth {
        0 => leaf,
        _ => prop_oneof![1 => leaf, 2 => nasty_json(depth - 1).prop_map(|inner| inner.to_string().into())].boxed(),
    };
    prop::collection::vec((key, value), 1..4)
        .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect()))
        .boxed()
}

/// How many documents there are, those in strings included; none when one does not parse any more.
fn documents(text: &str) -> usize {
    fn inside(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Object(map) => map.values().map(inside).sum(),
            serde_json::Value::Array(values) => values.iter().map(inside).sum(),
            serde_json::Value::String(text) if text.starts_with('{') => documents(text),
            _ => 0,
        }
    }
    serde_json::from_str(text).map_or(0, |value| 1 + inside(&value))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_second_time_changes_nothing(text in nasty_text()) {
        let once = redact(&text);
        prop_assert_eq!(redact(&once), once);
    }

    #[test]
    fn json_stays_json_at_every_level(document in nasty_json(2)) {
        let text = document.to_string();
        let after = redact(&text);
        prop_assert_eq!(documents(&after), documents(&text), "{} became {}", text, after);
    }

    #[test]
    fn a_planted_token_is_gone_wherever_it_stands(
        before in nasty_text(), after in nasty_text(), depth in 0usize..4, body in "[A-Za-z0-9]{36}"
    ) {
        // A letter or digit beside it would make it part of another word.
        let token = ["ghp", "_", &body].concat();
        let mut text = format!("{before} {token} {after}");
        for _ in 0..depth {
            text = serde_json::json!({ "text": text }).to_string();
        }
        prop_assume!(body.bytes().collect::<std::collections::HashSet<_>>().len() > 12);
        prop_assert!(!redact(&text).contains(&token), "{}", text);
    }
}

// ---- The world of these tests ----

fn github_token() -> String {
    ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA2bC4"].concat()
}

fn string(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    key_value(key, string(value))
}

fn record(attributes: Vec<KeyValue>) -> LogRecord {
    LogRecord {
        attributes,
        ..Default::default()
    }
}

fn logs(log_records: Vec<LogRecord>) -> Request {
    let scope_logs = vec![ScopeLogs {
        log_records,
        ..Default::default()
    }];
    Request::Logs(ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs,
            ..Default::default()
        }],
    })
}

fn records(logs: &ExportLogsServiceRequest) -> impl Iterator<Item = &LogRecord> {
    logs.resource_logs
        .iter()
        .flat_map(|resource| &resource.scope_logs)
        .flat_map(|scope| &scope.log_records)
}

fn first_record(request: &Request) -> LogRecord {
    let Request::Logs(logs) = request else {
        panic!("the signal changed")
    };
    records(logs).next().expect("a record").clone()
}

fn attribute(record: &LogRecord, key: &str) -> Option<Value> {
    record
        .attributes
        .iter()
        .find(|attribute| attribute.key == key)?
        .value
        .as_ref()?
        .value
        .clone()
}

/// Each record's first attribute with the names of its resource and scope.
fn placed(logs: &ExportLogsServiceRequest) -> Vec<(Option<Resource>, String, KeyValue)> {
    let mut placed = Vec::new();
    for resource in &logs.resource_logs {
        for scope in &resource.scope_logs {
            let name = scope
                .scope
                .as_ref()
                .map_or(String::new(), |scope| scope.name.clone());
            for record in &scope.log_records {
                placed.push((
                    resource.resource.clone(),
                    name.clone(),
                    record.attributes[0].clone(),
                ));
            }
        }
    }
    placed
}

/// A request of each signal with one record and the secret in every text it can hold.
fn everywhere(secret: &str) -> [Request; 3] {
    let attributes = || {
        let values = vec![AnyValue {
            value: Some(string(secret)),
        }];
        let list = KeyValueList {
            values: vec![key_value("list", Value::ArrayValue(ArrayValue { values }))],
        };
        vec![
            text("command", secret),
            key_value("bytes", Value::BytesValue(secret.as_bytes().to_vec())),
            key_value("nested", Value::KvlistValue(list)),
        ]
    };
    let resource = || {
        Some(Resource {
            attributes: attributes(),
            ..Default::default()
        })
    };
    let scope = || {
        Some(InstrumentationScope {
            name: secret.into(),
            version: secret.into(),
            attributes: attributes(),
            ..Default::default()
        })
    };
    let log_record = LogRecord {
        severity_text: secret.into(),
        event_name: secret.into(),
        body: Some(AnyValue {
            value: Some(string(secret)),
        }),
        attributes: attributes(),
        ..Default::default()
    };
    let scope_logs = vec![ScopeLogs {
        scope: scope(),
        log_records: vec![log_record],
        schema_url: secret.into(),
    }];
    let point = NumberDataPoint {
        attributes: attributes(),
        exemplars: vec![Exemplar {
            filtered_attributes: attributes(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let metric = Metric {
        name: secret.into(),
        description: secret.into(),
        unit: secret.into(),
        metadata: attributes(),
        data: Some(Data::Sum(Sum {
            data_points: vec![point],
            ..Default::default()
        })),
    };
    let scope_metrics = vec![ScopeMetrics {
        scope: scope(),
        metrics: vec![metric],
        schema_url: secret.into(),
    }];
    let span = Span {
        name: secret.into(),
        trace_state: secret.into(),
        attributes: attributes(),
        events: vec![span::Event {
            name: secret.into(),
            attributes: attributes(),
            ..Default::default()
        }],
        links: vec![span::Link {
            trace_state: secret.into(),
            attributes: attributes(),
            ..Default::default()
        }],
        status: Some(Status {
            message: secret.into(),
            code: 2,
        }),
        ..Default::default()
    };
    let scope_spans = vec![ScopeSpans {
        scope: scope(),
        spans: vec![span],
        schema_url: secret.into(),
    }];
    [
        Request::Logs(ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: resource(),
                scope_logs,
                schema_url: secret.into(),
            }],
        }),
        Request::Metrics(ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: resource(),
                scope_metrics,
                schema_url: secret.into(),
            }],
        }),
        Request::Traces(ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: resource(),
                scope_spans,
                schema_url: secret.into(),
            }],
        }),
    ]
}

/// What the real client sent when made-up secrets were put into its prompt and its commands.
fn secrets_capture() -> ExportLogsServiceRequest {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/wire/secrets/001-logs.json.gz"
    );
    let file = std::fs::File::open(path).expect("the capture is part of the tests");
    let mut json = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut json)
        .expect("the capture is gzip");
    serde_json::from_str(&json).expect("the capture is OTLP")
}

/// The secrets of the capture, read from it by what stands around them.
fn made_up_secrets(capture: &ExportLogsServiceRequest) -> Vec<String> {
    let around = [
        ("My key is ", " "),
        ("AWS_ACCESS_KEY_ID=", " "),
        ("AWS_SECRET_ACCESS_KEY=", ";"),
        ("postgres://app:", "@"),
    ];
    let texts: Vec<String> = records(capture)
        .flat_map(|record| &record.attributes)
        .filter_map(
            |attribute| match attribute.value.as_ref()?.value.as_ref()? {
                Value::StringValue(text) => Some(text.clone()),
                _ => None,
            },
        )
        .collect();
    let mut secrets = Vec::new();
    for (before, after) in around {
        let rest = texts.iter().find_map(|text| text.split_once(before));
        let (secret, _) = rest
            .and_then(|(_, rest)| rest.split_once(after))
            .expect("the capture holds it");
        secrets.push(secret.to_owned());
    }
    secrets
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok()
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    occurrences(bytes, needle.as_bytes()) > 0
}

fn occurrences(bytes: &[u8], needle: &[u8]) -> usize {
    bytes
        .windows(needle.len())
        .filter(|window| *window == needle)
        .count()
}
