//! The units, as systemd itself reads them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::PATIENCE;
use crate::support::process::{self, Output};

/// Highest exposure that `systemd-analyze security` may find, times ten.
const EXPOSURE: u32 = 15;

fn systemd() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

async fn analyze(arguments: &[&str], paths: &[PathBuf]) -> Output {
    let mut command = process::command("systemd-analyze");
    command.args(arguments).args(paths);
    process::run(command, "", PATIENCE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_finds_nothing_wrong_with_the_units() {
    let copies = tempfile::tempdir().expect("a temporary directory");
    let mut units = Vec::new();
    for entry in fs::read_dir(systemd()).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() || path.extension().is_some_and(|it| it == "conf") {
            continue;
        }
        // It looks for the program, too, which is not installed here.
        let text = fs::read_to_string(&path).expect("text");
        let copy = copies.path().join(path.file_name().expect("a name"));
        fs::write(&copy, text.replace("/usr/bin/fieldpost", "/bin/true")).expect("a file");
        units.push(copy);
    }
    assert_eq!(units.len(), 6, "{units:?}");
    let output = analyze(&["verify", "--man=no", "--recursive-errors=no"], &units).await;
    let output = output.expect_success();
    assert_eq!(output.stderr, "", "it has nothing to say");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_are_as_closed_as_they_can_be() {
    let threshold = format!("--threshold={EXPOSURE}");
    for service in ["fieldpost-edge.service", "fieldpost-central.service"] {
        let arguments = ["security", "--offline=true", &threshold];
        let output = analyze(&arguments, &[systemd().join(service)]).await;
        assert!(output.success, "{service}:\n{}", output.stdout);
    }
}

#[test]
fn who_reads_the_token_is_not_reset_at_each_start() {
    let text = fs::read_to_string(systemd().join("fieldpost-edge.tmpfiles.conf")).expect("text");
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    assert!(lines.all(|line| !line.contains("token")), "{text}");
}

#[test]
fn no_service_waits_for_the_network_the_edge_sees_accounts_and_the_allocator_the_system() {
    let folders = [systemd(), systemd().join("user")];
    let entries = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("the folder"));
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(&path).expect("text");
        let settings: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let settings = settings.join("\n");
        assert!(!settings.contains("network-online"), "{}", path.display());
        assert!(!settings.contains("ProcSubset"), "{}", path.display());
        let is_edge = path.ends_with("fieldpost-edge.service");
        assert!(
            !is_edge || !settings.contains("PrivateUsers"),
            "{}",
            path.display()
        );
    }
}
