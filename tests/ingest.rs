//! The central service's OTLP endpoint, for clients without an edge: every address, every status,
//! every record once.

use fieldpost::central::OTLP_PREFIX;
use fieldpost::central::config::Config;
use fieldpost::otlp::Request;
use fieldpost::otlp::compression::Coding;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::support::fieldpost::{Kind, TestCentral, client, on_both_databases};
use crate::support::records::{claude_session, request};
use crate::support::wire;

on_both_databases! {
    stores_every_captured_request_once_however_often_it_comes,
    takes_logs_at_the_root_and_at_the_bare_prefix,
    a_batch_cut_anew_and_recompressed_stores_nothing_twice,
    true_twins_in_one_request_are_two_records,
    a_record_without_any_time_is_stored_once_as_well,
    refuses_what_has_no_good_token_and_says_why,
    says_what_is_wrong_with_a_request,
    many_clients_at_once_are_all_stored,
}

const EMPTY: &str = r#"{"resourceLogs":[]}"#;

async fn post(url: &str, authorization: Option<&str>, body: impl Into<reqwest::Body>) -> Response {
    let mut request = client()
        .post(url)
        .header("content-type", "application/json")
        .body(body);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    request.send().await.expect("the service answers")
}

async fn stores_every_captured_request_once_however_often_it_comes(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let api = central.api().await;
    let address = central.url.trim_start_matches("http://");
    let prefix = OTLP_PREFIX;
    let mut expected = 0;
    for capture in wire::all() {
        let word = capture.signal().word();
        let paths = [
            format!("{prefix}/v1/{word}"),
            format!("{prefix}/v1/logs/v1/{word}"),
            format!("/v1/{word}"),
        ];
        for path in paths {
            let answer = capture.send(address, &path, &bearer).await;
            assert_eq!(answer.status, 200, "{} {path}: {answer:?}", capture.folder);
        }
        if word == "logs" {
            expected += capture.records();
        }
    }
    api.wait_for_events("events?limit=1000", expected).await;
    let tokens = api.list("tokens").await;
    assert_eq!(tokens[0]["request_count"], 3 * wire::all().len());
    assert_eq!(tokens[0]["last_address"], "127.0.0.1");
    central.stop().await;
}

async fn takes_logs_at_the_root_and_at_the_bare_prefix(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let body = request(&claude_session("ada@example.com", "rooted", 5)).to_string();
    for path in [
        "/".to_owned(),
        OTLP_PREFIX.to_owned(),
        format!("{OTLP_PREFIX}/"),
    ] {
        let answer = post(
            &format!("{}{path}", central.url),
            Some(&bearer),
            body.clone(),
        )
        .await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(
            answer.text().await.expect("a body"),
            r#"{"partialSuccess":{}}"#
        );
    }
    central.api().await.wait_for_events("events", 5).await;
    central.stop().await;
}

async fn a_batch_cut_anew_and_recompressed_stores_nothing_twice(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let url = format!("{}{OTLP_PREFIX}/v1/logs", central.url);
    let capture = wire::folder("refactor").remove(0);
    assert_eq!(
        post(&url, Some(&bearer), capture.body.clone())
            .await
            .status(),
        200
    );
    let logs = capture.logs();
    let records = logs.resource_logs[0].scope_logs[0].log_records.clone();
    for cut in [1, 4, 7] {
        for piece in records.chunks(cut) {
            let mut logs = logs.clone();
            logs.resource_logs[0].scope_logs[0].log_records = piece.to_vec();
            let body = Coding::Zstd
                .compress(&Request::Logs(logs).encode())
                .expect("it compresses");
            let answer = client()
                .post(&url)
                .header("authorization", &bearer)
                .header("content-type", "application/x-protobuf")
                .header("content-encoding", "zstd")
                .body(body)
                .send()
                .await
                .expect("the service answers");
            assert_eq!(answer.status(), 200);
        }
    }
    central
        .api()
        .await
        .wait_for_events("events?limit=1000", records.len())
        .await;
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_of_this_machine_the_senders_address_is_kept() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let answer = client()
        .post(format!("{}/v1/logs", central.url))
        .header("authorization", bearer)
        .header("content-type", "application/json")
        .header("x-forwarded-for", "10.0.0.7, 203.0.113.9")
        .body(request(&claude_session("ada@example.com", "s", 1)).to_string());
    let answer = answer.send().await.expect("the service answers");
    assert_eq!(answer.status(), 200);
    let tokens = central.api().await.list("tokens").await;
    assert_eq!(tokens[0]["last_address"], "203.0.113.9");
    central.stop().await;
}

