//! The localhost endpoint: what it takes, where, in which forms, and what it refuses.

use std::time::Duration;

use axum::body::Body;
use fieldpost::edge::config::Config;
use fieldpost::otlp::compression::Coding;
use fieldpost::otlp::{ExportLogsServiceRequest, Request, Signal};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::fieldpost::{TestEdge, client, edge_config, write_token};
use crate::support::upstream::Upstream;
use crate::support::wire::{self, send_raw};
use crate::support::{PATIENCE, eventually};

const EMPTY: &str = r#"{"resourceLogs":[]}"#;

async fn edge_and_upstream(directory: &std::path::Path) -> (TestEdge, Upstream) {
    let upstream = Upstream::start().await;
    let edge = TestEdge::start(directory, &upstream.endpoint, None).await;
    (edge, upstream)
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_every_captured_request_as_it_was_sent() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (edge, upstream) = edge_and_upstream(directory.path()).await;
    let (mut records, mut signals) = (0, 0);
    for capture in wire::all() {
        let answer = capture
            .send(&edge.address.to_string(), capture.path(), "Bearer any")
            .await;
        assert_eq!(answer.status, 200, "{}: {answer:?}", capture.folder);
        match capture.signal() {
            Signal::Logs => records += capture.records(),
            Signal::Metrics | Signal::Traces => signals += 1,
        }
    }
    assert_eq!(
        signals, 2,
        "one request of metrics and one of traces were captured"
    );
    eventually("all records upstream", async || {
        (upstream.accepted("event.name").len() == records).then_some(())
    })
    .await;
    eventually(
        "metrics and traces upstream, each at its own address",
        async || {
            let received = upstream.received();
            let has = |path: &str, signal: Signal| {
                received
                    .iter()
                    .any(|request| request.path == path && request.request.signal() == signal)
            };
            (has("/v1/metrics", Signal::Metrics) && has("/v1/traces", Signal::Traces)).then_some(())
        },
    )
    .await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_records_at_every_address_that_clients_come_up_with() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (edge, upstream) = edge_and_upstream(directory.path()).await;
    let capture = wire::folder("list-files").remove(0);
    let paths = [
        "/v1/logs",
        "/any/prefix/v1/logs",
        "/v1/logs/v1/logs",
        "/",
        "/v1/logs/",
    ];
    for path in paths {
        let answer = capture
            .send(&edge.address.to_string(), path, "Bearer any")
            .await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    // The same bytes five times are one client's retries: the identities say so.
    eventually("five copies upstream", async || {
        (upstream.accepted("log.record.uid").len() == 5 * capture.records()).then_some(())
    })
    .await;
    let mut uids = upstream.accepted("log.record.uid");
    uids.sort();
    uids.dedup();
    assert_eq!(uids.len(), capture.records());

    let metrics = wire::folder("three-signals")
        .into_iter()
        .find(|capture| capture.signal() == Signal::Metrics)
        .expect("metrics were captured");
    for path in ["/v1/logs/v1/metrics", "/"] {
        let answer = metrics
            .send(&edge.address.to_string(), path, "Bearer any")
            .await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    eventually("both copies of the metrics upstream", async || {
        let metrics = upstream
            .received()
            .iter()
            .filter(|received| received.request.signal() == Signal::Metrics)
            .map(|received| received.request.record_count())
            .sum::<usize>();
        let Request::Metrics(sent) = decode_metrics(&metrics_body()) else {
            return None;
        };
        let once = Request::Metrics(sent).record_count();
        (metrics == 2 * once).then_some(())
    })
    .await;
    edge.stop().await;
}

fn metrics_body() -> Vec<u8> {
    wire::folder("three-signals")
        .into_iter()
        .find(|capture| capture.signal() == Signal::Metrics)
        .expect("metrics were captured")
        .body
}

fn decode_metrics(body: &[u8]) -> Request {
    Request::Metrics(serde_json::from_slice(body).expect("captured JSON is well-formed"))
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_every_encoding_and_compression_and_answers_in_kind() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (edge, upstream) = edge_and_upstream(directory.path()).await;
    let logs = wire::folder("mcp").remove(0);
    let protobuf = Request::Logs(logs.logs()).encode();
    let mut sent = 0;
    for (content_type, body) in [
        ("application/json; charset=utf-8", logs.body.clone()),
        ("application/x-protobuf", protobuf),
    ] {
        for coding in [Coding::Identity, Coding::Gzip, Coding::Zstd] {
            let mut request = client()
                .post(edge.logs())
                .header("content-type", content_type)
                .body(coding.compress(&body).expect("it compresses"));
            if let Some(name) = coding.header() {
                request = request.header("content-encoding", name);
            }
            let answer = request.send().await.expect("the edge answers");
            assert_eq!(answer.status(), StatusCode::OK);
            let kind = answer.headers()["content-type"]
                .to_str()
                .expect("text")
                .to_owned();
            assert!(
                content_type.starts_with(&kind),
                "{content_type} is answered with {kind}"
            );
            sent += logs.records();
        }
    }
    eventually("all of them upstream", async || {
        (upstream.accepted("event.name").len() == sent).then_some(())
    })
    .await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn says_what_is_wrong_with_a_request() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (edge, _upstream) = edge_and_upstream(directory.path()).await;
    let url = edge.logs();
    let post = |content_type: &'static str, body: &'static str| {
        client()
            .post(&url)
            .header("content-type", content_type)
            .body(body)
            .send()
    };
    let status = |answer: Result<reqwest::Response, reqwest::Error>| {
        answer.expect("the edge answers").status().as_u16()
    };
    assert_eq!(status(post("application/json", EMPTY).await), 200);
    assert_eq!(status(post("application/json", "{}").await), 200);
    assert_eq!(status(post("application/json", "").await), 400);
    assert_eq!(status(post("application/json", "[1,2]").await), 400);
    assert_eq!(
        status(post("application/json", "{\"resourceLogs\":").await),
        400
    );
    assert_eq!(
        status(post("application/x-protobuf", "not protobuf").await),
        400
    );
    assert_eq!(status(post("text/plain", EMPTY).await), 415);
    let gzip = client()
        .post(&url)
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(EMPTY)
        .send();
    assert_eq!(status(gzip.await), 400);
    let brotli = client()
        .post(&url)
        .header("content-type", "application/json")
        .header("content-encoding", "br")
        .body(EMPTY)
        .send();
    assert_eq!(status(brotli.await), 415);
    let get = client().get(&url).send().await.expect("the edge answers");
    assert_eq!(get.status(), 405);
    assert_eq!(get.headers()["allow"], "POST");
    let elsewhere = client()
        .post(format!("http://{}/elsewhere", edge.address))
        .body(EMPTY);
    assert_eq!(status(elsewhere.send().await), 404);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_browsers_out() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (edge, _upstream) = edge_and_upstream(directory.path()).await;
    let post = |header: &'static str, value: &'static str| {
        client()
            .post(edge.logs())
            .header("content-type", "application/json")
            .header(header, value)
            .body(EMPTY)
            .send()
    };
    for (header, value, expected) in [
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("sec-fetch-site", "same-origin", 200),
        ("sec-fetch-site", "none", 200),
        ("host", "evil.example:4318", 403),
        ("host", "127.0.0.1.evil.example", 403),
        ("host", "localhost:4318", 200),
        ("host", "[::1]:4318", 200),
        ("host", "127.0.0.1", 200),
    ] {
        let status = post(header, value)
            .await
            .expect("the edge answers")
            .status()
            .as_u16();
        assert_eq!(status, expected, "{header}: {value}");
    }
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_what_a_body_may_cost() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let upstream = Upstream::start().await;
    let mut config = edge_config(directory.path(), &upstream.endpoint, None, 0);
    config = config.replace("[listen]\n", "[listen]\nmax_body = \"1MiB\"\n");
    let edge = TestEdge::start_with(directory.path(), &config).await;
    let large = json!({"resourceLogs": [], "padding": "x".repeat(2 << 20)}).to_string();
    let bomb = Coding::Gzip
        .compress(large.as_bytes())
        .expect("it compresses");
    assert!(bomb.len() < 1 << 20);

    let post = |body: Vec<u8>, coding: &'static str| {
        client()
            .post(edge.logs())
            .header("content-type", "application/json")
            .header("content-encoding", coding)
            .body(body)
            .send()
    };
    let inflated = post(bomb, "gzip").await.expect("the edge answers");
    assert_eq!(inflated.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let said: Value = serde_json::from_str(&inflated.text().await.expect("a body")).expect("JSON");
    assert!(
        said["message"]
            .as_str()
            .is_some_and(|text| text.contains("1048576")),
        "{said}"
    );

    // A declared length beyond the limit is refused before a byte of the body is sent.
    let head = b"POST /v1/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        content-length: 9999999\r\nconnection: close\r\n\r\n";
    let declared = send_raw(&edge.address.to_string(), head).await;
    assert_eq!(declared.status, 413, "{declared:?}");
    assert!(
        declared.head.contains("content-type: application/json"),
        "{declared:?}"
    );
    assert!(
        String::from_utf8_lossy(&declared.body).contains("1048576"),
        "{declared:?}"
    );

    // Without a declared length, the limit holds while reading.
    let pieces = Body::from(vec![b' '; 3 << 20]);
    let chunked = capture_with_body(pieces).await;
    let answer = chunked
        .send(&edge.address.to_string(), "/v1/logs", "none")
        .await;
    assert_eq!(answer.status, 413, "{answer:?}");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_a_token_from_local_clients_where_one_is_asked_for() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let upstream = Upstream::start().await;
    let file = directory.path().join("local-token");
    write_token(&file, "local-only");
    let config = edge_config(directory.path(), &upstream.endpoint, None, 0).replace(
        "[listen]\n",
        &format!("[listen]\nbearer_token_file = \"{}\"\n", file.display()),
    );
    let edge = TestEdge::start_with(directory.path(), &config).await;
    for (authorization, expected) in [
        (None, 401),
        (Some("Bearer other"), 401),
        (Some("Basic local-only"), 401),
        (Some("local-only"), 401),
        (Some("bearer local-only"), 200),
        (Some("Bearer local-only"), 200),
    ] {
        let mut request = client()
            .post(edge.logs())
            .header("content-type", "application/json")
            .body(EMPTY);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let answer = request.send().await.expect("the edge answers");
        assert_eq!(answer.status().as_u16(), expected, "{authorization:?}");
        let asks = answer.headers().get("www-authenticate").is_some();
        assert_eq!(asks, expected == 401);
    }
    edge.stop().await;

    // A door that should be locked does not open without its lock.
    std::fs::remove_file(&file).expect("it was written");
    let config = Config::parse(&config, &|_| None).expect("a good configuration");
    let listeners = fieldpost::edge::listen(&config, Vec::new())
        .await
        .expect("a free port");
    let (_trigger, shutdown) = fieldpost::shutdown::channel();
    let error = fieldpost::edge::run(config, listeners, shutdown)
        .await
        .expect_err("the edge does not start");
    assert!(format!("{error:#}").contains("listen.bearer_token_file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cuts_clients_that_are_slow_and_serves_those_that_waited() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let upstream = Upstream::start().await;
    let config = edge_config(directory.path(), &upstream.endpoint, None, 0).replace(
        "[listen]\n",
        "[listen]\nmax_connections = 2\nheader_timeout = \"300ms\"\nbody_timeout = \"300ms\"\n",
    );
    let edge = TestEdge::start_with(directory.path(), &config).await;
    let address = edge.address.to_string();
    let head = "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";

    // Two that never finish their heads take all there is; a third one waits until they are cut.
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(edge.address).await.expect("it listens");
        stream
            .write_all(head.as_bytes())
            .await
            .expect("it is taken");
        slow.push(stream);
    }
    let whole = format!(
        "{head}connection: close\r\ncontent-length: {}\r\n\r\n{EMPTY}",
        EMPTY.len()
    );
    let answer = send_raw(&address, whole.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for mut stream in slow {
        let mut rest = Vec::new();
        // The end of the connection, however it comes.
        let _ = stream.read_to_end(&mut rest).await;
    }

    // One that drips a byte now and then never pauses, and is told all the same.
    let mut stream = TcpStream::connect(edge.address).await.expect("it listens");
    let begun = format!("{head}connection: close\r\ncontent-length: 9000\r\n\r\n");
    stream
        .write_all(begun.as_bytes())
        .await
        .expect("it is taken");
    let (mut reader, mut writer) = stream.into_split();
    let drip = tokio::spawn(async move {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = [0; 12];
    reader.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 408");
    drip.abort();
    edge.stop().await;
}

/// A connection on which a request has begun: with a body of `declared` bytes, or in chunks, of which so many
/// have been sent.
async fn begin(edge: &TestEdge, declared: Option<usize>, sent: usize) -> TcpStream {
    let mut stream = TcpStream::connect(edge.address).await.expect("it listens");
    let length = match declared {
        Some(bytes) => format!("content-length: {bytes}\r\n\r\n"),
        None => format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", 64 << 20),
    };
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{length}"
    );
    let mut begun = head.into_bytes();
    begun.resize(begun.len() + sent, b' ');
    stream.write_all(&begun).await.expect("it is taken");
    stream
}

/// The head of an answer, if it comes in time. A refused body is read on for a second.
async fn answer_on(stream: &mut TcpStream, time: Duration) -> Option<String> {
    let mut head = vec![0; 1000];
    let read = stream.read(&mut head);
    let length = tokio::time::timeout(time, read).await.ok()?.ok()?;
    Some(String::from_utf8_lossy(&head[..length]).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_what_all_bodies_together_hold_and_lets_small_ones_through() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (edge, upstream) = edge_and_upstream(directory.path()).await;
    let small = wire::folder("list-files").remove(0);
    let address = edge.address.to_string();
    let post_small = async || {
        let answer = small.send(&address, "/v1/logs", "none").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    // What is only announced takes no room from others.
    let mut announced = Vec::new();
    for _ in 0..8 {
        announced.push(begin(&edge, Some(60 << 20), 10).await);
    }
    post_small().await;
    drop(announced);

    const MANY: usize = 21 << 20;
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(begin(&edge, Some(MANY + 1000), MANY).await);
    }
    let refused = eventually("large bodies to be refused", async || {
        let mut more = begin(&edge, Some(30 << 20), 0).await;
        answer_on(&mut more, Duration::from_secs(3)).await
    })
    .await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    // So is one that does not say how large it will be, once it is.
    let mut grows = begin(&edge, None, 3 << 19).await;
    let refused = answer_on(&mut grows, PATIENCE).await.expect("an answer");
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    post_small().await;

    drop(slow);
    let padded = json!({"resourceLogs": [], "padding": "x".repeat(30 << 20)}).to_string();
    eventually("room for a large one", async || {
        let post = client()
            .post(edge.logs())
            .header("content-type", "application/json")
            .body(padded.clone());
        let answer = post.send().await.ok()?;
        (answer.status() == StatusCode::OK).then_some(())
    })
    .await;
    eventually("the small ones upstream", async || {
        (upstream.accepted("event.name").len() == 2 * small.records()).then_some(())
    })
    .await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_what_a_body_becomes_in_memory() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (edge, _upstream) = edge_and_upstream(directory.path()).await;
    // Decoded, these would take a hundred times as much and more.
    let records = "{},".repeat(5 << 20);
    let json =
        format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{records}{{}}]}}]}}]}}");
    // As a number, it is not as the specification has it, and is made a tree first.
    let odd = json.replacen("{}", "{\"severityText\":1}", 1);
    let scope = ScopeLogs {
        log_records: vec![LogRecord::default(); 300_000],
        ..ScopeLogs::default()
    };
    let resource = ResourceLogs {
        scope_logs: vec![scope],
        ..ResourceLogs::default()
    };
    let protobuf = Request::Logs(ExportLogsServiceRequest {
        resource_logs: vec![resource],
    });
    for (content_type, body) in [
        ("application/json", json.into_bytes()),
        ("application/json", odd.into_bytes()),
        ("application/x-protobuf", protobuf.encode()),
    ] {
        let answer = client()
            .post(edge.logs())
            .header("content-type", content_type)
            .body(body)
            .send()
            .await
            .expect("the edge answers");
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    // Nor is a tree made of what is light enough to be decoded as it should be.
    let attributes = "{\"key\":\"a\",\"value\":{\"stringValue\":\"b\"}},".repeat(60_000);
    let record = format!("{{\"severityText\":1,\"attributes\":[{attributes}{{}}]}}");
    let odd = format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{record}]}}]}}]}}");
    let answer = client()
        .post(edge.logs())
        .header("content-type", "application/json")
        .body(odd)
        .send()
        .await
        .expect("the edge answers");
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_what_a_head_a_ratio_and_a_depth_may_cost() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (edge, _upstream) = edge_and_upstream(directory.path()).await;
    let address = edge.address.to_string();
    let padding = "x".repeat(80 << 10);
    let large = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         x-padding: {padding}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    let answer = send_raw(&address, large.as_bytes()).await;
    assert_eq!(answer.status, 431, "{answer:?}");

    let post = |body: Vec<u8>, coding: Coding| {
        let mut request = client()
            .post(edge.logs())
            .header("content-type", "application/json")
            .body(coding.compress(&body).expect("it compresses"));
        if let Some(name) = coding.header() {
            request = request.header("content-encoding", name);
        }
        async move {
            let answer = request.send().await.expect("the edge answers");
            answer.status().as_u16()
        }
    };
    let padded = |bytes: usize| {
        json!({"resourceLogs": [], "padding": "x".repeat(bytes)})
            .to_string()
            .into_bytes()
    };
    for coding in [Coding::Gzip, Coding::Zstd] {
        assert_eq!(post(padded(1_000_000), coding).await, 200, "{coding:?}");
        assert_eq!(post(padded(16 << 20), coding).await, 413, "{coding:?}");
    }
    assert_eq!(post(padded(16 << 20), Coding::Identity).await, 200);

    let deep = format!("{}{}", "{\"a\":".repeat(5_000), "1");
    assert_eq!(post(deep.into_bytes(), Coding::Identity).await, 400);
    edge.stop().await;
}

