//! The rules keep their own promises.
use fieldpost::edge::redact::{RedactConfig, Redactor};

use super::redactor;
use super::world::{attribute, first_record, github_token, logs, record, string, text};

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
        redactor().rule_count() >= 300,
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
    let redactor = Redactor::new(&RedactConfig {
        secrets: false,
        ..RedactConfig::default()
    })
    .expect("the policy is valid");
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
