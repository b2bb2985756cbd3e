//! The way to the upstream, what it says, and that a record arrives.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use fieldpost::otlp::Request;

use crate::fleet::machine::{Machine, answering};
use crate::support::fieldpost::{TestCentral, TestEdge, client, free_port};
use crate::support::records::{Record, claude_session, request};
use crate::support::tls::{Authority, TlsListener};
use crate::support::upstream::{Upstream, attribute};

fn endpoint(address: std::net::SocketAddr) -> String {
    format!("http://{address}/v1/logs")
}

#[tokio::test(flavor = "multi_thread")]
async fn e06_way_to_the_upstream() {
    let machine = Machine::new();
    let upstream = Upstream::start().await;
    machine.configure(&upstream.endpoint, 4318);
    machine
        .check("E06")
        .await
        .is_ok("is reached, and speaks HTTP");
    machine.configure(&format!("http://127.0.0.1:{}/v1/logs", free_port()), 4318);
    machine
        .check("E06")
        .await
        .is("fail", "cannot be reached", "firewall");
    machine.configure("http://nowhere.invalid/v1/logs", 4318);
    machine
        .check("E06")
        .await
        .is("fail", "the name nowhere.invalid is not found", "DNS");
    // It speaks no TLS.
    machine.configure(&upstream.endpoint.replace("http:", "https:"), 4318);
    machine
        .check("E06")
        .await
        .is("fail", "no answer", "upstream.ca_file");
}

#[tokio::test(flavor = "multi_thread")]
async fn e06_names_who_signed_the_certificate() {
    let mut machine = Machine::new();
    let (authority, directory) = (Authority::new(), tempfile::tempdir().expect("a directory"));
    let ca_file = authority.write(directory.path());
    let listener = TlsListener::bind("localhost", &authority, None).await;
    let base = format!("https://localhost:{}", listener.address().port());
    let upstream = Upstream::on(listener, base, |_| None);
    machine.configure(&upstream.endpoint, 4318);
    let said = machine.check("E06").await;
    said.is("fail", "UnknownIssuer", "upstream.ca_file");
    let signer = "is signed by CN=An authority of the tests";
    assert!(said.detail.contains(signer), "{said:?}");
    // Whoever nobody vouches for has got no token.
    let shown: Vec<_> = upstream
        .received()
        .into_iter()
        .filter_map(|it| it.authorization)
        .collect();
    assert_eq!(shown, Vec::<String>::new());

    machine.variable("SSL_CERT_FILE", &ca_file.display().to_string());
    let trusted = "its certificate, signed by CN=An authority of the tests";
    machine.check("E06").await.is_ok(trusted);
}

#[tokio::test(flavor = "multi_thread")]
async fn e07_upstreams_answer() {
    let machine = Machine::new();
    let data = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(data.path()).await;
    let installation = central.install().await;
    machine.configure(&installation.endpoint, 4318);
    machine.check("E07").await.is(
        "fail",
        "401: the token is malformed, expired or revoked",
        "make another in the portal",
    );
    machine.token(
        installation
            .authorization_header
            .trim_start_matches("Bearer "),
    );
    machine.check("E07").await.is_ok("200: the token is good");
    central.stop().await;
    for (status, words, fix) in [
        (403, "the token is not for this", "environment"),
        (404, "nothing takes telemetry", "copy upstream.endpoint"),
        (407, "the proxy asks", "upstream.proxy"),
        (500, "500", "wait on disk"),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        machine.configure(
            &endpoint(answering(move || status.into_response()).await),
            4318,
        );
        machine.check("E07").await.is("fail", words, fix);
    }
    machine.configure(
        &endpoint(answering(|| StatusCode::NO_CONTENT.into_response()).await),
        4318,
    );
    machine.check("E07").await.is_ok("204");
    machine.configure(
        &endpoint(answering(|| StatusCode::TOO_MANY_REQUESTS.into_response()).await),
        4318,
    );
    machine.check("E07").await.is("warn", "429", "rate");
}

