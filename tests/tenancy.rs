//! Tenants, environments, keys and tokens, as their owners see them: what a key may do, what is told of a
//! token's use, and how an environment goes with everything in it.

use std::time::Duration;

use fieldpost::central::people::Actor;
use fieldpost::central::store::{Access, Retention, Role};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::support::api::Api;
use crate::support::fieldpost::{Kind, TestCentral, client, on_both_databases};
use crate::support::records::{Record, claude_session, request};

on_both_databases! {
    a_key_does_what_its_role_says_and_no_more,
    a_deleted_tenant_is_gone_at_once_and_then_from_every_table,
    a_tokens_use_is_told_by_address_and_its_refusals_by_reason,
    records_older_than_are_kept_are_rejected_alone,
}

async fn key(central: &TestCentral, access: Access) -> String {
    let key = central.central.create_api_key(access, "test").await;
    key.expect("the store writes").expose().to_owned()
}

async fn ask(central: &TestCentral, key: &str, method: Method, path: &str) -> Response {
    let url = format!("{}/api/v1/{path}", central.url);
    let asked = client().request(method, url).bearer_auth(key).send().await;
    asked.expect("the service answers")
}

async fn json(answer: Response) -> Value {
    let text = answer.text().await.expect("a body");
    serde_json::from_str(&text).expect("the service speaks JSON")
}

async fn problem(answer: Response) -> (StatusCode, String) {
    let status = answer.status();
    let body = json(answer).await;
    (
        status,
        body["detail"].as_str().expect("a detail").to_owned(),
    )
}

async fn post(central: &TestCentral, bearer: &str, records: &[Record]) -> Response {
    let posted = client()
        .post(format!("{}/v1/logs", central.url))
        .header("authorization", bearer)
        .header("content-type", "application/json")
        .body(request(records).to_string());
    posted.send().await.expect("the service answers")
}

async fn a_key_does_what_its_role_says_and_no_more(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    central.install().await;
    let store = &central.central.store;
    let scope = store.environments().await.expect("the store reads")[0].scope;
    let viewer = key(&central, Access::Environment(scope, Role::Viewer)).await;
    let admin = key(&central, Access::Environment(scope, Role::Admin)).await;
    let operator = key(&central, Access::Operator).await;
    let install = "integrations/claude-cowork/install";
    for (method, path, allowed) in [
        (Method::GET, "tokens", [true, true, false]),
        (Method::GET, "events", [true, true, false]),
        (Method::POST, install, [false, true, false]),
        (Method::GET, "api-keys", [false, true, false]),
        (Method::GET, "tenants", [false, false, true]),
        (Method::GET, "signing-keys", [false, false, true]),
        (Method::GET, "operator-keys", [false, false, true]),
        (Method::POST, "signing-keys/rotate", [false, false, true]),
    ] {
        for (key, allowed) in [&viewer, &admin, &operator].into_iter().zip(allowed) {
            let status = ask(&central, key, method.clone(), path).await.status();
            let told = format!("{method} {path} {status}");
            match allowed {
                true => assert!(status.is_success(), "{told}"),
                false => assert_eq!(status, StatusCode::FORBIDDEN, "{told}"),
            }
        }
        let stranger = ask(&central, "fpk_nobody", method, path).await;
        assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    central.stop().await;
}

async fn a_deleted_tenant_is_gone_at_once_and_then_from_every_table(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let operator = key(&central, Access::Operator).await;
    let service = &central.central;
    let made = service.create_environment("acme", "laptops").await;
    let acme = made.expect("the name is free");
    let bearer = service
        .install(&acme, "laptops", &Actor::command_line())
        .await;
    let bearer = bearer.expect("the store writes").authorization_header;
    let kept = central.install().await.authorization_header;
    let records = claude_session("ada@example.com", "s", 10);
    assert_eq!(post(&central, &bearer, &records).await.status(), 200);
    assert_eq!(post(&central, &kept, &records).await.status(), 200);
    let reader = key(&central, Access::Environment(acme.scope, Role::Viewer)).await;
    assert_eq!(
        Api::new(&central.url, &reader).list("events").await.len(),
        10
    );

    service.rename_tenant("acme", "apex").await.expect("free");
    let refused = ask(&central, &operator, Method::DELETE, "tenants/apex").await;
    let (status, detail) = problem(refused).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        detail.contains("confirm=apex") && detail.contains("10 events"),
        "{detail}"
    );

    let confirmed = "tenants/apex?confirm=apex";
    let deleted = ask(&central, &operator, Method::DELETE, confirmed).await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(post(&central, &bearer, &records).await.status(), 401);
    let stranger = ask(&central, &reader, Method::GET, "events").await;
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);

    let store = &service.store;
    while store.sweep(Duration::ZERO).await.expect("the store writes") {}
    let left = store.contents(std::slice::from_ref(&acme)).await;
    let left = left.expect("the store reads");
    assert_eq!(
        (left.events, left.agents, left.sessions, left.api_keys),
        (0, 0, 0, 0)
    );
    assert_eq!(left.live_tokens, 0);
    // The other environment is whole, and the name is free again.
    assert_eq!(central.api().await.list("events").await.len(), 10);
    let audit = store.verify(|_| ()).await.expect("the store reads");
    assert_eq!(audit.differences, 0, "{:?}", audit.told);
    assert!(service.create_environment("acme", "laptops").await.is_ok());
    central.stop().await;
}

async fn a_tokens_use_is_told_by_address_and_its_refusals_by_reason(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let api = central.api().await;
    let token = api.list("tokens").await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let records = claude_session("ada@example.com", "s", 2);
    for _ in 0..3 {
        assert_eq!(post(&central, &bearer, &records).await.status(), 200);
    }
    assert_eq!(
        api.post(&format!("tokens/{token}/revoke")).await.status(),
        204
    );
    for _ in 0..2 {
        assert_eq!(post(&central, &bearer, &records).await.status(), 401);
    }
    let detail = api.get(&format!("tokens/{token}")).await;
    assert_eq!(detail["request_count"], 3, "{detail}");
    assert_eq!(detail["addresses"][0]["address"], "127.0.0.1", "{detail}");
    assert_eq!(detail["addresses"][0]["request_count"], 3, "{detail}");
    assert_eq!(detail["refused"][0]["reason"], "revoked", "{detail}");
    assert_eq!(detail["refused"][0]["request_count"], 2, "{detail}");
    central.stop().await;
}

async fn records_older_than_are_kept_are_rejected_alone(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let store = &central.central.store;
    let scope = store.environments().await.expect("the store reads")[0].scope;
    let keep = Retention {
        keep_seconds: Some(30 * 86_400),
        content_seconds: None,
    };
    store
        .set_retention(scope, keep)
        .await
        .expect("the store writes");
    let mut records = claude_session("ada@example.com", "s", 5);
    for record in &mut records[..2] {
        record.time_unix_ms -= 31 * 86_400_000;
    }
    let answer = post(&central, &bearer, &records).await;
    assert_eq!(answer.status(), 200);
    let answer = json(answer).await;
    let partial = &answer["partialSuccess"];
    let rejected = &partial["rejectedLogRecords"];
    assert!(
        rejected == &Value::from("2") || rejected == &Value::from(2),
        "{answer}"
    );
    let message = partial["errorMessage"].as_str().expect("a message");
    assert!(message.contains("older than the time"), "{message}");
    assert_eq!(central.api().await.list("events").await.len(), 3);
    central.stop().await;
}
