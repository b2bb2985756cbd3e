//! What doctor repairs when it is asked to, and what it leaves alone.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::Value;

use crate::fleet::machine::Machine;

const UPSTREAM: &str = "https://otel.example.com/v1/logs";

impl Machine {
    /// What one check says after its repair, and the steps of that.
    async fn repair(&self, id: &str) -> (String, Vec<String>) {
        let arguments = ["doctor", "--fix", "--no-network", "--json", "--only", id];
        let (_, output, _) = self.run(&arguments, "").await;
        let report: Value = serde_json::from_str(&output).expect("JSON");
        let check = &report["checks"][0];
        let steps = check["repaired"].as_array().into_iter().flatten();
        let steps = steps.map(|step| step.as_str().expect("text").to_owned());
        (check["status"].to_string(), steps.collect())
    }

    fn mode_of(&self, path: &str) -> u32 {
        let metadata = self.path(path).metadata().expect("it is there");
        metadata.permissions().mode() & 0o777
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_that_are_too_open_are_set() {
    let machine = Machine::new();
    machine.configure(UPSTREAM, 4318);
    machine.write("state/queue/format", "1");
    machine.write("usr/bin/fieldpost", "");
    for (id, path, open, closed) in [
        ("E04", "etc/fieldpost/edge.toml", 0o666, 0o644),
        ("E05", "etc/fieldpost/token", 0o644, 0o600),
        ("E18", "state/queue", 0o755, 0o700),
        ("E20", "usr/bin/fieldpost", 0o777, 0o755),
    ] {
        machine.mode(path, open);
        // Asked for nothing, it changes nothing.
        assert_eq!(machine.check(id).await.status, "fail");
        assert_eq!(machine.mode_of(path), open);
        let (status, steps) = machine.repair(id).await;
        assert_eq!(status, "\"ok\"", "{id}: {steps:?}");
        let step = format!(
            "set the mode of {} to {closed:o}",
            machine.path(path).display()
        );
        assert_eq!(steps.last(), Some(&step), "{id}");
        assert_eq!(machine.mode_of(path), closed);
        // What is well is left alone.
        assert_eq!(machine.repair(id).await, ("\"ok\"".to_owned(), Vec::new()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_left_without_the_word_before_it() {
    let machine = Machine::new();
    machine.configure(UPSTREAM, 4318);
    machine.token("Bearer a-token-that-is-no-jwt");
    let (status, steps) = machine.repair("E05").await;
    assert_eq!(status, "\"ok\"");
    assert!(!steps.concat().contains("a-token"), "{steps:?}");
    assert_eq!(
        machine.read("etc/fieldpost/token"),
        "a-token-that-is-no-jwt\n"
    );
    assert_eq!(machine.mode_of("etc/fieldpost/token"), 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_root_took_is_given_back() {
    let machine = Machine::new();
    machine.configure(UPSTREAM, 4318);
    let accounts = machine.read("etc/passwd");
    machine.write(
        "etc/passwd",
        &format!("{accounts}fieldpost:x:12345:12345::/:/bin/false\n"),
    );
    machine.write("state/queue/0000000000000001.sled/db", "");
    machine.write("state/queue/format", "1");
    machine.write("state/edge.key", "");
    // What else is there is somebody else's, and so is the folder that it is in.
    machine.write("state/other/file", "");
    machine.mode("state/queue", 0o700);
    let queue = machine.path("state/queue");
    machine.check("E18").await.is(
        "fail",
        "belongs to the account 0",
        &format!("chown -hR fieldpost:fieldpost {}", queue.display()),
    );
    let before = machine.mode_of("state");
    let (status, steps) = machine.repair("E18").await;
    assert_eq!((status.as_str(), steps.len()), ("\"ok\"", 1), "{steps:?}");
    let owner = |path: &str| machine.path(path).metadata().expect(path).uid();
    for ours in [
        "queue",
        "queue/format",
        "queue/0000000000000001.sled/db",
        "edge.key",
    ] {
        assert_eq!(owner(&format!("state/{ours}")), 12345, "{ours}");
    }
    for theirs in ["state", "state/other", "state/other/file"] {
        assert_eq!(owner(theirs), 0, "{theirs}");
    }
    assert_eq!(machine.mode_of("state"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_own_folder_is_given_back_whole() {
    let machine = Machine::new();
    let accounts = machine.read("etc/passwd");
    machine.write(
        "etc/passwd",
        &format!("{accounts}fieldpost:x:12345:12345::/:/bin/false\n"),
    );
    machine.write(
        "etc/fieldpost/edge.toml",
        &format!("[upstream]\nendpoint = \"{UPSTREAM}\"\n"),
    );
    machine.write("var/lib/fieldpost/queue/format", "1");
    machine.mode("var/lib/fieldpost", 0o700);
    let (status, steps) = machine.repair("E18").await;
    assert_eq!(status, "\"ok\"", "{steps:?}");
    for path in ["var/lib/fieldpost", "var/lib/fieldpost/queue/format"] {
        let owner = machine.path(path).metadata().expect(path).uid();
        assert_eq!(owner, 12345, "{path}");
    }
    assert_eq!(
        machine
            .path("var/lib")
            .metadata()
            .expect("it is there")
            .uid(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_no_queue_is_told_and_left_alone() {
    let machine = Machine::new();
    machine.configure(UPSTREAM, 4318);
    // As when somebody writes queue.directory = "/srv".
    machine.write("state/queue/web/index.html", "");
    machine.mode("state/queue", 0o755);
    machine.check("E18").await.is(
        "fail",
        "state/queue has the mode 755",
        "name a folder of the edge's own in queue.directory",
    );
    let (status, steps) = machine.repair("E18").await;
    assert_eq!((status.as_str(), steps.len()), ("\"fail\"", 0), "{steps:?}");
    assert_eq!(machine.mode_of("state/queue"), 0o755);
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_do_not_run_are_started() {
    let mut machine = Machine::new();
    let asked = machine.path("asked");
    let state = machine.path("state-of-units");
    machine.write("state-of-units", "failed");
    let script = format!(
        "#!/bin/sh\ncase $1 in\nshow)\n\
         for unit in fieldpost-edge.socket fieldpost-edge.service fieldpost-edge-token.path; do\n\
         printf 'Id=%s\\nLoadState=loaded\\nActiveState=%s\\nNRestarts=0\\nResult=success\\n\\n' \
         $unit \"$(cat {state})\"\ndone ;;\n*) echo \"$*\" >> {asked}; printf active > {state} ;;\nesac\n",
        state = state.display(),
        asked = asked.display()
    );
    machine.script("systemctl", &script);
    let (status, steps) = machine.repair("E01").await;
    assert_eq!(status, "\"ok\"", "{steps:?}");
    assert_eq!(steps, ["run systemctl enable --now fieldpost-edge.socket"]);
    assert_eq!(
        machine.read("asked"),
        "enable --now fieldpost-edge.socket\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_edges_own_is_told_and_not_changed() {
    let machine = Machine::new();
    machine.configure(UPSTREAM, 4318);
    let policy = "etc/claude-code/managed-settings.d/10-fieldpost.json";
    machine.policy(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9999")]);
    let before = machine.read(policy);
    for id in ["E11", "E12"] {
        let (status, steps) = machine.repair(id).await;
        assert_eq!((status.as_str(), steps.len()), ("\"fail\"", 0), "{id}");
    }
    assert_eq!(machine.read(policy), before);
    let (_, output, _) = machine
        .run(&["doctor", "--fix", "--no-network", "--only", "E11"], "")
        .await;
    assert!(
        output.contains("       fix: move all OTEL_ variables"),
        "{output}"
    );
}
