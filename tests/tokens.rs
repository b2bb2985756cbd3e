//! Tokens at the door: every one that must not be let in, made for the purpose; how they are renewed,
//! revoked and rotated while requests come.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fieldpost::central::config::{Config, IdentityKey, Keys};
use fieldpost::central::keys::KeySource;
use fieldpost::central::store::Role;
use fieldpost::event::Timestamp;
use fieldpost::secret::Secret;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::fieldpost::{TestCentral, client, command, folder};

async fn post(central: &TestCentral, authorization: &str) -> Response {
    client()
        .post(format!("{}/v1/logs", central.url))
        .header("authorization", authorization)
        .header("content-type", "application/json")
        .body(r#"{"resourceLogs":[]}"#)
        .send()
        .await
        .expect("the service answers")
}

/// Makes tokens with the service's own key.
struct Forge {
    kid: String,
    secret: String,
    /// The claims of a good token.
    claims: Value,
}

impl Forge {
    fn new(data: &Path, bearer: &str) -> Forge {
        let file = std::fs::read_to_string(data.join("signing-keys.json")).expect("the keys");
        let file: Value = serde_json::from_str(&file).expect("JSON");
        let kid = file["current"].as_str().expect("an id").to_owned();
        let secret = file["keys"][&kid].as_str().expect("a secret").to_owned();
        let claims = bearer.split('.').nth(1).expect("claims");
        let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
        Forge {
            kid,
            secret,
            claims: serde_json::from_slice(&claims).expect("JSON"),
        }
    }

    /// A good token but for these claims; null takes one away.
    fn with(&self, changes: Value) -> String {
        let mut claims = self.claims.clone();
        let object = claims.as_object_mut().expect("an object");
        for (key, value) in changes.as_object().expect("an object") {
            match value {
                Value::Null => object.remove(key),
                value => object.insert(key.clone(), value.clone()),
            };
        }
        let header = Header {
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::HS256)
        };
        self.sign(&header, &claims, &self.secret)
    }

    fn sign(&self, header: &Header, claims: &Value, secret: &str) -> String {
        let key = EncodingKey::from_secret(secret.as_bytes());
        let token = jsonwebtoken::encode(header, claims, &key).expect("JSON");
        format!("Bearer {token}")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_wrong_in_any_way_is_refused_with_a_challenge_and_counted() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(directory.path()).await;
    let good = central.install().await.authorization_header;
    let forge = Forge::new(directory.path(), &good);
    let other = central
        .central
        .store
        .create_environment("other", "default")
        .await
        .expect("the store writes");
    let now = Timestamp::now().0 / 1_000_000_000;
    let header = |algorithm, kid: &str| Header {
        kid: Some(kid.to_owned()),
        ..Header::new(algorithm)
    };
    let unsigned = |algorithm: &str| {
        let head = json!({ "alg": algorithm, "typ": "JWT", "kid": forge.kid }).to_string();
        let claims = URL_SAFE_NO_PAD.encode(forge.claims.to_string());
        format!("Bearer {}.{claims}.", URL_SAFE_NO_PAD.encode(head))
    };
    let wrong = [
        ("malformed", "abc.def.ghi".to_owned(), "not even base64"),
        ("malformed", forge.with(json!({ "exp": null })), "no end"),
        (
            "malformed",
            forge.with(json!({ "iat": null })),
            "no beginning",
        ),
        ("malformed", forge.with(json!({ "jti": null })), "no id"),
        ("malformed", unsigned("none"), "no signature"),
        ("malformed", unsigned("HS512"), "another algorithm's name"),
        (
            "malformed",
            forge.sign(
                &header(Algorithm::HS512, &forge.kid),
                &forge.claims,
                &forge.secret,
            ),
            "another algorithm",
        ),
        (
            "unknown_key",
            forge.sign(
                &header(Algorithm::HS256, "k9"),
                &forge.claims,
                &forge.secret,
            ),
            "a key that nobody knows",
        ),
        (
            "bad_signature",
            forge.sign(
                &header(Algorithm::HS256, &forge.kid),
                &forge.claims,
                "a-secret-of-somebody-else-entirely",
            ),
            "another's key",
        ),
        (
            "for_others",
            forge.with(json!({ "aud": "them" })),
            "audience",
        ),
        ("for_others", forge.with(json!({ "iss": "them" })), "issuer"),
        (
            "for_others",
            forge.with(json!({ "pid": "them" })),
            "platform",
        ),
        (
            "unknown_token",
            forge.with(json!({ "jti": "made-up" })),
            "id",
        ),
        (
            "unknown_token",
            forge.with(json!({ "tid": other.tenant_id })),
            "another's tenant",
        ),
        (
            "unknown_token",
            forge.with(json!({ "eid": other.environment_id })),
            "another's environment",
        ),
        (
            "unknown_token",
            forge.with(json!({ "tid": other.tenant_id, "eid": other.environment_id })),
            "another's tenant and environment",
        ),
        (
            "future",
            forge.with(json!({ "iat": now + 3_600 })),
            "from tomorrow",
        ),
        (
            "expired",
            forge.with(json!({ "exp": now - 1 })),
            "from yesterday",
        ),
    ];
    assert_eq!(post(&central, &good).await.status(), StatusCode::OK);
    for (_, token, what) in &wrong {
        let token = token.strip_prefix("Bearer ").unwrap_or(token);
        let answer = post(&central, &format!("Bearer {token}")).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{what}");
        let challenge = answer.headers()["www-authenticate"].to_str().expect("text");
        let begin = "Bearer realm=\"fieldpost\", error=\"invalid_token\"";
        assert!(challenge.starts_with(begin), "{what}: {challenge}");
        let said = answer.text().await.expect("a body");
        assert!(said.contains("token"), "{what}: {said}");
    }
    let metrics = client()
        .get(format!("{}/metrics", central.url))
        .send()
        .await;
    let metrics = metrics.expect("an answer").text().await.expect("a body");
    for (reason, _, _) in &wrong {
        let count = wrong.iter().filter(|(of, _, _)| of == reason).count();
        let line =
            format!("fieldpost_central_requests_refused_total{{reason=\"{reason}\"}} {count}");
        assert!(metrics.lines().any(|it| it == line), "{line}\n{metrics}");
    }
    assert_eq!(post(&central, &good).await.status(), StatusCode::OK);
    central.stop().await;
}

/// Runs a command of the service on `data`; it must succeed.
async fn run(data: &Path, arguments: &[&str]) -> String {
    let output = command()
        .arg("central")
        .args(arguments)
        .env("FIELDPOST_DATA_DIRECTORY", data)
        .output()
        .await
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_and_tokens_are_revoked_by_another_process_while_this_one_serves() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(directory.path()).await;
    let old = central.install().await.authorization_header;
    assert_eq!(post(&central, &old).await.status(), StatusCode::OK);

    // A token by a key that this process has not read yet is good at once.
    assert_eq!(
        run(directory.path(), &["key", "rotate", "--json"]).await,
        "{\"current\":\"k2\"}\n"
    );
    let installed = run(directory.path(), &["token", "install", "--json"]).await;
    let installed: Value = serde_json::from_str(&installed).expect("JSON");
    let new = installed["authorizationHeader"].as_str().expect("a header");
    assert_eq!(post(&central, new).await.status(), StatusCode::OK);
    assert_eq!(post(&central, &old).await.status(), StatusCode::OK);

    let keys = run(directory.path(), &["key", "list", "--json"]).await;
    let keys: Value = serde_json::from_str(&keys).expect("JSON");
    let shown = |at: usize| {
        (
            &keys[at]["id"],
            &keys[at]["current"],
            &keys[at]["live_tokens"],
        )
    };
    assert_eq!(shown(0), (&json!("k1"), &json!(false), &json!(1)));
    assert_eq!(shown(1), (&json!("k2"), &json!(true), &json!(1)));
    assert!(keys[1].get("secret").is_none() && keys[1]["made_at"].is_string());

    // A revocation by another process is in force within a second.
    let id = run(directory.path(), &["token", "list", "--json"]).await;
    let tokens: Value = serde_json::from_str(&id).expect("JSON");
    let of_old = tokens
        .as_array()
        .expect("a list")
        .iter()
        .find(|token| token["key_id"] == "k1");
    let id = of_old.expect("the first token")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(post(&central, &old).await.status(), StatusCode::OK);
    run(directory.path(), &["token", "revoke", &id]).await;
    let refused = eventually("the revocation", async || {
        let answer = post(&central, &old).await;
        (answer.status() == StatusCode::UNAUTHORIZED).then_some(answer)
    })
    .await;
    assert!(refused.text().await.expect("a body").contains("revoked"));

    // Nothing live is left of the old key; the new one signs, and is not retired by mistake.
    run(directory.path(), &["key", "retire", "k1"]).await;
    let output = command()
        .args(["central", "key", "retire", "k2"])
        .env("FIELDPOST_DATA_DIRECTORY", directory.path())
        .output()
        .await
        .expect("the binary starts");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("1 live token,") && said.contains("--yes"),
        "{said}"
    );
    eventually("the retired key to be forgotten", async || {
        let answer = post(&central, &old).await;
        let said = answer.text().await.expect("a body");
        said.contains("malformed").then_some(())
    })
    .await;
    assert_eq!(post(&central, new).await.status(), StatusCode::OK);
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_waits_for_the_newest_token_and_warns_of_what_is_refused_these_days() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(directory.path()).await;
    let owner = central.sign_in(Role::Owner).await;
    let arrival = async || {
        let page = "/t/default/default/integrations/claude-cowork/install";
        let page = owner.get(page).await.body;
        let (_, after) = page.split_once("id=\"arrival\"").expect("a step");
        let (_, title) = after.split_once("<h2>").expect("a title");
        title.split('<').next().expect("a title").to_owned()
    };
    let mut bearers = Vec::new();
    for _ in 0..2 {
        let bearer = central.install().await.authorization_header;
        assert_eq!(arrival().await, "Waiting for the first event");
        assert_eq!(post(&central, &bearer).await.status(), StatusCode::OK);
        assert_eq!(arrival().await, "Arriving");
        bearers.push(bearer);
    }
    let tokens = central.api().await.list("tokens").await;
    let oldest = tokens[1]["id"].as_str().expect("an id").to_owned();
    let store = &central.central.store;
    let scope = store.environments().await.expect("the store reads")[0].scope;
    let revoked = central.central.revoke_token(scope, &oldest).await;
    assert!(revoked.expect("the store writes"));
    let refused = post(&central, &bearers[0]).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    // It writes down what was counted.
    arrival().await;
    let overview = async || owner.get("/t/default/default/").await.body;
    assert!(overview().await.contains("1 request refused"));
    let database = rusqlite::Connection::open(directory.path().join("fieldpost.db"));
    let aged = "UPDATE token_refusals SET last_refused = last_refused - 8 * 86400 * 1000000000";
    let aged = database.expect("a database").execute(aged, []);
    assert_eq!(aged, Ok(1));
    assert!(!overview().await.contains("request refused"));
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_come_from_files_of_their_own_or_from_the_environment() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (first, second) = (
        folder(directory.path(), "first"),
        folder(directory.path(), "second"),
    );
    let central = TestCentral::start(&first).await;
    central.stop().await;
    let kept = |name: &str| -> PathBuf { first.join(name) };
    for name in ["signing-keys.json", "identity.key"] {
        use std::os::unix::fs::PermissionsExt;
        let metadata = std::fs::metadata(kept(name)).expect("it was made");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
    let text = |name: &str| std::fs::read_to_string(kept(name)).expect("text");
    let by_file = Keys {
        signing: Some(KeySource::File(kept("signing-keys.json"))),
        identity: Some(IdentityKey::File(kept("identity.key"))),
    };
    let by_variable = Keys {
        signing: Some(KeySource::Variable(Secret::new(text("signing-keys.json")))),
        identity: Some(IdentityKey::Variable(Secret::new(text("identity.key")))),
    };
    for keys in [by_file, by_variable] {
        let config = Config {
            keys,
            ..Config::default()
        };
        let central = TestCentral::start_with(&second, config).await;
        let bearer = central.install().await.authorization_header;
        let forge = Forge::new(&first, &bearer);
        let same = forge.with(json!({}));
        assert_eq!(post(&central, &same).await.status(), StatusCode::OK);
        central.stop().await;
        assert!(!second.join("signing-keys.json").exists());
        assert!(!second.join("identity.key").exists());
    }
    let variables = |name: &str| match name {
        "FIELDPOST_SIGNING_KEYS" => Some(text("signing-keys.json")),
        "FIELDPOST_KEYS_IDENTITY_FILE" => Some("/run/secrets/identity".to_owned()),
        _ => None,
    };
    let config = Config::parse("", &variables).expect("a good configuration");
    assert!(matches!(config.keys.signing, Some(KeySource::Variable(_))));
    assert!(matches!(config.keys.identity, Some(IdentityKey::File(_))));
    assert!(!format!("{config:?}").contains(&text("identity.key")[..16]));
    let secret = Forge::new(&first, &format!("x.{}.y", URL_SAFE_NO_PAD.encode("{}"))).secret;
    assert!(!format!("{config:?}").contains(&secret));
}
