//! Where the token is looked for, who may read it there, and what is found out without it.

use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::fleet::machine::{DAY, Machine, answering, jwt};

const UPSTREAM: &str = "https://otel.example.com/v1/logs";

/// A machine with the service's account, and a systemd of this version.
fn with_systemd(version: u32) -> Machine {
    let mut machine = Machine::new();
    let accounts = machine.read("etc/passwd");
    machine.write(
        "etc/passwd",
        &format!("{accounts}fieldpost:x:12345:12345::/:/bin/false\n"),
    );
    machine.program(
        "systemctl",
        &format!("systemd {version} ({version}-82.el8)"),
    );
    machine.configure(UPSTREAM, 4318);
    machine
}

#[tokio::test(flavor = "multi_thread")]
async fn e05_goes_on_where_the_daemon_does() {
    let mut machine = Machine::new();
    machine.configure(UPSTREAM, 4318);
    machine.write("credentials/token", "unset");
    machine.mode("credentials/token", 0o600);
    let credentials = machine.path("credentials").display().to_string();
    machine.variable("CREDENTIALS_DIRECTORY", &credentials);
    machine.token(&jwt(300 * DAY));
    machine.check("E05").await.is_ok("tenant acme");
    machine.token("unset");
    machine
        .check("E05")
        .await
        .is("fail", "holds no token yet", "--token-stdin");
    let configured = machine.read("etc/fieldpost/edge.toml");
    machine.write(
        "etc/fieldpost/edge.toml",
        &format!("{configured}token_command = [\"/usr/local/bin/get-token\"]\n"),
    );
    machine.check("E05").await.is_skipped("a program prints");
}

#[tokio::test(flavor = "multi_thread")]
async fn e05_finds_a_token_that_lies_sealed_where_systemd_has_opened_it() {
    let machine = Machine::new();
    machine.configure(UPSTREAM, 4318);
    std::fs::remove_file(machine.path("etc/fieldpost/token")).expect("it was there");
    let opened = "run/credentials/fieldpost-edge.service";
    machine.write(&format!("{opened}/token"), &jwt(300 * DAY));
    machine.mode(&format!("{opened}/token"), 0o400);
    machine.check("E05").await.is_ok("tenant acme");
    machine.mode(opened, 0o500);
    machine.check_as(1000, "E05").await.is_skipped("only root");
}

#[tokio::test(flavor = "multi_thread")]
async fn e05_a_systemd_without_credentials_needs_a_file_that_the_service_reads() {
    let machine = with_systemd(239);
    let said = machine.check("E05").await;
    said.is("fail", "the service may not read it", "chmod 640");
    let arguments = ["doctor", "--fix", "--json", "--only", "E05"];
    let (code, output, _) = machine.run(&arguments, "").await;
    assert_eq!(code, 0, "{output}");
    machine.check("E05").await.is_ok("there is a token");
    // One that everybody can read stays readable for the service.
    machine.mode("etc/fieldpost/token", 0o644);
    let (code, output, _) = machine.run(&arguments, "").await;
    assert_eq!(code, 0, "{output}");
    // A newer one reads it as root.
    with_systemd(252)
        .check("E05")
        .await
        .is_ok("there is a token");
}

#[tokio::test(flavor = "multi_thread")]
async fn e06_needs_no_token_and_e07_is_skipped_without_one() {
    let machine = Machine::new();
    let taken = answering(|| StatusCode::OK.into_response()).await;
    machine.configure(&format!("http://{taken}/v1/logs"), 4318);
    for token in ["unset", "a-token-that-is-no-jwt"] {
        machine.token(token);
        // It is root's alone.
        let said = machine.check_as(1000, "E06").await;
        said.is_ok("is reached, and speaks HTTP");
        machine.check_as(1000, "E07").await.is_skipped("E05");
    }
    machine.check("E07").await.is_ok("the token is good");
    machine.token("unset");
    machine.check("E06").await.is_ok("speaks HTTP");
    machine.check("E07").await.is_skipped("E05");
    let configured = machine.read("etc/fieldpost/edge.toml");
    let lines = configured
        .lines()
        .filter(|line| !line.starts_with("token_file"));
    let without = lines.collect::<Vec<_>>().join("\n");
    machine.write("etc/fieldpost/edge.toml", &without);
    machine.check("E07").await.is_ok("no token is asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn e06_goes_by_the_proxy_that_the_service_has() {
    let mut machine = Machine::new();
    let proxy = answering(|| StatusCode::OK.into_response()).await;
    machine.configure("http://nowhere.invalid/v1/logs", 4318);
    machine.variable("http_proxy", &format!("http://{proxy}"));
    machine.program("systemctl", "0");
    machine
        .check("E06")
        .await
        .is_ok("nowhere.invalid port 80 is reached");
    machine.program("systemctl", "77");
    machine.write("proc/77/environ", "HOME=/\0LANG=C\0");
    machine.check("E06").await.is(
        "warn",
        "the service has no proxy in its environment, and this shell has a proxy in http_proxy",
        "upstream.proxy",
    );
    let environ = format!("HTTP_PROXY=http://{proxy}\0");
    machine.write("proc/77/environ", &environ);
    machine.check("E06").await.is_ok("is reached");
}
