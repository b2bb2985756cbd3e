//! People: how they sign in and out, what ends a session, and what each role may do and see.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fieldpost::central::config::Config;
use fieldpost::central::people::{Actor, Clock, NewPassword};
use fieldpost::central::store::{AuditFilter, Environment, PageRequest, Role};
use fieldpost::event::Timestamp;
use fieldpost::secret::Secret;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::browser::{Browser, Page, cookie_of, encoded, plain_client};
use crate::support::fieldpost::{Kind, TestCentral, client, on_both_databases};

on_both_databases! {
    a_password_lets_in_and_only_ours_do,
    a_session_ends_by_itself,
    a_link_lets_in_once_within_an_hour,
    tries_are_limited_by_account_and_by_address,
    a_changed_role_signs_out_and_the_last_owner_stays,
    a_form_without_its_sessions_token_changes_nothing,
    content_is_in_no_byte_for_whom_it_is_hidden,
}

const PASSWORD: &str = "a good long password";
const AGENTS: &str = "/t/default/default/inventory/agents";

/// A clock that a test turns.
#[derive(Clone)]
struct Turned(Arc<AtomicI64>);

impl Turned {
    fn new() -> Turned {
        Turned(Arc::new(AtomicI64::new(Timestamp::now().0)))
    }

    fn clock(&self) -> Clock {
        let Turned(time) = self.clone();
        Clock::by(move || Timestamp(time.load(Ordering::SeqCst)))
    }

    fn minutes(&self, minutes: i64) {
        self.0.fetch_add(minutes * 60_000_000_000, Ordering::SeqCst);
    }
}

/// A service with a clock that the test turns.
async fn start(kind: Kind, directory: &std::path::Path) -> (TestCentral, Turned) {
    let turned = Turned::new();
    let config = Config {
        database: kind.location(),
        clock: turned.clock(),
        ..Config::default()
    };
    (TestCentral::start_with(directory, config).await, turned)
}

async fn first(central: &TestCentral) -> Environment {
    let environments = central.central.store.environments().await;
    environments.expect("the store reads").remove(0)
}

async fn add(central: &TestCentral, name: &str, role: Role) {
    let environment = first(central).await;
    let password = NewPassword::Given(Secret::new(PASSWORD));
    central
        .central
        .add_member(&environment, name, role, password, &Actor::command_line())
        .await
        .expect("the name is free");
}

/// Sends the form of the sign-in page.
async fn enter(central: &TestCentral, name: &str, password: &str) -> Page {
    let form = format!(
        "name={}&password={}&next=",
        encoded(name),
        encoded(password)
    );
    let request = plain_client()
        .post(format!("{}/sign-in", central.url))
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    Page::read(request).await
}

/// What was written to the audit, the latest first, as `action by name`.
async fn audited(central: &TestCentral) -> Vec<String> {
    let scope = first(central).await.scope;
    let page = central
        .central
        .store
        .audited(
            scope,
            None,
            &AuditFilter::default(),
            PageRequest::new(None, Some(1000)),
        )
        .await
        .expect("the store reads");
    let words = page.items.iter();
    words
        .map(|it| format!("{} by {}", it.action, it.person))
        .collect()
}

async fn a_password_lets_in_and_only_ours_do(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, _) = start(kind, directory.path()).await;
    add(&central, "ada@example.com", Role::Viewer).await;

    let nobody = client().get(format!("{}{AGENTS}?q=x", central.url));
    let nobody = plain_client()
        .execute(nobody.build().expect("a request"))
        .await
        .expect("the portal answers");
    assert_eq!(nobody.status(), StatusCode::SEE_OTHER);
    let asked = format!("/sign-in?next={}", encoded(&format!("{AGENTS}?q=x")));
    assert_eq!(nobody.headers()["location"], asked);

    for (name, password) in [
        ("ada@example.com", "a wrong long password"),
        ("grace@example.com", PASSWORD),
        ("ada@example.com", ""),
    ] {
        let refused = enter(&central, name, password).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{name}");
        assert!(cookie_of(&refused.headers).is_none());
        assert!(refused.body.contains("The name or the password is wrong."));
    }
    let entered = enter(&central, " Ada@Example.com ", PASSWORD).await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER);
    let cookie = entered.header("set-cookie");
    assert!(
        cookie.starts_with("fieldpost=") && cookie.contains("; HttpOnly; SameSite=Lax;"),
        "{cookie}"
    );
    let again = enter(&central, "ada@example.com", PASSWORD).await;
    assert_ne!(cookie, again.header("set-cookie"), "a new one each time");

    // Over a network without TLS there is no cookie, and behind TLS it is secure.
    let headers = [("host", "portal.example.com")];
    let open = door(&central, &headers).await;
    assert_eq!(open.status, StatusCode::FORBIDDEN);
    assert!(open.body.contains("needs HTTPS"));
    let proxied = door(
        &central,
        &[
            ("host", "portal.example.com"),
            ("x-forwarded-proto", "https"),
        ],
    )
    .await;
    assert_eq!(proxied.status, StatusCode::OK);
    let told = audited(&central).await;
    assert_eq!(
        told[..5],
        [
            "sign_in by ada@example.com",
            "sign_in by ada@example.com",
            "sign_in.failed by ada@example.com",
            "sign_in.failed by grace@example.com",
            "sign_in.failed by ada@example.com",
        ]
    );
    central.stop().await;
}

