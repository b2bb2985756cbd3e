//! The rules keep their own promises.
use fieldpost::edge::redact::{RedactConfig, Redactor};

use super::world::{attribute, first_record, github_token, logs, record, string, text};
use super::{redact, redactor};

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

#[test]
fn what_documentation_writes_in_a_secrets_place_is_left_alone() {
    let repeated = "a".repeat(31);
    let slack = ["xox", "p-572370529330-573807301142-572331691188-"].concat();
    let texts = [
        format!("SUPABASE_SERVICE_ROLE_KEY=sb_secret_{repeated}"),
        "cloudinary_secret: abcdefghijklmnopqrstuvwxyz12345".to_owned(),
        "meraki: 0123456789mnopqrstuvwx12345678".to_owned(),
        "PINECONE_API_KEY=00000000-0000-0000-0000-000000000000".to_owned(),
        "airtable_oauth_token = EXAMPLE.v2.XYZ123_ABC.abcdef123456".to_owned(),
        "session token xoxd-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned(),
        format!("seen as {slack}{}", "#".repeat(20)),
        "upload_token = abcd_01DQE3".to_owned(),
        ["nonMatchingToken := \"q8zk2lm", "x9vtd4rwy\""].concat(),
        "apiVersion: v1\nkind: Secret\ndata:\n  extra: YmFyCg==".to_owned(),
    ];
    for text in texts {
        assert_eq!(redact(&text), text);
    }
}

#[test]
fn what_only_looks_a_little_like_it_is_found() {
    let value = ["q8zk2lm", "X9vTd4RwYb"].concat();
    let texts = [
        format!("existing_token = {value}"),
        format!("SUPABASE_SERVICE_ROLE_KEY=sb_secret_aaaaaaa{value}aaaaaaa"),
        format!("PINECONE_API_KEY=12345678-{value}"),
        format!("my token={value} **** and more"),
        format!("kind: Secret\ndata:\n  extra: {}", "aHVudGVyMg=="),
    ];
    for text in texts {
        assert_ne!(redact(&text), text);
    }
}
