//! launchd's files, as far as they can be looked at without a Mac.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::PATIENCE;
use crate::support::process;

#[tokio::test(flavor = "multi_thread")]
async fn the_daemons_plist_says_what_launchd_knows() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = process::command("/usr/bin/python3");
    command
        .arg(project.join("tests/fleet/read_plist.py"))
        .arg(project.join("launchd/dev.fieldpost.edge.plist"));
    process::run(command, "", PATIENCE).await.expect_success();
}

#[test]
fn the_log_that_is_rotated_is_the_daemons() {
    let read = |name: &str| {
        fs::read_to_string(format!("{}/launchd/{name}", env!("CARGO_MANIFEST_DIR"))).expect(name)
    };
    let rotated = read("newsyslog.conf");
    let line = rotated
        .lines()
        .find(|line| !line.starts_with('#'))
        .expect("a line");
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    assert_eq!(fields.len(), 7, "{line}");
    assert!(read("dev.fieldpost.edge.plist").contains(&format!("<string>{}</string>", fields[0])));
}

#[test]
fn the_control_sockets_folder_is_made_once_and_stays() {
    let read = |name: &str| {
        fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).expect(name)
    };
    // As the program has it on a Mac.
    let code = read("src/edge/config/control.rs");
    let socket = code
        .split('"')
        .find(|text| text.starts_with('/') && text.contains("/fieldpost/run/"))
        .expect("a path for macOS");
    let folder = Path::new(socket).parent().expect("a folder").display();
    let made = format!("install -d -m 755 -o _fieldpost -g _fieldpost {folder}\n");
    assert!(read("launchd/postinstall").contains(&made), "{made}");
    // The system empties it at each start, and the daemon may make nothing there.
    assert!(!socket.starts_with("/var/run/"), "{socket}");
    assert!(read("packaging/README.md").contains(socket), "{socket}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_that_the_installer_lays_down_is_whole_and_nobodys_to_change() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = tempfile::tempdir().expect("a folder");
    let mut command = process::command(project.join("packaging/macos/build"));
    command
        .args(["--binary", env!("CARGO_BIN_EXE_fieldpost"), "--stage"])
        .arg(tree.path());
    process::run(command, "", PATIENCE).await.expect_success();
    let mode = |path: &str| {
        let metadata = fs::metadata(tree.path().join(path));
        let metadata = metadata.unwrap_or_else(|error| panic!("{path}: {error}"));
        metadata.permissions().mode() & 0o7777
    };
    // What launchd starts, and what newsyslog and the uninstaller read, as the plist and the scripts name them.
    for (path, expected) in [
        ("opt", 0o755),
        ("opt/fieldpost/bin", 0o755),
        ("opt/fieldpost/bin/fieldpost", 0o755),
        ("opt/fieldpost/share/uninstall", 0o755),
        ("Library/LaunchDaemons/dev.fieldpost.edge.plist", 0o644),
        ("etc/newsyslog.d/fieldpost.conf", 0o644),
    ] {
        assert_eq!(mode(path), expected, "{path}");
    }
    let uninstall = fs::read_to_string(tree.path().join("opt/fieldpost/share/uninstall"));
    let uninstall = uninstall.expect("text");
    for path in [
        "/Library/LaunchDaemons/dev.fieldpost.edge.plist",
        "/etc/newsyslog.d/fieldpost.conf",
    ] {
        assert!(uninstall.contains(path), "{path} is taken away again");
    }
}
