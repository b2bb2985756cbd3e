//! Every status of the central service's OTLP endpoint, one by one, and what a client is told with it.
//! None of them is 500: clients lose a batch on that.

use std::time::Duration;

use fieldpost::central::config::Config;
use fieldpost::otlp::compression::Coding;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::eventually;
use crate::support::fieldpost::{TestCentral, client};
use crate::support::records::{Record, claude_session, request};

const EMPTY: &str = r#"{"resourceLogs":[]}"#;

/// A service with a token.
struct Door {
    central: TestCentral,
    bearer: String,
    _directory: tempfile::TempDir,
}

impl Door {
    async fn open(config: Config) -> Door {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let central = TestCentral::start_with(directory.path(), config).await;
        let bearer = central.install().await.authorization_header;
        Door {
            central,
            bearer,
            _directory: directory,
        }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        client()
            .request(method, format!("{}{path}", self.central.url))
            .header("authorization", &self.bearer)
            .header("content-type", "application/json")
    }

    async fn post(&self, body: impl Into<reqwest::Body>) -> Response {
        let request = self.request(Method::POST, "/v1/logs").body(body);
        request.send().await.expect("an answer")
    }

    /// Sends a head that promises so many bytes, and none of them.
    async fn begin(&self, length: usize) -> TcpStream {
        let address = self.central.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let head = format!(
            "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             authorization: {}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n",
            self.bearer
        );
        stream
            .write_all(head.as_bytes())
            .await
            .expect("it is taken");
        stream
    }
}

