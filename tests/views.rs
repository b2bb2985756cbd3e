//! Saved views: names for lists, of one's own or shared, in one environment and nowhere else.

use fieldpost::central::people::Actor;
use fieldpost::central::store::{
    Access, AuditFilter, Criteria, Member, Of, PageRequest, Role, SavedView,
};
use fieldpost::event::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::browser::Browser;
use crate::support::fieldpost::{Kind, TestCentral, on_both_databases};

on_both_databases! {
    a_view_is_saved_shared_found_and_forgotten,
    a_view_stays_in_its_environment_and_with_its_person,
    the_api_keeps_views_as_the_portal_does,
}

const AT: &str = "/t/default/default";
const ERRORS: &str = "/t/default/default/observability?type=error&q=%22a%20%3Cb%3E%22";

async fn start(kind: Kind, directory: &std::path::Path) -> TestCentral {
    TestCentral::start_on(kind, directory).await
}

async fn save(browser: &Browser, fields: &[(&str, &str)]) -> StatusCode {
    browser.post(&format!("{AT}/views"), fields).await.status
}

async fn page(browser: &Browser) -> String {
    let page = browser.get(&format!("{AT}/views")).await;
    assert_eq!(page.status, StatusCode::OK);
    page.body
}

/// The id that the form beside a view carries.
fn id_of(page: &str, name: &str) -> Option<String> {
    let row = page.split("<tr>").find(|row| row.contains(name))?;
    let (_, after) = row.split_once("name=\"id\" value=\"")?;
    Some(after.split('"').next()?.to_owned())
}

async fn audited(central: &TestCentral) -> Vec<(String, String, String)> {
    let store = &central.central.store;
    let scope = store.environments().await.expect("the store reads")[0].scope;
    let filter = AuditFilter {
        action: Some("view".to_owned()),
        ..AuditFilter::default()
    };
    let page = store.audited(scope, None, &filter, PageRequest::default());
    let entries = page.await.expect("the store reads").items.into_iter();
    entries.map(|it| (it.action, it.object, it.after)).collect()
}

