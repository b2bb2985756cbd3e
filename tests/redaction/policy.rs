//! What the policy does beside the placeholders: cuts long values, hides who people are, and drops attributes and
//! records; and what the strict profile adds.
use std::fs;

use fieldpost::edge::redact::{Identity, Profile, RedactConfig, Redactor};
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};

use super::world::{attribute, first_record, github_token, logs, record, string, text};
use super::{redact, redactor};

fn with(config: RedactConfig) -> Redactor {
    let redactor = Redactor::new(&config).expect("a good configuration");
    assert_eq!(redactor.refusals(), []);
    redactor
}

fn strict() -> Redactor {
    with(RedactConfig {
        profile: Profile::Strict,
        ..RedactConfig::default()
    })
}

/// The attribute `key` of a record that held `attributes`.
fn after(redactor: &Redactor, attributes: &[(&str, &str)], key: &str) -> Option<Value> {
    let attributes = attributes.iter().map(|(key, value)| text(key, value));
    let request = logs(vec![record(attributes.collect())]);
    let once = redactor.redact(request);
    let twice = redactor.redact(once.request().clone());
    let [first, second] =
        [&once, &twice].map(|redacted| attribute(&first_record(redacted.request()), key));
    assert_eq!(first, second, "a second time changes nothing");
    first
}

fn private_key() -> String {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7".repeat(8);
    let name = ["PRIVATE", "KEY"].join(" ");
    format!("-----BEGIN {name}-----\n{body}\n-----END {name}-----")
}

#[test]
fn long_prompts_and_answers_are_cut_after_their_redaction_and_say_so() {
    let event = ("event.name", "user_prompt");
    let prompt = format!("{} {}", "a b c d ".repeat(8_192), github_token());
    let cut = after(redactor(), &[event, ("prompt", &prompt)], "prompt");
    let Some(Value::StringValue(cut)) = cut else {
        panic!("it is text: {cut:?}")
    };
    let (kept, mark) = cut.split_at(64 << 10);
    assert!(prompt.starts_with(kept));
    // What is missing is the placeholder and the blank before it.
    assert_eq!(
        mark,
        format!("[TRUNCATED:{}]", " [REDACTED:github-token]".len())
    );
    let output = "x y ".repeat(10_000);
    let cut = after(redactor(), &[("tool_output", &output)], "tool_output");
    let expected = format!("{}[TRUNCATED:{}]", &output[..32 << 10], 40_000 - (32 << 10));
    assert_eq!(cut, Some(string(&expected)));
    // Others stay whole.
    let parameters = after(
        redactor(),
        &[event, ("tool_parameters", &output)],
        "tool_parameters",
    );
    assert_eq!(parameters, Some(string(&output)));
}

#[test]
fn a_cut_counts_in_the_records_annotation() {
    let long = "x y ".repeat(20_000);
    let types = after(
        redactor(),
        &[("prompt", &long)],
        "fieldpost.redaction.types",
    );
    let Some(Value::ArrayValue(types)) = types else {
        panic!("a list: {types:?}")
    };
    let value = Some(string("truncated"));
    assert_eq!(types.values, [AnyValue { value }]);
}

#[test]
fn who_people_are_stays_is_hashed_or_goes() {
    let attributes = [
        ("user.email", "ada@acme.example"),
        ("process.owner", "ada"),
        ("session.id", "0b7cc1f4-4f57-4a51-9a9e-4a7d6f3b2c11"),
    ];
    let redactor = |identity| {
        with(RedactConfig {
            identity,
            ..RedactConfig::default()
        })
    };
    let keep = redactor(Identity::Keep);
    assert_eq!(
        after(&keep, &attributes, "user.email"),
        Some(string("ada@acme.example"))
    );
    let drop = redactor(Identity::Drop);
    for key in ["user.email", "process.owner"] {
        assert_eq!(
            after(&drop, &attributes, key),
            Some(string("[REDACTED:identity]"))
        );
    }
    let [one, other] = [7, 8].map(|key| redactor(Identity::Hmac).with_identity_key([key; 32]));
    let Some(Value::StringValue(hash)) = after(&one, &attributes, "process.owner") else {
        panic!("it is text")
    };
    assert!(hash.starts_with("[REDACTED:identity:h="), "{hash}");
    let elsewhere = after(&one, &[("enduser.id", "ada")], "enduser.id");
    assert_eq!(elsewhere, Some(string(&hash)), "equal under one key");
    assert_ne!(
        after(&other, &attributes, "process.owner"),
        Some(string(&hash))
    );
    // Sessions are told apart all the same.
    assert_eq!(
        after(&drop, &attributes, "session.id"),
        Some(string(attributes[2].1))
    );
}

