//! The way upstream as a company's network and its secrets make it: certificates, proxies, tokens.

mod trust;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use fieldpost::edge::config::{Config, TokenSource};
use fieldpost::event::Attributes;
use fieldpost::otlp::{Request, Signal};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::support::fieldpost::{TestEdge, client, command, edge_config, free_port, write_token};
use crate::support::proxy::Proxy;
use crate::support::records::{claude_session, request};
use crate::support::tls::{Authority, TlsListener};
use crate::support::upstream::{Received, Upstream};
use crate::support::{eventually, wire};

async fn post(url: &str, body: &Value) {
    let answer = client()
        .post(url)
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .expect("the edge answers");
    assert_eq!(answer.status(), StatusCode::OK);
}

fn records(count: usize) -> Value {
    request(&claude_session("ada@example.com", "upstream", count))
}

async fn wait_for_records(upstream: &Upstream, count: usize) {
    eventually(&format!("{count} records upstream"), async || {
        let uids: BTreeSet<String> = upstream.accepted("log.record.uid").into_iter().collect();
        (uids.len() == count).then_some(())
    })
    .await;
}

/// Starts `fieldpost edge run` with its log in `directory`, and waits until it takes requests.
async fn start_process(directory: &Path, config: &str, port: u16, env: &[(&str, &str)]) -> Child {
    let mut command = command();
    command.envs(env.iter().copied());
    start(command, directory, config, port).await
}