#[tokio::test(flavor = "multi_thread")]
async fn e08_clock() {
    let machine = Machine::new();
    machine.configure(
        &endpoint(answering(|| StatusCode::OK.into_response()).await),
        4318,
    );
    machine.check("E08").await.is_ok("within ");
    let dated = || {
        let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        ([(header::DATE, date)], "").into_response()
    };
    machine.configure(&endpoint(answering(dated).await), 4318);
    machine.check("E08").await.is(
        "fail",
        "ahead of the upstream's",
        "timedatectl set-ntp true",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn e10_delivery_and_e21_arrival() {
    let machine = Machine::new();
    let upstream = Upstream::start().await;
    machine.configure(&upstream.endpoint, free_port());
    for id in ["E10", "E21"] {
        assert_eq!(machine.check(id).await.status, "skip", "no edge runs");
    }
    let edge = machine.edge(|text| text).await;
    let said = machine.check("E21").await;
    said.is_ok("the upstream has acknowledged it");
    let arrived: Vec<String> = upstream
        .received()
        .iter()
        .filter(|received| received.accepted)
        .flat_map(|received| attribute(&received.request, "fieldpost.mark"))
        .collect();
    assert_eq!(arrived.len(), 1, "the marked record is at the upstream");
    assert!(said.detail.contains(&arrived[0]), "{said:?}");
    machine.check("E10").await.is_ok("records delivered");
    // doctor's own record is nobody's.
    assert!(!machine.check("E10").await.detail.contains("received last"));
    post(&edge, &claude_session("ada@example.com", "one", 3)).await;
    let said = machine.check("E10").await;
    said.is_ok("; received last from root by ");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e10_and_e21_tell_a_refused_token_and_a_refused_record() {
    let machine = Machine::new();
    let upstream = Upstream::judging(|_| Some(StatusCode::UNAUTHORIZED.into_response())).await;
    machine.configure(&upstream.endpoint, free_port());
    let plain = "[upstream]\nextras = false\n";
    let edge = machine
        .edge(|text| text.replace("[upstream]\n", plain))
        .await;
    machine
        .check("E21")
        .await
        .is("fail", "was not acknowledged", "E06 and E07");
    machine
        .check("E10")
        .await
        .is("fail", "token refused", "--token-stdin");
    edge.stop().await;

    let machine = Machine::new();
    let refuses_marked = |received: &crate::support::upstream::Received| {
        let Request::Logs(_) = &received.request else {
            return None;
        };
        let is_marked = !attribute(&received.request, "fieldpost.mark").is_empty();
        is_marked.then(|| StatusCode::BAD_REQUEST.into_response())
    };
    let upstream = Upstream::judging(refuses_marked).await;
    machine.configure(&upstream.endpoint, free_port());
    let edge = machine.edge(|text| text).await;
    machine
        .check("E21")
        .await
        .is("fail", "did not store the record", "parked list");
    machine
        .check("E10")
        .await
        .is("warn", "parked", "parked list");
    edge.stop().await;
}

async fn post(edge: &TestEdge, records: &[Record]) {
    let sent = client()
        .post(edge.logs())
        .header("content-type", "application/json")
        .body(request(records).to_string())
        .send()
        .await;
    assert_eq!(sent.expect("an answer").status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn e16_tells_from_the_records_who_is_who() {
    let machine = Machine::new();
    let upstream = Upstream::start().await;
    machine.configure(&upstream.endpoint, free_port());
    let edge = machine.edge(|text| text).await;
    assert_eq!(
        machine.check("E16").await.status,
        "skip",
        "nothing came yet"
    );
    post(&edge, &claude_session("ada@example.com", "one", 3)).await;
    let said = machine.check("E16").await;
    said.is_ok("0 of 3 records");
    assert!(
        said.detail.contains("root (uid 0) is ada@example.com"),
        "{said:?}"
    );
    post(&edge, &claude_session("", "two", 2)).await;
    let said = machine.check("E16").await;
    said.is(
        "warn",
        "2 of 5 records since the edge's start came without one",
        "/login",
    );
    edge.stop().await;
}