async fn a_view_is_saved_shared_found_and_forgotten(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = start(kind, directory.path()).await;
    let owner = central.sign_in(Role::Owner).await;
    let admin = central.sign_in(Role::Admin).await;
    let viewer = central.sign_in(Role::Viewer).await;
    // The form stands beside the list, with the list's own address, whatever page of it is shown.
    let list = format!("{AT}/inventory/agents?text=ada&after=");
    let list = admin.get(&list).await.body;
    assert!(list.contains("value=\"/t/default/default/inventory/agents?text=ada\""));
    assert!(list.contains("name=\"shared\""));
    let list = viewer.get(&format!("{AT}/inventory/agents")).await.body;
    assert!(list.contains("Save view") && !list.contains("name=\"shared\""));

    for (browser, fields, status) in [
        (
            &viewer,
            vec![("name", "mine"), ("address", ERRORS)],
            StatusCode::SEE_OTHER,
        ),
        (
            &viewer,
            vec![("name", "ours"), ("address", ERRORS), ("shared", "1")],
            StatusCode::FORBIDDEN,
        ),
        (
            &admin,
            vec![
                ("name", "<b>Errors\u{202e}"),
                ("address", ERRORS),
                ("shared", "1"),
            ],
            StatusCode::SEE_OTHER,
        ),
        (
            &admin,
            vec![("name", " "), ("address", ERRORS)],
            StatusCode::BAD_REQUEST,
        ),
        (
            &admin,
            vec![("name", "out"), ("address", "https://example.com/")],
            StatusCode::NOT_FOUND,
        ),
        (
            &admin,
            vec![
                ("name", "out"),
                ("address", "/t/default/default/../../sign-out"),
            ],
            StatusCode::BAD_REQUEST,
        ),
    ] {
        assert_eq!(save(browser, &fields).await, status, "{fields:?}");
    }
    let own = page(&viewer).await;
    let link = ERRORS.replace('&', "&#38;");
    assert!(own.contains("mine") && own.contains("Errors"), "{own}");
    assert!(own.contains(&format!("href=\"{link}\"")), "{own}");
    assert!(!own.contains("<b>Errors") && !own.contains('\u{202e}'));
    let of_admin = page(&admin).await;
    assert!(of_admin.contains("Errors") && !of_admin.contains(">mine<"));
    // It is found by name from anywhere.
    let found = viewer.get(&format!("{AT}/go?text=min")).await.body;
    assert!(found.contains("Saved views") && found.contains(&link));

    // A viewer forgets their own, not what others share; an owner forgets that.
    let (mine, shared) = (id_of(&own, "mine"), id_of(&own, "Errors"));
    assert_eq!(shared, None, "no form for what is not theirs");
    let shared = id_of(&page(&owner).await, "Errors").expect("an owner's form");
    let mine = mine.expect("one's own form");
    for (browser, id, status) in [
        (&viewer, &shared, StatusCode::NOT_FOUND),
        (&owner, &mine, StatusCode::NOT_FOUND),
        (&viewer, &mine, StatusCode::SEE_OTHER),
        (&owner, &shared, StatusCode::SEE_OTHER),
        (&owner, &shared, StatusCode::NOT_FOUND),
    ] {
        let path = format!("{AT}/views/delete");
        let answer = browser.post(&path, &[("id", id)]).await;
        assert_eq!(answer.status, status);
    }
    assert!(page(&viewer).await.contains("No view yet"));
    let told = audited(&central).await;
    let address = ERRORS.strip_prefix("/t/default/default/").expect("it is");
    let expected = [
        ("view.deleted", "<b>Errors\u{202e}", ""),
        ("view.deleted", "mine", ""),
        ("view.shared", "<b>Errors\u{202e}", address),
        ("view.saved", "mine", address),
    ];
    let told: Vec<(&str, &str, &str)> = told
        .iter()
        .map(|(action, object, after)| (&**action, &**object, &**after))
        .collect();
    assert_eq!(told, expected);
    central.stop().await;
}

async fn a_view_stays_in_its_environment_and_with_its_person(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = start(kind, directory.path()).await;
    let service = &central.central;
    let here = service.environment("default", "default").await;
    let here = here.expect("it is there");
    let other = service.create_environment("default", "second").await;
    let other = other.expect("the name is free");
    central.sign_in(Role::Owner).await;
    let both = [(&here, Role::Admin), (&other, Role::Admin)];
    let ada = central.sign_in_as("ada@example.com", &both).await;
    for fields in [
        vec![("name", "private"), ("address", ERRORS)],
        vec![("name", "for all"), ("address", ERRORS), ("shared", "1")],
    ] {
        assert_eq!(save(&ada, &fields).await, StatusCode::SEE_OTHER);
    }
    let second = ada.get("/t/default/second/views").await.body;
    assert!(second.contains("No view yet"), "{second}");
    let id = id_of(&page(&ada).await, "for all").expect("a form");
    let path = "/t/default/second/views/delete";
    let elsewhere = ada.post(path, &[("id", &id)]).await;
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);
    let stored = async |person: Option<&str>| {
        let criteria = Criteria {
            of: Of::Person(person.unwrap_or_default().to_owned()),
            ..Criteria::default()
        };
        let store = &service.store;
        let now = Timestamp::now();
        let views = store.list::<SavedView>(here.scope, &criteria, now, PageRequest::default());
        let views = views.await.map(|page| page.items);
        views.expect("the store reads").len()
    };
    let people = service
        .store
        .all::<Member>(here.scope, Of::Environment)
        .await;
    let people = people.expect("the store reads");
    let ada_id = people
        .iter()
        .find(|member| member.person.name == "ada@example.com")
        .map(|member| member.person.id.clone())
        .expect("she is a member");
    assert_eq!(stored(Some(&ada_id)).await, 2);
    // Who leaves takes along what was theirs alone.
    let actor = Actor::command_line();
    for environment in [&here, &other] {
        let removed = service.remove_member(environment, "ada@example.com", &actor);
        removed.await.expect("she is no owner");
    }
    assert_eq!(stored(None).await, 1);
    central.stop().await;
}

