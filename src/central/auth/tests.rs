//! Every token that must not be accepted, made for the purpose.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::super::keys::KeySource;
use super::*;
use crate::secret::Secret;

const NOW: i64 = 1_795_351_565;
const DAY: i64 = 86_400;
const SECRET: &str = "a-secret-that-is-long-enough-for-tests";

fn keys() -> TokenKeys {
    let file = json!({ "current": "k1", "keys": { "k1": SECRET } });
    let source = KeySource::Variable(Secret::new(file.to_string()));
    TokenKeys::open(source).expect("good keys")
}

fn claims() -> Claims {
    let scope = Scope {
        tenant: 1,
        environment: 1,
    };
    Claims::new(
        &Environment {
            scope,
            tenant: "acme".to_owned(),
            environment: "laptops".to_owned(),
            tenant_id: "t".to_owned(),
            environment_id: "e".to_owned(),
        },
        NOW,
    )
}

/// A token with a good head and signature, and these claims.
fn signed(claims: &Value) -> String {
    let header = Header {
        kid: Some("k1".to_owned()),
        ..Header::new(Algorithm::HS256)
    };
    sign(&header, claims, SECRET)
}

fn sign(header: &Header, claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(header, claims, &key).expect("JSON")
}

/// The good claims as JSON, changed.
fn changed(change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Value {
    let mut claims = serde_json::to_value(claims()).expect("claims are JSON");
    change(claims.as_object_mut().expect("an object"));
    claims
}

#[test]
fn a_token_is_good_for_365_days_and_not_before_it_was_issued() {
    let keys = keys();
    let (token, key) = keys.sign(&claims());
    assert_eq!(key, "k1");
    let claims = keys.verify(&token).expect("its own token");
    assert_eq!(claims.check_times(NOW), Ok(()));
    assert_eq!(claims.check_times(NOW + 365 * DAY - 1), Ok(()));
    let expired = Err(TokenError::Expired);
    assert_eq!(claims.check_times(NOW + 365 * DAY), expired);
    assert_eq!(claims.check_times(NOW - CLOCK_LEEWAY_SECONDS), Ok(()));
    let future = Err(TokenError::Future);
    assert_eq!(claims.check_times(NOW - CLOCK_LEEWAY_SECONDS - 1), future);
}

#[test]
fn claims_that_are_wrong_or_missing_are_refused() {
    let keys = keys();
    assert!(keys.verify(&signed(&changed(|_| {}))).is_ok());
    for (claim, wrong, error) in [
        ("iss", json!("somebody-else"), TokenError::Foreign),
        ("aud", json!("somebody-else"), TokenError::Foreign),
        ("pid", json!("other-platform"), TokenError::Foreign),
        ("aud", json!(["fieldpost-otlp", "x"]), TokenError::Malformed),
        ("exp", json!("never"), TokenError::Malformed),
        ("exp", json!(1e300), TokenError::Malformed),
        ("iat", json!(null), TokenError::Malformed),
        ("jti", json!(7), TokenError::Malformed),
        ("tid", json!({}), TokenError::Malformed),
    ] {
        let token = signed(&changed(|claims| {
            claims.insert(claim.to_owned(), wrong.clone());
        }));
        assert_eq!(keys.verify(&token), Err(error), "{claim}: {wrong}");
    }
    for claim in ["iss", "aud", "jti", "iat", "exp", "tid", "eid", "pid"] {
        let token = signed(&changed(|claims| {
            claims.remove(claim);
        }));
        assert_eq!(
            keys.verify(&token),
            Err(TokenError::Malformed),
            "without {claim}"
        );
    }
}

#[test]
fn another_algorithm_is_refused_whatever_it_was_signed_with() {
    let keys = keys();
    let claims = changed(|_| {});
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let header = Header {
            kid: Some("k1".to_owned()),
            ..Header::new(algorithm)
        };
        let token = sign(&header, &claims, SECRET);
        assert_eq!(keys.verify(&token), Err(TokenError::Malformed));
    }
    // No library signs these: they are put together by hand.
    let (good, _) = keys.sign(&self::claims());
    let parts: Vec<&str> = good.split('.').collect();
    for algorithm in [
        "none", "None", "NONE", "RS256", "ES256", "HS256 ", "hs256", "",
    ] {
        let head = json!({ "alg": algorithm, "typ": "JWT", "kid": "k1" }).to_string();
        let head = URL_SAFE_NO_PAD.encode(head);
        for signature in ["", parts[2]] {
            let token = format!("{head}.{}.{signature}", parts[1]);
            assert!(keys.verify(&token).is_err(), "{algorithm:?}");
        }
    }
}

