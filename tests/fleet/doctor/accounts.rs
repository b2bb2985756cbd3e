//! Whose service and whose Claude it is: accounts without root's rights, those of a directory, and each by itself.

use std::fs::File;
use std::time::{Duration, SystemTime};

use fieldpost::rollout::{Format, Rollout};
use serde_json::json;

use crate::fleet::machine::{Machine, jwt};
use crate::support::PATIENCE;
use crate::support::fieldpost::free_port;
use crate::support::process;
use crate::support::upstream::Upstream;

const EDGE: &str = "http://127.0.0.1:4318";
const ADA: u32 = 1000;

fn configured() -> Machine {
    let machine = Machine::new();
    machine.configure("https://otel.example.com/v1/logs", 4318);
    machine
}

/// What tells Claude to export to `endpoint`.
fn settings(endpoint: &str) -> String {
    Rollout::edge(endpoint).render(Format::ManagedSettings)
}

#[tokio::test(flavor = "multi_thread")]
async fn e02_is_not_told_what_only_root_sees() {
    let machine = Machine::new();
    let upstream = Upstream::start().await;
    machine.configure(&upstream.endpoint, free_port());
    let edge = machine.edge(|text| text).await;
    machine.check("E02").await.is_ok("fieldpost");
    machine.check_as(ADA, "E02").await.is_skipped("only root");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e19_says_what_it_has_not_seen() {
    let machine = Machine::new();
    machine
        .check("E19")
        .await
        .is_skipped("no Claude was found in 3 homes");
    machine.write("home/ada/.claude.json", "{}");
    machine
        .check("E19")
        .await
        .is_ok("only Claude Code was found");
    machine.write("home/bob/.bashrc", "");
    machine.mode("home/bob", 0o700);
    machine.check_as(ADA, "E19").await.is_skipped("bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn e16_e17_and_e19_find_accounts_of_a_directory() {
    let machine = configured();
    // They stand in no file; their homes lie below /home, or below a folder of their domain.
    machine.write("home/carol@example.com/.claude.json", "{}");
    let said = machine.check("E16").await;
    said.is("warn", "carol@example.com", "/login");
    let header = format!("export H=\"Authorization=Bearer {}\"\n", jwt(86_400));
    machine.write("home/EXAMPLE/dave/.zshrc", &header);
    machine
        .check("E17")
        .await
        .is("fail", "home/EXAMPLE/dave/.zshrc", "revoke");
    let desktop = machine.path("home/EXAMPLE/dave/.config/Claude");
    std::fs::create_dir_all(desktop).expect("a folder");
    machine
        .check("E19")
        .await
        .is("warn", "the Desktop app was found (dave)", "Cowork");
}

#[tokio::test(flavor = "multi_thread")]
async fn e11_judges_each_person_by_what_that_person_is_told() {
    let machine = configured();
    machine.policy(&[("OTEL_EXPORTER_OTLP_ENDPOINT", EDGE)]);
    for person in ["ada", "bob"] {
        machine.write(&format!("home/{person}/.claude.json"), "{}");
    }
    machine
        .check("E11")
        .await
        .is_ok("names this edge (ada, bob)");
    // The console has told ada what it has told nobody else, and the other way round.
    machine.write("home/ada/.claude/remote-settings.json", &settings(EDGE));
    machine.check("E11").await.is_ok("(as ada got it) decides");
    machine.write(
        "home/bob/.claude/remote-settings.json",
        &settings("http://127.0.0.1:9"),
    );
    let said = machine.check("E11").await;
    said.is(
        "fail",
        "(as bob got it) decides",
        "move all OTEL_ variables",
    );
    assert!(said.detail.ends_with("(bob)"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e12_judges_each_person_and_what_is_managed_goes_before_what_is_ones_own() {
    let machine = configured();
    let own = |person: &str, text: &str| {
        machine.write(&format!("home/{person}/.claude/settings.json"), text);
    };
    own("ada", &settings(EDGE));
    own("bob", &settings(EDGE));
    machine.check("E12").await.is_ok("telemetry is enabled");
    own("bob", "{}");
    let said = machine.check("E12").await;
    said.is(
        "fail",
        "CLAUDE_CODE_ENABLE_TELEMETRY is not set (bob)",
        "--configure-claude",
    );
    // Where somebody manages telemetry, nobody's own address counts.
    machine.write(
        "etc/claude-code/managed-settings.d/10-fieldpost.json",
        &settings(EDGE),
    );
    let elsewhere =
        json!({"env": {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://127.0.0.1:9/v1/logs"}});
    own("bob", &elsewhere.to_string());
    machine.check("E12").await.is_ok("telemetry is enabled");
}

#[tokio::test(flavor = "multi_thread")]
async fn e15_judges_by_the_files_that_decide() {
    let machine = configured();
    machine.write("etc/claude-code/managed-settings.json", &settings(EDGE));
    let now = jiff::Timestamp::now().as_second();
    machine.write("proc/stat", &format!("cpu 1 2\nbtime {}\n", now - 3_600));
    let before = "1 ".repeat(18);
    machine.write("proc/77/cmdline", "claude\0");
    machine.write("proc/77/stat", &format!("77 (claude) S {before}1000 0 0\n"));
    machine
        .check("E15")
        .await
        .is("warn", "pid 77", "start Claude anew");
    age(&machine, "etc/claude-code/managed-settings.json");
    machine
        .check("E15")
        .await
        .is_ok("after the policy's last change");
}

#[tokio::test(flavor = "multi_thread")]
async fn e22_an_old_log_says_nothing_of_today() {
    let machine = Machine::new();
    let log = "home/ada/.claude/debug/1.txt";
    machine.write(log, "[ERROR] OTLPExporterError: connect ECONNREFUSED\n");
    machine.check("E22").await.is("fail", "ECONNREFUSED", "E03");
    age(&machine, log);
    machine.check("E22").await.is_skipped("in the last day");
}

/// Makes a file two days old.
fn age(machine: &Machine, path: &str) {
    let file = File::options().write(true).open(machine.path(path));
    let then = SystemTime::now() - Duration::from_secs(2 * 86_400);
    file.and_then(|file| file.set_modified(then))
        .expect("its time is ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_holds_nobody_up() {
    let machine = Machine::new();
    machine.write("home/ada/.bashrc", "");
    let mut command = process::command("mkfifo");
    command.arg(machine.path("home/ada/.claude.json"));
    command.arg(machine.path("home/ada/.zshrc"));
    process::run(command, "", PATIENCE).await.expect_success();
    machine.check("E16").await.is_skipped("nobody");
    machine.check("E17").await.is_ok("holds a token");
}
