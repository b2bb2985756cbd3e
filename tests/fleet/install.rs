//! install and uninstall, in a machine's root of its own.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::machine::Machine;
use crate::support::eventually;
use crate::support::fieldpost::{client, command, free_port};
use crate::support::process::{self, Output};
use crate::support::records::{claude_session, request};
use crate::support::upstream::Upstream;

const ENDPOINT: &str = "https://otel.example.com/v1/claude-cowork/otel/v1/logs";

fn install<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["install", "--endpoint", ENDPOINT];
    arguments.extend(more);
    arguments
}

/// A machine whose systemctl and systemd-sysusers write down what they were asked.
fn machine() -> Machine {
    let mut machine = Machine::new();
    for name in ["systemctl", "systemd-sysusers"] {
        machine.program(name, "");
        let script = format!(
            "#!/bin/sh\necho {name} \"$@\" >> '{}'\n",
            machine.path("asked").display()
        );
        machine.write(&format!("bin/{name}"), &script);
    }
    machine
}

#[tokio::test(flavor = "multi_thread")]
async fn install_makes_everything_and_a_second_run_changes_nothing() {
    let machine = machine();
    let arguments = install(&["--token-stdin", "--configure-claude"]);
    let (code, output, error) = machine.run(&arguments, "Bearer a-token\n").await;
    assert_eq!(code, 0, "{output}{error}");
    for unit in [
        "fieldpost-edge.socket",
        "fieldpost-edge.service",
        "fieldpost-edge-token.path",
        "fieldpost-edge-token.service",
    ] {
        let installed = machine.read(&format!("etc/systemd/system/{unit}"));
        let shipped =
            std::fs::read_to_string(format!("{}/systemd/{unit}", env!("CARGO_MANIFEST_DIR")));
        assert_eq!(installed, shipped.expect("it is shipped"));
    }
    assert_eq!(machine.read("etc/fieldpost/token"), "a-token\n");
    let mode = |path: &str| {
        machine
            .path(path)
            .metadata()
            .expect(path)
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("etc/fieldpost/token"), 0o600);
    assert_eq!(mode("etc/fieldpost/edge.toml"), 0o644);
    assert_eq!(mode("usr/bin/fieldpost"), 0o755);
    assert!(machine.read("etc/fieldpost/edge.toml").contains(ENDPOINT));
    assert!(
        machine
            .read("etc/claude-code/managed-settings.d/10-fieldpost.json")
            .contains("http://127.0.0.1:4318")
    );
    let asked = machine.read("asked");
    assert!(asked.contains("systemd-sysusers --root="), "{asked}");
    assert!(
        asked.contains(
            "enable fieldpost-edge.socket fieldpost-edge-token.path fieldpost-edge.service"
        ),
        "{asked}"
    );
    assert!(
        !asked.contains(" start "),
        "nothing is started in another root: {asked}"
    );
    assert!(!output.contains("a-token"), "{output}");

    let inode = machine
        .path("etc/fieldpost/token")
        .metadata()
        .expect("it is there")
        .ino();
    let (code, output, _) = machine.run(&arguments, "Bearer a-token\n").await;
    assert_eq!(code, 0);
    let done = output
        .lines()
        .filter(|line| line.starts_with("done: ") && !line.contains("run system"));
    assert_eq!(done.count(), 0, "{output}");
    assert_eq!(
        machine
            .path("etc/fieldpost/token")
            .metadata()
            .expect("it is there")
            .ino(),
        inode
    );
    // Another token takes its place.
    let (code, ..) = machine
        .run(&["install", "--token-stdin"], "another-token")
        .await;
    assert_eq!(
        (code, machine.read("etc/fieldpost/token").as_str()),
        (0, "another-token\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_lists_the_steps_and_does_none() {
    let machine = machine();
    let (code, output, _) = machine
        .run(&install(&["--dry-run", "--token-stdin"]), "a-token")
        .await;
    assert_eq!(code, 0);
    assert!(
        output
            .lines()
            .all(|line| line.starts_with("would ") || line.starts_with("done already: ")),
        "{output}"
    );
    assert!(output.contains("token, for its owner alone"), "{output}");
    for path in ["etc/systemd", "etc/fieldpost", "usr", "asked"] {
        assert!(!machine.path(path).exists(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_port_is_the_units_and_the_configurations() {
    let machine = machine();
    let (code, _, error) = machine
        .run(
            &install(&["--listen", "127.0.0.1:14318", "--configure-claude"]),
            "",
        )
        .await;
    assert_eq!(code, 0, "{error}");
    let drop_in = machine.read("etc/systemd/system/fieldpost-edge.socket.d/10-listen.conf");
    assert_eq!(
        drop_in,
        "[Socket]\nListenStream=\nListenStream=127.0.0.1:14318\n"
    );
    machine.check("E04").await.is_ok("is good");
    machine.check("E11").await.is_ok("names this edge");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_contradicts_is_said_before_anything_is_done() {
    let machine = machine();
    for (arguments, input, words) in [
        (vec!["install"], "", "say where records go with --endpoint"),
        (
            vec!["install", "--endpoint", "otel.example.com"],
            "",
            "would make no good configuration",
        ),
        (install(&["--token-stdin"]), " \n", "the token is empty"),
        (install(&["--token-stdin"]), "two words", "white space"),
    ] {
        let (code, _, error) = machine.run(&arguments, input).await;
        assert_eq!(code, 1);
        assert!(error.contains(words), "{error}");
        assert!(!machine.path("etc/systemd").exists());
    }
    machine.write(
        "etc/fieldpost/edge.toml",
        "[upstream]\nendpoint = \"https://other.example.com/v1/logs\"\n",
    );
    let (code, _, error) = machine.run(&install(&[]), "").await;
    assert_eq!(code, 1);
    assert!(
        error.contains("https://other.example.com/v1/logs") && error.contains("change it there"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_through_a_link() {
    let machine = machine();
    machine.write("victim", "untouched");
    std::fs::create_dir_all(machine.path("etc/fieldpost")).expect("a folder");
    symlink(machine.path("victim"), machine.path("etc/fieldpost/token")).expect("a link");
    let (code, ..) = machine.run(&install(&["--token-stdin"]), "a-token").await;
    assert_eq!(code, 0);
    assert_eq!(machine.read("victim"), "untouched");
    assert!(!machine.path("etc/fieldpost/token").is_symlink());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packages_units_and_program_are_left_to_it() {
    let machine = machine();
    machine.write(
        "usr/lib/systemd/system/fieldpost-edge.service",
        "[Service]\n",
    );
    machine.write("usr/bin/fieldpost", "the package's");
    let (code, ..) = machine.run(&install(&[]), "").await;
    assert_eq!(code, 0);
    assert!(
        !machine
            .path("etc/systemd/system/fieldpost-edge.service")
            .exists()
    );
    let (code, output, _) = machine.run(&["uninstall"], "").await;
    assert_eq!(code, 0);
    assert_eq!(machine.read("usr/bin/fieldpost"), "the package's");
    assert!(output.contains("apt remove fieldpost-edge"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uninstall_takes_away_what_install_made_and_keeps_data_unless_told() {
    let machine = machine();
    let arguments = install(&[
        "--token-stdin",
        "--configure-claude",
        "--listen",
        "127.0.0.1:14318",
    ]);
    assert_eq!(machine.run(&arguments, "a-token").await.0, 0);
    machine.write("var/lib/fieldpost/queue/format", "1");
    machine.write("etc/claude-code/managed-settings.d/90-company.json", "{}");
    let (code, output, _) = machine.run(&["uninstall", "--dry-run"], "").await;
    assert_eq!(code, 0);
    assert!(output.contains("would remove") && machine.path("usr/bin/fieldpost").exists());

    let (code, output, error) = machine.run(&["uninstall"], "").await;
    assert_eq!(code, 0, "{output}{error}");
    for gone in [
        "usr/bin/fieldpost",
        "etc/systemd/system/fieldpost-edge.service",
        "etc/systemd/system/fieldpost-edge.socket",
        "etc/systemd/system/fieldpost-edge.socket.d",
        "etc/claude-code/managed-settings.d/10-fieldpost.json",
    ] {
        assert!(!machine.path(gone).exists(), "{gone}");
    }
    for kept in [
        "etc/fieldpost/token",
        "var/lib/fieldpost/queue/format",
        "etc/claude-code/managed-settings.d/90-company.json",
    ] {
        assert!(machine.path(kept).exists(), "{kept}");
    }
    assert_eq!(machine.run(&["uninstall", "--purge"], "").await.0, 0);
    assert!(!machine.path("etc/fieldpost").exists() && !machine.path("var/lib/fieldpost").exists());
}

/// Runs `fieldpost edge` as somebody whose home is `home`, and whose systemd writes down what it was asked.
async fn as_person(home: &Path, arguments: &[&str], input: &str) -> Output {
    let asked = home.join("asked");
    let script = format!("#!/bin/sh\necho \"$@\" >> '{}'\n", asked.display());
    let systemctl = home.join("bin/systemctl");
    for folder in ["bin", "run/systemd"] {
        fs::create_dir_all(home.join(folder)).expect("a folder");
    }
    fs::write(&systemctl, script).expect("a file");
    fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).expect("its mode is ours");
    let mut command = command();
    command.arg("edge").args(arguments);
    command.env("HOME", home).env("PATH", home.join("bin"));
    command.env("XDG_RUNTIME_DIR", home.join("run"));
    process::run(command, input, Duration::from_secs(60)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_without_roots_rights_installs_an_edge_that_works_and_takes_it_away() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().expect("a temporary directory");
    let home = folder.path();
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let arguments = [
        "install",
        "--user",
        "--endpoint",
        &upstream.endpoint,
        "--listen",
        &listen,
        "--token-stdin",
    ];
    let output = as_person(home, &arguments, "Bearer a-token").await;
    let said = output.expect_success().stdout;
    for told in ["loginctl enable-linger", "fieldpost edge env"] {
        assert!(said.contains(told), "{said}");
    }
    let token = home.join(".config/fieldpost/token");
    let mode = token.metadata().expect("a token").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let asked = fs::read_to_string(home.join("asked")).expect("systemctl was asked");
    let expected =
        "--user daemon-reload\n--user enable fieldpost-edge.socket fieldpost-edge.service\n";
    assert!(asked.starts_with(expected), "{asked}");
    assert!(
        asked.contains("--user start fieldpost-edge.socket"),
        "{asked}"
    );

    // systemd has nothing against the units, and its socket is where the configuration says.
    let units = home.join(".config/systemd/user");
    let mut verify = process::command("systemd-analyze");
    verify
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home.join("run"));
    verify.args(["verify", "--user", "--man=no", "--recursive-errors=no"]);
    verify.arg(units.join("fieldpost-edge.socket"));
    verify.arg(units.join("fieldpost-edge.service"));
    let verified = process::run(verify, "", Duration::from_secs(60)).await;
    assert_eq!(
        verified.expect_success().stderr,
        "",
        "it has nothing to say"
    );
    let drop_in = units.join("fieldpost-edge.socket.d/10-listen.conf");
    let drop_in = fs::read_to_string(drop_in).expect("a drop-in");
    assert!(
        drop_in.ends_with(&format!("ListenStream={listen}\n")),
        "{drop_in}"
    );

    // What the unit starts, started: it forwards, and commands find it without being told where.
    let program = home.join(".local/bin/fieldpost");
    let config = home.join(".config/fieldpost/edge.toml");
    let mut edge = process::command(&program)
        .args(["edge", "run", "--config"])
        .arg(&config)
        .kill_on_drop(true)
        .spawn()
        .expect("the installed program starts");
    let status = eventually("the edge", async || {
        let ran = as_person(home, &["status", "--json"], "").await;
        serde_json::from_str::<Value>(&ran.stdout).ok()
    })
    .await;
    let queue = home.join(".local/state/fieldpost/queue");
    assert_eq!(status["queue"]["directory"], queue.display().to_string());
    let body = request(&claude_session("ada@example.com", "of-a-person", 2)).to_string();
    let posted = client()
        .post(format!("http://{listen}/v1/logs"))
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await;
    assert!(posted.expect("it is taken").status().is_success());
    eventually("the records upstream", async || {
        let sessions = upstream.accepted("session.id");
        sessions.contains(&"of-a-person".to_owned()).then_some(())
    })
    .await;

    let output = as_person(home, &["uninstall", "--user"], "").await;
    let said = output.expect_success().stdout;
    assert!(
        said.contains("everything that waited is delivered"),
        "{said}"
    );
    edge.kill().await.expect("it was running");
    assert!(!program.exists() && !units.join("fieldpost-edge.service").exists());
    assert!(!units.join("fieldpost-edge.socket.d").exists() && config.exists() && queue.exists());
    let arguments = ["uninstall", "--user", "--purge", "--force"];
    as_person(home, &arguments, "").await.expect_success();
    assert!(!config.exists() && !queue.exists());
}
