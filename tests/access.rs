//! What each role may open, change and see: reveals, keys of one's own, settings; and every address of the
//! service for people of another tenant.

use fieldpost::central::people::{Actor, NewPassword};
use fieldpost::central::store::{AuditFilter, PageRequest, Role};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::browser::{Browser, Page};
use crate::support::fieldpost::{Kind, TestCentral, client, on_both_databases};
use crate::support::records::{claude_session, request};

on_both_databases! {
    an_admin_sees_content_after_a_reveal_with_a_reason,
    a_key_of_ones_own_does_what_its_person_may,
    owners_manage_people_and_retention_and_the_audit_tells,
    a_foreign_tenant_is_not_there_whatever_the_address,
}

const AT: &str = "/t/default/default";
const PROMPT: &str = "Look at ticket FP-12";

/// A service with one session `s`, and the token that it was sent with.
async fn filled(kind: Kind, directory: &std::path::Path) -> TestCentral {
    let central = TestCentral::start_on(kind, directory).await;
    let bearer = central.install().await.authorization_header;
    let records = claude_session("ada@example.com", "s", 10);
    central
        .post(&bearer, "logs", request(&records).to_string())
        .await;
    central
}

/// The latest entries of the audit, as `(action, object, before, after, reason)`.
async fn audited(central: &TestCentral) -> Vec<[String; 5]> {
    let store = &central.central.store;
    let scope = store.environments().await.expect("the store reads")[0].scope;
    let page = store
        .audited(scope, None, &AuditFilter::default(), PageRequest::default())
        .await
        .expect("the store reads");
    let entries = page.items.into_iter();
    entries
        .map(|it| [it.action, it.object, it.before, it.after, it.reason])
        .collect()
}

async fn an_admin_sees_content_after_a_reveal_with_a_reason(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = filled(kind, directory.path()).await;
    let admin = central.sign_in(Role::Admin).await;
    let other = central.sign_in(Role::Admin).await;
    let viewer = central.sign_in(Role::Viewer).await;
    let session = format!("{AT}/sessions/s");
    let hidden = admin.get(&session).await.body;
    assert!(!hidden.contains(PROMPT) && hidden.contains("Reveal"));
    // Hidden is not the same as not exported.
    assert!(hidden.contains("prompts: hidden by your role"), "{hidden}");
    assert!(!hidden.contains("is off"), "{hidden}");
    assert!(!viewer.get(&session).await.body.contains("Reveal"));

    let reveals = format!("{AT}/reveals");
    let fields = [("session", "s"), ("reason", "incident 7")];
    for (browser, fields, status) in [
        (&viewer, &fields[..], StatusCode::FORBIDDEN),
        (&admin, &fields[..1], StatusCode::BAD_REQUEST),
        (
            &admin,
            &[("session", "none"), ("reason", "incident 7")],
            StatusCode::NOT_FOUND,
        ),
        (&admin, &fields[..], StatusCode::SEE_OTHER),
    ] {
        assert_eq!(browser.post(&reveals, fields).await.status, status);
    }
    assert!(admin.get(&session).await.body.contains(PROMPT));
    for browser in [&other, &viewer] {
        assert!(!browser.get(&session).await.body.contains(PROMPT));
    }
    let told = audited(&central).await.remove(0);
    assert_eq!(
        told,
        ["reveal.session", "s", "", "10 records", "incident 7"]
    );

    // Text is searched in what is open, also for sessions.
    for (question, finds) in [
        ("q=ticket+session%3As", true),
        ("q=nowhere+session%3As", false),
        ("q=session%3As+-nowhere", true),
    ] {
        let address = format!("{AT}/observability?type=session&{question}");
        let found = admin.get(&address).await.body;
        assert!(!found.contains("cannot be searched"), "{question}");
        assert_eq!(found.contains("/sessions/s\""), finds, "{question}");
        let closed = other.get(&address).await.body;
        assert!(closed.contains("cannot be searched"), "{question}");
    }

    // A list is opened by its address, and the search with it.
    let list = format!("{AT}/observability?q=ticket");
    assert!(!unmarked(&other.get(&list).await).contains(PROMPT));
    let opened = [("list", list.as_str()), ("reason", "incident 7")];
    let opened = other.post(&reveals, &opened).await;
    assert_eq!(opened.header("location"), list);
    assert!(unmarked(&other.get(&list).await).contains(PROMPT));
    let wider = format!("{AT}/observability");
    assert!(!other.get(&wider).await.body.contains(PROMPT));
    // So are the records beside it, as far as they are in it, and what arrives.
    let events = central.api().await.list("events?type=user_message").await;
    let id = events[0]["id"].as_str().expect("an id");
    let panel = format!("{list}&event={id}&tab=raw");
    let opened = unmarked(&other.get(&panel).await);
    assert!(
        opened.matches("Look at ticket FP-12").count() > 2,
        "{opened}"
    );
    assert!(!opened.contains("hidden_by_role"), "{opened}");
    let responses = central.api().await.list("events?q=still+open").await;
    let other_id = responses[0]["id"].as_str().expect("an id");
    let beside = other.get(&format!("{list}&event={other_id}&tab=raw")).await;
    assert!(!beside.body.contains("FP-12 is still open"));
    let live = format!("{AT}/observability/live?since=0&q=ticket");
    let mut stream = other
        .request(Method::GET, &live)
        .send()
        .await
        .expect("it answers");
    let first = stream.chunk().await.expect("it goes on").expect("a word");
    assert!(first.starts_with(b"id: "), "{first:?}");
    let elsewhere = [("list", "https://example.com/"), ("reason", "incident 7")];
    let refused = other.post(&reveals, &elsewhere).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    central.stop().await;
}

