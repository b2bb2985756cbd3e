//! Keys and values in every notation, at every depth of escapes.
use super::world::{github_token, is_json};
use super::{redact, redactor};

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

#[test]
fn a_random_value_after_a_providers_name_needs_no_sign() {
    let value = ["7f3a", "9c1e", "5b8d", "2046", "aXkQ"].concat();
    for notation in [
        "shodan API KEY @",
        "shodan-access-token-@",
        "shodanSECRET=@",
        "shodan @",
        "the shodan secret key\\n@ is old",
        "{\"note\": \"shodan token: \\\"@\\\"\"}",
    ] {
        let text = notation.replace('@', &value);
        let (after, hits) = redactor().redact_text(&text);
        assert_eq!(hits.total(), 1, "{text} became {after}");
        let kind = hits.by_type().next().expect("one hit has one type").0;
        assert_eq!(after, notation.replace('@', &format!("[REDACTED:{kind}]")));
    }
    for text in [
        "shodan is a search engine for devices, see shodan.io/host/7f3a9c1e5b8d2046",
        "shodan commit 7f3a9c1e5b8d20467f3a9c1e5b8d20467f3a9c1e",
        "shodan version 2024-11-23T10:00:00",
        "stripe 7f3a9c1e5b8d2046aXkQ is only a word here",
    ] {
        assert_eq!(redact(text), text);
    }
}

#[test]
fn the_data_of_a_kubernetes_secret_goes_whatever_its_keys() {
    let value = ["YWRtaW46", "cGFzc3dv", "cmQ="].concat();
    for manifest in [
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\ndata:\n  # note\n  extra: @\n",
        "data:\n  .file: |\n    @\nkind: Secret\n",
        "{\"kind\": \"Secret\", \"data\": {\"extra\": \"@\"}}",
        "{\"out\": \"kind: Secret\\ndata:\\n  extra: @\\n\"}",
    ] {
        let after = redact(&manifest.replace('@', &value));
        assert_eq!(after, manifest.replace('@', "[REDACTED:kubernetes-secret]"));
    }
    let other = format!("kind: ConfigMap\ndata:\n  extra: {value}\n");
    assert_eq!(redact(&other), other);
}

#[test]
fn signs_that_encoders_escape_are_part_of_the_secret() {
    let parts = ["q7Zt1vNw", "Q2zT9xLm", "3Kq5Rt8s"];
    for escape in ["\\/", "\\\\/", "\\u002b", "\\u003d"] {
        let secret = parts.join(escape);
        let text = format!("{{\"a\": \"api_token\\u003d{secret}\\u0026page=2\"}}");
        assert_eq!(
            redact(&text),
            "{\"a\": \"api_token\\u003d[REDACTED:secret]\\u0026page=2\"}"
        );
    }
}

#[test]
fn a_checksum_makes_a_doubtful_find_certain_and_its_absence_suppresses_nothing() {
    // Too little entropy for the rule, but the CRC-32 of its random part in base 62 at its end.
    let random = "ab".repeat(15);
    let certain = ["ghp", "_", &random, &base62(crc(random.as_bytes()))].concat();
    assert_eq!(redact(&certain), "[REDACTED:github-token]");
    assert_eq!(redact(&github_token()), "[REDACTED:github-token]");
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

fn base62(mut number: u32) -> String {
    let digits: Vec<char> = ('0'..='9').chain('A'..='Z').chain('a'..='z').collect();
    let mut result = Vec::new();
    for _ in 0..6 {
        result.insert(0, digits[number as usize % 62]);
        number /= 62;
    }
    result.into_iter().collect()
}
