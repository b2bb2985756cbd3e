//! The texts that tell Claude to export: the files below `packaging/mdm` are what the command prints,
//! each is good in its own format, and all say the same as the portal does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fieldpost::central::store::Role;
use fieldpost::rollout::{CENTRAL_PLACEHOLDER, Format, Rollout, TOKEN_PLACEHOLDER};
use serde_json::Value;

use crate::support::PATIENCE;
use crate::support::fieldpost::{TestCentral, command};
use crate::support::process;

type Variables = BTreeMap<String, String>;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shipped() -> PathBuf {
    project().join("packaging/mdm")
}

fn routes() -> [(&'static str, Rollout); 2] {
    [
        ("edge", Rollout::edge("http://127.0.0.1:4318")),
        ("central", Rollout::central(CENTRAL_PLACEHOLDER)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_that_are_shipped_are_what_the_command_writes() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let written = command()
        .args(["edge", "env", "--write"])
        .arg(folder.path())
        .status()
        .await;
    assert!(written.expect("the binary starts").success());
    for (route, _) in routes() {
        for format in Format::ALL {
            let file = Path::new(route).join(format.file());
            let written = fs::read_to_string(folder.path().join(&file)).expect("it is written");
            let shipped = fs::read_to_string(shipped().join(&file)).unwrap_or_default();
            assert!(
                written == shipped,
                "packaging/mdm/{} is old: fieldpost edge env --write packaging/mdm",
                file.display()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_text_is_printed_for_whoever_asks_with_the_companys_own_proxy() {
    let output = command()
        .args([
            "edge",
            "env",
            "--format",
            "managed-settings",
            "--no-proxy",
            ".corp.example.com",
        ])
        .args(["--content", "--no-metrics"])
        .output()
        .await
        .expect("the binary starts");
    let settings: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let env = &settings["env"];
    assert_eq!(env["NO_PROXY"], ".corp.example.com,127.0.0.1,localhost,::1");
    assert_eq!(env["OTEL_LOG_USER_PROMPTS"], "1");
    assert_eq!(env["OTEL_METRICS_EXPORTER"], "none");
    let unknown = command()
        .args(["edge", "env", "--format", "fax"])
        .output()
        .await;
    let unknown = unknown.expect("the binary starts");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("macos-profile"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_is_good_in_its_own_format_and_says_the_same() {
    for (route, rollout) in routes() {
        let expected: Variables = rollout
            .variables()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        for format in Format::ALL {
            let said = read(&shipped().join(route).join(format.file()), format).await;
            for (name, value) in &said {
                let wanted = expected.get(name);
                // A fleet's tool puts its token there by a name of its own.
                let is_token = name == "OTEL_EXPORTER_OTLP_HEADERS";
                assert!(
                    is_token || wanted == Some(value),
                    "{route}, {}: {name}={value}",
                    format.name()
                );
            }
            let fewer = matches!(format, Format::ProfileD | Format::Environment);
            assert_eq!(
                said.len() < expected.len(),
                fewer,
                "{route}, {}",
                format.name()
            );
            assert!(said.contains_key("OTEL_EXPORTER_OTLP_ENDPOINT"));
        }
    }
}

/// Each text is read by a program that its readers use, or by its format's own library.
async fn read(file: &Path, format: Format) -> Variables {
    let text = fs::read_to_string(file).expect("it is shipped");
    let of_json = |value: &Value| {
        let pairs = value.as_object().expect("an object").iter();
        pairs
            .map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()))
            .collect::<Variables>()
    };
    let settings = |text: &str| of_json(&serde_json::from_str::<Value>(text).expect("JSON")["env"]);
    match format {
        Format::ManagedSettings => settings(&text),
        Format::Json => of_json(&serde_json::from_str(&text).expect("JSON")),
        Format::Shell | Format::ProfileD => sourced(file).await,
        Format::Environment => {
            let lines = text
                .lines()
                .map(|line| line.split_once('=').expect("NAME=value"));
            lines
                .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
                .collect()
        }
        Format::MacosProfile => settings(&python("profile", file).await),
        Format::Ansible | Format::Salt => settings(&python("yaml", file).await),
        Format::Registry => {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("\"Settings\"=\""));
            let line = line
                .and_then(|line| line.strip_suffix('"'))
                .expect("the value");
            assert!(text.starts_with("Windows Registry Editor Version 5.00\r\n"));
            settings(&line.replace("\\\"", "\"").replace("\\\\", "\\"))
        }
        Format::IntuneScript | Format::IntuneDetection => {
            let python = project().join("target/clients/python/bin/python");
            let script = project().join("tests/fleet/read_powershell.py");
            of_json(&serde_json::from_str(&printed(&python, &[&script, file]).await).expect("JSON"))
        }
    }
}

/// What a shell has after it has read the file, in a home with a header of its own.
async fn sourced(file: &Path) -> Variables {
    let home = tempfile::tempdir().expect("a home");
    let header = format!("Bearer {TOKEN_PLACEHOLDER}");
    fs::write(home.path().join(".fieldpost-header"), header).expect("a file");
    let mut command = process::command("sh");
    command
        .env("HOME", home.path())
        .args(["-ec", ". \"$1\"; env", "sh"])
        .arg(file);
    let output = process::run(command, "", PATIENCE).await.expect_success();
    let lines = output
        .stdout
        .lines()
        .filter_map(|line| line.split_once('='));
    let ours = lines.filter(|(name, _)| {
        name.contains("OTEL_") || name.contains("CLAUDE") || *name == "NO_PROXY"
    });
    ours.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

async fn python(what: &str, file: &Path) -> String {
    let script = project().join("tests/fleet/read_settings.py");
    printed(
        Path::new("/usr/bin/python3"),
        &[&script, Path::new(what), file],
    )
    .await
}

async fn printed(program: &Path, arguments: &[&Path]) -> String {
    let mut command = process::command(program);
    command.args(arguments);
    let output = process::run(command, "", PATIENCE).await.expect_success();
    output.stdout
}

/// What follows `key` in the line of a file that has both.
fn told(file: &str, key: &str, word: &str) -> String {
    let text = fs::read_to_string(shipped().join(file)).expect("it is shipped");
    let mut lines = text.lines().filter(|line| line.contains(word));
    let value = lines.find_map(|line| line.trim().strip_prefix(key));
    value.expect(key).trim_matches([' ', '"']).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_and_the_state_write_a_token_that_the_machines_systemd_or_its_service_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let role = "edge/ansible/tasks/main.yml";
    let (group, mode) = (
        told(role, "group:", "hands_over"),
        told(role, "mode:", "hands_over"),
    );
    let asked = told(role, "fieldpost_hands_over:", "systemd");
    let play = format!(
        "- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n    - ansible.builtin.debug:\n        \
         msg: \"{{{{ item }}}} {group} {mode}\"\n      vars:\n        fieldpost_hands_over: \"{asked}\"\n        \
         fieldpost_systemd: {{stdout: \"systemd {{{{ item }}}} ({{{{ item }}}}-82.el8)\"}}\n      loop: [239, 252]\n"
    );
    let file = folder.path().join("play.yml");
    fs::write(&file, play).expect("a file");
    let mut command = process::command("ansible-playbook");
    command
        .env("HOME", folder.path())
        .args(["--inventory", "localhost,"]);
    command.arg(&file).current_dir(folder.path());
    let said = process::run(command, "", PATIENCE).await.expect_success();

    let state = "edge/salt/init.sls";
    let template = format!(
        "{} {}",
        told(state, "- group:", "grains"),
        told(state, "- mode:", "grains")
    );
    let script = "import sys, jinja2\nfor version in ('239', '252'):\n    \
                  print(version, jinja2.Template(sys.argv[1]).render(grains={'systemd': {'version': version}}))";
    let mut command = process::command("/usr/bin/python3");
    command.args(["-c", script, &template]);
    let salt = process::run(command, "", PATIENCE).await.expect_success();
    for expected in ["239 fieldpost 0640", "252 root 0600"] {
        assert!(said.stdout.contains(expected), "{}", said.stdout);
        assert!(salt.stdout.contains(expected), "{}", salt.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_shows_the_same_texts() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(directory.path()).await;
    let browser = central.sign_in(Role::Owner).await;
    let page = browser
        .get("/t/default/default/integrations/claude-cowork/install")
        .await
        .body;
    let plain = page
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&quot;", "\"");
    let with_content = |rollout: Rollout| Rollout {
        content: true,
        ..rollout
    };
    let edge = with_content(Rollout::edge("http://127.0.0.1:4318"));
    let direct = with_content(Rollout::central(&format!(
        "{}/v1/claude-cowork/otel",
        central.url
    )));
    for text in [
        edge.render(Format::Shell),
        edge.render(Format::ManagedSettings),
        direct.render(Format::Shell),
    ] {
        assert!(
            plain.contains(&text),
            "{text}\nis not on the page:\n{plain}"
        );
    }
    central.stop().await;
}

#[test]
fn no_file_that_is_shipped_holds_a_token() {
    let mut folders = vec![project().join("packaging")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let text = fs::read_to_string(&path).expect("text");
            assert!(!text.contains("eyJ"), "{}", path.display());
        }
    }
    assert!(files > 20, "{files}");
}