/// A page without the marks on what was searched for.
fn unmarked(page: &Page) -> String {
    page.body.replace("<mark>", "").replace("</mark>", "")
}

/// The key that a page shows once.
fn shown_key(page: &Page) -> String {
    let (_, after) = page.body.split_once("id=\"api-key\">").expect("a key");
    after.split('<').next().expect("a key").to_owned()
}

async fn with_key(central: &TestCentral, key: &str, path: &str) -> (StatusCode, String) {
    let url = format!("{}/api/v1/{path}", central.url);
    let answer = client().get(url).bearer_auth(key).send().await;
    let answer = answer.expect("the service answers");
    (answer.status(), answer.text().await.expect("a body"))
}

async fn a_key_of_ones_own_does_what_its_person_may(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = filled(kind, directory.path()).await;
    let environment = central.central.environment("default", "default").await;
    let environment = environment.expect("it is there");
    central.sign_in(Role::Owner).await;
    let owner = central
        .sign_in_as("grace@example.com", &[(&environment, Role::Owner)])
        .await;
    let keys = format!("{AT}/settings/keys");
    let form = [("name", "nightly"), ("role", "owner"), ("days", "30")];
    let key = shown_key(&owner.post(&keys, &form).await);
    let (status, events) = with_key(&central, &key, "events").await;
    assert!(status.is_success() && events.contains(PROMPT));
    let listed = owner.get(&keys).await.body;
    assert!(listed.contains("nightly") && !listed.contains(&key));
    assert!(!listed.contains(">never</span>"), "its use is told");

    // With a lesser role, the key is less, too; without the person, it is nothing.
    let actor = Actor::command_line();
    let service = &central.central;
    service
        .change_role(&environment, "grace@example.com", Role::Viewer, &actor)
        .await
        .expect("another owner is there");
    let (status, events) = with_key(&central, &key, "events").await;
    assert!(status.is_success() && !events.contains(PROMPT));
    assert!(events.contains("hidden_by_role"));
    service
        .remove_member(&environment, "grace@example.com", &actor)
        .await
        .expect("she is no owner");
    let (status, _) = with_key(&central, &key, "events").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    // Whoever is let in again gets none of the old keys back, though the account was in use elsewhere.
    service
        .add_member(
            &environment,
            "grace@example.com",
            Role::Admin,
            NewPassword::None,
            &actor,
        )
        .await
        .expect("she is not there");
    let (status, _) = with_key(&central, &key, "events").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);

    // Nobody makes a key that may do more, or deletes one of others.
    let viewer = central.sign_in(Role::Viewer).await;
    let refused = viewer.post(&keys, &form).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let form = [("name", "mine"), ("role", "viewer"), ("days", "7")];
    shown_key(&viewer.post(&keys, &form).await);
    let mine = viewer.get(&keys).await.body;
    let (_, after) = mine.split_once("name=\"id\" value=\"").expect("a key");
    let id = after.split('"').next().expect("an id");
    let delete = format!("{keys}/delete");
    let other = central.sign_in(Role::Owner).await;
    let foreign = other.post(&delete, &[("id", id)]).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    let own = viewer.post(&delete, &[("id", id)]).await;
    assert_eq!(own.status, StatusCode::SEE_OTHER);
    central.stop().await;
}

