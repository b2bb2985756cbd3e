//! `/api/v1`: lists and their pages, filters, errors, and the walls between environments.

use reqwest::StatusCode;
use serde_json::Value;

use fieldpost::central::store::{Access, Role};

use crate::support::api::Api;
use crate::support::fieldpost::{Kind, TestCentral, client, on_both_databases};
use crate::support::records::{claude_session, request};
use crate::support::wire;

on_both_databases! {
    every_list_gives_the_same_rows_in_small_pages_as_in_one,
    filters_choose_the_rows_that_they_name,
    what_pages_show_beside_their_rows_is_in_the_api,
    one_agent_shows_its_events_entities_sessions_and_identities,
    errors_are_problems_that_say_what_to_do,
    another_environment_sees_nothing,
    the_integration_is_installed_again_for_a_new_token,
}

async fn filled(kind: Kind, directory: &std::path::Path) -> (TestCentral, Api) {
    let central = TestCentral::start_on(kind, directory).await;
    let bearer = central.install().await.authorization_header;
    for capture in wire::all() {
        let address = central.url.trim_start_matches("http://");
        assert_eq!(
            capture.send(address, capture.path(), &bearer).await.status,
            200
        );
    }
    let api = central.api().await;
    (central, api)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_told_in_part_says_so() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let api = central.api().await;
    let records = claude_session("ada@example.com", "long", 5_001);
    for (records, is_cut) in [(&records[..5_000], false), (&records[5_000..], true)] {
        let posted = client()
            .post(format!("{}/v1/logs", central.url))
            .header("authorization", &bearer)
            .header("content-type", "application/json")
            .body(request(records).to_string());
        let posted = posted.send().await.expect("the service answers");
        assert_eq!(posted.status(), 200);
        assert_eq!(api.get("sessions/long").await["is_cut"], is_cut);
    }
    let owner = central.sign_in(Role::Owner).await;
    let export = "/t/default/default/sessions/long/export";
    let text = owner.post(export, &[("format", "markdown")]).await.body;
    assert!(text.contains("the first 5000 of 5001 events"));
    let json = owner.post(export, &[("format", "json")]).await.body;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["is_cut"], true);
    central.stop().await;
}

async fn every_list_gives_the_same_rows_in_small_pages_as_in_one(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, api) = filled(kind, directory.path()).await;
    for path in [
        "agents",
        "entities",
        "owners",
        "sessions",
        "events",
        "events?q=file",
    ] {
        let separator = if path.contains('?') { '&' } else { '?' };
        let small = api.list(&format!("{path}{separator}limit=2")).await;
        let whole = api.list(&format!("{path}{separator}limit=1000")).await;
        assert!(whole.len() >= 2, "{path} has rows");
        assert_eq!(small, whole, "{path}");
    }
    central.stop().await;
}

