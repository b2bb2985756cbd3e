//! The central service as a server: TLS, both versions of HTTP, limits, the end, and how it says how it
//! is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fieldpost::central::config::Config;
use fieldpost::http::tls::IdentityFiles;
use reqwest::{Certificate, Client, StatusCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Child;

use crate::support::eventually;
use crate::support::fieldpost::{TestCentral, client, command, folder, free_port};
use crate::support::records::{claude_session, request};
use crate::support::tls::Authority;

/// A configuration with a certificate for localhost by `authority`, in `folder`.
fn with_certificate(folder: &Path, authority: &Authority) -> Config {
    let (certificate, key) = authority.write_identity("localhost", folder);
    Config {
        tls: Some(IdentityFiles { certificate, key }),
        ..Config::default()
    }
}

/// A client that trusts `authority` and nobody else, and keeps no connection for the next request.
fn trusting(authority: &Authority, folder: &Path) -> reqwest::ClientBuilder {
    let pem = std::fs::read(authority.write(folder)).expect("it was just written");
    let root = Certificate::from_pem(&pem).expect("a certificate");
    fieldpost::http::client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .pool_max_idle_per_host(0)
}

async fn version(client: &Client, url: &str) -> reqwest::Result<Version> {
    let answer = client.get(format!("{url}/healthz")).send().await?;
    assert_eq!(answer.status(), StatusCode::OK);
    let version = answer.version();
    assert_eq!(answer.text().await.expect("a body"), "ok\n");
    Ok(version)
}

#[tokio::test(flavor = "multi_thread")]
async fn speaks_both_versions_of_http_with_tls_and_without() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let authority = Authority::new();
    let config = with_certificate(directory.path(), &authority);
    let central = TestCentral::start_with(&folder(directory.path(), "data"), config).await;
    let url = central.url.replace("127.0.0.1", "localhost");
    assert!(url.starts_with("https://"), "{url}");
    let client = || trusting(&authority, directory.path());
    let both = client().build().expect("a client");
    assert_eq!(version(&both, &url).await.expect("TLS"), Version::HTTP_2);
    let old = client().http1_only().build().expect("a client");
    assert_eq!(version(&old, &url).await.expect("TLS"), Version::HTTP_11);
    // Browsers are to come back this way only.
    for path in ["/sign-in", "/api/v1/events"] {
        let answer = both.get(format!("{url}{path}")).send().await;
        let answer = answer.expect("TLS");
        assert_eq!(
            answer.headers()["strict-transport-security"],
            "max-age=31536000"
        );
    }
    let stranger = self::client().get(format!("{url}/healthz")).send().await;
    assert!(stranger.is_err(), "nobody else knows that authority");
    let plain = format!("{}/healthz", url.replace("https", "http"));
    let plain = self::client().get(plain).send().await;
    assert!(plain.is_err(), "what is secret is not said in the open");
    central.stop().await;

    let central = TestCentral::start(&folder(directory.path(), "data")).await;
    let open = self::client()
        .get(format!("{}/sign-in", central.url))
        .send();
    let open = open.await.expect("HTTP");
    assert!(!open.headers().contains_key("strict-transport-security"));
    assert_eq!(
        version(&self::client(), &central.url).await.expect("HTTP"),
        Version::HTTP_11
    );
    let knowing = fieldpost::http::client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    assert_eq!(
        version(&knowing, &central.url).await.expect("HTTP"),
        Version::HTTP_2
    );
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_certificate_is_shown_at_once_and_a_bad_one_never() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let here = |name: &str| folder(directory.path(), name);
    let (first, second, third) = (Authority::new(), Authority::new(), Authority::new());
    // As Kubernetes lays secrets out: the files lead through a folder's symlink, which is swapped.
    let link = directory.path().join("current");
    let swap = |name: &str| {
        let beside = directory.path().join("beside");
        std::os::unix::fs::symlink(here(name), &beside).expect("a symlink");
        std::fs::rename(&beside, &link).expect("it is swapped in");
    };
    let files = IdentityFiles {
        certificate: link.join("client.pem"),
        key: link.join("client.key"),
    };
    first.write_identity("localhost", &here("first"));
    second.write_identity("localhost", &here("second"));
    swap("first");
    let port = free_port();
    let config = directory.path().join("central.toml");
    let text = format!(
        "[data]\ndirectory = {:?}\n[listen]\naddress = \"127.0.0.1:{port}\"\n[tls]\ncertificate = {:?}\nkey = {:?}\n",
        here("data"),
        files.certificate,
        files.key
    );
    std::fs::write(&config, text).expect("the directory is writable");
    // As a process, for it is to say that it passed something over.
    let said = directory.path().join("said");
    let _central = saying(&config, &said);
    let url = format!("https://localhost:{port}");
    let of = |authority: &Authority, name: &str| {
        trusting(authority, &here(name)).build().expect("a client")
    };
    let (by_first, by_second) = (of(&first, "a"), of(&second, "b"));
    eventually("the first certificate", async || {
        version(&by_first, &url).await.ok()
    })
    .await;

    swap("second");
    eventually("the second certificate", async || {
        version(&by_second, &url).await.ok()
    })
    .await;
    assert!(version(&by_first, &url).await.is_err());

    // A certificate without its key, and one that is none: what is in force stays.
    let loaded = |files: &IdentityFiles| files.load().map(drop);
    std::fs::write(&files.certificate, "no certificate").expect("it is writable");
    let error = loaded(&files).expect_err("no certificate").to_string();
    assert!(error.contains("client.pem"), "{error}");
    let (certificate, _) = third.write_identity("localhost", &here("third"));
    std::fs::copy(&certificate, &files.certificate).expect("it is writable");
    let error = loaded(&files).expect_err("another's key").to_string();
    assert!(error.contains("do not belong together"), "{error}");
    eventually("its being passed over", async || {
        let said = std::fs::read_to_string(&said).expect("text");
        let refusal = |line: &&str| line.contains("the old certificate stays in force");
        let last = said.lines().rfind(refusal);
        last.filter(|line| line.contains("do not belong together"))
            .map(drop)
    })
    .await;
    assert!(version(&by_second, &url).await.is_ok());

    // Renamed over, one after the other.
    for name in ["client.pem", "client.key"] {
        std::fs::rename(here("third").join(name), link.join(name)).expect("it is renamed");
    }
    let by_third = of(&third, "c");
    eventually("the third certificate", async || {
        version(&by_third, &url).await.ok()
    })
    .await;
    // A key that everybody can read is none.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&files.key, open).expect("its mode is ours");
    let error = loaded(&files).expect_err("an open key").to_string();
    assert!(error.contains("chmod o-rwx"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_finished_when_the_service_stops() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let address = central.url.trim_start_matches("http://").to_owned();
    let body = request(&claude_session("ada@example.com", "late", 3)).to_string();
    let mut stream = TcpStream::connect(&address).await.expect("it listens");
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("taken");
    // The request has arrived once its room is held.
    eventually("the request", async || {
        let text = metrics(&address, "").await.1;
        let line = "fieldpost_central_in_flight_bytes ";
        let held = text.lines().find_map(|it| it.strip_prefix(line))?;
        (held != "0").then_some(())
    })
    .await;
    let stopped = tokio::spawn(central.stop());
    eventually("no new connections", async || {
        TcpStream::connect(&address).await.err()
    })
    .await;
    stream.write_all(body.as_bytes()).await.expect("taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stopped.await.expect("it ends by itself");

    let central = TestCentral::start(directory.path()).await;
    central.api().await.wait_for_events("events", 3).await;
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_give_way_to_those_that_wait() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut config = Config::default();
    config.limits.connections = 4;
    // Longer than anybody here waits.
    config.limits.header_read = Duration::from_secs(600);
    let central = TestCentral::start_with(directory.path(), config).await;
    let knowing = || {
        let builder = fieldpost::http::client::builder().no_proxy();
        builder.http2_prior_knowledge().build().expect("a client")
    };
    let idle = [client(), knowing(), client(), knowing()];
    for client in &idle {
        version(client, &central.url).await.expect("a place");
    }
    for client in [client(), knowing(), client()] {
        let asking = version(&client, &central.url);
        let answer = tokio::time::timeout(crate::support::PATIENCE, asking).await;
        answer.expect("those who idle give way").expect("a place");
    }
    // Those that gave way come back on another connection.
    for client in &idle {
        version(client, &central.url).await.expect("a place");
    }
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_long_or_too_slow_are_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut config = Config::default();
    config.limits.header_bytes = 16 << 10;
    config.limits.header_read = Duration::from_millis(300);
    let central = TestCentral::start_with(directory.path(), config).await;
    let address = central.url.trim_start_matches("http://").to_owned();
    // Nothing at all, half a head, half of HTTP/2's preface, its preface and nothing more: each is cut.
    for begun in [
        &b""[..],
        b"P",
        b"POST /v1/logs HTTP/1.1\r\nhost:",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&address).await.expect("it listens");
        stream.write_all(begun).await.expect("it is taken");
        let mut rest = Vec::new();
        let end = tokio::time::timeout(crate::support::PATIENCE, stream.read_to_end(&mut rest));
        // The end of the connection, however it comes.
        let _ = end.await.expect("it is cut");
    }
    let long = "x".repeat(40 << 10);
    let old = client().get(format!("{}/healthz", central.url));
    let answer = old.header("x-long", &long).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let knowing = fieldpost::http::client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let new = knowing.get(format!("{}/healthz", central.url));
    let answer = new.header("x-long", &long).send().await;
    let refused = answer.map_or(true, |answer| answer.status().is_client_error());
    assert!(refused, "a head that is too long");
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_at_once_than_one_connection_may_hold_take_turns() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut config = Config::default();
    config.limits.connections = 1;
    config
        .limits
        .http2
        .as_mut()
        .expect("HTTP/2 is spoken")
        .streams = 2;
    let central = TestCentral::start_with(directory.path(), config).await;
    let bearer = Arc::new(central.install().await.authorization_header);
    let knowing = fieldpost::http::client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (client, bearer) = (knowing.clone(), Arc::clone(&bearer));
        let session = format!("session-{number}");
        let body = request(&claude_session("ada@example.com", &session, 5)).to_string();
        let post = client.post(&central.url);
        requests.spawn(async move {
            let post = post.header("authorization", bearer.as_str());
            let post = post.header("content-type", "application/json").body(body);
            post.send().await.expect("an answer").status()
        });
    }
    for status in requests.join_all().await {
        assert_eq!(status, StatusCode::OK);
    }
    drop(knowing);
    central
        .api()
        .await
        .wait_for_events("events?limit=1000", 100)
        .await;
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_ready_while_the_store_cannot_write_and_says_so() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let ready = async || {
        let answer = client().get(format!("{}/readyz", central.url)).send().await;
        let answer = answer.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    };
    assert_eq!(ready().await, (StatusCode::OK, "ready\n".to_owned()));
    let post = async || {
        let body = request(&claude_session("ada@example.com", "held", 3)).to_string();
        let post = client().post(&central.url).header("authorization", &bearer);
        let post = post.header("content-type", "application/json").body(body);
        post.send().await.expect("an answer")
    };

    let database = directory.path().join("fieldpost.db");
    let other = rusqlite::Connection::open(database).expect("the database is one file");
    other.execute_batch("BEGIN IMMEDIATE").expect("it is free");
    let (status, reason) = eventually("it to notice", async || {
        Some(ready().await).filter(|(status, _)| *status != StatusCode::OK)
    })
    .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(reason.contains("store"), "{reason}");
    let answer = post().await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "1");
    let health = client()
        .get(format!("{}/healthz", central.url))
        .send()
        .await;
    assert_eq!(health.expect("an answer").status(), StatusCode::OK);

    other.execute_batch("ROLLBACK").expect("it was begun");
    eventually("it to recover", async || {
        (ready().await.0 == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(post().await.status(), StatusCode::OK);
    central.stop().await;
}

/// `/metrics` with more headers: status and text.
async fn metrics(address: &str, headers: &str) -> (u16, String) {
    let ask =
        format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    let answer = crate::support::wire::send_raw(address, ask.as_bytes()).await;
    let text = String::from_utf8(answer.body).expect("text");
    (answer.status, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_came_for_those_who_may_read_them() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let address = central.url.trim_start_matches("http://").to_owned();
    let body = request(&claude_session("ada@example.com", "counted", 7)).to_string();
    for authorization in [bearer.as_str(), bearer.as_str(), "Bearer nonsense"] {
        let post = client()
            .post(&central.url)
            .header("authorization", authorization);
        let post = post.header("content-type", "application/json");
        post.body(body.clone()).send().await.expect("an answer");
    }
    let (status, text) = metrics(&address, "").await;
    assert_eq!(status, 200);
    for line in [
        "fieldpost_central_ready 1",
        "fieldpost_central_requests_total{protocol=\"http\",status=\"200\"} 2",
        "fieldpost_central_requests_total{protocol=\"http\",status=\"401\"} 1",
        "fieldpost_central_requests_refused_total{reason=\"malformed\"} 1",
        "fieldpost_central_records_stored_total{signal=\"logs\"} 7",
        "fieldpost_central_records_known_total{signal=\"logs\"} 7",
        "fieldpost_central_in_flight_bytes 0",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    let kinds: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .collect();
    assert!(kinds.len() >= 10, "{text}");
    // Behind a proxy on this machine, everybody would seem to be this machine.
    let (status, said) = metrics(&address, "x-forwarded-for: 198.51.100.7\r\n").await;
    assert_eq!(status, 403);
    assert!(said.contains("this machine"), "{said}");
    central.stop().await;
}

#[test]
fn every_mistake_in_the_configuration_is_said_at_once() {
    let text = "public_url = \"otel.example.com\"\n[listen]\naddress = \"here\"\n\
        max_body = \"much\"\nmax_streams = 0\nheader_timeout = \"0s\"\nport = 80\n\
        [tls]\nkey = \"key.pem\"\n[ingest]\nmax_in_flight = \"0B\"\n";
    let mistakes = Config::parse(text, &|_| None).expect_err("a configuration full of mistakes");
    let lines: Vec<_> = mistakes.list().iter().map(|mistake| mistake.line).collect();
    let expected = [1, 3, 4, 5, 6, 7, 11].map(Some);
    assert_eq!(lines, [&expected[..], &[None]].concat(), "{mistakes}");
    let said = mistakes.to_string();
    assert!(said.contains("tls.certificate is missing"), "{said}");
    let good = "[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
    let config = Config::parse(good, &|_| None).expect("a good configuration");
    let address = config.address;
    assert_eq!(config.url(address), "https://127.0.0.1:8080");
}

/// The service as a process, with what it says in a file.
fn saying(config: &Path, said: &Path) -> Child {
    command()
        .args(["central", "run", "--config"])
        .arg(config)
        .stderr(std::fs::File::create(said).expect("the directory is writable"))
        .spawn()
        .expect("the binary starts")
}

/// Whoever is told that something did not work can name the request, and its line in the log says more.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_is_found_in_the_log_by_its_number() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let port = free_port();
    let config = directory.path().join("central.toml");
    let data = folder(directory.path(), "data");
    let text = format!("[data]\ndirectory = {data:?}\n[listen]\naddress = \"127.0.0.1:{port}\"\n");
    std::fs::write(&config, text).expect("the directory is writable");
    let said = directory.path().join("said");
    let _central = saying(&config, &said);
    // No page of ours asks for this: there is no session, and no origin.
    let form = format!("http://127.0.0.1:{port}/sign-in?next=%2Fsecret");
    let refused = eventually("the service", async || {
        client().post(&form).send().await.ok()
    })
    .await;
    assert_eq!(refused.status(), 403);
    let id = refused.headers()["x-request-id"].clone();
    let id = id.to_str().expect("digits").to_owned();
    let page = refused.text().await.expect("a page");
    assert!(page.contains(&id), "{page}");
    let line = eventually("the line in the log", async || {
        let said = std::fs::read_to_string(&said).expect("text");
        let mut lines = said.lines().filter(|line| line.contains(&id));
        lines.next().map(str::to_owned)
    })
    .await;
    for words in ["a request was refused", "route=\"/sign-in\"", "status=403"] {
        assert!(line.contains(words), "{words}: {line}");
    }
    assert!(!line.contains("secret"), "{line}");
}