async fn owners_manage_people_and_retention_and_the_audit_tells(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = filled(kind, directory.path()).await;
    let owner = central.sign_in(Role::Owner).await;
    let admin = central.sign_in(Role::Admin).await;
    let people = format!("{AT}/settings/people");
    for page in ["people", "retention"] {
        let refused = admin.get(&format!("{AT}/settings/{page}")).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{page}");
    }
    let added = owner
        .post(&people, &[("name", "Joan@example.com"), ("role", "viewer")])
        .await;
    let (_, after) = added
        .body
        .split_once("id=\"sign-in-link\">")
        .expect("a link");
    let joan = Browser::enter(after.split('<').next().expect("a link")).await;
    let account = format!("{AT}/settings/account");
    assert!(joan.get(&account).await.body.contains("Set a password"));
    let set = format!("{account}/password");
    let short = joan.post(&set, &[("new", "short")]).await;
    assert_eq!(short.status, StatusCode::CONFLICT);
    let saved = joan.post(&set, &[("new", "a good long password")]).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER);
    let wrong = [("old", "no"), ("new", "another long password")];
    assert_eq!(joan.post(&set, &wrong).await.status, StatusCode::CONFLICT);
    let role = [("name", "joan@example.com"), ("role", "admin")];
    let changed = owner.post(&format!("{people}/role"), &role).await;
    assert_eq!(changed.status, StatusCode::SEE_OTHER);
    assert_eq!(joan.get(&account).await.status, StatusCode::SEE_OTHER);
    let retention = format!("{AT}/settings/retention");
    let days = [("everything", "90"), ("content", "")];
    owner.post(&retention, &days).await;
    assert!(owner.get(&retention).await.body.contains("value=\"90\""));
    let told = audited(&central).await;
    let told: Vec<Vec<&str>> = told
        .iter()
        .take(2)
        .map(|entry| entry[..4].iter().map(String::as_str).collect())
        .collect();
    assert_eq!(
        told,
        [
            [
                "retention.changed",
                "",
                "everything for ever, content for ever",
                "everything 90 days, content for ever",
            ],
            ["role.changed", "joan@example.com", "viewer", "admin"],
        ]
    );
    let audit = format!("{AT}/settings/audit");
    let page = owner.get(&format!("{audit}?action=role")).await.body;
    assert!(page.contains("role.changed") && !page.contains("retention.changed"));
    let all = owner.get(&audit).await.body;
    for narrowed in ["action=role.changed", "-action=retention.changed"] {
        assert!(
            all.contains(&format!("href=\"{audit}?{narrowed}\"")),
            "{narrowed}"
        );
    }
    let rest = "-action=role&-person=nobody";
    let page = owner.get(&format!("{audit}?{rest}")).await.body;
    assert!(!page.contains("role.changed") && page.contains("retention.changed"));
    let page = owner
        .get(&format!("{audit}?action=role&-action=role"))
        .await
        .body;
    assert!(page.contains("No entry matches") && page.contains("Without “Action"));
    // By time, as addresses have it and as the fields of the page do.
    for (times, is_there) in [
        ("from=2026-01-01T00:00:00Z", true),
        ("from=2026-01-01T00%3A00", true),
        ("from=2200-01-01", false),
        ("to=2200-01-01", true),
        ("to=2026-01-01T00:00:00Z", false),
    ] {
        let page = owner.get(&format!("{audit}?action=role&{times}")).await;
        assert_eq!(page.body.contains("role.changed"), is_there, "{times}");
        let path = format!("{audit}/export?action=role&{times}");
        let lines = owner.post(&path, &[("format", "ndjson")]).await.body;
        assert_eq!(lines.lines().count() == 2, is_there, "{times}: {lines}");
    }
    let unreadable = owner.get(&format!("{audit}?from=yesterday")).await.body;
    assert!(unreadable.contains("From is no time") && !unreadable.contains("role.changed"));
    let unreadable = format!("{audit}/export?to=x");
    let refused = owner.post(&unreadable, &[("format", "csv")]);
    assert_eq!(refused.await.status, StatusCode::BAD_REQUEST);
    let exported = owner
        .post(&format!("{audit}/export"), &[("format", "ndjson")])
        .await;
    let first = exported.body.lines().next().expect("a line");
    let first: Value = serde_json::from_str(first).expect("JSON");
    assert_eq!(first["action"], "export.audit");
    // A viewer sees only what they did themselves.
    let viewer = central.sign_in(Role::Viewer).await;
    let own = viewer.get(&audit).await.body;
    assert!(own.contains("sign_in") && !own.contains("role.changed"));
    central.stop().await;
}