async fn door(central: &TestCentral, headers: &[(&str, &str)]) -> Page {
    let mut request = plain_client().get(format!("{}/sign-in", central.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Page::read(request).await
}

async fn a_session_ends_by_itself(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, clock) = start(kind, directory.path()).await;
    let idle = central.sign_in(Role::Viewer).await;
    let busy = central.sign_in(Role::Viewer).await;
    assert_eq!(idle.get(AGENTS).await.status, StatusCode::OK);
    for hour in 1..24 {
        clock.minutes(60);
        let seen = busy.get(AGENTS).await.status;
        assert_eq!(seen, StatusCode::OK, "after {hour} hours of use");
    }
    let stopped = idle.get(AGENTS).await.status;
    assert_eq!(stopped, StatusCode::SEE_OTHER, "unused for 23 hours");
    clock.minutes(60);
    let ended = busy.get(AGENTS).await.status;
    assert_eq!(ended, StatusCode::SEE_OTHER, "however busy");

    // Signing out ends one session, or all.
    let browser = central.sign_in(Role::Viewer).await;
    let left = browser.post("/sign-out", &[]).await;
    assert_eq!(left.header("location"), "/sign-in");
    assert!(left.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(browser.get(AGENTS).await.status, StatusCode::SEE_OTHER);
    add(&central, "ada@example.com", Role::Viewer).await;
    let mut browsers = Vec::new();
    for _ in 0..3 {
        let entered = enter(&central, "ada@example.com", PASSWORD).await;
        let cookie = cookie_of(&entered.headers).expect("a session");
        browsers.push(busy.with_cookie(cookie));
    }
    browsers[0].post("/sign-out/everywhere", &[]).await;
    for browser in &browsers {
        assert_eq!(browser.get(AGENTS).await.status, StatusCode::SEE_OTHER);
    }
    central.stop().await;
}

async fn a_link_lets_in_once_within_an_hour(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, clock) = start(kind, directory.path()).await;
    let link = central.central.first_owner_link().await;
    let link = link.expect("the store writes").expect("nobody can sign in");
    let url = link.url.expose();
    for _ in 0..2 {
        let looked = Page::read(plain_client().get(url)).await;
        assert_eq!(looked.status, StatusCode::OK, "looking uses nothing up");
        assert!(cookie_of(&looked.headers).is_none());
    }
    let owner = Browser::enter(url).await;
    assert!(owner.get(AGENTS).await.body.contains("owner"));
    let again = plain_client()
        .post(url)
        .header("sec-fetch-site", "same-origin");
    assert_eq!(Page::read(again).await.status, StatusCode::GONE);

    let late = central.central.first_owner_link().await;
    let late = late
        .expect("the store writes")
        .expect("there is no password");
    clock.minutes(61);
    let late = plain_client()
        .post(late.url.expose())
        .header("sec-fetch-site", "same-origin");
    assert_eq!(Page::read(late).await.status, StatusCode::GONE);
    add(&central, "ada@example.com", Role::Owner).await;
    let none = central.central.first_owner_link().await;
    assert!(none.expect("the store reads").is_none(), "ada can sign in");
    central.stop().await;
}

async fn tries_are_limited_by_account_and_by_address(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, clock) = start(kind, directory.path()).await;
    add(&central, "ada@example.com", Role::Viewer).await;
    for _ in 0..10 {
        let wrong = enter(&central, "ada@example.com", "a wrong long password").await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    }
    for password in ["a wrong long password", PASSWORD] {
        let late = enter(&central, "ada@example.com", password).await;
        assert_eq!(late.status, StatusCode::TOO_MANY_REQUESTS);
    }
    let told = audited(&central).await;
    let throttled = told.iter().filter(|it| it.starts_with("sign_in.throttled"));
    assert_eq!(throttled.count(), 1, "{told:?}");
    clock.minutes(15);
    let entered = enter(&central, "ada@example.com", PASSWORD).await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER);
    clock.minutes(15);
    let mut statuses = Vec::new();
    for number in 0..61 {
        let name = format!("nobody-{number}");
        statuses.push(enter(&central, &name, "").await.status);
    }
    assert_eq!(statuses.pop(), Some(StatusCode::TOO_MANY_REQUESTS));
    assert!(
        statuses
            .iter()
            .all(|status| *status == StatusCode::UNAUTHORIZED)
    );
    central.stop().await;
}

