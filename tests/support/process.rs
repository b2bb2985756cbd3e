//! Runs other programs, each with a time limit and in an environment of its own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// What a program that ended left behind.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The output of a program that must have succeeded; panics with what it said otherwise.
    #[track_caller]
    pub(crate) fn expect_success(self) -> Output {
        assert!(
            self.success,
            "the program failed:\n{}\n{}",
            self.stdout, self.stderr
        );
        self
    }
}

/// A command that gets nothing of the tests' own environment but `PATH`: a proxy or an exporter's
/// setting of the person who runs the tests must not bend them.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Runs `program` where /etc is `folder` laid over this machine's own, which stays as it is.
pub(crate) fn over_etc(folder: &Path, program: &Path) -> Command {
    let mut command = command("unshare");
    let script = "mount -t overlay overlay -o \"lowerdir=$1:/etc\" /etc && shift && exec \"$@\"";
    command
        .args(["--mount", "sh", "-ec", script, "sh"])
        .arg(folder)
        .arg(program);
    command
}

/// Sends `signal`, such as `-HUP`, to a process that runs.
pub(crate) async fn signal(child: &Child, signal: &str) {
    let pid = child.id().expect("the process is running").to_string();
    let sent = Command::new("kill").args([signal, &pid]).status().await;
    assert!(sent.expect("kill runs").success());
}

/// Runs `command` with `input` on its standard input. Panics when it cannot start, and when it
/// takes longer than `limit`, after ending it.
pub(crate) async fn run(mut command: Command, input: &str, limit: Duration) -> Output {
    let program = format!("{:?}", command.as_std().get_program());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let finish = async {
        // A program may well end without reading all of its input.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await.expect("its output is read")
    };
    let output = tokio::time::timeout(limit, finish)
        .await
        .unwrap_or_else(|_| panic!("{program} took longer than {limit:?}"));
    Output {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