/// The same with a command that runs the binary.
async fn start(mut command: Command, directory: &Path, config: &str, port: u16) -> Child {
    let file = directory.join("edge.toml");
    fs::write(&file, config).expect("the directory is writable");
    let log = fs::File::create(directory.join("log")).expect("the directory is writable");
    let child = command
        .args(["edge", "run", "--config"])
        .arg(file)
        .stderr(Stdio::from(log))
        .spawn()
        .expect("the binary starts");
    let health = format!("http://127.0.0.1:{port}/healthz");
    eventually("the edge to answer", async || {
        client().get(&health).send().await.ok()
    })
    .await;
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_shows_its_own_certificate_to_an_upstream_that_asks() {
    let directory = tempfile::tempdir().expect("a directory");
    let (authority, fleet) = (Authority::new(), Authority::new());
    let ca_file = authority.write(directory.path());
    let (certificate, key) = fleet.write_identity("laptop-7", directory.path());
    let listener = TlsListener::bind("localhost", &authority, Some(&fleet)).await;
    let base = format!("https://localhost:{}", listener.address().port());
    let upstream = Upstream::on(listener, base, |_| None);
    let config = format!(
        "{}ca_file = \"{}\"\nclient_cert = \"{}\"\nclient_key = \"{}\"\n",
        edge_config(directory.path(), &upstream.endpoint, None, 0),
        ca_file.display(),
        certificate.display(),
        key.display()
    );
    let edge = TestEdge::start_with(directory.path(), &config).await;
    post(&edge.logs(), &records(2)).await;
    wait_for_records(&upstream, 2).await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_go_through_the_proxy_that_is_configured_or_in_the_environment() {
    for is_configured in [true, false] {
        let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
        let ca_file = authority.write(directory.path());
        let listener = TlsListener::bind("otel.example.com", &authority, None).await;
        let proxy = Proxy::start(listener.address()).await;
        let upstream = Upstream::on(listener, "https://otel.example.com".to_owned(), |_| None);
        let port = free_port();
        let mut config = format!(
            "{}ca_file = \"{}\"\n",
            edge_config(directory.path(), &upstream.endpoint, None, port),
            ca_file.display()
        );
        let mut environment = Vec::new();
        match is_configured {
            true => config.push_str(&format!("proxy = \"{}\"\n", proxy.url)),
            false => environment.push(("HTTPS_PROXY", proxy.url.as_str())),
        }
        let mut edge = start_process(directory.path(), &config, port, &environment).await;
        post(&format!("http://127.0.0.1:{port}/v1/logs"), &records(3)).await;
        wait_for_records(&upstream, 3).await;
        let asked = proxy.asked();
        let meant = asked
            .iter()
            .all(|head| head.starts_with("CONNECT otel.example.com:443 "));
        assert!(!asked.is_empty() && meant, "{asked:?}");
        edge.kill().await.expect("it was running");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_on_loopback_is_reached_without_any_proxy() {
    let directory = tempfile::tempdir().expect("a directory");
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(([127, 0, 0, 1], 1).into()).await;
    let port = free_port();
    let config = format!(
        "{}proxy = \"{}\"\n",
        edge_config(directory.path(), &upstream.endpoint, None, port),
        proxy.url
    );
    let environment = [
        ("HTTP_PROXY", proxy.url.as_str()),
        ("ALL_PROXY", &proxy.url),
    ];
    let mut edge = start_process(directory.path(), &config, port, &environment).await;
    post(&format!("http://127.0.0.1:{port}/v1/logs"), &records(2)).await;
    wait_for_records(&upstream, 2).await;
    assert_eq!(proxy.asked(), Vec::<String>::new());
    edge.kill().await.expect("it was running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_prints_the_token_and_is_asked_again_when_it_is_refused() {
    let upstream = Upstream::judging(|received: &Received| {
        let is_second = received.authorization.as_deref() == Some("Bearer token-2");
        (!is_second).then(|| StatusCode::UNAUTHORIZED.into_response())
    })
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("get token");
    let count = directory.path().join("count");
    // Without a shell of ours, the argument reaches the program as it stands.
    let script = "#!/bin/sh\necho x >> \"$1\"\necho \"  token-$(wc -l < \"$1\" | tr -d ' ')  \"\n";
    fs::write(&program, script).expect("the directory is writable");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("it is ours");
    let config = format!(
        "{}extras = false\ntoken_command = [\"{}\", \"{}\"]\n",
        edge_config(directory.path(), &upstream.endpoint, None, 0),
        program.display(),
        count.display()
    );
    let edge = TestEdge::start_with(directory.path(), &config).await;
    post(&edge.logs(), &records(3)).await;
    wait_for_records(&upstream, 3).await;
    let runs = fs::read_to_string(count)
        .expect("the program ran")
        .lines()
        .count();
    assert_eq!(runs, 2);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_prints_no_token_in_time_is_ended_and_named() {
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let process = directory.path().join("process");
    let port = free_port();
    let config = format!(
        "{}token_command = [\"/bin/sh\", \"-c\", \"echo $$ > {} && exec sleep 600\"]\n",
        edge_config(directory.path(), &upstream.endpoint, None, port),
        process.display()
    );
    let mut edge = start_process(
        directory.path(),
        &config,
        port,
        &[("PATH", "/usr/bin:/bin")],
    )
    .await;
    post(&format!("http://127.0.0.1:{port}/v1/logs"), &records(2)).await;
    eventually("the reason in the log", async || {
        let log = fs::read_to_string(directory.path().join("log")).expect("a log");
        log.contains("/bin/sh took longer than 10 s").then_some(())
    })
    .await;
    let process = fs::read_to_string(process).expect("the program began");
    eventually("the end of the program", async || {
        let entry = Path::new("/proc").join(process.trim());
        (!entry.exists()).then_some(())
    })
    .await;
    assert!(upstream.received().is_empty());
    edge.kill().await.expect("it was running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_comes_before_the_file_and_unset_means_not_yet() {
    let upstream = Upstream::judging(|received: &Received| {
        let is_good = received.authorization.as_deref() == Some("Bearer from-file");
        (!is_good).then(|| StatusCode::UNAUTHORIZED.into_response())
    })
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    let credentials = directory.path().join("credentials");
    fs::create_dir(&credentials).expect("the directory is writable");
    write_token(&credentials.join("token"), "unset");
    let variable =
        |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| credentials.display().to_string());
    let text = edge_config(directory.path(), &upstream.endpoint, Some("unset"), 0);
    let config = Config::parse(&text, &variable).expect("a good configuration");
    assert_eq!(
        config.upstream.token,
        [
            TokenSource::File(credentials.join("token")),
            TokenSource::File(directory.path().join("token")),
        ]
    );

    let port = free_port();
    let text = edge_config(directory.path(), &upstream.endpoint, Some("unset"), port);
    let environment = [("CREDENTIALS_DIRECTORY", credentials.to_str().expect("text"))];
    let mut edge = start_process(directory.path(), &text, port, &environment).await;
    post(&format!("http://127.0.0.1:{port}/v1/logs"), &records(2)).await;
    let log = directory.path().join("log");
    eventually("the edge to say that there is no token", async || {
        let log = fs::read_to_string(&log).expect("a log");
        log.contains("there is no token").then_some(())
    })
    .await;
    assert!(
        upstream.received().is_empty(),
        "nothing is sent without one"
    );
    write_token(&directory.path().join("token"), "from-file");
    wait_for_records(&upstream, 2).await;
    edge.kill().await.expect("it was running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_is_switched_off_is_answered_and_thrown_away() {
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let config = format!(
        "{}signals = [\"logs\"]\n",
        edge_config(directory.path(), &upstream.endpoint, None, 0)
    );
    let edge = TestEdge::start_with(directory.path(), &config).await;
    for capture in wire::folder("three-signals") {
        let answer = capture
            .send(&edge.address.to_string(), capture.path(), "Bearer any")
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    post(&edge.logs(), &records(1)).await;
    let discarded = edge.gauges.intake.untaken().discarded;
    let signals: Vec<Signal> = discarded.keys().copied().collect();
    assert_eq!(signals, [Signal::Metrics, Signal::Traces]);
    assert!(
        discarded.values().all(|records| *records > 0),
        "{discarded:?}"
    );
    // What is stopped has sent all it had.
    edge.stop().await;
    let received = upstream.received();
    assert!(!upstream.accepted("event.name").is_empty());
    let others: Vec<_> = received
        .iter()
        .filter(|received| received.request.signal() != Signal::Logs)
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_programs_send_is_kept_unless_the_configuration_says_otherwise() {
    for (word, expected) in [("", 4), ("foreign = \"drop\"\n", 2)] {
        let upstream = Upstream::start().await;
        let directory = tempfile::tempdir().expect("a directory");
        let config = edge_config(directory.path(), &upstream.endpoint, None, 0);
        let config = config.replace("[listen]\n", &format!("[listen]\n{word}"));
        let edge = TestEdge::start_with(directory.path(), &config).await;
        // One request holds both: Claude's scope and another's.
        let mut body = records(2);
        let other = json!({
            "scope": {"name": "io.opentelemetry.contrib.mongodb"},
            "logRecords": [{"body": {"stringValue": "one"}}, {"body": {"stringValue": "two"}}],
        });
        let scopes = body["resourceLogs"][0]["scopeLogs"].as_array_mut();
        scopes.expect("a list").push(other);
        post(&edge.logs(), &body).await;
        wait_for_records(&upstream, expected).await;
        let dropped: u64 = edge.gauges.intake.untaken().foreign.values().sum();
        assert_eq!(dropped, 4 - expected as u64);
        edge.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_upstream_gets_nothing_of_fieldposts_own_but_identities() {
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let config = format!(
        "{}extras = false\n",
        edge_config(directory.path(), &upstream.endpoint, None, 0)
    );
    let edge = TestEdge::start_with(directory.path(), &config).await;
    let mut body = records(2);
    let secret = format!("ghp_{}", "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0iL3oR6");
    body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["body"] =
        json!({"stringValue": format!("export GITHUB_TOKEN={secret}")});
    post(&edge.logs(), &body).await;
    wait_for_records(&upstream, 2).await;
    edge.stop().await;
    let mut bodies = String::new();
    for received in upstream.received() {
        let Request::Logs(logs) = received.request else {
            panic!("only logs were sent");
        };
        for resource in logs.resource_logs {
            let attributes = resource.resource.expect("a resource").attributes;
            assert!(Attributes::new(&attributes, &[]).text("os.type").is_some());
            let records = resource
                .scope_logs
                .iter()
                .flat_map(|scope| &scope.log_records);
            for record in records {
                bodies.push_str(&format!("{:?}", record.body));
                let keys = attributes
                    .iter()
                    .chain(&record.attributes)
                    .map(|pair| &pair.key);
                let own: Vec<_> = keys.filter(|key| key.starts_with("fieldpost.")).collect();
                assert!(own.is_empty(), "{own:?}");
            }
        }
    }
    assert!(
        bodies.contains("REDACTED") && !bodies.contains(&secret),
        "{bodies}"
    );
}

#[test]
fn mistakes_in_the_upstreams_options_are_all_named() {
    let text = "[upstream]\nendpoint = \"https://otel.example.com\"\nproxy = \"proxy:3128\"\n\
                client_cert = \"/a.pem\"\ntoken_command = []\nsignals = [\"log\"]\nextras = 1\n";
    let mistakes = Config::parse(text, &|_| None)
        .expect_err("there are mistakes")
        .to_string();
    for expected in [
        "line 3: upstream.proxy",
        "line 5: upstream.token_command",
        "line 6: upstream.signals",
        "line 7: upstream.extras",
        "upstream.client_key is missing",
    ] {
        assert!(mistakes.contains(expected), "{expected}: {mistakes}");
    }
}
