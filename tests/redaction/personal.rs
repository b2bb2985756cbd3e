//! Personal data: found by kind, and only where it is switched on.
use std::sync::OnceLock;

use fieldpost::edge::redact::{PiiKind, Redactor};
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::redact;
use super::world::{attribute, first_record, github_token, is_json, logs, record, string, text};

pub(super) fn with_all_kinds() -> &'static Redactor {
    static REDACTOR: OnceLock<Redactor> = OnceLock::new();
    REDACTOR.get_or_init(|| Redactor::builtin().with_pii(PiiKind::ALL))
}

#[test]
fn each_kind_is_found_in_its_notations_and_nothing_else_is_cut() {
    let redactor = with_all_kinds();
    for (before, secret, kind) in [
        (
            "mail to <@@>, please",
            "ada.lovelace+post@sub.example.org",
            "email",
        ),
        ("mailto:@@?subject=x", "ada@example.org", "email"),
        ("?user=@@&x=1", "ada%40example.org", "email"),
        ("x\\n@@\\n", "2ada@example.org", "email"),
        ("| @@ | VISA |", "4111 1111 1111 1111", "card"),
        ("pay 20 with @@, cvv", "3782-822463-10005", "card"),
        ("PAN=@@;", "5555555555554444", "card"),
        ("IBAN: @@, BIC", "GB82 WEST 1234 5698 7654 32", "iban"),
        ("to @@.", "DE89370400440532013000", "iban"),
        ("tel: @@ (work)", "+49 30 901820", "phone"),
        ("call @@!", "(415) 555-0132", "phone"),
        ("call @@!", "415-555-0132", "phone"),
        ("sms to @@", "+14155550132", "phone"),
        ("Telefon, phone: @@", "030 901 8200", "phone"),
        ("ssn @@ dob", "219-09-9999", "ssn"),
        ("ssn=@@", "219099999", "ssn"),
        ("http://@@:8080/x", "192.168.4.17", "ip"),
        ("ssh root@ @@", "203.0.113.9", "ip"),
        ("inet6 @@/64 scope", "2001:db8::8a2e:370:7334", "ip"),
        ("[@@]:443", "fe80:1:2:3:4:5:6:77", "ip"),
    ] {
        let text = before.replacen("@@", secret, 1);
        let (after, hits) = redactor.redact_text(&text);
        let expected = before.replacen("@@", &format!("[REDACTED:{kind}]"), 1);
        assert_eq!(after, expected, "{text}");
        assert_eq!(hits.by_type().collect::<Vec<_>>(), [(kind, 1)]);
        assert_eq!(
            redactor.redact_text(&after).0,
            after,
            "a second time changes nothing"
        );
        assert_eq!(redact(&text), text, "off by default");
    }
}

#[test]
fn what_only_looks_like_personal_data_stays() {
    let redactor = with_all_kinds();
    for text in [
        "git clone git@github.com:a/b.git",
        "npm i @scope/package@1.2.3 icon@2x.png getty@tty1.service",
        "Co-Authored-By: Claude <noreply@anthropic.com>",
        "4111 1111 1111 1112 and 4111111111111112 and 1111111111111117",
        "\"span_id\": 4111111111111111",
        "0.4111111111111111 and 4111111111111111.5 and x4111111111111111",
        "GB82WEST12345698765433 and XX82WEST12345698765432",
        "@@ -10,7 +12,9 @@ and 2026-11-23T10:00:00+0100 and +1700000000",
        "1-800-x, 123-45, 555-1234, 2026-11-23, 12:30:59",
        "000-12-3456 and 666-12-3456 and 912-12-3456 and 123-00-4567 and 123-45-0000",
        "Chrome/130.0.0.0 and version 1.2.3.4 and pkg==1.2.3.4 and 1.2.3.4.5 and 127.0.0.1 and 256.1.1.1",
        "std::add::face and 12:34:56:78 and aa:bb:cc:dd:ee:ff and ::1 and dead::beef",
    ] {
        assert_eq!(redactor.redact_text(text).0, text);
    }
}

#[test]
fn only_the_kinds_that_are_switched_on_are_cut() {
    let text = "ada@example.org from 192.168.4.17";
    let redactor = Redactor::builtin().with_pii(["ip".parse().expect("a kind")]);
    assert_eq!(
        redactor.redact_text(text).0,
        "ada@example.org from [REDACTED:ip]"
    );
    let error = "address".parse::<PiiKind>().expect_err("no kind");
    assert!(error.to_string().contains("email, card, iban"), "{error}");
    for kind in PiiKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
}

#[test]
fn a_bare_card_number_becomes_a_string_of_the_same_level() {
    let redactor = with_all_kinds();
    for (before, after) in [
        (
            r#"{"a": "{\"pan\": 4111111111111111}"}"#,
            r#"{"a": "{\"pan\": \"[REDACTED:card]\"}"}"#,
        ),
        (
            r#"{"pans": [4111111111111111, 5555555555554444]}"#,
            r#"{"pans": ["[REDACTED:card]", "[REDACTED:card]"]}"#,
        ),
        (
            r#"{"a": ":4111111111111111"}"#,
            r#"{"a": ":[REDACTED:card]"}"#,
        ),
    ] {
        assert_eq!(redactor.redact_text(before).0, after);
        assert!(is_json(after));
    }
}

#[test]
fn attributes_of_identity_keep_personal_data_and_lose_secrets() {
    let token = github_token();
    let identity = format!("Ada Lovelace, ada@example.org, {token}");
    let record = record(vec![
        text("user.email", &identity),
        text("prompt", &identity),
    ]);
    let after = first_record(with_all_kinds().redact(logs(vec![record])).request());
    let [kept, cut] = ["ada@example.org", "[REDACTED:email]"]
        .map(|mail| format!("Ada Lovelace, {mail}, [REDACTED:github-token]"));
    assert_eq!(attribute(&after, "user.email"), Some(string(&kept)));
    assert_eq!(attribute(&after, "prompt"), Some(string(&cut)));
}

#[test]
fn a_hash_correlates_equal_secrets_and_is_trusted_only_in_its_shape() {
    let token = github_token();
    let redactor = Redactor::builtin()
        .with_hash_key([7; 32])
        .with_pii(PiiKind::ALL);
    let text = format!("a {token} b {token} card 4111 1111 1111 1111");
    let after = redactor.redact_text(&text).0.into_owned();
    let hash = after
        .split("github-token:h=")
        .nth(1)
        .and_then(|rest| rest.split(']').next());
    let hash = hash.expect("the placeholder holds a hash");
    assert_eq!(hash.len(), 16);
    assert_eq!(
        after,
        format!(
            "a [REDACTED:github-token:h={hash}] b [REDACTED:github-token:h={hash}] card [REDACTED:card]"
        )
    );
    // Either redactor leaves the other's placeholders alone.
    assert_eq!(redactor.redact_text(&after).0, after);
    assert_eq!(redact(&after), after);
    for forged in [
        format!("[REDACTED:secret:h={token}]"),
        format!("[REDACTED:{token}:h={hash}]"),
    ] {
        assert!(!redactor.redact_text(&forged).0.contains(&token));
    }
    let by_key = redactor.redact(logs(vec![record(vec![text_of("db.password")])]));
    let Some(Value::StringValue(value)) = attribute(&first_record(by_key.request()), "db.password")
    else {
        panic!("the attribute is text")
    };
    assert!(value.starts_with("[REDACTED:password:h="), "{value}");
}

fn text_of(key: &str) -> opentelemetry_proto::tonic::common::v1::KeyValue {
    text(key, &["Gr8", "Lantern", "!77", "Gr8"].concat())
}