async fn the_api_keeps_views_as_the_portal_does(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = start(kind, directory.path()).await;
    let api = central.api().await;
    let ask = async |body: Value| {
        let answer = api.send(Method::POST, "views", &body).await;
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        (
            status,
            serde_json::from_str::<Value>(&text).unwrap_or_default(),
        )
    };
    let view = |name: &str, address: &str, is_shared: bool| json!({"name": name, "address": address, "is_shared": is_shared});
    let (status, saved) = ask(view("errors", "observability?type=error", true)).await;
    assert_eq!(status, StatusCode::CREATED, "{saved}");
    assert_eq!(saved["saved_by"], "API key test");
    for (body, wrong) in [
        (view("mine", "observability", false), 400),
        (view("out", "/sign-out", true), 400),
        (view("", "observability", true), 400),
        (json!({"nonsense": 1}), 400),
    ] {
        assert_eq!(ask(body.clone()).await.0, wrong, "{body}");
    }
    assert_eq!(api.list("views").await, std::slice::from_ref(&saved));
    let viewer = central.sign_in(Role::Viewer).await;
    assert!(page(&viewer).await.contains("observability?type=error"));
    let id = saved["id"].as_str().expect("an id");
    for (id, status) in [("none", 404), (id, 204), (id, 404)] {
        let answer = api.delete(&format!("views/{id}")).await;
        assert_eq!(answer.status(), status);
    }
    // Somebody's own view is theirs alone, whatever their role; a key takes back what keys have shared.
    let admin = central.sign_in(Role::Admin).await;
    let of_person = async |browser: &Browser, body: Value| {
        let request = browser.request(Method::POST, "/api/v1/views");
        let token = browser.form_token().await;
        let request = request.header("fieldpost-form-token", token);
        let sent = request.header("content-type", "application/json");
        let answer = sent.body(body.to_string()).send().await;
        let answer = answer.expect("the service answers");
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        let saved: Value = serde_json::from_str(&text).unwrap_or_default();
        (status, saved["id"].as_str().unwrap_or_default().to_owned())
    };
    let mine = view("mine", "observability", false);
    assert_eq!(
        of_person(&viewer, mine.clone()).await.0,
        StatusCode::CREATED
    );
    let all = view("for all", "observability", true);
    assert_eq!(
        of_person(&viewer, all.clone()).await.0,
        StatusCode::FORBIDDEN
    );
    let (status, of_admin) = of_person(&admin, all).await;
    assert_eq!(status, StatusCode::CREATED);
    let here = central.central.environment("default", "default").await;
    let scope = here.expect("it is there").scope;
    let key = Access::Environment(scope, Role::Admin);
    let key = central.central.create_api_key(key, "an admin's").await;
    let with_key = Api::new(&central.url, key.expect("the store writes").expose());
    let deleted = with_key.delete(&format!("views/{of_admin}")).await;
    assert_eq!(deleted.status(), StatusCode::NOT_FOUND);
    let (_, of_key) = ask(view("of a key", "observability", true)).await;
    let of_key = of_key["id"].as_str().expect("an id").to_owned();
    let deleted = with_key.delete(&format!("views/{of_key}")).await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    for number in 0..200 {
        let (status, _) = ask(view(&format!("{number}"), "observability", true)).await;
        assert_eq!(status, StatusCode::CREATED);
    }
    let (status, _) = ask(view("one more", "observability", true)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(audited(&central).await.len(), 100, "a page of them");
    central.stop().await;
}