#[test]
fn what_is_found_can_drop_an_attribute_or_a_record() {
    let directory = tempfile::tempdir().expect("a directory");
    let rules = directory.path().join("rules.toml");
    let text_of =
        |action: &str| format!("[[found]]\ntypes = [\"github-token\"]\naction = \"{action}\"\n");
    let held = format!("push with {}", github_token());
    let attributes = [
        ("event.name", "tool_result"),
        ("tool_input", held.as_str()),
        ("note", "harmless"),
    ];
    let read = |action: &str| {
        fs::write(&rules, text_of(action)).expect("writable");
        with(RedactConfig {
            rules: vec![rules.clone()],
            ..RedactConfig::default()
        })
    };
    let drops_attributes = read("drop-attribute");
    let tool_input = after(&drops_attributes, &attributes, "tool_input");
    assert_eq!(tool_input, Some(string("[REDACTED:github-token]")));
    assert_eq!(
        after(&drops_attributes, &attributes, "note"),
        Some(string("harmless"))
    );
    let drops_records = read("drop-record");
    assert_eq!(after(&drops_records, &attributes, "note"), None);
    assert_eq!(after(&drops_records, &attributes, "tool_input"), None);
    assert_eq!(
        after(&drops_records, &attributes, "event.name"),
        Some(string("tool_result"))
    );
    // The record is there, and says why it is empty.
    let attributes = attributes.map(|(key, value)| text(key, value)).to_vec();
    let redacted = drops_records.redact(logs(vec![record(attributes)]));
    let left = first_record(redacted.request());
    let body = left.body.as_ref().and_then(|body| body.value.clone());
    assert_eq!(body, Some(string("[REDACTED:record]")));
    assert!(attribute(&left, "fieldpost.redaction.types").is_some());
}

#[test]
fn what_a_file_says_wrongly_of_the_policy_is_refused_with_its_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let rules = directory.path().join("rules.toml");
    let wrong = [
        (
            "[[found]]\ntypes = [\"no-such-type\"]\naction = \"drop-record\"\n",
            "no rule finds",
        ),
        (
            "[[found]]\ntypes = []\naction = \"drop-record\"\n",
            "names no type",
        ),
        ("[[found]]\ntypes = [\"jwt\"]\naction = \"burn\"\n", "burn"),
        ("[[allow]]\ntexts = [\"key\"]\n", "by chance"),
        (
            "[[allow]]\ntexts = [\"acme-demo\"]\ntypes = [\"no-such-type\"]\n",
            "no rule finds",
        ),
        (
            "[[attribute]]\nkeys = [\"a\"]\naction = \"search\"\ntruncate = 3\n",
            "64 bytes or more",
        ),
        (
            "[[attribute]]\nkeys = [\"a\"]\naction = \"drop\"\ntruncate = 99\n",
            "search",
        ),
    ];
    for (text, reason) in wrong {
        fs::write(&rules, format!("# rules\n{text}")).expect("writable");
        let redactor = Redactor::new(&RedactConfig {
            rules: vec![rules.clone()],
            ..RedactConfig::default()
        });
        let redactor = redactor.expect("the file can be read");
        let [refusal] = redactor.refusals() else {
            panic!("{text}: {:?}", redactor.refusals())
        };
        let told = refusal.to_string();
        assert!(told.contains(reason), "{told}");
        assert!((2..=5).contains(&refusal.line.expect("a line")), "{told}");
    }
    let unknown = Redactor::new(&RedactConfig {
        enable: vec!["no-such-rule".to_owned()],
        ..RedactConfig::default()
    });
    let unknown = unknown.expect("no file is read");
    assert!(
        unknown.refusals()[0]
            .to_string()
            .contains("redact.enable: there is no rule")
    );
}

