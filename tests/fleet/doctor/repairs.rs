//! What doctor repairs when it is asked to, and what it leaves alone.

use std::os::unix::fs::PermissionsExt;

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
        ("E18", "state", 0o755, 0o700),
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
    machine.write("state/queue/format", "1");
    machine.mode("state", 0o700);
    let folder = machine.path("state");
    machine.check("E18").await.is(
        "fail",
        "belongs to the account 0",
        &format!("chown -R fieldpost:fieldpost {}", folder.display()),
    );
    // The name is this machine's to know: a chown of another root's account fails here, and is told.
    let (status, steps) = machine.repair("E18").await;
    assert_eq!(status, "\"fail\"");
    assert!(steps[0].contains("chown"), "{steps:?}");
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
