//! Lists of who and what may come in: narrowed, sorted, paged and taken away as the others are, by whom they are
//! for and by nobody else.

use fieldpost::central::people::{Actor, NewPassword};
use fieldpost::central::store::{Access, Role};
use fieldpost::secret::Secret;
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::api::Api;
use crate::support::browser::Browser;
use crate::support::fieldpost::{Kind, TestCentral, client, on_both_databases};

use super::{ENVIRONMENT, values};

on_both_databases! {
    people_are_listed_for_owners_alone,
    everybody_has_a_list_of_their_own_keys,
}

const VIEWERS: usize = 104;

/// The names that a page's table shows, in its order.
fn names(page: &str) -> Vec<String> {
    values(page, "<th scope=\"row\"><bdi>")
        .into_iter()
        .map(|cell| cell.split('<').next().unwrap_or_default().to_owned())
        .collect()
}

/// The lines of an export but for its manifest, which counts them.
async fn exported(browser: &Browser, list: &str, query: &str) -> Vec<Value> {
    let fields = query.split('&').filter_map(|pair| pair.split_once('='));
    let fields: Vec<(&str, &str)> = fields.chain([("format", "ndjson")]).collect();
    let path = format!("{ENVIRONMENT}/exports/{list}");
    let file = browser.post(&path, &fields).await;
    assert_eq!(file.status, StatusCode::OK, "{list}?{query}");
    let lines = file.body.lines();
    let mut lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let manifest = lines.pop().expect("a manifest");
    assert_eq!(manifest["manifest"]["rows"], lines.len());
    lines
}

fn name_of(row: &Value) -> &str {
    row["name"].as_str().expect("a name")
}

async fn people_are_listed_for_owners_alone(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let environment = central.central.environment("default", "default").await;
    let environment = environment.expect("it is there");
    let add = async |name: &str, role, password| {
        let actor = Actor::command_line();
        let added = central
            .central
            .add_member(&environment, name, role, password, &actor);
        added.await.expect("the name is free");
    };
    for number in 0..VIEWERS {
        let name = format!("person-{number:03}@example.com");
        add(&name, Role::Viewer, NewPassword::None).await;
    }
    let password = NewPassword::Given(Secret::new("a good long password"));
    add("grace@example.com", Role::Admin, password).await;
    let owner = central
        .sign_in_as("zoe@example.com", &[(&environment, Role::Owner)])
        .await;
    let people = format!("{ENVIRONMENT}/settings/people");
    let page = async |query: &str| owner.get(&format!("{people}?{query}")).await.body;

    let first = page("").await;
    assert!(first.contains(&format!("<strong>{} people</strong>", VIEWERS + 2)));
    let next = values(&first, "rel=\"next\" href=\"").remove(0);
    let rest = owner.get(&next).await.body;
    let all = [names(&first), names(&rest)].concat();
    assert_eq!(all.len(), VIEWERS + 2);
    assert!(all.is_sorted(), "{all:?}");
    for (link, count) in [
        ("role=viewer", VIEWERS),
        ("role=owner", 1),
        ("way=password", 1),
        ("signed-in=now", 1),
        ("given=by%20hand", VIEWERS + 2),
    ] {
        let (_, after) = first
            .split_once(&format!("href=\"{people}?{link}\""))
            .unwrap_or_else(|| panic!("{link}: {first}"));
        let counted = values(after, "class=\"count\">").remove(0);
        assert!(
            counted.starts_with(&format!("{count}<")),
            "{link}: {counted}"
        );
    }
    let api = central.api().await;
    for (query, expected) in [
        ("role=admin", 1),
        ("-role=viewer&sort=-name", 2),
        ("-way=neither", 1),
        ("signed-in=now", 1),
        ("text=PERSON-00&sort=-name", 10),
        ("text=person&signed-in=now", 0),
    ] {
        let shown = names(&page(query).await);
        assert_eq!(shown.len(), expected, "{query}: {shown:?}");
        let listed = api.list(&format!("people?limit=4&{query}")).await;
        let listed: Vec<&str> = listed.iter().map(name_of).collect();
        assert_eq!(shown, listed, "{query}");
        let taken = exported(&owner, "people", query).await;
        let taken: Vec<&str> = taken.iter().map(name_of).collect();
        assert_eq!(shown, taken, "{query}");
    }
    let none = page("text=nobody&role=owner").await;
    assert!(none.contains("No person matches"), "{none}");
    // The filter first without which there is most.
    let (_, first) = none.split_once("class=\"loosen\"").expect("a way on");
    let (text, role) = first.split_once("“Role").expect("both filters");
    assert!(
        text.contains("“Text") && text.contains("</a>: 1 person<"),
        "{text}"
    );
    assert!(role.contains("</a>: 0 people<"), "{role}");
    let export = format!("{ENVIRONMENT}/exports/people");
    let csv = [("format", "csv")];
    assert_eq!(
        owner.post(&export, &csv).await.body.lines().count(),
        VIEWERS + 3
    );

    for role in [Role::Admin, Role::Viewer] {
        let browser = central.sign_in(role).await;
        assert_eq!(browser.get(&people).await.status, StatusCode::FORBIDDEN);
        let taken = browser.post(&export, &csv).await;
        assert_eq!(taken.status, StatusCode::FORBIDDEN);
        let access = Access::Environment(environment.scope, role);
        let key = central.central.create_api_key(access, "key").await;
        let api = Api::new(&central.url, key.expect("the store writes").expose());
        let refused = api.request("people?role=owner").await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    }
    for wrong in ["people?role=boss", "people?sort=age", "people?roll=owner"] {
        assert_eq!(api.request(wrong).await.status(), 400, "{wrong}");
    }
    central.stop().await;
}