async fn true_twins_in_one_request_are_two_records(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let mut twins = claude_session("ada@example.com", "twins", 1);
    twins.push(twins[0].clone());
    let body = request(&twins).to_string();
    for _ in 0..2 {
        assert_eq!(
            post(&central.url, Some(&bearer), body.clone())
                .await
                .status(),
            200
        );
    }
    central.api().await.wait_for_events("events", 2).await;
    central.stop().await;
}

async fn a_record_without_any_time_is_stored_once_as_well(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let body = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"attributes":[
        {"key":"event.name","value":{"stringValue":"timeless"}}]}]}]}]}"#;
    for _ in 0..3 {
        assert_eq!(post(&central.url, Some(&bearer), body).await.status(), 200);
    }
    central.api().await.wait_for_events("events", 1).await;
    central.stop().await;
}

async fn refuses_what_has_no_good_token_and_says_why(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let url = format!("{}{OTLP_PREFIX}/v1/logs", central.url);
    let other_directory = tempfile::tempdir().expect("a temporary directory");
    let other = TestCentral::start_on(kind, other_directory.path()).await;
    let foreign = other.install().await.authorization_header;
    let (head, signature) = bearer.rsplit_once('.').expect("a JWT has three parts");
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let claims = head.split('.').nth(1).expect("claims");
    // {"alg":"none","typ":"JWT","kid":"k1"}
    let unsigned = format!("Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIiwia2lkIjoiazEifQ.{claims}.");

    for (authorization, words) in [
        (None, "missing"),
        (Some("Basic YTpi"), "missing"),
        (Some("Bearer "), "missing"),
        (Some("Bearer abc.def.ghi"), "malformed"),
        (Some(forged.as_str()), "malformed"),
        (Some(unsigned.as_str()), "malformed"),
        (Some(foreign.as_str()), "malformed"),
    ] {
        let answer = post(&url, authorization, EMPTY).await;
        assert_eq!(
            answer.status(),
            StatusCode::UNAUTHORIZED,
            "{authorization:?}"
        );
        let challenge = answer.headers()["www-authenticate"]
            .to_str()
            .expect("text")
            .to_owned();
        assert!(
            challenge.starts_with("Bearer realm=\"fieldpost\""),
            "{challenge}"
        );
        let said: Value =
            serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        let said = said["message"].as_str().expect("a message").to_owned();
        assert!(said.contains(words), "{authorization:?}: {said}");
    }

    // The seed's own check: an empty request with a good token is 200.
    assert_eq!(post(&url, Some(&bearer), EMPTY).await.status(), 200);

    // Revoked, it is refused from the next request on; installing again gives another.
    let api = central.api().await;
    let id = api.list("tokens").await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let again = central.install().await.authorization_header;
    assert_eq!(
        api.post(&format!("tokens/{id}/revoke")).await.status(),
        StatusCode::NO_CONTENT
    );
    let refused = post(&url, Some(&bearer), EMPTY).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(refused.text().await.expect("a body").contains("revoked"));
    assert_eq!(post(&url, Some(&again), EMPTY).await.status(), 200);
    central.stop().await;
    other.stop().await;
}

