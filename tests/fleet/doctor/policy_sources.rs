//! Whoever may tell Claude what to do beside the files of the machine, and what else must be known of people and processes.

use std::os::unix::fs::chown;

use fieldpost::rollout::{Format, Rollout};
use serde_json::json;

use crate::fleet::machine::{Machine, jwt};

const PROFILES: &str = "Library/Managed Preferences";
const EDGE: &str = "http://127.0.0.1:4318";

fn configured() -> Machine {
    let machine = Machine::new();
    machine.configure("https://otel.example.com/v1/logs", 4318);
    machine
}

/// What the edge's policy says in one line of JSON, with another address perhaps.
fn settings(endpoint: &str) -> String {
    let text = Rollout::edge(endpoint).render(Format::ManagedSettings);
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    value.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn e11_a_profile_of_macos_comes_before_files() {
    let machine = configured();
    machine.policy(&[("OTEL_EXPORTER_OTLP_ENDPOINT", EDGE)]);
    // As plutil does, but for reading what is binary.
    machine.write(
        "usr/bin/plutil",
        "#!/bin/sh\n[ \"$1 $2 $3 $4\" = \"-convert json -o -\" ] && cat \"$5\"\n",
    );
    machine.mode("usr/bin/plutil", 0o755);
    let profile = format!("{PROFILES}/com.anthropic.claudecode.plist");
    machine.write(&profile, &settings("http://127.0.0.1:9999"));
    let said = machine.check("E11").await;
    said.is(
        "fail",
        "the configuration profile",
        "move all OTEL_ variables",
    );
    assert!(said.detail.contains("ignored: the files"), "{said:?}");
    // One user's comes before that for all.
    machine.write(
        &format!("{PROFILES}/ada/com.anthropic.claudecode.plist"),
        &settings(EDGE),
    );
    machine
        .check("E11")
        .await
        .is_ok("ada/com.anthropic.claudecode.plist) decides, and names this edge");
    machine.write(&profile, "<plist>");
    machine
        .check("E11")
        .await
        .is("fail", "not JSON", "correct the file");
}

#[tokio::test(flavor = "multi_thread")]
async fn e11_in_wsl_windows_comes_first_where_it_says_so() {
    let machine = configured();
    machine.policy(&[("OTEL_EXPORTER_OTLP_ENDPOINT", EDGE)]);
    let files = "mnt/c/Program Files/ClaudeCode/managed-settings.json";
    let elsewhere = settings("http://collector.example.com:4318");
    let inherited = elsewhere.replacen('{', "{\"wslInheritsWindowsSettings\":true,", 1);
    machine.write(files, &inherited);
    machine.check("E11").await.is_ok("the files in");
    machine.write(
        "proc/sys/kernel/osrelease",
        "5.15.0-microsoft-standard-WSL2\n",
    );
    let said = machine.check("E11").await;
    said.is(
        "fail",
        "mnt/c/Program Files/ClaudeCode decides",
        "move all OTEL_ variables",
    );
    machine.write(files, &elsewhere);
    machine.check("E11").await.is_ok("etc/claude-code decides");

    // The registry, as reg.exe prints it.
    let reg = |value: &str| {
        machine.write(
            "mnt/c/Windows/System32/reg.exe",
            &format!(
                "#!/bin/sh\n[ \"$2\" = 'HKLM\\SOFTWARE\\Policies\\ClaudeCode' ] || exit 1\ncat <<'END'\n\r\n\
                 HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\ClaudeCode\r\n    Settings    REG_SZ    {value}\r\n\r\nEND\n"
            ),
        );
        machine.mode("mnt/c/Windows/System32/reg.exe", 0o755);
    };
    reg(&inherited);
    machine.check("E11").await.is(
        "fail",
        r"the registry (HKLM\SOFTWARE\Policies\ClaudeCode) decides",
        "move all",
    );
    reg(&inherited.replace("http://collector.example.com:4318", EDGE));
    machine.check("E11").await.is_ok("the registry");
    reg(&elsewhere);
    machine.check("E11").await.is_ok("etc/claude-code decides");
}

#[tokio::test(flavor = "multi_thread")]
async fn e11_a_helper_takes_the_place_of_all_others() {
    let machine = configured();
    machine.policy(&[("OTEL_EXPORTER_OTLP_ENDPOINT", EDGE)]);
    machine.write(
        "etc/claude-code/managed-settings.json",
        &json!({"policyHelper": {"path": "/usr/local/bin/policy"}}).to_string(),
    );
    machine.check("E11").await.is(
        "warn",
        "has /usr/local/bin/policy compute what is managed",
        "/status",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn e15_where_nobody_manages_claude_each_process_tells() {
    let machine = configured();
    let said = machine.check("E15").await;
    assert_eq!(said.status, "skip", "none runs: {said:?}");
    let process = |pid: u32, environment: &str| {
        machine.write(&format!("proc/{pid}/cmdline"), "claude\0");
        machine.write(&format!("proc/{pid}/environ"), environment);
    };
    process(
        81,
        "HOME=/home/ada\0OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318\0",
    );
    machine
        .check("E15")
        .await
        .is_ok("started with this edge's address");
    process(
        82,
        "HOME=/home/bob\0OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9\0",
    );
    process(83, "HOME=/home/bob\0");
    machine
        .check("E15")
        .await
        .is("warn", "name this edge: pid 82, 83", "fieldpost edge env");
    // A person's settings go before what a process was started with.
    let own = json!({"env": {"OTEL_EXPORTER_OTLP_ENDPOINT": EDGE}}).to_string();
    machine.write("home/bob/.claude/settings.json", &own);
    machine.check("E15").await.is_ok("every Claude that runs");
    // Whoever decides and is no file of ours says not since when.
    machine.write("home/ada/.claude/remote-settings.json", &settings(EDGE));
    let said = machine.check("E15").await;
    assert_eq!(said.status, "skip");
    assert!(
        said.detail.contains("the organization's console"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn e05_and_e17_look_at_owners_and_at_profiles() {
    let machine = configured();
    machine.token(&jwt(400 * 86_400));
    machine.check("E05").await.is_ok("expires on");
    chown(machine.path("etc/fieldpost/token"), Some(1000), None).expect("root runs the tests");
    machine
        .check("E05")
        .await
        .is("fail", "belongs to the account 1000", "chown root:");
    machine.check("E17").await.is_ok("holds a token");
    // What is binary can be searched all the same.
    let profile = machine.path(&format!("{PROFILES}/com.anthropic.claudecode.plist"));
    std::fs::create_dir_all(profile.parent().expect("a folder")).expect("a folder");
    let header = ["Authorization=Bearer ", &jwt(86_400)].concat();
    std::fs::write(&profile, [b"bplist00\xff\xfe", header.as_bytes()].concat()).expect("a file");
    machine
        .check("E17")
        .await
        .is("fail", "com.anthropic.claudecode.plist", "revoke");
}

#[tokio::test(flavor = "multi_thread")]
async fn e19_finds_gateways_and_the_desktop_app_of_other_systems() {
    let machine = Machine::new();
    let kept = "home/bob/.claude/.credentials.json";
    machine.write(
        kept,
        &json!({"claudeAiOauth": {"accessToken": "x"}}).to_string(),
    );
    machine
        .check("E19")
        .await
        .is_ok("only Claude Code was found");
    machine.write(
        kept,
        &json!({"enterpriseGateway": {"idpRefreshToken": "x"}}).to_string(),
    );
    machine.check("E19").await.is(
        "warn",
        "signed in at a gateway: bob",
        "telemetry.forward_to",
    );
    machine.write(kept, "{}");
    machine.write(
        "etc/claude-code/managed-settings.json",
        &json!({"forceLoginMethod": "gateway"}).to_string(),
    );
    machine.check("E19").await.is(
        "warn",
        "everybody sign in at a gateway",
        "telemetry.forward_to",
    );
    machine.write("etc/claude-code/managed-settings.json", "{}");
    let desktop = "home/ada/Library/Application Support/Claude";
    std::fs::create_dir_all(machine.path(desktop)).expect("a folder");
    machine.check("E19").await.is(
        "warn",
        "the Desktop app was found (ada)",
        "Organization settings",
    );
}
