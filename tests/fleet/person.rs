//! The edge of one person, without root's rights: installed, looked at, and taken away again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::Value;

use crate::support::eventually;
use crate::support::fieldpost::{client, command, free_port};
use crate::support::process::{self, Output};
use crate::support::records::{claude_session, request};
use crate::support::upstream::{Upstream, attribute};

fn write_script(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode is ours");
}

/// Runs `fieldpost edge` as somebody whose home is `home`, and whose systemd writes down what it was asked.
async fn as_person(home: &Path, arguments: &[&str], input: &str) -> Output {
    let asked = home.join("asked");
    let (asked, units) = (asked.display(), home.join(".config/systemd/user"));
    // It knows the units that are there, and runs what a test has put beside it.
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> '{asked}'\n[ \"$1\" = --user ] || exit 1\n\
         for word in \"$@\"; do case $word in fieldpost-*) [ -e '{}'/$word ] || exit 1; esac; done\n\
         exec '{}' \"$@\"\n",
        units.display(),
        home.join("bin/manager").display()
    );
    let systemctl = home.join("bin/systemctl");
    for folder in ["bin", "run/systemd"] {
        fs::create_dir_all(home.join(folder)).expect("a folder");
    }
    write_script(&systemctl, &script);
    if !home.join("bin/manager").exists() {
        write_script(&home.join("bin/manager"), "#!/bin/sh\n");
    }
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

    // doctor looks at that person's service, and not at the machine's.
    let states = |service: &str| {
        format!(
            "#!/bin/sh\n[ \"$2\" = show ] || exit 0\n/bin/cat <<'END'\n\
             Id=fieldpost-edge.socket\nLoadState=loaded\nActiveState=active\n\n\
             Id=fieldpost-edge.service\nLoadState=loaded\nActiveState={service}\nNRestarts=0\nEND\n"
        )
    };
    write_script(&home.join("bin/manager"), &states("active"));
    let doctor = [
        "doctor", "--json", "--only", "E01", "--only", "E04", "--only", "E20",
    ];
    let output = as_person(home, &doctor, "").await.expect_success().stdout;
    let report: Value = serde_json::from_str(&output).expect("JSON");
    for check in report["checks"].as_array().expect("a list") {
        assert_eq!(check["status"], "ok", "{report}");
    }
    fs::write(&token, "unset").expect("a file");
    let output = as_person(home, &["doctor", "--json", "--only", "E05"], "").await;
    let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let fix = report["checks"][0]["fix"].as_str().expect("a hint");
    assert!(
        fix.ends_with("then: fieldpost edge install --user --token-stdin"),
        "{fix}"
    );
    write_script(&home.join("bin/manager"), &states("failed"));
    let output = as_person(home, &["doctor", "--fix", "--json", "--only", "E01"], "").await;
    let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let repaired = &report["checks"][0]["repaired"][0];
    assert_eq!(
        repaired,
        "run systemctl --user enable --now fieldpost-edge.service"
    );
    write_script(&home.join("bin/manager"), "#!/bin/sh\n");

    let output = as_person(home, &["uninstall", "--user"], "").await;
    let said = output.expect_success().stdout;
    assert!(
        said.contains("everything that waited is delivered"),
        "{said}"
    );
    process::signal(&edge, "-TERM").await;
    edge.wait().await.expect("it ends");
    assert!(!program.exists() && !units.join("fieldpost-edge.service").exists());
    assert!(!units.join("fieldpost-edge.socket.d").exists() && config.exists() && queue.exists());
    // Nothing waits on its disk, which is looked at although nothing runs.
    let arguments = ["uninstall", "--user", "--purge"];
    as_person(home, &arguments, "").await.expect_success();
    assert!(!config.exists() && !queue.exists());
}

/// Starts and stops the daemon as that person's systemd does. When it is first stopped, a client is quicker.
const MANAGER: &str = r#"#!/bin/sh
cd "$HOME" && PATH=/usr/bin:/bin
config=.config/fieldpost/edge.toml
case $2 in
start)
    .local/bin/fieldpost edge run --config $config </dev/null >log 2>&1 &
    echo $! >pid
    until .local/bin/fieldpost edge status --json --config $config 2>/dev/null | grep -q '"well"'; do sleep 0.1; done ;;
stop)
    [ -e posted ] || python3 post.py >posted
    pid=$(cat pid)
    kill "$pid"
    # Whoever is nobody's child any more may stay as a zombie.
    while kill -0 "$pid" 2>/dev/null && ! grep -q ') Z ' "/proc/$pid/stat"; do sleep 0.1; done ;;
esac
"#;

/// Ends the daemon that [`MANAGER`] has started in this home, when the test has ended before that.
struct Ended<'a>(&'a Path);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.0.join("pid")).unwrap_or_default();
        let ours = fs::read_link(format!("/proc/{}/cwd", pid.trim()));
        if ours.is_ok_and(|folder| folder == self.0) {
            let _ = std::process::Command::new("kill").arg(pid.trim()).status();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_the_service_is_stopped_is_delivered_before_anything_is_removed() {
    // What comes last is not taken at once.
    let mut refusals = 1;
    let upstream = Upstream::judging(move |received| {
        let is_last = !attribute(&received.request, "session.id").is_empty();
        let is_refused = is_last && std::mem::take(&mut refusals) > 0;
        is_refused.then(|| StatusCode::SERVICE_UNAVAILABLE.into_response())
    })
    .await;
    let folder = tempfile::tempdir().expect("a temporary directory");
    let home = folder.path();
    let listen = format!("127.0.0.1:{}", free_port());
    let endpoint = upstream.endpoint.clone();
    let arguments = [
        "install",
        "--user",
        "--endpoint",
        &endpoint,
        "--listen",
        &listen,
    ];
    as_person(home, &arguments, "").await.expect_success();
    let config = home.join(".config/fieldpost/edge.toml");
    // Records wait for others for a while, and nothing else is sent.
    let text = fs::read_to_string(&config).expect("a configuration");
    let lines = text.lines().filter(|line| !line.starts_with("token_file"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let changed = "[upstream]\nbatch_age = \"1s\"\nextras = false\n";
    fs::write(&config, text.replace("[upstream]\n", changed)).expect("a file");
    let body = request(&claude_session("ada@example.com", "the-last", 1)).to_string();
    let client = format!(
        "from urllib.request import Request, urlopen\n\
         urlopen(Request('http://{listen}/v1/logs', {body:?}.encode(), {{'content-type': 'application/json'}}))\n"
    );
    fs::write(home.join("post.py"), client).expect("a file");
    let manager = home.join("bin/manager");
    write_script(&manager, MANAGER);
    let mut start = process::command(&manager);
    start.env("HOME", home).args(["--user", "start"]);
    let _ended = Ended(home);
    let started = process::run(start, "", Duration::from_secs(60)).await;
    started.expect_success();

    let output = as_person(home, &["uninstall", "--user", "--purge"], "").await;
    let said = output.expect_success().stdout;
    assert!(said.contains("records came meanwhile"), "{said}");
    assert!(home.join("posted").exists() && !config.exists());
    let sessions = upstream.accepted("session.id");
    assert!(sessions.contains(&"the-last".to_owned()), "{sessions:?}");
    // It has nothing left to do, and says so.
    let again = as_person(home, &["uninstall", "--user", "--purge"], "").await;
    again.expect_success();
}