#[test]
fn other_keys_no_key_and_changed_parts_are_refused() {
    let keys = keys();
    let claims = changed(|_| {});
    let with = |kid: Option<&str>, secret: &str| {
        let header = Header {
            kid: kid.map(str::to_owned),
            ..Header::new(Algorithm::HS256)
        };
        keys.verify(&sign(&header, &claims, secret))
    };
    assert!(with(Some("k1"), SECRET).is_ok());
    assert_eq!(with(None, SECRET), Err(TokenError::Malformed));
    assert_eq!(with(Some("k2"), SECRET), Err(TokenError::UnknownKey));
    assert_eq!(with(Some(""), SECRET), Err(TokenError::UnknownKey));
    let other = "another-secret-of-a-decent-length-for-tests";
    assert_eq!(with(Some("k1"), other), Err(TokenError::Forged));
    assert_eq!(with(Some("k1"), ""), Err(TokenError::Forged));

    let (good, _) = keys.sign(&self::claims());
    let (signed, signature) = good.rsplit_once('.').expect("three parts");
    let (head, body) = signed.split_once('.').expect("three parts");
    let longer = URL_SAFE_NO_PAD.encode(
        changed(|claims| {
            claims.insert("exp".to_owned(), json!(NOW + 9 * 365 * DAY));
        })
        .to_string(),
    );
    let tokens = [
        (format!("{head}.{longer}.{signature}"), TokenError::Forged),
        (format!("{head}.{body}."), TokenError::Forged),
        (format!("{head}.{body}"), TokenError::Malformed),
        (format!("{good}.{signature}"), TokenError::Malformed),
        (format!("{body}.{head}.{signature}"), TokenError::Malformed),
        (String::new(), TokenError::Malformed),
        ("...".to_owned(), TokenError::Malformed),
        ("x".repeat(MAX_TOKEN + 1), TokenError::Malformed),
    ];
    for (token, error) in tokens {
        assert_eq!(keys.verify(&token), Err(error), "{token}");
    }
}

#[test]
fn a_header_holds_one_token_or_none() {
    let read = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        bearer(&headers).map(str::to_owned)
    };
    assert_eq!(read(&["Bearer abc"]).as_deref(), Some("abc"));
    assert_eq!(read(&["bearer  abc "]).as_deref(), Some("abc"));
    for none in [
        &[][..],
        &["Bearer"],
        &["Bearer "],
        &["Basic abc"],
        &["abc"],
        &["Bearer abc", "Bearer def"],
    ] {
        assert_eq!(read(none), None, "{none:?}");
    }
}

#[test]
fn keys_that_are_too_short_or_do_not_fit_are_refused_without_being_shown() {
    for (file, words) in [
        (
            json!({ "current": "k1", "keys": { "k1": "short" } }).to_string(),
            "shorter",
        ),
        (
            json!({ "current": "k2", "keys": { "k1": SECRET } }).to_string(),
            "not among",
        ),
        (format!("{{\"keys\": \"{SECRET}\"}}"), "line 1"),
        (SECRET.to_owned(), "line 1"),
    ] {
        let source = KeySource::Variable(Secret::new(file));
        let error = TokenKeys::open(source).err().expect("bad keys");
        let said = format!("{error:#}");
        assert!(said.contains(words), "{said}");
        assert!(
            !said.contains(SECRET) && !said.contains("short\""),
            "{said}"
        );
    }
}

#[test]
fn a_rotated_key_signs_and_the_old_one_verifies_until_it_is_retired() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("keys.json");
    let open = || TokenKeys::open(KeySource::File(file.clone())).expect("keys");
    let (keys, elsewhere) = (open(), open());
    let (old, old_id) = keys.sign(&claims());
    let new_id = keys.rotate().expect("the file is writable");
    assert_ne!(new_id, old_id);
    let (new, signed_by) = keys.sign(&claims());
    assert_eq!(signed_by, new_id);
    assert!(keys.verify(&old).is_ok() && keys.verify(&new).is_ok());
    // Another process, or a replica that has the same file, knows the new key when it meets it.
    assert!(elsewhere.verify(&new).is_ok());
    assert_eq!(elsewhere.sign(&claims()).1, new_id);

    let refused = keys.retire(&new_id).expect_err("it signs");
    assert!(refused.to_string().contains("rotate first"), "{refused}");
    keys.retire(&old_id).expect("the file is writable");
    assert_eq!(keys.verify(&old), Err(TokenError::UnknownKey));
    assert!(keys.verify(&new).is_ok());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&file).expect("it is there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    // A file that cannot be used changes nothing.
    std::fs::write(&file, "{").expect("it is writable");
    assert!(keys.reread().is_err());
    assert!(keys.verify(&new).is_ok());
}

#[test]
fn a_verified_token_is_forgotten_with_its_key() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = KeySource::File(directory.path().join("keys.json"));
    let keys = TokenKeys::open(source).expect("keys");
    let verified = VerifiedTokens::default();
    let (token, id) = keys.sign(&claims());
    for _ in 0..2 {
        assert!(verified.verify(&keys, &token).is_ok());
    }
    keys.rotate().expect("the file is writable");
    assert!(verified.verify(&keys, &token).is_ok());
    keys.retire(&id).expect("the file is writable");
    let refused = verified.verify(&keys, &token);
    assert_eq!(refused.err(), Some(TokenError::UnknownKey));
}

#[test]
fn what_the_store_said_of_a_token_holds_for_less_than_a_second_and_for_no_other() {
    let (keys, verified) = (keys(), VerifiedTokens::default());
    let verify = |claims: &Value| {
        let token = signed(claims);
        verified.verify(&keys, &token).expect("a good signature")
    };
    let token = verify(&changed(|_| {}));
    let asked = Instant::now();
    let later = |millis| asked + std::time::Duration::from_millis(millis);
    assert_eq!(verified.state(&token, asked), None);
    let scope = Scope {
        tenant: 1,
        environment: 1,
    };
    let live = TokenState::Live(scope, None);
    verified.remember(&token, live, asked);
    assert_eq!(verified.state(&token, later(500)), Some(live));
    assert_eq!(verified.state(&token, later(999)), None);
    // The same id under another tenant is another token.
    let other = verify(&changed(|claims| {
        claims.insert("tid".to_owned(), json!("t2"));
    }));
    assert_eq!(verified.state(&other, asked), None);
    verified.forget();
    assert_eq!(verified.state(&token, asked), None);
}
