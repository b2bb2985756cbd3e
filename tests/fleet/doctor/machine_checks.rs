//! From the service to the state on disk.

use std::os::unix::fs::PermissionsExt;

use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::fleet::machine::{DAY, Machine, answering, jwt, jwt_until};
use crate::support::fieldpost::{client, command, free_port};
use crate::support::records::{claude_session, request};
use crate::support::upstream::Upstream;

fn units(service: &str, path: &str, restarts: &str) -> String {
    format!(
        "Id=fieldpost-edge.socket\nLoadState=loaded\nActiveState=active\nResult=success\n\n\
         Id=fieldpost-edge.service\nLoadState=loaded\nActiveState={service}\nNRestarts={restarts}\nResult=exit-code\n\n\
         Id=fieldpost-edge-token.path\nLoadState=loaded\nActiveState={path}\nResult=success"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn e01_service() {
    let mut machine = Machine::new();
    machine.program("systemctl", &units("active", "active", "0"));
    machine
        .check("E01")
        .await
        .is_ok("socket, service and token path are active");
    machine.program("systemctl", &units("failed", "active", "3"));
    machine.check("E01").await.is(
        "fail",
        "fieldpost-edge.service is failed (last result: exit-code)",
        "journalctl -u fieldpost-edge.service",
    );
    machine.program("systemctl", &units("active", "inactive", "0"));
    machine.check("E01").await.is(
        "warn",
        "a new token is not noticed",
        "enable --now fieldpost-edge-token.path",
    );
    machine.program("systemctl", &units("active", "active", "3"));
    machine
        .check("E01")
        .await
        .is("warn", "3 times", "journalctl");
    // A restart, for a new token perhaps, is waited for.
    let (restarting, done) = (
        units("activating", "active", "0"),
        units("active", "active", "0"),
    );
    machine.write("restarting", &restarting);
    machine.write("done", &done);
    let states = machine
        .path("restarting")
        .parent()
        .expect("a folder")
        .to_owned();
    machine.script(
        "systemctl",
        &format!(
            "#!/bin/sh\ncd {} && cat restarting && mv done restarting 2>/dev/null; true\n",
            states.display()
        ),
    );
    machine.check("E01").await.is_ok("are active");
    machine.program("systemctl", "Id=fieldpost-edge.socket\nLoadState=not-found");
    machine
        .check("E01")
        .await
        .is("fail", "is not installed", "fieldpost edge install");
}

#[tokio::test(flavor = "multi_thread")]
async fn e02_who_holds_the_port() {
    let machine = Machine::new();
    let upstream = Upstream::start().await;
    let port = free_port();
    machine.configure(&upstream.endpoint, port);
    machine
        .check("E02")
        .await
        .is("fail", "nobody listens", "fieldpost-edge.socket");
    let edge = machine.edge(|text| text).await;
    // The test's own process has a name that begins with the product's.
    machine.check("E02").await.is_ok("fieldpost");
    edge.stop().await;

    let script = format!(
        "import socket,time\ns=socket.socket()\ns.setsockopt(1,2,1)\ns.bind(('127.0.0.1',{port}))\ns.listen()\nprint('open',flush=True)\ntime.sleep(600)"
    );
    let mut stranger = tokio::process::Command::new("/usr/bin/python3")
        .args(["-c", &script])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python3 runs");
    let mut line = String::new();
    let output = stranger.stdout.take().expect("it is piped");
    tokio::io::AsyncBufReadExt::read_line(&mut tokio::io::BufReader::new(output), &mut line)
        .await
        .expect("a line");
    let pid = stranger.id().expect("it runs");
    machine.check("E02").await.is(
        "fail",
        &format!("held by python3 (pid {pid})"),
        "listen.addresses",
    );
    stranger.kill().await.expect("it ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn e03_answers_on_loopback() {
    let machine = Machine::new();
    let upstream = Upstream::start().await;
    machine.configure(&upstream.endpoint, free_port());
    machine
        .check("E03")
        .await
        .is("fail", "no answer", "systemctl start fieldpost-edge");
    let edge = machine.edge(|text| text).await;
    machine.check("E03").await.is_ok("(200)");
    edge.stop().await;
    // Another collector takes anything from anybody.
    let other = answering(|| StatusCode::OK.into_response()).await;
    machine.configure(&upstream.endpoint, other.port());
    machine.check("E03").await.is("fail", "instead of", "E02");
}

#[tokio::test(flavor = "multi_thread")]
async fn e04_configuration() {
    let machine = Machine::new();
    machine
        .check("E04")
        .await
        .is("fail", "cannot be read", "fieldpost edge install");
    machine.configure("https://otel.example.com/v1/logs", 4318);
    machine.check("E04").await.is_ok("is good");
    machine.write(
        "etc/systemd/system/fieldpost-edge.socket",
        "[Socket]\nListenStream=127.0.0.1:4318\n",
    );
    machine.check("E04").await.is_ok("is good");
    machine.write(
        "etc/systemd/system/fieldpost-edge.socket.d/10-listen.conf",
        "[Socket]\nListenStream=\nListenStream=127.0.0.1:4319\n",
    );
    machine.check("E04").await.is(
        "fail",
        "the socket unit listens on 127.0.0.1:4319",
        "--listen",
    );
    machine.mode("etc/fieldpost/edge.toml", 0o666);
    machine
        .check("E04")
        .await
        .is("fail", "can be changed by others", "chmod 644");
    machine.write(
        "etc/fieldpost/edge.toml",
        "[upstream]\nendpont = \"https://otel.example.com\"\n",
    );
    machine
        .check("E04")
        .await
        .is("fail", "endpont", "check-config");
}

#[tokio::test(flavor = "multi_thread")]
async fn e05_token() {
    let machine = Machine::new();
    machine.configure("https://otel.example.com/v1/logs", 4318);
    let token = jwt(300 * DAY);
    machine.token(&token);
    let said = machine.check("E05").await;
    said.is_ok("tenant acme, environment laptops; expires on ");
    assert!(!said.detail.contains(&token), "the token is never shown");
    machine.token(&jwt(10 * DAY));
    machine
        .check("E05")
        .await
        .is("warn", "expires on ", "--token-stdin");
    machine.token(&jwt(-DAY));
    machine
        .check("E05")
        .await
        .is("fail", "has expired on ", "make a token in the portal");
    machine.token(&jwt_until(u64::MAX));
    machine
        .check("E05")
        .await
        .is_ok("expires later than any clock goes");
    machine.token("unset");
    machine
        .check("E05")
        .await
        .is("fail", "holds no token yet", "--token-stdin");
    machine.token(&format!("Bearer {token}"));
    machine
        .check("E05")
        .await
        .is("warn", "the whole header", "--token-stdin");
    machine.token("one\ntwo");
    machine
        .check("E05")
        .await
        .is("fail", "white space", "--token-stdin");
    machine.token(&token);
    machine.mode("etc/fieldpost/token", 0o644);
    machine
        .check("E05")
        .await
        .is("fail", "every user of the machine can read it", "chmod 600");
    std::fs::remove_file(machine.path("etc/fieldpost/token")).expect("it was there");
    machine
        .check("E05")
        .await
        .is("fail", "No such file", "--token-stdin");
}

#[tokio::test(flavor = "multi_thread")]
async fn e09_queue() {
    let machine = Machine::new();
    let upstream = Upstream::start().await;
    machine.configure(&upstream.endpoint, free_port());
    assert_eq!(machine.check("E09").await.status, "skip");
    let edge = machine.edge(|text| text).await;
    machine.check("E09").await.is_ok("takes records");
    let aside = machine.path("state/queue/0000000000000001.bad");
    std::fs::create_dir(&aside).expect("a folder");
    machine
        .check("E09")
        .await
        .is("warn", "1 damaged segments were put aside", "queue ls");
    std::fs::remove_dir(&aside).expect("it is there");
    let disk = rustix::fs::statvfs(machine.path("state")).expect("a disk");
    let free = disk.f_bavail * disk.f_frsize;
    edge.stop().await;
    // It has room for three quarters of what is free before it gives way.
    let little = format!("min_free = {}\n[control]", free / 4 * 3);
    let configured = machine.read("etc/fieldpost/edge.toml");
    machine.write(
        "etc/fieldpost/edge.toml",
        &configured.replace("[control]", &little),
    );
    let edge = machine.edge(|text| text).await;
    machine
        .check("E09")
        .await
        .is("warn", "are left on the disk of", "queue.min_free");
    edge.stop().await;
    machine.write("etc/fieldpost/edge.toml", &configured);
    let format = machine.read("state/queue/format");
    machine.write("state/queue/format", "99\n");
    machine.check("E09").await.is(
        "fail",
        "which this version cannot read",
        "the version that wrote it",
    );
    machine.write("state/queue/format", &format);
    let full = "min_free = \"1000000GiB\"\nwhen_full = \"reject\"\n[control]";
    let edge = machine.edge(|text| text.replace("[control]", full)).await;
    let request = client()
        .post(edge.logs())
        .header("content-type", "application/json")
        .body(request(&claude_session("ada@example.com", "one", 1)).to_string());
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    machine
        .check("E09")
        .await
        .is("fail", "new records are refused", "make room on the disk");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e18_state() {
    let machine = Machine::new();
    machine.configure("https://otel.example.com/v1/logs", 4318);
    machine
        .check("E18")
        .await
        .is("warn", "is not there yet", "E01");
    machine.write("state/queue/format", "1");
    machine.mode("state", 0o700);
    machine.check("E18").await.is_ok("on a local disk");
    machine.mode("state", 0o755);
    machine
        .check("E18")
        .await
        .is("fail", "has the mode 755", "chmod 700");
    let shm = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(shm.path(), private).expect("the mode is set");
    machine.write("etc/fieldpost/edge.toml", &format!(
        "[upstream]\nendpoint = \"https://otel.example.com/v1/logs\"\n[queue]\ndirectory = \"{}/queue\"\n",
        shm.path().display()
    ));
    let said = machine.check("E18").await;
    // Below another root, the queue's folder is looked for there.
    said.is("warn", "is not there yet", "E01");
    let whole = command()
        .args(["edge", "doctor", "--json", "--only", "E18", "--config"])
        .arg(machine.path("etc/fieldpost/edge.toml"))
        .output()
        .await
        .expect("the binary starts");
    let whole = String::from_utf8_lossy(&whole.stdout).into_owned();
    assert!(
        whole.contains("lies on tmpfs") && whole.contains("move queue.directory to a disk"),
        "{whole}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn e20_program() {
    let machine = Machine::new();
    machine
        .check("E20")
        .await
        .is("warn", "is not there", "install");
    machine.write("usr/bin/fieldpost", "");
    machine.mode("usr/bin/fieldpost", 0o755);
    machine.check("E20").await.is_ok("is installed");
    machine.mode("usr/bin/fieldpost", 0o775);
    machine
        .check("E20")
        .await
        .is("fail", "can be changed by others than root", "chown root:");
    let (_, elsewhere, _) = machine
        .run(
            &["doctor", "--json", "--only", "E20", "--config", "/dev/null"],
            "",
        )
        .await;
    assert!(elsewhere.contains("belongs to no service"), "{elsewhere}");
}