#[test]
fn the_strict_profile_drops_what_tools_answer_and_finds_personal_data() {
    let strict = strict();
    strict
        .check_rules()
        .expect("rules that are off otherwise find their examples");
    let output = after(&strict, &[("tool_output", "total 0")], "tool_output");
    assert_eq!(output, Some(string("[REDACTED:tool-output]")));
    let held = format!("look: {} and more", private_key());
    let attribute = after(&strict, &[("tool_input", &held)], "tool_input");
    assert_eq!(attribute, Some(string("[REDACTED:private-key]")));
    let prompt = after(
        &strict,
        &[("prompt", "write to ada@acme.example")],
        "prompt",
    );
    assert_eq!(prompt, Some(string("write to [REDACTED:email]")));
    let Some(Value::StringValue(masked)) =
        after(redactor(), &[("tool_input", &held)], "tool_input")
    else {
        panic!("it is text")
    };
    assert!(
        masked.starts_with("look: ") && masked.ends_with(" and more"),
        "{masked}"
    );
}

#[test]
fn names_in_home_directories_are_hidden_when_asked() {
    let redactor = with(RedactConfig {
        enable: vec!["home-directory".to_owned()],
        ..RedactConfig::default()
    });
    let name = ["ali", "ce"].concat();
    for (before, after) in [
        (
            "cat /home/#/a.txt",
            "cat /home/[REDACTED:home-directory]/a.txt",
        ),
        (
            r#"{"cwd":"/Users/#"}"#,
            r#"{"cwd":"/Users/[REDACTED:home-directory]"}"#,
        ),
        (r"C:\Users\#\x", r"C:\Users\[REDACTED:home-directory]\x"),
        (
            r#""C:\\Users\\#\\x""#,
            r#""C:\\Users\\[REDACTED:home-directory]\\x""#,
        ),
    ] {
        let text = before.replace('#', &name);
        assert_eq!(redactor.redact_text(&text).0, after);
        assert_eq!(redactor.redact_text(after).0, after);
        assert_eq!(redact(&text), text, "nobody asked");
    }
}

#[test]
fn pictures_and_signatures_of_thoughts_stay_whole() {
    let run = "EqoBCkgIARABGAIiQL2UoU0b1OHYi+Kf/token=Key7A"
        .replace('=', "+")
        .repeat(6);
    for text in [
        format!(r#"{{"type":"thinking","thinking":"so","signature":"{run}"}}"#),
        format!(r#"{{\"type\":\"thinking\",\"signature\":\"{run}\"}}"#),
        format!(r#"{{"source":{{"type":"base64","media_type":"image/png","data":"{run}"}}}}"#),
        format!("<img src=\"data:image/png;base64,{run}\">"),
    ] {
        assert_eq!(redact(&text), text);
        let held = format!("{text} {}", github_token());
        assert_eq!(redact(&held), format!("{text} [REDACTED:github-token]"));
    }
    // A short one is a key like any other.
    let short = ["q8zk2lmX9vTd4RwYb", "7Hs3KfPq"].concat();
    assert_ne!(
        redact(&format!("signature_key={short}")),
        format!("signature_key={short}")
    );
}

#[test]
fn profiles_and_identities_can_be_configured() {
    let text =
        "[redact]\nprofile = \"strict\"\nidentity = \"hmac\"\nenable = [\"home-directory\"]\n";
    let config = RedactConfig::parse(text, &|_| None).expect("a good section");
    assert_eq!(config.profile, Profile::Strict);
    assert_eq!(config.identity, Identity::Hmac);
    assert_eq!(config.enable, ["home-directory"]);
    let wrong = "[redact]\nprofile = \"lax\"\nidentity = \"forget\"\n";
    let mistakes = RedactConfig::parse(wrong, &|_| None).expect_err("two mistakes");
    let told = mistakes.to_string();
    assert!(
        told.contains("redact.profile") && told.contains("redact.identity"),
        "{told}"
    );
    assert!(strict().rules().any(|rule| rule.id == "home-directory"));
    assert!(!redactor().rules().any(|rule| rule.id == "home-directory"));
}