async fn what_pages_show_beside_their_rows_is_in_the_api(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, api) = filled(kind, directory.path()).await;
    let events = api.list("events?limit=1000").await;
    let facets = api.get("events/facets").await;
    assert_eq!(facets["event_count"], events.len());
    assert_eq!(facets["is_exact"], true);
    let tools = facets["facets"]
        .as_array()
        .and_then(|facets| facets.iter().find(|it| it["qualifier"] == "tool"))
        .expect("tools");
    for value in tools["values"].as_array().expect("values") {
        let tool = value["value"].as_str().expect("a name");
        let of_tool = events.iter().filter(|event| event["tool"] == tool).count();
        assert!(of_tool > 0);
        assert_eq!(value["event_count"], of_tool, "{tool}");
    }
    let narrowed = api.get("events/facets?type=tool_result").await;
    let results = events
        .iter()
        .filter(|event| event["name"] == "tool_result")
        .count();
    assert_eq!(narrowed["event_count"], results);

    let bash = api.get("entity?kind=tool&name=Bash").await;
    let listed = api.list("entities?kind=tool&limit=1000").await;
    let listed = listed.iter().find(|it| it["name"] == "Bash");
    assert_eq!(Some(&bash["use_count"]), listed.map(|it| &it["use_count"]));
    let agent = bash["users"][0]["agent_id"].as_str().expect("a user");
    assert_eq!(
        api.request("entity?kind=tool&name=None").await.status(),
        404
    );

    let days = api
        .list(&format!("agents/{agent}/days?from=2026-01-01T00:00:00Z"))
        .await;
    let of_agent = events.iter().filter(|event| event["agent_id"] == agent);
    let in_days: i64 = days
        .iter()
        .filter_map(|it| it["event_count"].as_i64())
        .sum();
    assert_eq!(in_days, of_agent.count() as i64);
    assert_eq!(api.request("agents/none/days").await.status(), 404);

    central.sign_in(Role::Viewer).await;
    let people = api.list("people").await;
    assert_eq!(people[0]["role"], "viewer");
    let retention = api.get("retention").await;
    assert_eq!(retention["keep_seconds"], Value::Null);
    let environments = central.central.store.environments().await;
    let scope = environments.expect("the store reads")[0].scope;
    let admin = central
        .central
        .create_api_key(Access::Environment(scope, Role::Admin), "admin")
        .await
        .expect("the store writes");
    let admin = Api::new(&central.url, admin.expose());
    assert_eq!(admin.request("people").await.status(), 403);
    central.stop().await;
}

async fn filters_choose_the_rows_that_they_name(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, api) = filled(kind, directory.path()).await;
    let all = api.list("events?limit=1000").await;
    let session = all[0]["session_id"].as_str().expect("a session").to_owned();
    let agent = all[0]["agent_id"].as_str().expect("an agent").to_owned();
    let time = all[all.len() / 2]["time"]
        .as_str()
        .expect("a time")
        .to_owned();
    type Keep = fn(&Value, &str) -> bool;
    let filters: [(&str, &str, Keep); 9] = [
        ("session", &session, |event, value| {
            event["session_id"] == value
        }),
        ("agent", &agent, |event, value| event["agent_id"] == value),
        ("agent", "Cowork/ada", |event, value| {
            event["agent_name"] == value
        }),
        ("type", "tool_invocation", |event, value| {
            event["type"] == value
        }),
        ("type", "api_request", |event, value| event["name"] == value),
        ("tool", "Bash", |event, value| event["tool"] == value),
        ("model", "claude-opus-4-8", |event, value| {
            event["model"] == value
        }),
        ("from", &time, |event, value| {
            event["time"].as_str() >= Some(value)
        }),
        ("to", &time, |event, value| {
            event["time"].as_str() < Some(value)
        }),
    ];
    for (key, value, keep) in filters {
        let expected: Vec<&Value> = all.iter().filter(|event| keep(event, value)).collect();
        assert!(
            !expected.is_empty() && expected.len() < all.len(),
            "{key}={value}"
        );
        let rows = api.list(&format!("events?limit=1000&{key}={value}")).await;
        assert_eq!(rows.iter().collect::<Vec<_>>(), expected, "{key}={value}");
    }
    assert!(api.list("events?agent=nobody").await.is_empty());
    let found = api.list("events?q=LISTFILES").await;
    assert!(!found.is_empty());
    assert!(
        found
            .iter()
            .all(|event| event.to_string().to_lowercase().contains("listfiles"))
    );
    let with_grep = api.list("sessions?tool=Grep").await;
    assert!(
        with_grep
            .iter()
            .all(|session| session["tools"].to_string().contains("Grep"))
    );
    central.stop().await;
}