async fn everybody_has_a_list_of_their_own_keys(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let owner = central.sign_in(Role::Owner).await;
    let viewer = central.sign_in(Role::Viewer).await;
    let keys = format!("{ENVIRONMENT}/settings/keys");
    let made = async |browser: &Browser, name: &str, role: &str| {
        let form = [("name", name), ("role", role), ("days", "7")];
        let page = browser.post(&keys, &form).await.body;
        let key = values(&page, "id=\"api-key\">").remove(0);
        key.split('<').next().expect("a key").to_owned()
    };
    made(&owner, "of-owner", "admin").await;
    let used = made(&viewer, "nightly", "viewer").await;
    made(&viewer, "spare", "viewer").await;
    let asked = client()
        .get(format!("{}/api/v1/agents", central.url))
        .bearer_auth(&used);
    assert_eq!(asked.send().await.expect("an answer").status(), 200);

    let page = async |browser: &Browser, query: &str| {
        let page = browser.get(&format!("{keys}?{query}")).await.body;
        names(&page)
    };
    assert_eq!(page(&viewer, "").await, ["nightly", "spare"]);
    assert_eq!(page(&owner, "").await, ["of-owner"]);
    for (query, expected) in [
        ("state=in%20use", &["nightly"][..]),
        ("state=not%20used%20yet", &["spare"]),
        ("-state=in%20use", &["spare"]),
        ("sort=-made", &["spare", "nightly"]),
        ("role=admin", &[]),
        ("text=OWNER", &[]),
    ] {
        assert_eq!(page(&viewer, query).await, expected, "{query}");
        let query = query.replace("%20", " ");
        let taken = exported(&viewer, "keys", &query).await;
        let taken: Vec<&str> = taken.iter().map(name_of).collect();
        assert_eq!(taken, expected, "{query}");
    }
    let none = viewer.get(&format!("{keys}?text=owner")).await.body;
    assert!(none.contains("No key matches"), "{none}");
    // The API lists those of the environment, for its admins.
    let api = central.api().await;
    let listed = async |query: &str| {
        let keys = api.list(&format!("api-keys?limit=1&{query}")).await;
        keys.iter()
            .map(|key| name_of(key).to_owned())
            .collect::<Vec<_>>()
    };
    let all = ["of-owner", "nightly", "spare", "test"];
    assert_eq!(listed("").await, all);
    assert_eq!(listed("whose=the+environment").await, ["test"]);
    assert_eq!(
        listed("whose=a+person&sort=-name").await,
        ["spare", "of-owner", "nightly"]
    );
    assert_eq!(api.request("api-keys?state=lost").await.status(), 400);
    central.stop().await;
}