async fn says_what_is_wrong_with_a_request(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let url = format!("{}{OTLP_PREFIX}/v1/logs", central.url);
    for body in ["", "nonsense", "[]"] {
        let answer = post(&url, Some(&bearer), body).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{body:?}");
    }
    let get = client()
        .get(&url)
        .send()
        .await
        .expect("the service answers");
    assert_eq!(get.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(get.headers()["allow"], "POST");
    let plain = client()
        .post(&url)
        .header("authorization", &bearer)
        .body(EMPTY)
        .send()
        .await;
    assert_eq!(
        plain.expect("the service answers").status(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    let elsewhere = post(&format!("{}/nowhere", central.url), Some(&bearer), EMPTY).await;
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);

    let partly = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[
        {"timeUnixNano":"1795351565408000000"},{"flags":-1}]}]}]}"#;
    let answer = post(&url, Some(&bearer), partly).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let said: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    assert_eq!(said["partialSuccess"]["rejectedLogRecords"], "1");
    assert!(said["partialSuccess"]["errorMessage"].is_string());
    central.api().await.wait_for_events("events", 1).await;
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_above_its_rate_is_told_when_to_come_back_and_others_are_not() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut config = Config::default();
    config.ingest.requests_per_second = 1;
    let central = TestCentral::start_with(directory.path(), config).await;
    let bearer = central.install().await.authorization_header;
    let mut refused = None;
    for _ in 0..100 {
        let answer = post(&central.url, Some(&bearer), EMPTY).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let refused = refused.expect("a hundred requests in a row are more than one a second");
    assert_eq!(refused.headers()["retry-after"], "1");
    let other = central.install().await.authorization_header;
    assert_eq!(
        post(&central.url, Some(&other), EMPTY).await.status(),
        StatusCode::OK
    );
    // A client that obeys loses nothing.
    let body = request(&claude_session("ada@example.com", "patient", 3)).to_string();
    crate::support::eventually("room again", async || {
        let answer = post(&central.url, Some(&bearer), body.clone()).await;
        answer.status().is_success().then_some(())
    })
    .await;
    central.api().await.wait_for_events("events", 3).await;
    central.stop().await;
}

async fn many_clients_at_once_are_all_stored(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..24 {
        let (url, bearer) = (central.url.clone(), bearer.clone());
        clients.spawn(async move {
            let session = format!("session-{number}");
            let body = request(&claude_session("ada@example.com", &session, 20)).to_string();
            for _ in 0..2 {
                assert_eq!(post(&url, Some(&bearer), body.clone()).await.status(), 200);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("every client is served");
    }
    let api = central.api().await;
    api.wait_for_events("events?limit=1000", 24 * 20).await;
    assert_eq!(api.list("agents").await[0]["event_count"], 24 * 20);
    assert_eq!(api.list("sessions").await.len(), 24);
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_traces_are_stored_whole_and_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let address = central.url.trim_start_matches("http://").to_owned();
    for _ in 0..2 {
        for capture in wire::folder("three-signals") {
            let answer = capture.send(&address, capture.path(), &bearer).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    central.stop().await;

    let database = rusqlite::Connection::open(directory.path().join("fieldpost.db"));
    let database = database.expect("the database is one file at rest");
    for capture in wire::folder("three-signals") {
        let stored: Vec<Vec<u8>> = database
            .prepare("SELECT message FROM signals WHERE signal = ?")
            .and_then(|mut statement| {
                statement
                    .query_map([capture.signal().word()], |row| row.get(0))?
                    .collect()
            })
            .expect("the table reads");
        let stored: Vec<Vec<u8>> = stored
            .iter()
            .map(|message| zstd::decode_all(message.as_slice()).expect("a message inflates"))
            .collect();
        assert_eq!(stored, resources(&capture), "{}", capture.path());
    }
}

/// Each `ResourceMetrics` or `ResourceSpans` of a captured request, encoded; none of logs.
fn resources(capture: &wire::Capture) -> Vec<Vec<u8>> {
    use fieldpost::otlp::{ExportMetricsServiceRequest, ExportTraceServiceRequest, Signal};
    use prost::Message;
    let json = capture.body.as_slice();
    match capture.signal() {
        Signal::Logs => Vec::new(),
        Signal::Metrics => {
            let request: ExportMetricsServiceRequest = serde_json::from_slice(json).expect("JSON");
            let resources = request.resource_metrics.iter();
            resources.map(Message::encode_to_vec).collect()
        }
        Signal::Traces => {
            let request: ExportTraceServiceRequest = serde_json::from_slice(json).expect("JSON");
            let resources = request.resource_spans.iter();
            resources.map(Message::encode_to_vec).collect()
        }
    }
}