async fn a_changed_role_signs_out_and_the_last_owner_stays(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, _) = start(kind, directory.path()).await;
    let environment = first(&central).await;
    let actor = Actor::command_line();
    let service = &central.central;
    let browser = central
        .sign_in_as("ada@example.com", &[(&environment, Role::Owner)])
        .await;
    let change = async |name: &str, role| {
        let changed = service.change_role(&environment, name, role, &actor).await;
        changed.map_err(|error| error.to_string())
    };
    let refused = change("ada@example.com", Role::Admin).await.unwrap_err();
    assert!(refused.contains("last owner"), "{refused}");
    let removed = service
        .remove_member(&environment, "ada@example.com", &actor)
        .await;
    assert!(removed.unwrap_err().to_string().contains("last owner"));
    assert_eq!(browser.get(AGENTS).await.status, StatusCode::OK);

    add(&central, "grace@example.com", Role::Owner).await;
    change("ada@example.com", Role::Viewer).await.unwrap();
    assert_eq!(browser.get(AGENTS).await.status, StatusCode::SEE_OTHER);
    service
        .remove_member(&environment, "ada@example.com", &actor)
        .await
        .expect("grace is an owner");
    assert!(service.known_person("ada@example.com").await.is_err());
    let audit = service
        .store
        .audited(
            environment.scope,
            None,
            &AuditFilter::default(),
            PageRequest::default(),
        )
        .await
        .expect("the store reads")
        .items;
    let last: Vec<_> = audit[..2]
        .iter()
        .map(|it| (&*it.action, &*it.object, &*it.before, &*it.after))
        .collect();
    assert_eq!(
        last,
        [
            ("person.removed", "ada@example.com", "viewer", ""),
            ("role.changed", "ada@example.com", "owner", "viewer"),
        ]
    );
    central.stop().await;
}

async fn a_form_without_its_sessions_token_changes_nothing(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, _) = start(kind, directory.path()).await;
    let owner = central.sign_in(Role::Owner).await;
    let other = central.sign_in(Role::Owner).await;
    let install = "/t/default/default/integrations/claude-cowork/install";
    let others = format!("csrf={}", other.form_token().await);
    let own = format!("csrf={}", owner.form_token().await);
    for (site, form, status) in [
        ("same-origin", "", StatusCode::FORBIDDEN),
        ("same-origin", others.as_str(), StatusCode::FORBIDDEN),
        ("cross-site", own.as_str(), StatusCode::FORBIDDEN),
        ("same-site", own.as_str(), StatusCode::FORBIDDEN),
        ("same-origin", own.as_str(), StatusCode::OK),
    ] {
        let mut request = owner
            .request(Method::POST, install)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned())
            .build()
            .expect("a request");
        request
            .headers_mut()
            .insert("sec-fetch-site", site.parse().expect("a value"));
        let answer = plain_client().execute(request).await;
        let answer = answer.expect("the portal answers").status();
        assert_eq!(answer, status, "{site} {form}");
    }
    let tokens = central.api().await.list("tokens").await;
    assert_eq!(tokens.len(), 1, "one form was good");
    // A viewer has the form, but not the right.
    let viewer = central.sign_in(Role::Viewer).await;
    let refused = viewer.post(install, &[]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    central.stop().await;
}

