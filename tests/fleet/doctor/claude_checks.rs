//! Claude's policy, variables, version, processes, people and logs.

use std::os::unix::fs::symlink;

use fieldpost::rollout::Rollout;
use serde_json::json;

use crate::fleet::machine::Machine;

/// A configured machine with the policy that is shipped.
fn well() -> Machine {
    let machine = Machine::new();
    machine.configure(
        "https://otel.example.com/v1/claude-cowork/otel/v1/logs",
        4318,
    );
    policy(&machine, &[]);
    machine
}

/// The shipped policy, but for these variables.
fn policy(machine: &Machine, changes: &[(&str, &str)]) {
    let shipped = Rollout::edge("http://127.0.0.1:4318").variables();
    let mut variables: Vec<(&str, &str)> = shipped
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    variables.extend(changes);
    machine.policy(&variables);
}

#[tokio::test(flavor = "multi_thread")]
async fn e11_claudes_policy() {
    let machine = well();
    machine
        .check("E11")
        .await
        .is_ok("decides, and names this edge");
    // One variable in the organization's console switches the drop-in off as a whole.
    let console = "home/ada/.claude/remote-settings.json";
    machine.write(
        console,
        &json!({"env": {"OTEL_LOG_USER_PROMPTS": "1"}}).to_string(),
    );
    let said = machine.check("E11").await;
    said.is(
        "fail",
        "console (as ada got it) decides",
        "move all OTEL_ variables",
    );
    assert!(said.detail.contains("ignored: the files"), "{said:?}");
    machine.write(
        console,
        &json!({"env": {"DISABLE_AUTOUPDATER": "1"}}).to_string(),
    );
    machine.check("E11").await.is_ok("names this edge");
    machine.write(
        "etc/claude-code/managed-settings.d/20-other.json",
        "{\"env\": }",
    );
    machine
        .check("E11")
        .await
        .is("fail", "20-other.json", "correct the file");
    let bare = Machine::new();
    bare.check("E11")
        .await
        .is("warn", "every person's shell decides", "--configure-claude");
}

#[tokio::test(flavor = "multi_thread")]
async fn e12_claudes_variables() {
    let machine = well();
    machine.check("E12").await.is_ok("telemetry is enabled");
    let (switch, exporter) = ("CLAUDE_CODE_ENABLE_TELEMETRY", "OTEL_LOGS_EXPORTER");
    let (protocol, endpoint) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_ENDPOINT");
    let logs = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT";
    for (name, value, status, words) in [
        (switch, "0", "fail", "telemetry is not enabled"),
        (exporter, "none", "fail", "OTEL_LOGS_EXPORTER is none"),
        (protocol, "grpc", "fail", "is grpc"),
        (
            endpoint,
            "http://127.0.0.1:4317",
            "fail",
            "the port of gRPC",
        ),
        (
            endpoint,
            "https://127.0.0.1:4318",
            "fail",
            "loopback is plain http",
        ),
        (
            endpoint,
            "http://collector.example.com:4318",
            "fail",
            "that is not this edge",
        ),
        (
            logs,
            "http://other.example.com/v1/logs",
            "fail",
            "LOGS_ENDPOINT is http://other",
        ),
        (
            endpoint,
            "http://127.0.0.1:4318/v1/logs",
            "warn",
            "appends /v1/logs once more",
        ),
        (
            endpoint,
            "https://otel.example.com/v1/claude-cowork/otel",
            "warn",
            "goes around the edge",
        ),
    ] {
        policy(&machine, &[(name, value)]);
        let fix = match name {
            _ if name.ends_with("ENDPOINT") => {
                "set OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"
            }
            _ => "--configure-claude",
        };
        machine.check("E12").await.is(status, words, fix);
    }
    policy(
        &machine,
        &[("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer x")],
    );
    machine
        .check("E12")
        .await
        .is("warn", "asks for no header", "take it out");
    // Without a policy a person's own shell counts.
    let mut bare = Machine::new();
    bare.configure("https://otel.example.com/v1/logs", 4318);
    bare.check("E12").await.is(
        "fail",
        "CLAUDE_CODE_ENABLE_TELEMETRY is not set",
        "--configure-claude",
    );
    for (name, value) in Rollout::edge("http://127.0.0.1:4318").variables() {
        bare.variable(name, &value);
    }
    bare.check("E12").await.is_ok("says this shell");
}