fn session(name: &str, count: usize) -> Vec<Record> {
    claude_session("ada@example.com", name, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_method_is_405_and_another_type_415() {
    let door = Door::open(Config::default()).await;
    for path in ["/v1/logs", "/v1/metrics", "/any/prefix/v1/traces"] {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
            let answer = door.request(method.clone(), path).send().await;
            let answer = answer.expect("an answer");
            assert_eq!(
                answer.status(),
                StatusCode::METHOD_NOT_ALLOWED,
                "{method} {path}"
            );
            assert_eq!(answer.headers()["allow"], "POST");
        }
    }
    for content_type in ["text/plain", "application/grpc", "application/jsonx", ""] {
        let request = client()
            .post(format!("{}/v1/logs", door.central.url))
            .header("authorization", &door.bearer)
            .header("content-type", content_type)
            .body(EMPTY);
        let answer = request.send().await.expect("an answer");
        assert_eq!(
            answer.status(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{content_type}"
        );
    }
    for coding in ["br", "deflate", "gzip, zstd"] {
        let request = door.request(Method::POST, "/v1/logs").body(EMPTY);
        let answer = request.header("content-encoding", coding).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(
            answer.status(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{coding}"
        );
        assert_eq!(answer.headers()["accept-encoding"], "gzip, zstd");
    }
    door.central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_413_however_it_comes() {
    let config = Config {
        max_body: 64 << 10,
        ..Config::default()
    };
    let door = Door::open(config).await;
    let large = format!("{EMPTY}{}", " ".repeat(64 << 10));
    assert_eq!(
        door.post(large.clone()).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    // Chunked: nothing is promised beforehand.
    let address = door.central.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: {}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        door.bearer
    );
    let chunk = format!("{:x}\r\n{large}\r\n", large.len());
    stream
        .write_all(head.as_bytes())
        .await
        .expect("it is taken");
    // It may answer before it has read everything.
    let _ = stream.write_all(chunk.as_bytes()).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 413");
    // A bomb: small on the wire, and large only when it is inflated.
    for coding in [Coding::Gzip, Coding::Zstd] {
        let bomb = coding.compress(" ".repeat(8 << 20).as_bytes());
        let bomb = bomb.expect("it compresses");
        assert!(bomb.len() < 64 << 10);
        let request = door.request(Method::POST, "/v1/logs").body(bomb);
        let name = coding.header().expect("a name");
        let answer = request.header("content-encoding", name).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE, "{coding:?}");
    }
    assert_eq!(door.post(EMPTY).await.status(), StatusCode::OK);
    door.central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_records_than_fit_into_memory_are_413_however_short_they_are() {
    let door = Door::open(Config::default()).await;
    // Two bytes each, and hundreds in memory: records, and attributes of one record.
    let within = |tag: u8, inner: &[u8]| {
        let mut message = vec![tag];
        prost::encoding::encode_varint(inner.len() as u64, &mut message);
        [&message[..], inner].concat()
    };
    let of = |scope: &[u8]| within(0x0a, &within(0x12, scope));
    let records = of(&[0x12, 0].repeat(4_000_000));
    let attributes = of(&within(0x12, &[0x32, 0].repeat(4_000_000)));
    let json = format!("{{\"resourceLogs\":[{}{{}}]}}", "{},".repeat(4_000_000));
    for (kind, body) in [
        ("application/x-protobuf", records),
        ("application/x-protobuf", attributes),
        ("application/json", json.into_bytes()),
    ] {
        let body = Coding::Zstd.compress(&body).expect("it compresses");
        assert!(body.len() < 16 << 10, "{} bytes", body.len());
        let request = client()
            .post(format!("{}/v1/logs", door.central.url))
            .header("authorization", &door.bearer)
            .header("content-type", kind)
            .header("content-encoding", "zstd")
            .body(body);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE, "{kind}");
    }
    // As many as anybody sends at once are taken.
    let usual = of(&[0x12, 0].repeat(10_000));
    let request = client()
        .post(format!("{}/v1/logs", door.central.url))
        .header("authorization", &door.bearer)
        .header("content-type", "application/x-protobuf")
        .body(usual);
    assert_eq!(
        request.send().await.expect("an answer").status(),
        StatusCode::OK
    );
    door.central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_otlp_is_400_in_the_clients_own_encoding() {
    let door = Door::open(Config::default()).await;
    for body in ["", "{", "[]", "7", "\u{0}"] {
        let answer = door.post(body).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{body:?}");
        assert_eq!(answer.headers()["content-type"], "application/json");
        let said: Value =
            serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        assert!(said["message"].is_string(), "{said}");
    }
    let protobuf = client()
        .post(format!("{}/v1/logs", door.central.url))
        .header("authorization", &door.bearer)
        .header("content-type", "application/x-protobuf")
        .body(vec![0xff; 9]);
    let answer = protobuf.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(answer.headers()["content-type"], "application/x-protobuf");
    for coding in ["gzip", "zstd"] {
        let request = door
            .request(Method::POST, "/v1/logs")
            .body("not compressed");
        let answer = request.header("content-encoding", coding).send().await;
        assert_eq!(answer.expect("an answer").status(), StatusCode::BAD_REQUEST);
    }
    door.central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_408() {
    let config = Config {
        body_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let door = Door::open(config).await;
    let mut stream = door.begin(100).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 408");
    door.central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_in_flight_than_may_be_in_memory_is_503_and_passes() {
    let mut config = Config::default();
    config.ingest.max_in_flight = 256 << 10;
    let door = Door::open(config).await;
    let body = request(&session("roomy", 5)).to_string();
    assert_eq!(door.post(body.clone()).await.status(), StatusCode::OK);
    // Somebody who has announced much holds the room until it has come, or until they leave.
    let announced = door.begin(255 << 10).await;
    let refused = eventually("the room to be taken", async || {
        let answer = door.post(body.clone()).await;
        (answer.status() != StatusCode::OK).then_some(answer)
    })
    .await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    drop(announced);
    eventually("the room to be free", async || {
        (door.post(body.clone()).await.status() == StatusCode::OK).then_some(())
    })
    .await;
    // One that is larger than all the room gets in alone.
    let large = request(&session("large", 600)).to_string();
    assert!(large.len() > 256 << 10);
    assert_eq!(door.post(large).await.status(), StatusCode::OK);
    let api = door.central.api().await;
    api.wait_for_events("events?limit=1000", 605).await;
    door.central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_above_its_bytes_is_429_until_they_are_made_up_for() {
    let mut config = Config::default();
    config.ingest.bytes_per_second = 20 << 10;
    let door = Door::open(config).await;
    let body = request(&session("heavy", 100)).to_string();
    assert!(body.len() > 80 << 10);
    // The first is taken whole, as large as it is; it is made up for afterwards.
    assert_eq!(door.post(body).await.status(), StatusCode::OK);
    let refused = door.post(EMPTY).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait = refused.headers()["retry-after"].to_str().expect("text");
    assert!(
        wait.parse::<u64>().is_ok_and(|seconds| seconds >= 1),
        "{wait}"
    );
    eventually("the bytes to be made up for", async || {
        (door.post(EMPTY).await.status() == StatusCode::OK).then_some(())
    })
    .await;
    door.central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_is_rejected_alone() {
    let mut config = Config::default();
    config.ingest.max_record = 8 << 10;
    let door = Door::open(config).await;
    let mut records = session("partly", 5);
    for at in [1, 3] {
        let text = "x".repeat(9 << 10);
        records[at].attributes.insert("large".into(), text.into());
    }
    for _ in 0..2 {
        let answer = door.post(request(&records).to_string()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let said: Value =
            serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        let partial = &said["partialSuccess"];
        assert_eq!(partial["rejectedLogRecords"], "2");
        let words = partial["errorMessage"].as_str().expect("words");
        assert!(
            words.contains("2 records larger than 8192 bytes"),
            "{words}"
        );
    }
    let api = door.central.api().await;
    api.wait_for_events("events", 3).await;
    door.central.stop().await;
}