/// One session with a secret word in each place that holds content.
pub(crate) async fn with_secrets(central: &TestCentral) {
    let record = |name: &str, attributes: &[(&str, &str)]| {
        let mut all = vec![
            ("event.name", name),
            ("session.id", "s-1"),
            ("prompt.id", "p-1"),
            ("user.email", "ada@example.com"),
        ];
        all.extend(attributes);
        let attributes: Vec<_> = all
            .iter()
            .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}))
            .collect();
        json!({
            "timeUnixNano": "1795351565408000000",
            "body": {"stringValue": format!("claude_code.{name}")},
            "attributes": attributes,
        })
    };
    let records = [
        record(
            "user_prompt",
            &[("prompt", "SECRET-1"), ("prompt_text", "SECRET-2")],
        ),
        record(
            "tool_result",
            &[
                ("tool_name", "Bash"),
                ("tool_use_id", "t-1"),
                ("success", "false"),
                ("tool_input", "{\"command\":\"SECRET-3\"}"),
                (
                    "tool_parameters",
                    "{\"full_command\":\"SECRET-4\",\"description\":\"SECRET-5\"}",
                ),
                ("error", "SECRET-6"),
            ],
        ),
        record("assistant_response", &[("response", "SECRET-7")]),
        record("api_error", &[("error", "SECRET-8"), ("model", "claude-x")]),
        record("api_request_body", &[("body", "SECRET-9")]),
        record("something_new", &[("free.text", "SECRET-10")]),
    ];
    let request = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]});
    let bearer = central.install().await.authorization_header;
    let posted = client()
        .post(format!("{}/v1/logs", central.url))
        .header("authorization", &bearer)
        .header("content-type", "application/json")
        .body(request.to_string());
    let posted = posted.send().await.expect("the service answers");
    assert_eq!(posted.status(), StatusCode::OK);
    let attributes: Vec<_> = [("session.id", "s-1"), ("free.text", "SECRET-11")]
        .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}))
        .into();
    let time = "1795351565408000000";
    let point = json!({"timeUnixNano": time, "asInt": "1", "attributes": attributes});
    let metric = json!({"name": "claude_code.session.count", "gauge": {"dataPoints": [point]}});
    let metrics = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]});
    central.post(&bearer, "metrics", metrics.to_string()).await;
    let span = json!({
        "traceId": "0612b0f1453ed699574c5de6d34a9f01",
        "spanId": "8c906887a0899de8",
        "name": "claude_code.tool",
        "startTimeUnixNano": time,
        "attributes": attributes,
        "status": {"code": 2, "message": "SECRET-12"},
    });
    let spans = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
    central.post(&bearer, "traces", spans.to_string()).await;
}

async fn content_is_in_no_byte_for_whom_it_is_hidden(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, _) = start(kind, directory.path()).await;
    with_secrets(&central).await;
    let events = central.api().await.list("events").await;
    assert_eq!(events.len(), 6);
    let at = "/t/default/default";
    let mut paths = vec![
        format!("{at}/observability"),
        format!("{at}/observability?type=session"),
        format!("{at}/sessions/s-1"),
        format!("{at}/inventory/agents"),
        "/api/v1/events".to_owned(),
        "/api/v1/sessions/s-1".to_owned(),
        "/api/v1/sessions".to_owned(),
    ];
    for event in &events {
        let id = event["id"].as_str().expect("an id");
        paths.push(format!("{at}/events/{id}"));
        paths.push(format!("/api/v1/events/{id}"));
    }
    let owner = central.sign_in(Role::Owner).await;
    let viewer = central.sign_in(Role::Viewer).await;
    let admin = central.sign_in(Role::Admin).await;
    let mut seen = 0;
    for path in &paths {
        let shown = owner.get(path).await;
        assert_eq!(shown.status, StatusCode::OK, "{path}");
        seen += usize::from(shown.body.contains("SECRET"));
        for hidden in [&viewer, &admin] {
            let page = hidden.get(path).await;
            assert_eq!(page.status, StatusCode::OK, "{path}");
            assert!(!page.body.contains("SECRET"), "{path}:\n{}", page.body);
        }
    }
    assert!(seen > 10, "an owner sees content: {seen}");
    let hidden = viewer.get(&format!("{at}/sessions/s-1")).await.body;
    assert!(hidden.contains("Hidden by your role"), "{hidden}");
    let hidden = viewer.get("/api/v1/sessions/s-1").await.body;
    assert!(
        hidden.contains(r#""prompt":{"state":"hidden_by_role"}"#),
        "{hidden}"
    );

    // What may not be seen may not be searched.
    for (browser, status) in [
        (&owner, StatusCode::OK),
        (&viewer, StatusCode::FORBIDDEN),
        (&admin, StatusCode::FORBIDDEN),
    ] {
        let found = browser.get("/api/v1/events?q=SECRET-1").await;
        assert_eq!(found.status, status);
    }
    let page = viewer.get(&format!("{at}/observability?q=SECRET-1")).await;
    assert!(page.body.contains("cannot be searched either"));
    central.stop().await;
}
