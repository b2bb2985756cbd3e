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

/// Stand-ins for macOS's own programs, which write down what they were asked; those that tests run for real are not
/// among them.
fn stand_ins(folder: &Path, launchctl: &str) {
    let write = |name: &str, script: &str| {
        let path = folder.join(name);
        let text = format!(
            "#!/bin/sh\necho {name} \"$@\" >>'{0}/calls'\ncd '{0}'\n{script}\n",
            folder.display()
        );
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    };
    for name in ["install", "ln", "chown", "chmod", "find", "sleep"] {
        write(name, "");
    }
    write("stat", "echo 0");
    // The account is not there yet, and two numbers are taken.
    write(
        "dscl",
        "case \"$*\" in *-read*) exit 1 ;; *-list*Users*) echo _other 300 ;; *-list*) echo _third 301 ;; esac",
    );
    write("launchctl", launchctl);
}

/// Runs a script of the installer's where a configuration lies in `/etc`, and says whether it succeeded and what the
/// stand-ins were asked.
async fn installer(script: &str, launchctl: &str) -> (bool, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (programs, etc) = (folder.path().join("bin"), folder.path().join("etc"));
    fs::create_dir_all(etc.join("fieldpost")).expect("a folder");
    fs::write(etc.join("fieldpost/edge.toml"), "").expect("a file");
    fs::create_dir(&programs).expect("a folder");
    stand_ins(&programs, launchctl);
    let path = std::env::var("PATH").unwrap_or_default();
    let script = format!("{}/launchd/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut command = process::over_etc(&etc, Path::new("env"));
    command
        .arg(format!("PATH={}:{path}", programs.display()))
        .args(["sh", &script]);
    let ran = process::run(command, "", PATIENCE).await;
    let calls = fs::read_to_string(programs.join("calls")).unwrap_or_default();
    (ran.success, calls.lines().map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_replaced_once_launchd_has_let_go_and_a_refused_start_is_tried_again() {
    // It knows the service twice more after it was asked to let go, and then no more.
    let goes = "case $1 in print) [ ! -e gone ] || [ ! -e later ] || exit 1; [ ! -e gone ] || touch later ;; bootout) touch gone ;; esac";
    let (success, calls) = installer("preinstall", goes).await;
    let label = "system/dev.fieldpost.edge";
    let print = format!("launchctl print {label}");
    let expected = [
        print.clone(),
        format!("launchctl bootout {label}"),
        print.clone(),
        "sleep 1".to_owned(),
        print,
    ];
    assert!(success && calls == expected, "{calls:?}");
    // Nothing is replaced under a daemon that stays.
    let (success, calls) = installer("preinstall", "").await;
    assert!(!success, "{calls:?}");

    let refuses_once = "[ $1 = bootstrap ] && [ ! -e asked ] && touch asked && exit 5; exit 0";
    let (success, calls) = installer("postinstall", refuses_once).await;
    let has = |call: &str| calls.iter().filter(|it| *it == call).count();
    let bootstrap = "launchctl bootstrap system /Library/LaunchDaemons/dev.fieldpost.edge.plist";
    assert!(success && has(bootstrap) == 2, "{calls:?}");
    assert_eq!(calls.last(), Some(&format!("launchctl kickstart {label}")));
    // The first number that neither an account nor a group has.
    assert_eq!(has("dscl . -create /Users/_fieldpost UniqueID 302"), 1);
    assert_eq!(
        has("install -d -m 700 -o _fieldpost -g _fieldpost /var/db/fieldpost"),
        1
    );
    let (success, calls) = installer("postinstall", "[ $1 != bootstrap ]").await;
    assert!(!success, "{calls:?}");
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
