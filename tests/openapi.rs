//! The API's own description: complete, true, readable, and asked in every way that it allows.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use fieldpost::central::config::Config;
use fieldpost::central::store::{Access, Role};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::fieldpost::{TestCentral, client};
use crate::support::process;
use crate::support::records::{claude_session, request};

/// Time that asking may take.
const LIMIT: Duration = Duration::from_secs(300);

/// A service with a session, and what lets an owner and an operator in.
async fn filled(directory: &Path, config: Config) -> (TestCentral, [String; 2]) {
    let central = TestCentral::start_with(directory, config).await;
    let bearer = central.install().await.authorization_header;
    let sent = client()
        .post(format!("{}/v1/logs", central.url))
        .header("authorization", bearer)
        .header("content-type", "application/json")
        .body(request(&claude_session("ada@example.com", "s", 10)).to_string())
        .send()
        .await;
    assert!(sent.expect("the service answers").status().is_success());
    let scope = central.central.store.environments().await.expect("some")[0].scope;
    let mut keys = Vec::new();
    for access in [Access::Environment(scope, Role::Owner), Access::Operator] {
        let key = central.central.create_api_key(access, "test").await;
        keys.push(key.expect("the store writes").expose().to_owned());
    }
    (central, keys.try_into().expect("two keys"))
}

/// The operations of a document: method, path, description.
fn operations(document: &Value) -> Vec<(Method, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods");
        methods.iter().map(move |(method, operation)| {
            let method = method.to_uppercase().parse().expect("a method");
            (method, path.clone(), operation)
        })
    });
    operations.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_document_is_there_and_no_other() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, _) = filled(directory.path(), Config::default()).await;
    let document = central.api().await.get("openapi.json").await;
    let operations = operations(&document);
    assert!(operations.len() > 40, "{}", operations.len());
    let mut ids = BTreeSet::new();
    let ask = async |method: &Method, path: &str| {
        let path = path.replace(['{', '}'], "");
        let url = format!("{}/api/v1{path}", central.url);
        let answer = client().request(method.clone(), url).send().await;
        answer.expect("the service answers").status()
    };
    for (method, path, operation) in &operations {
        let told = format!("{method} {path}");
        assert_eq!(ask(method, path).await, StatusCode::UNAUTHORIZED, "{told}");
        let id = operation["operationId"].as_str().expect("an id");
        assert!(ids.insert(id.to_owned()), "{told}: {id} twice");
        let summary = operation["summary"].as_str().unwrap_or_default();
        assert!(
            summary.ends_with('.') && !operation["tags"].is_null(),
            "{told}"
        );
        for status in ["401", "403", "429", "503"] {
            assert!(
                !operation["responses"][status].is_null(),
                "{told}: {status}"
            );
        }
    }
    for (_, path, _) in &operations {
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ] {
            let is_told = operations
                .iter()
                .any(|(known, at, _)| *known == method && at == path);
            let status = ask(&method, path).await;
            assert_eq!(
                status != StatusCode::METHOD_NOT_ALLOWED,
                is_told,
                "{method} {path} {status}"
            );
        }
    }
    central.stop().await;
}

/// There is one way to add a route, and it describes it.
#[test]
fn no_route_of_the_api_goes_undescribed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/central");
    let files = fs::read_dir(folder.join("api")).expect("the API's sources");
    let files = files.map(|file| file.expect("a file").path());
    for file in files.chain([folder.join("api.rs")]) {
        let text = fs::read_to_string(&file).expect("a source");
        assert!(!text.contains(".route("), "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_shows_every_operation_and_every_value() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, _) = filled(directory.path(), Config::default()).await;
    let document = central.api().await.get("openapi.json").await;
    let browser = central.sign_in(Role::Viewer).await;
    let page = browser.get("/t/default/default/api").await;
    assert_eq!(page.status, StatusCode::OK);
    for (_, _, operation) in operations(&document) {
        let id = operation["operationId"].as_str().expect("an id");
        assert!(page.body.contains(&format!("id=\"{id}\"")), "{id}");
    }
    for name in document["components"]["schemas"]
        .as_object()
        .expect("values")
        .keys()
    {
        assert!(
            page.body.contains(&format!("id=\"value-{name}\"")),
            "{name}"
        );
    }
    let links: BTreeSet<&str> = page
        .body
        .split("href=\"#value-")
        .skip(1)
        .map(|it| it.split('"').next().unwrap_or(""))
        .collect();
    for link in links {
        assert!(
            page.body.contains(&format!("id=\"value-{link}\"")),
            "{link} leads nowhere"
        );
    }
    assert!(page.body.len() < 200_000, "{} bytes", page.body.len());
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_often_is_told_when_to_ask_again() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = Config {
        api_requests_per_second: 1,
        ..Config::default()
    };
    let (central, [owner, operator]) = filled(directory.path(), config).await;
    let ask = async |key: &str| {
        let url = format!("{}/api/v1/openapi.json", central.url);
        let answer = client().get(url).bearer_auth(key).send().await;
        answer.expect("the service answers")
    };
    let mut refused = None;
    for _ in 0..4 {
        let answer = ask(&owner).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
        }
    }
    let refused = refused.expect("four in a burst of two are too many");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
    // Another key has its own measure, and is refused for its own reason only.
    assert_eq!(ask(&operator).await.status(), StatusCode::FORBIDDEN);
    central.stop().await;
}

/// What the document allows, and what it does not, is asked with each kind of key: nothing answers with
/// a status or a body that the document does not tell, and nothing breaks.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_answer_that_the_document_does_not_tell() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = Config {
        api_requests_per_second: 100_000,
        ..Config::default()
    };
    let (central, keys) = filled(directory.path(), config).await;
    let document = central.api().await.get("openapi.json").await;
    let file = directory.path().join("openapi.json");
    fs::write(&file, document.to_string()).expect("the directory is writable");
    let program =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/schemathesis/bin/schemathesis");
    assert!(program.exists(), "run tests/run --install");
    for key in keys {
        let mut command = process::command(&program);
        command
            .current_dir(directory.path())
            .args(["run", "--url"])
            .arg(format!("{}/api/v1", central.url))
            .arg("--header")
            .arg(format!("Authorization: Bearer {key}"))
            .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"])
            .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--generation-deterministic"])
            .args([ "--no-color"])
            .arg(&file);
        process::run(command, "", LIMIT).await.expect_success();
    }
    central.stop().await;
}
