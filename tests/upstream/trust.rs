//! Whose word the edge takes for who the upstream is: the system's authorities, and one that is named.

use std::fs;
use std::path::Path;

use crate::support::eventually;
use crate::support::fieldpost::{TestEdge, command, edge_config, free_port};
use crate::support::process::{over_etc, signal};
use crate::support::tls::{Authority, TlsListener};
use crate::support::upstream::Upstream;

use super::{post, records, start, start_process, wait_for_records};

/// Where Debian keeps all that a machine trusts, as `update-ca-certificates` writes it.
const SYSTEM_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// An upstream as `https://localhost:…` with a certificate signed by `authority`.
async fn upstream_of(authority: &Authority) -> Upstream {
    let listener = TlsListener::bind("localhost", authority, None).await;
    let base = format!("https://localhost:{}", listener.address().port());
    Upstream::on(listener, base, |_| None)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_a_private_authority_is_trusted_when_its_file_is_named() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let ca_file = authority.write(directory.path());
    let upstream = upstream_of(&authority).await;
    let config = format!(
        "{}ca_file = \"{}\"\n",
        edge_config(directory.path(), &upstream.endpoint, None, 0),
        ca_file.display()
    );
    let edge = TestEdge::start_with(directory.path(), &config).await;
    post(&edge.logs(), &records(3)).await;
    wait_for_records(&upstream, 3).await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_nobody_vouches_for_keeps_records_waiting_and_the_log_says_why() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let ca_file = authority.write(directory.path());
    let upstream = upstream_of(&authority).await;
    let port = free_port();
    let config = edge_config(directory.path(), &upstream.endpoint, None, port);
    let mut edge = start_process(directory.path(), &config, port, &[]).await;
    let logs = format!("http://127.0.0.1:{port}/v1/logs");
    post(&logs, &records(3)).await;
    eventually("the reason in the log", async || {
        let log = fs::read_to_string(directory.path().join("log")).expect("a log");
        (log.contains("invalid peer certificate") && log.contains("upstream.ca_file")).then_some(())
    })
    .await;
    assert!(upstream.received().is_empty());
    edge.kill().await.expect("it was running");

    // Nothing was lost by it: once the authority is named, everything goes out.
    let config = format!("{config}ca_file = \"{}\"\n", ca_file.display());
    let mut edge = start_process(directory.path(), &config, port, &[]).await;
    wait_for_records(&upstream, 3).await;
    edge.kill().await.expect("it was running");
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_system_trusts_needs_no_mention() {
    let (scratch, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let ca_file = authority.write(scratch.path());
    // As update-ca-certificates leaves it when somebody has added an authority.
    let etc = scratch.path().join("etc");
    let bundle = etc.join(
        Path::new(SYSTEM_BUNDLE)
            .strip_prefix("/etc")
            .expect("it is below"),
    );
    fs::create_dir_all(bundle.parent().expect("a folder")).expect("writable");
    let known = fs::read(SYSTEM_BUNDLE).unwrap_or_default();
    let added = fs::read(&ca_file).expect("it was written");
    fs::write(&bundle, [known, added].concat()).expect("writable");

    let binary = Path::new(env!("CARGO_BIN_EXE_fieldpost"));
    let with = |name: &str, value: &Path| {
        let mut command = command();
        command.env(name, value);
        command
    };
    let ways = [
        with("SSL_CERT_FILE", &ca_file),
        with("SSL_CERT_DIR", scratch.path()),
        over_etc(&etc, binary),
    ];
    for command in ways {
        let directory = tempfile::tempdir().expect("a directory");
        let (upstream, port) = (upstream_of(&authority).await, free_port());
        let config = edge_config(directory.path(), &upstream.endpoint, None, port);
        let mut edge = start(command, directory.path(), &config, port).await;
        post(&format!("http://127.0.0.1:{port}/v1/logs"), &records(3)).await;
        wait_for_records(&upstream, 3).await;
        edge.kill().await.expect("it was running");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_system_comes_to_trust_is_trusted_from_a_hangup_on() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let trusted = directory.path().join("trusted");
    fs::create_dir(&trusted).expect("writable");
    Authority::new().write(&trusted);
    let (upstream, port) = (upstream_of(&authority).await, free_port());
    let config = edge_config(directory.path(), &upstream.endpoint, None, port);
    let environment = [("SSL_CERT_DIR", trusted.to_str().expect("text"))];
    let mut edge = start_process(directory.path(), &config, port, &environment).await;
    post(&format!("http://127.0.0.1:{port}/v1/logs"), &records(3)).await;
    eventually("the reason in the log", async || {
        let log = fs::read_to_string(directory.path().join("log")).expect("a log");
        log.contains("invalid peer certificate").then_some(())
    })
    .await;
    assert!(upstream.received().is_empty());

    authority.write(&trusted);
    signal(&edge, "-HUP").await;
    wait_for_records(&upstream, 3).await;
    edge.kill().await.expect("it was running");
}
