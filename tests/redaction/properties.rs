//! What holds for any text: JSON stays JSON, a second time changes nothing, planted secrets are gone.
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::redact;

fn redact_all(text: &str) -> String {
    super::personal::with_all_kinds()
        .redact_text(text)
        .0
        .into_owned()
}

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
            "4111111111111111",
            "ada@example.org",
            "+14155550132",
            "2001:db8::8a2e:370:7334",
            "DE89370400440532013000",
            "kind: Secret",
            "data: ",
            "YWRtaW46cGFzc3dvcmQ=",
            "\\/",
            "shodan key ",
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

pub(super) fn nasty_text() -> impl Strategy<Value = String> {
    prop::collection::vec(fragment(), 0..24).prop_map(|parts| parts.concat())
}

/// A document whose keys and values are nasty, with documents as strings in it up to `depth`.
pub(super) fn nasty_json(depth: u32) -> BoxedStrategy<serde_json::Value> {
    let key = prop_oneof![
        Just("password".to_owned()),
        Just("apiKey".to_owned()),
        Just("command".to_owned()),
        nasty_text()
    ];
    let number = prop_oneof![
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::from(4_111_111_111_111_111_u64))
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

/// So many cases, the same each time, so that a test fails for a change alone. `PROPTEST_CASES` makes a long run of
/// other cases each time: `PROPTEST_CASES=100000 tests/run redaction::properties`.
pub(super) fn cases(cases: u32, seed: u64) -> ProptestConfig {
    let long = std::env::var("PROPTEST_CASES").ok();
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    match long.and_then(|number| number.parse().ok()) {
        Some(cases) => ProptestConfig { cases, ..config },
        None => ProptestConfig {
            cases,
            rng_seed: RngSeed::Fixed(seed),
            ..config
        },
    }
}

proptest! {
    #![proptest_config(cases(192, 3))]

    #[test]
    fn a_second_time_changes_nothing(text in nasty_text()) {
        let once = redact(&text);
        prop_assert_eq!(redact(&once), once);
        let once = redact_all(&text);
        prop_assert_eq!(redact_all(&once), once);
    }

    #[test]
    fn json_stays_json_at_every_level(document in nasty_json(2)) {
        let text = document.to_string();
        let after = redact(&text);
        prop_assert_eq!(documents(&after), documents(&text), "{} became {}", text, after);
        let after = redact_all(&text);
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