/// A captured request's head with another body.
async fn capture_with_body(body: Body) -> wire::Capture {
    let mut capture = wire::folder("list-files").remove(0);
    capture.body = axum::body::to_bytes(body, usize::MAX)
        .await
        .expect("a body")
        .to_vec();
    capture
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_a_body_of_64_mebibytes() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (edge, upstream) = edge_and_upstream(directory.path()).await;
    let mut logs = wire::folder("list-files").remove(0).logs();
    let record = logs.resource_logs[0].scope_logs[0].log_records[1].clone();
    let mut records = vec![record; 512];
    for (number, record) in records.iter_mut().enumerate() {
        let prompt = record
            .attributes
            .iter_mut()
            .find(|attribute| attribute.key == "prompt")
            .expect("a prompt");
        let text = format!("{number:0>8} ").repeat(14_300);
        prompt.value = Some(opentelemetry_proto::tonic::common::v1::AnyValue {
            value: Some(
                opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue(text),
            ),
        });
    }
    logs.resource_logs[0].scope_logs[0].log_records = records;
    let body = Request::Logs(logs).encode();
    assert!(
        body.len() > 60 << 20 && body.len() <= 64 << 20,
        "{} bytes",
        body.len()
    );
    let answer = client()
        .post(edge.logs())
        .header("content-type", "application/x-protobuf")
        .body(body)
        .send()
        .await
        .expect("the edge answers");
    assert_eq!(answer.status(), StatusCode::OK);
    eventually("all 512 records upstream", async || {
        (upstream.accepted("log.record.uid").len() == 512).then_some(())
    })
    .await;
    edge.stop().await;
}