#[tokio::test(flavor = "multi_thread")]
async fn e13_proxy() {
    let machine = well();
    machine.check("E13").await.is_ok("no proxy is set");
    machine.write(
        "etc/environment",
        "HTTPS_PROXY=\"http://proxy.example.com:3128\"\n",
    );
    machine.check("E13").await.is_ok("NO_PROXY has loopback");
    policy(&machine, &[("NO_PROXY", ".example.com")]);
    machine.check("E13").await.is(
        "fail",
        "lacks loopback",
        "NO_PROXY=.example.com,127.0.0.1,localhost,::1",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn e14_claudes_version() {
    let machine = Machine::new();
    assert_eq!(machine.check("E14").await.status, "skip");
    machine.write("home/bob/.claude.json", "{}");
    std::fs::create_dir_all(machine.path("home/ada/.local/bin")).expect("a folder");
    let link = machine.path("home/ada/.local/bin/claude");
    symlink("/home/ada/.local/share/claude/versions/2.1.223", &link).expect("a link");
    machine.check("E14").await.is_ok("2.1.223");
    let manifest = "usr/lib/node_modules/@anthropic-ai/claude-code/package.json";
    machine.write(manifest, "{\"version\": \"2.1.220\"}");
    machine
        .check("E14")
        .await
        .is("warn", "2.1.220", "claude update");
    machine.write(manifest, "{\"version\": \"2.1.216\"}");
    machine
        .check("E14")
        .await
        .is("warn", "before 2.1.217", "claude update");
    machine.write(manifest, "{\"version\": \"2.1.160\"}");
    machine.check("E14").await.is(
        "warn",
        "the first records of a session are lost",
        "claude update",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn e15_claudes_started_before_the_policy() {
    let machine = Machine::new();
    assert_eq!(
        machine.check("E15").await.status,
        "skip",
        "there is no policy"
    );
    policy(&machine, &[]);
    let now = jiff::Timestamp::now().as_second();
    machine.write("proc/stat", &format!("cpu 1 2\nbtime {}\n", now - 3_600));
    let process = |pid: u32, ticks: i64| {
        let before = "1 ".repeat(18);
        machine.write(
            &format!("proc/{pid}/stat"),
            &format!("{pid} (cla) ude) S {before}{ticks} 0 0\n"),
        );
        machine.write(
            &format!("proc/{pid}/cmdline"),
            "/home/ada/.local/bin/claude\0--resume\0",
        );
    };
    // An hour after the start of the machine is now; later than the policy.
    process(77, 370_000);
    machine.write("proc/78/cmdline", "/usr/bin/vi\0claude\0");
    machine
        .check("E15")
        .await
        .is_ok("after the policy's last change");
    process(79, 1_000);
    machine
        .check("E15")
        .await
        .is("warn", "pid 79", "start Claude anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn e16_email_addresses() {
    let machine = Machine::new();
    assert_eq!(machine.check("E16").await.status, "skip");
    machine.write(
        "home/ada/.claude.json",
        &json!({"oauthAccount": {"emailAddress": "ada@example.com"}}).to_string(),
    );
    machine
        .check("E16")
        .await
        .is_ok("signed in with an e-mail address: ada");
    machine.write(
        "home/bob/.claude.json",
        &json!({"customApiKeyResponses": {}}).to_string(),
    );
    machine
        .check("E16")
        .await
        .is("warn", "an id instead of an owner: bob", "/login");
}

#[tokio::test(flavor = "multi_thread")]
async fn e17_tokens_that_others_can_read() {
    let machine = well();
    machine.write(
        "home/ada/.bashrc",
        "# Authorization=Bearer $TOKEN\nexport PATH\n",
    );
    machine.check("E17").await.is_ok("holds a token");
    let jwt = [
        "ey",
        "JhbGciOiJIUzI1NiJ9.",
        "eyJleHAiOjE4MDAwMDAwMDB9.c2lnbmF0dXJl",
    ]
    .concat();
    for place in [
        "home/ada/.zshrc",
        "etc/profile.d/claude.sh",
        "etc/environment",
        "home/bob/.claude/settings.json",
    ] {
        let machine = well();
        machine.write(
            place,
            &format!("OTEL_EXPORTER_OTLP_HEADERS=\"Authorization=Bearer {jwt}\"\n"),
        );
        let said = machine.check("E17").await;
        said.is("fail", place, "revoke it in the portal");
        assert!(!said.detail.contains(&jwt), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e19_what_the_edge_cannot_see() {
    let machine = Machine::new();
    machine.write("home/ada/.claude.json", "{}");
    machine
        .check("E19")
        .await
        .is_ok("only Claude Code was found");
    std::fs::create_dir_all(machine.path("home/ada/.config/Claude")).expect("a folder");
    machine.check("E19").await.is(
        "warn",
        "Cowork sessions do not come through this edge",
        "Organization settings",
    );
    machine.write(
        "proc/sys/kernel/osrelease",
        "5.15.0-microsoft-standard-WSL2\n",
    );
    machine
        .check("E19")
        .await
        .is("warn", "this is WSL", "networkingMode=mirrored");
}

#[tokio::test(flavor = "multi_thread")]
async fn e22_claudes_exporter_log() {
    let machine = Machine::new();
    let said = machine.check("E22").await;
    assert_eq!(said.status, "skip");
    assert!(said.detail.contains("claude --debug"), "{said:?}");
    machine.write(
        "home/ada/.claude/debug/1.txt",
        "[DEBUG] started\n[DEBUG] OTLP exporter: exported 3 items\n",
    );
    machine.check("E22").await.is_ok("no export that failed");
    machine.write(
        "home/ada/.claude/debug/1.txt",
        "[ERROR] OTLPExporterError: connect ECONNREFUSED 127.0.0.1:4318, password='Gr8Lantern77!'\n",
    );
    let said = machine.check("E22").await;
    said.is("fail", "ECONNREFUSED 127.0.0.1:4318", "E03");
    assert!(!said.detail.contains("Gr8Lantern77"), "{said:?}");
}