async fn one_agent_shows_its_events_entities_sessions_and_identities(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, api) = filled(kind, directory.path()).await;
    let agent = api.list("agents?text=ada@example.com").await.remove(0);
    let id = agent["id"].as_str().expect("an id");
    let detail = api.get(&format!("agents/{id}")).await;
    assert_eq!(detail["name"], "Cowork/ada");
    let identities = detail["identities"].as_array().expect("identities");
    assert!(
        identities
            .iter()
            .any(|identity| identity["key"] == "user.account_uuid")
    );
    let events = api.list(&format!("agents/{id}/events?limit=1000")).await;
    assert_eq!(agent["event_count"], events.len());
    let sessions = api.list(&format!("agents/{id}/sessions")).await;
    assert_eq!(agent["session_count"], sessions.len());
    let tools = api.list(&format!("agents/{id}/entities?kind=tool")).await;
    assert_eq!(agent["tool_count"], tools.len());
    let event = events[0]["id"].as_str().expect("an id");
    assert_eq!(api.get(&format!("events/{event}")).await, events[0]);
    central.stop().await;
}

async fn errors_are_problems_that_say_what_to_do(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, api) = filled(kind, directory.path()).await;
    for (path, status) in [
        ("agents/nobody", 404),
        ("sessions/none", 404),
        ("events/none", 404),
        ("nothing/here", 404),
        ("events?cursor=%21%21", 400),
        ("events?from=yesterday", 400),
        ("entities?kind=spaceship", 400),
        ("agents?limit=many", 400),
    ] {
        let answer = api.request(path).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        assert_eq!(
            answer.headers()["content-type"],
            "application/problem+json",
            "{path}"
        );
        let id = answer.headers()["x-request-id"].clone();
        let problem: Value =
            serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], id.to_str().expect("a number"));
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|text| text.len() > 10),
            "{problem}"
        );
    }
    let url = format!("{}/api/v1/agents", central.url);
    let anonymous = client()
        .get(&url)
        .send()
        .await
        .expect("the service answers");
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
    assert!(anonymous.headers().contains_key("www-authenticate"));
    // A token that may write may not read.
    let bearer = central.install().await.authorization_header;
    let writer = client()
        .get(&url)
        .header("authorization", bearer)
        .send()
        .await;
    assert_eq!(
        writer.expect("the service answers").status(),
        StatusCode::UNAUTHORIZED
    );
    central.stop().await;
}

async fn another_environment_sees_nothing(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, api) = filled(kind, directory.path()).await;
    let store = &central.central.store;
    let other = store
        .create_environment("other", "default")
        .await
        .expect("the store writes");
    let key = central
        .central
        .create_api_key(Access::Environment(other.scope, Role::Admin), "test")
        .await
        .expect("the store writes");
    let stranger = Api::new(&central.url, key.expose());
    for list in [
        "agents", "entities", "owners", "sessions", "events", "machines", "tokens",
    ] {
        assert!(
            !api.list(list).await.is_empty() || list == "machines",
            "{list}"
        );
        assert!(stranger.list(list).await.is_empty(), "{list}");
    }
    for list in ["agents", "sessions", "events"] {
        let id = api.list(list).await[0]["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        assert_eq!(
            stranger.request(&format!("{list}/{id}")).await.status(),
            404,
            "{list}"
        );
    }
    let token = api.list("tokens").await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(
        stranger
            .post(&format!("tokens/{token}/revoke"))
            .await
            .status(),
        404
    );
    assert!(api.list("tokens").await[0]["revoked_at"].is_null());
    central.stop().await;
}

async fn the_integration_is_installed_again_for_a_new_token(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let api = central.api().await;
    let before = api.list("integrations").await.remove(0);
    assert_eq!(
        (&before["installed_at"], &before["live_tokens"]),
        (&Value::Null, &0.into())
    );
    for count in 1..=2 {
        let answer = api.post("integrations/claude-cowork/install").await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let shown: Value =
            serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        assert_eq!(shown["protocol"], "http/json");
        let endpoint = shown["endpoint"].as_str().expect("an endpoint");
        assert!(
            endpoint.ends_with("/v1/claude-cowork/otel/v1/logs"),
            "{endpoint}"
        );
        assert!(
            shown["authorizationHeader"]
                .as_str()
                .is_some_and(|text| text.starts_with("Bearer ey"))
        );
        assert_eq!(api.list("integrations").await[0]["live_tokens"], count);
    }
    central.stop().await;
}
