//! A machine in a folder: what install writes to and doctor looks at, without touching this one.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use axum::Router;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::eventually;
use crate::support::fieldpost::{TestEdge, command};

/// What a check said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: String,
    pub(super) detail: String,
    pub(super) fix: String,
}

impl Said {
    /// What doctor has printed about the one check that was made.
    fn of(output: &str, id: &str) -> Said {
        let report: Value = serde_json::from_str(output).expect("JSON");
        assert_eq!(report["schema"], 1);
        let checks = report["checks"].as_array().expect("a list");
        assert_eq!(checks.len(), 1, "{report}");
        assert_eq!(checks[0]["id"], id);
        let text = |key: &str| checks[0][key].as_str().unwrap_or_default().to_owned();
        Said {
            status: text("status"),
            detail: text("detail"),
            fix: text("fix"),
        }
    }

    /// It was not looked at, for this reason.
    #[track_caller]
    pub(super) fn is_skipped(&self, words: &str) {
        assert_eq!(self.status, "skip", "{self:?}");
        assert!(self.detail.contains(words), "{self:?}");
    }

    /// It is well, and these words were seen.
    #[track_caller]
    pub(super) fn is_ok(&self, words: &str) {
        assert_eq!(
            (self.status.as_str(), self.fix.as_str()),
            ("ok", ""),
            "{self:?}"
        );
        assert!(self.detail.contains(words), "{self:?}");
    }

    /// It is not, and this is what to do.
    #[track_caller]
    pub(super) fn is(&self, status: &str, detail: &str, fix: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.detail.contains(detail), "{self:?}");
        assert!(self.fix.contains(fix) && !self.fix.is_empty(), "{self:?}");
    }
}

pub(super) struct Machine {
    root: TempDir,
    variables: BTreeMap<&'static str, String>,
}

impl Machine {
    /// With two people's accounts, one of whom has never used Claude.
    pub(super) fn new() -> Machine {
        let machine = Machine {
            root: tempfile::tempdir().expect("a temporary directory"),
            variables: BTreeMap::new(),
        };
        machine.write(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/bash\n\
             bob:x:1001:1001::/home/bob:/bin/bash\nwww:x:33:33::/var/www:/bin/false\n",
        );
        machine
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    pub(super) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(super) fn mode(&self, path: &str, mode: u32) {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(self.path(path), permissions).expect("the mode is set");
    }

    /// A configuration whose edge forwards to `endpoint`, and listens on `port`.
    pub(super) fn configure(&self, endpoint: &str, port: u16) {
        self.write(
            "etc/fieldpost/edge.toml",
            &format!(
                "[listen]\naddresses = [\"127.0.0.1:{port}\"]\n\
                 [queue]\ndirectory = \"{}\"\n[control]\nsocket = \"{}\"\n\
                 [upstream]\nendpoint = \"{endpoint}\"\ntoken_file = \"{}\"\n",
                self.path("state/queue").display(),
                self.path("edge.sock").display(),
                self.path("etc/fieldpost/token").display(),
            ),
        );
        if !self.path("etc/fieldpost/token").exists() {
            self.token("a-token-that-is-no-jwt");
        }
    }

    pub(super) fn token(&self, token: &str) {
        self.write("etc/fieldpost/token", token);
        self.mode("etc/fieldpost/token", 0o600);
    }

    /// Claude's managed settings with these variables.
    pub(super) fn policy(&self, variables: &[(&str, &str)]) {
        let env: BTreeMap<&str, &str> = variables.iter().copied().collect();
        self.write(
            "etc/claude-code/managed-settings.d/10-fieldpost.json",
            &json!({ "env": env }).to_string(),
        );
    }

    /// A program of this name that prints `text`.
    pub(super) fn program(&mut self, name: &str, text: &str) {
        self.script(name, &format!("#!/bin/sh\ncat <<'END'\n{text}\nEND\n"));
    }

    /// A program of this name.
    pub(super) fn script(&mut self, name: &str, text: &str) {
        let file = format!("bin/{name}");
        self.write(&file, text);
        self.mode(&file, 0o755);
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.path("bin").display());
        self.variables.insert("PATH", path);
    }

    /// A variable of the shell that doctor is started from.
    pub(super) fn variable(&mut self, name: &'static str, value: &str) {
        self.variables.insert(name, value.to_owned());
    }

    /// The edge that is configured, with other words in its configuration perhaps, once it can be asked.
    pub(super) async fn edge(&self, change: impl Fn(String) -> String) -> TestEdge {
        let text = change(self.read("etc/fieldpost/edge.toml"));
        let edge = TestEdge::start_with(self.root.path(), &text).await;
        let socket = self.path("edge.sock");
        eventually("the control socket", async || {
            tokio::net::UnixStream::connect(&socket).await.ok()
        })
        .await;
        edge
    }

    /// What one check says.
    pub(super) async fn check(&self, id: &str) -> Said {
        let (_, output, _) = self.run(&["doctor", "--json", "--only", id], "").await;
        Said::of(&output, id)
    }

    /// What one check says to an account without root's rights.
    pub(super) async fn check_as(&self, uid: u32, id: &str) -> Said {
        // A temporary directory is its owner's alone.
        self.mode("", 0o755);
        let mut command: Command = command();
        command.uid(uid).gid(uid);
        let arguments = ["doctor", "--json", "--only", id];
        let (_, output, _) = self.run_by(command, &arguments, "").await;
        Said::of(&output, id)
    }

    /// Runs `fieldpost edge` on this machine: exit code, standard output and standard error.
    pub(super) async fn run(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        self.run_by(command(), arguments, input).await
    }

    async fn run_by(
        &self,
        mut command: Command,
        arguments: &[&str],
        input: &str,
    ) -> (i32, String, String) {
        let mut child = command
            .arg("edge")
            .args(arguments)
            .arg("--root")
            .arg(self.root.path())
            .envs(&self.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input.as_bytes()).await.expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().await.expect("it ends");
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8(output.stdout).expect("text"),
            String::from_utf8(output.stderr).expect("text"),
        )
    }
}

/// A day in seconds.
pub(super) const DAY: i64 = 86_400;

/// A token that expires after so many seconds.
pub(super) fn jwt(expires_in: i64) -> String {
    let exp = jiff::Timestamp::now().as_second() + expires_in;
    jwt_until(exp.try_into().expect("a time since 1970"))
}

/// One that expires at this time, in seconds since 1970.
pub(super) fn jwt_until(exp: u64) -> String {
    let claims = json!({"exp": exp, "tid": "acme", "eid": "laptops"}).to_string();
    format!(
        "{}.{}.c2ln",
        URL_SAFE_NO_PAD.encode("{}"),
        URL_SAFE_NO_PAD.encode(claims)
    )
}

/// The address of a server that gives every request this answer.
pub(super) async fn answering(
    answer: impl Fn() -> Response + Clone + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await;
    let listener = listener.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let app = Router::new().fallback(async move || answer());
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}
