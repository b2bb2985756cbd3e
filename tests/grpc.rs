//! OTLP over gRPC: exporters that nobody here wrote, and every status as its code.

use std::time::Duration;

use axum::body::Bytes;
use fieldpost::central::config::Config;
use fieldpost::http::tls::IdentityFiles;
use fieldpost::otlp::Signal;
use fieldpost::otlp::compression::Coding;
use opentelemetry_otlp::Compression;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use prost::Message;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::support::clients::{Export, python_grpc};
use crate::support::eventually;
use crate::support::fieldpost::{TestCentral, folder};
use crate::support::records::claude_session;
use crate::support::rust_exporter;
use crate::support::tls::Authority;
use crate::support::wire;

const METHOD: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

#[tokio::test(flavor = "multi_thread")]
async fn other_exporters_arrive_over_grpc() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let api = central.api().await;
    for (name, compression) in [
        ("plain", None),
        ("gzip", Some(Compression::Gzip)),
        ("zstd", Some(Compression::Zstd)),
    ] {
        let session = format!("rust-{name}");
        let records = claude_session("rust@example.com", &session, 10);
        rust_exporter::export_grpc(&central.url, &bearer, compression, &records)
            .await
            .expect("the export succeeds");
        api.wait_for_events(&format!("events?session={session}"), 10)
            .await;
    }
    for gzip in [false, true] {
        let session = format!("python-{gzip}");
        let records = claude_session("python@example.com", &session, 10);
        let export = Export {
            endpoint: &central.url,
            authorization: Some(&bearer),
            gzip,
        };
        python_grpc(&export, None, &records).await.expect_success();
        api.wait_for_events(&format!("events?session={session}"), 10)
            .await;
    }
    central.stop().await;
    let database = rusqlite::Connection::open(directory.path().join("fieldpost.db"));
    let database = database.expect("the database is one file at rest");
    for signal in [Signal::Metrics, Signal::Traces] {
        let stored: i64 = database
            .query_row(
                "SELECT count(*) FROM signals WHERE signal = ?",
                [signal.word()],
                |row| row.get(0),
            )
            .expect("the table reads");
        // One reader of metrics exports once more when its process ends.
        assert!(stored >= 2, "{stored} {signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_arrives_over_grpc_with_tls() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let authority = Authority::new();
    let (certificate, key) = authority.write_identity("localhost", directory.path());
    let config = Config {
        tls: Some(IdentityFiles { certificate, key }),
        ..Config::default()
    };
    let central = TestCentral::start_with(&folder(directory.path(), "data"), config).await;
    let bearer = central.install().await.authorization_header;
    let records = claude_session("python@example.com", "secured", 10);
    let export = Export {
        endpoint: &central.url.replace("127.0.0.1", "localhost"),
        authorization: Some(&bearer),
        gzip: true,
    };
    let authority = authority.write(directory.path());
    python_grpc(&export, Some(&authority), &records)
        .await
        .expect_success();
    central.stop().await;
    let central = TestCentral::start(&folder(directory.path(), "data")).await;
    central.api().await.wait_for_events("events", 10).await;
    central.stop().await;
}

/// A client for calls that no exporter makes.
struct Caller {
    client: LogsServiceClient<Channel>,
    authorization: Option<String>,
}

impl Caller {
    async fn new(central: &TestCentral, authorization: Option<&str>) -> Caller {
        let endpoint = Channel::from_shared(central.url.clone()).expect("an address");
        let channel = endpoint.connect().await.expect("the service listens");
        Caller {
            client: LogsServiceClient::new(channel).max_encoding_message_size(usize::MAX),
            authorization: authorization.map(str::to_owned),
        }
    }

    async fn export(
        &mut self,
        logs: ExportLogsServiceRequest,
    ) -> Result<ExportLogsServiceResponse, Status> {
        let mut request = Request::new(logs);
        if let Some(authorization) = &self.authorization {
            let authorization = authorization.parse().expect("an ASCII value");
            request
                .metadata_mut()
                .insert("authorization", authorization);
        }
        let answer = self.client.export(request).await?;
        Ok(answer.into_inner())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_has_its_code() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut config = Config {
        max_body: 200 << 10,
        ..Config::default()
    };
    config.ingest.max_record = 64 << 10;
    let central = TestCentral::start_with(directory.path(), config).await;
    let bearer = central.install().await.authorization_header;
    let logs = wire::folder("refactor").remove(0).logs();
    let mut caller = Caller::new(&central, Some(&bearer)).await;
    let answer = caller.export(logs.clone()).await.expect("it is stored");
    assert_eq!(
        answer.partial_success.unwrap_or_default(),
        Default::default()
    );
    let nothing = caller.export(ExportLogsServiceRequest::default()).await;
    assert!(nothing.is_ok(), "an empty request is a good one");

    for authorization in [None, Some("Bearer a.b.c"), Some("Basic YTpi")] {
        let mut stranger = Caller::new(&central, authorization).await;
        let refused = stranger.export(logs.clone()).await.expect_err("no token");
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        assert!(refused.message().contains("token"), "{refused}");
    }

    // Some records too large, the others stored.
    let mut partly = logs.clone();
    let records = &mut partly.resource_logs[0].scope_logs[0].log_records;
    records.truncate(3);
    records[1].severity_text = "x".repeat(65 << 10);
    let answer = caller.export(partly).await.expect("the rest is stored");
    let partial = answer.partial_success.expect("one was not stored");
    assert_eq!(partial.rejected_log_records, 1);
    assert!(partial.error_message.contains("ingest.max_record"));

    // Too large as a whole, plain and inflated; nothing helps but smaller batches.
    let mut large = logs.clone();
    let records = &mut large.resource_logs[0].scope_logs[0].log_records;
    records[0].severity_text = "x".repeat(300 << 10);
    let refused = caller.export(large.clone()).await.expect_err("too large");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.get_details_retry_info().is_none());
    caller.client = caller.client.send_compressed(CompressionEncoding::Gzip);
    let refused = caller.export(large).await.expect_err("too large");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_come_back_is_told_when() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut config = Config::default();
    config.ingest.requests_per_second = 1;
    let central = TestCentral::start_with(directory.path(), config).await;
    let bearer = central.install().await.authorization_header;
    let logs = wire::folder("list-files").remove(0).logs();
    let mut caller = Caller::new(&central, Some(&bearer)).await;
    let refused = eventually("the rate", async || {
        let mut caller = Caller::new(&central, Some(&bearer)).await;
        caller.export(logs.clone()).await.err()
    })
    .await;
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let retry = refused.get_details_retry_info().expect("a time");
    assert_eq!(retry.retry_delay, Some(Duration::from_secs(1)));

    // A store that cannot write: try again.
    let other = central.install().await.authorization_header;
    caller.authorization = Some(other);
    let database = directory.path().join("fieldpost.db");
    let database = rusqlite::Connection::open(database).expect("the database is one file");
    database
        .execute_batch("BEGIN IMMEDIATE")
        .expect("it is free");
    let refused = caller.export(logs.clone()).await.expect_err("not stored");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(refused.get_details_retry_info().is_some());
    database.execute_batch("ROLLBACK").expect("it was begun");
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_none_are_refused_as_grpc_asks() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let client = fieldpost::http::client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let call = async |path: &str, encoding: Option<&str>, body: Bytes| {
        let mut request = client
            .post(format!("{}{path}", central.url))
            .header("authorization", &bearer)
            .header("content-type", "application/grpc+proto")
            .header("te", "trailers")
            .body(body);
        if let Some(encoding) = encoding {
            request = request.header("grpc-encoding", encoding);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "gRPC answers with 200 and a code");
        let content_type = answer.headers()["content-type"].to_str().expect("text");
        assert!(
            content_type.starts_with("application/grpc"),
            "{content_type}"
        );
        assert_eq!(
            answer.headers()["grpc-accept-encoding"],
            "identity,gzip,zstd"
        );
        let status = answer.headers().get("grpc-status");
        status.map(|status| status.to_str().expect("a number").to_owned())
    };
    let message = wire::folder("list-files").remove(0).logs().encode_to_vec();
    let framed = |flag: u8, message: &[u8]| {
        let length = u32::try_from(message.len()).expect("it is short");
        Bytes::from([&[flag][..], &length.to_be_bytes(), message].concat())
    };
    let whole = framed(0, &message);
    assert_eq!(
        call(METHOD, None, whole.clone()).await,
        None,
        "its code is in the trailers"
    );
    let zstd = Coding::Zstd.compress(&message).expect("it compresses");
    assert_eq!(call(METHOD, Some("zstd"), framed(1, &zstd)).await, None);
    // The flag says whether this message is compressed.
    assert_eq!(call(METHOD, Some("gzip"), whole.clone()).await, None);

    let unimplemented = Some((Code::Unimplemented as i32).to_string());
    let elsewhere = METHOD.replace("Export", "Import");
    assert_eq!(call(&elsewhere, None, whole.clone()).await, unimplemented);
    assert_eq!(call("/v1/logs", None, whole.clone()).await, unimplemented);
    assert_eq!(
        call(METHOD, Some("snappy"), whole.clone()).await,
        unimplemented
    );
    let invalid = Some((Code::InvalidArgument as i32).to_string());
    for (encoding, body) in [
        (None, Bytes::new()),
        (None, Bytes::from_static(b"\0\0\0")),
        (None, whole.slice(..whole.len() - 1)),
        (None, Bytes::from([&whole[..], &whole[..]].concat())),
        (None, framed(1, &message)),
        (Some("identity"), framed(1, &message)),
        (Some("gzip"), framed(1, &message)),
        (Some("gzip"), framed(2, &message)),
        (None, framed(0, b"\xff\xff\xff")),
    ] {
        let said = call(METHOD, encoding, body.clone()).await;
        assert_eq!(said, invalid, "{encoding:?} {body:?}");
    }
    let api = central.api().await;
    let records = wire::folder("list-files")[0].records();
    api.wait_for_events("events?limit=1000", records).await;
    central.stop().await;
}