/// Every address with a fixed or a filled-in path: the portal's as its router names them, the API's as its
/// document does.
pub(crate) async fn addresses(central: &TestCentral) -> Vec<(Method, String)> {
    let mut addresses = Vec::new();
    for route in include_str!("../src/central/portal.rs")
        .split(".route(")
        .skip(1)
    {
        let path = route.split('"').nth(1).expect("a path");
        let is_door = ["/sign", "/assets", "/preferences"]
            .iter()
            .any(|it| path.starts_with(it));
        if path == "/" || path.starts_with("/t/") || !route.contains("::") || is_door {
            continue;
        }
        for (word, method) in [("get(", Method::GET), ("post(", Method::POST)] {
            if route.contains(word) {
                addresses.push((method, format!("/t/TENANT/default{path}")));
            }
        }
    }
    let document = central.api().await.get("openapi.json").await;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            let method = method.to_uppercase().parse().expect("a method");
            addresses.push((method, format!("/api/v1{path}")));
        }
    }
    addresses
}

async fn a_foreign_tenant_is_not_there_whatever_the_address(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = filled(kind, directory.path()).await;
    let made = central.central.create_environment("other", "default").await;
    let other = made.expect("the name is free");
    let api = central.api().await;
    let agent = api.list("agents").await[0]["id"].clone();
    let event = api.list("events").await[0]["id"].clone();
    let token = api.list("tokens").await[0]["id"].clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let filled_in = |address: &str| {
        address
            .replace("{agent}", &text(&agent))
            .replace("{session}", "s")
            .replace("{event}", &text(&event))
            .replace("{token}", &text(&token))
    };
    let addresses = addresses(&central).await;
    assert!(addresses.len() > 50, "{}", addresses.len());
    let secrets = [text(&agent), text(&event), text(&token), PROMPT.to_owned()];
    for role in [Role::Owner, Role::Admin, Role::Viewer] {
        let name = format!("{}@other.example", role.word());
        let stranger = central.sign_in_as(&name, &[(&other, role)]).await;
        let key = central
            .central
            .create_api_key(
                fieldpost::central::store::Access::Environment(other.scope, role),
                "other",
            )
            .await
            .expect("the store writes");
        let home = stranger.get("/").await;
        assert_eq!(home.header("location"), "/t/other/default/");
        let form = stranger.get(home.header("location")).await.body;
        let (_, after) = form.split_once("name=\"csrf\" value=\"").expect("a form");
        let form = format!("csrf={}", after.split('"').next().expect("a value"));
        for (method, address) in &addresses {
            let path = filled_in(address);
            // Pages of the other tenant; the same ids below the own one; the API with own key and session.
            for path in [
                path.replace("TENANT", "default"),
                path.replace("TENANT", "other"),
                path.replace("{id}", &text(&event)),
                path.replace("{id}", &text(&token)),
                path.replace("{id}", "s"),
            ] {
                let is_foreign_page = path.starts_with("/t/default/");
                for by_key in [false, true] {
                    if by_key && !path.starts_with("/api/") {
                        continue;
                    }
                    let mut asked = match by_key {
                        true => client()
                            .request(method.clone(), format!("{}{path}", central.url))
                            .bearer_auth(key.expose()),
                        false => stranger.request(method.clone(), &path),
                    };
                    if *method != Method::GET && !by_key {
                        asked = asked
                            .header("content-type", "application/x-www-form-urlencoded")
                            .header("fieldpost-form-token", &form[5..])
                            .body(form.clone());
                    }
                    let answer = Page::read(asked).await;
                    let told = format!("{role:?} {method} {path} {}", answer.status);
                    assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{told}");
                    if is_foreign_page {
                        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{told}");
                    }
                    for secret in &secrets {
                        let echoed = path.contains(secret);
                        assert!(
                            echoed || !answer.body.contains(secret),
                            "{told} shows {secret}"
                        );
                    }
                    let gone = answer.status == StatusCode::UNAUTHORIZED && !by_key;
                    assert!(!gone || path.contains("/api/"), "{told}");
                }
            }
        }
    }
    // Nothing of the first tenant was changed by any of it.
    let after = central.api().await;
    assert_eq!(after.list("events").await.len(), 10);
    assert!(after.list("tokens").await[0]["revoked_at"].is_null());
    // Without a session or a key, nothing but the door opens.
    for (method, address) in &addresses {
        let path = filled_in(address).replace("TENANT", "default");
        let nobody = crate::support::browser::plain_client()
            .request(method.clone(), format!("{}{path}", central.url))
            .header("sec-fetch-site", "same-origin");
        let status = Page::read(nobody).await.status;
        let is_refused = match (method, path.starts_with("/api/")) {
            (&Method::GET, false) => status == StatusCode::SEE_OTHER,
            _ => status == StatusCode::UNAUTHORIZED,
        };
        assert!(is_refused, "{method} {path} {status}");
    }

    central.stop().await;
}
