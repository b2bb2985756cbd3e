//! The packages, as they are built, installed, upgraded under load, removed and purged: by dpkg and rpm,
//! under a real systemd, in a machine of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::support::process::{self, Output};

/// Time for one program.
const LIMIT: Duration = Duration::from_secs(300);

/// Time for the edge's program to be built from nothing, where tests/run has not done so.
const COMPILING: Duration = Duration::from_secs(3600);

/// Versions of the edge's package: the first, and five upgrades.
const DEB_VERSIONS: [&str; 6] = ["0.1.0", "0.1.1", "0.1.2", "0.1.3", "0.1.4", "0.1.5"];
const RPM_VERSIONS: [&str; 3] = ["0.1.0", "0.1.1", "0.1.2"];
const CENTRAL_VERSIONS: [&str; 2] = ["0.1.0", "0.1.1"];

/// What the guide tells of the installed service; tests/run --shipped prints it of the release.
const MEASURED: [&str; 6] = [
    "deb_upgrades",
    "rpm_upgrades",
    "exposure",
    "central_exposure",
    "memory_fresh",
    "memory_idle",
];

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program that the package ships: the edge's has no server.
async fn program(package: &str) -> PathBuf {
    static EDGE: OnceCell<PathBuf> = OnceCell::const_new();
    if package != "edge" {
        return env!("CARGO_BIN_EXE_fieldpost").into();
    }
    let built = EDGE.get_or_init(async || {
        let mut command = process::command(project().join("tests/fleet/edge_program"));
        keep_home(&mut command);
        let built = process::run(command, "", COMPILING).await.expect_success();
        built.stdout.trim().into()
    });
    built.await.clone()
}

/// cargo and rustc find their own by these; and which program is tested is for whoever runs the tests to say.
fn keep_home(command: &mut Command) {
    for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "FIELDPOST_EDGE"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
}

/// Packs the program that the package ships.
pub(super) async fn build(package: &str, format: &str, version: &str, output: &Path) {
    let mut command = process::command(project().join("packaging/build"));
    command
        .args([
            "--no-sbom",
            "--fast",
            "--package",
            package,
            "--format",
            format,
        ])
        .args(["--version", version, "--binary"])
        .arg(program(package).await)
        .arg("--output")
        .arg(output)
        // The same for every build, also outside a repository.
        .env("SOURCE_DATE_EPOCH", "1790000000");
    process::run(command, "", LIMIT).await.expect_success();
}

pub(super) async fn run(program: &str, arguments: &[&str], files: &[PathBuf]) -> Output {
    let mut command = process::command(program);
    command.args(arguments).args(files);
    process::run(command, "", LIMIT).await
}

pub(super) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    files
}

/// A folder on a disk, below the project: the machine's own disk lies there, too.
pub(super) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(project().join("target")).expect("a temporary directory")
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::print_stdout,
    reason = "what the installed service takes is measured"
)]
async fn five_upgrades_under_load_lose_no_request_and_a_purge_leaves_nothing() {
    let (packages, out) = (folder(), folder());
    for version in DEB_VERSIONS {
        build("edge", "deb", version, packages.path()).await;
    }
    for version in RPM_VERSIONS {
        build("edge", "rpm", version, packages.path()).await;
    }
    for version in CENTRAL_VERSIONS {
        build("central", "deb", version, packages.path()).await;
    }
    build("central", "rpm", CENTRAL_VERSIONS[0], packages.path()).await;
    let program = env!("CARGO_BIN_EXE_fieldpost").into();
    let places = [program, packages.path().to_owned(), out.path().to_owned()];
    let machine = project().join("tests/fleet/in_machine");
    let ran = run(&machine.to_string_lossy(), &[], &places).await;
    let read = |name: &str| fs::read_to_string(out.path().join(name)).unwrap_or_default();
    let (result, log) = (read("result"), read("log"));
    assert!(
        ran.success,
        "a machine with systemd did not run here (it needs root, systemd-nspawn and overlayfs):\n{}",
        ran.stderr
    );
    let saw: BTreeMap<&str, &str> = result
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    assert_eq!(saw.get("finished"), Some(&"yes"), "{result}\n{log}");

    for name in MEASURED {
        println!("{name}: {}", saw[name]);
    }
    let counts = |name: &str| serde_json::from_str::<Value>(saw[name]).expect("JSON");
    for name in ["deb_upgrades", "rpm_upgrades"] {
        let counts = counts(name);
        assert_eq!(
            counts["lost"],
            Value::Array(Vec::new()),
            "{name}: {counts}\n{log}"
        );
        assert!(counts["taken"].as_u64() > Some(300), "{name}: {counts}");
    }
    // Every one of them is stored, and once.
    assert_eq!(saw["stored"], counts("deb_upgrades")["taken"].to_string());
    assert_eq!(saw["version"], "0.1.5");
    let expected = [
        ("server_in_edge", "2"),
        ("unconfigured", "disabled"),
        ("token_mode", "600 root"),
        ("state_mode", "700 fieldpost"),
        ("restarts", "0"),
        ("sealed", "\"status\":\"ok\""),
        ("sealed_token", "\"status\":\"ok\""),
        ("socket_after_kill", "active"),
        // Configuration, token and records.
        ("removed", "inactive 3"),
        ("port", "closed"),
        ("again", "\"status\":\"ok\""),
        ("kandji", "0"),
        ("jamf", "<result>ok</result>"),
        ("tanium", "True"),
        ("kandji_down", "1"),
        ("jamf_down", "<result>FAIL E01 E02 E03</result>"),
        ("tanium_down", "False"),
        ("jamf_policy", "640 _fieldpost 0"),
        ("jamf_policy_bare", "1"),
        ("jamf_policy_strange", "1"),
        ("jamf_policy_link", "1"),
        ("jamf_policy_kept", "yes 0"),
        ("replaced", "inactive 3"),
        ("replaced_back", "\"status\":\"ok\""),
        ("purged", "0"),
        ("rpm_removed", "inactive 0 3"),
        ("rpm_central", "active 0"),
        ("rpm_central_removed", "inactive 1"),
        ("rpm_back", "\"status\":\"ok\""),
        ("bare", "\"status\":\"ok\" "),
        ("bare_removed", "inactive 0"),
        ("ansible_files", "644 root 600 root 644 root 700 fieldpost "),
        ("ansible_again", "0 changed, 0 failed"),
        ("ansible_token", "1 changed, 0 failed"),
        ("ansible_arrival", "\"status\":\"ok\""),
        ("salt_files", "644 root 600 root 644 root 700 fieldpost "),
        ("salt_again", "0 changed, 0 failed"),
        ("salt_arrival", "\"status\":\"ok\""),
        ("play_central_again", "0 changed, 0 failed"),
        ("play_central_export", "200 644 root arrived"),
        ("salt_central_again", "0 changed, 0 failed"),
        ("salt_central_export", "200 644 root arrived"),
        ("central", "active 700 fieldpost-central"),
        ("central_status", "takes records"),
        ("central_socket", "ready 0"),
        ("central_purged", "0"),
    ];
    for (name, value) in expected {
        assert_eq!(saw.get(name), Some(&value), "{name}\n{log}");
    }
    let first = ["ansible", "salt", "play_central", "salt_central"];
    for first in first.map(|name| saw[name]) {
        assert!(
            first.ends_with("changed, 0 failed") && !first.starts_with("0 "),
            "{log}"
        );
    }
    let of_nobody = saw["doctor_of_nobody"];
    assert!(of_nobody.starts_with("failed [] ok "), "{of_nobody}");
    assert!(of_nobody.contains(" E06 "), "{of_nobody}");
    let doctor = counts("doctor");
    assert_eq!(doctor["well"], true, "{doctor}");
    let statuses = doctor["checks"].as_array().expect("a list").iter();
    let (ok, others): (Vec<_>, Vec<_>) = statuses.partition(|check| check["status"] == "ok");
    // Nobody has used Claude on that machine.
    let skipped: Vec<&str> = others
        .iter()
        .filter_map(|check| check["id"].as_str())
        .collect();
    assert_eq!(
        (ok.len(), skipped),
        (19, vec!["E14", "E19", "E22"]),
        "{doctor}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_program_packs_to_the_same_bytes() {
    let (first, second) = (folder(), folder());
    let sums =
        |folder: &Path| fs::read_to_string(folder.join("SHA256SUMS")).expect("it is written");
    for format in ["deb", "rpm"] {
        for output in [&first, &second] {
            build("edge", format, "0.1.0", output.path()).await;
        }
        assert_eq!(sums(first.path()).lines().count(), 1);
        assert_eq!(sums(first.path()), sums(second.path()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_of_what_was_built_and_a_comparison_is_of_what_was_asked_for() {
    let output = folder();
    build("edge", "deb", "0.1.0", output.path()).await;
    build("edge", "deb", "0.1.1", output.path()).await;
    let sums = fs::read_to_string(output.path().join("SHA256SUMS")).expect("it is written");
    assert!(
        sums.contains("_0.1.1_") && !sums.contains("_0.1.0_"),
        "{sums}"
    );

    let check = async |arguments: &[&str]| {
        let mut command = process::command(project().join("packaging/build"));
        command.args(["--no-sbom", "--fast", "--package", "edge", "--check"]);
        command.args(["--format", "deb", "--binary"]);
        command.arg(env!("CARGO_BIN_EXE_fieldpost")).args(arguments);
        keep_home(&mut command);
        process::run(command, "", LIMIT).await
    };
    // A half that was finished is not made again.
    let half = check(&["--half", "1"]).await.expect_success();
    assert!(
        half.stderr.contains("build 2 is still to be made"),
        "{}",
        half.stderr
    );
    let said = check(&[]).await.expect_success();
    assert!(
        said.stderr.contains("build 1 is there already"),
        "{}",
        said.stderr
    );
    let (_, compared) = said
        .stdout
        .split_once("both builds are the same:\n")
        .expect("it says so");
    assert_eq!(compared.lines().count(), 1, "{compared}");
    assert!(
        compared.contains("fieldpost-edge_") && compared.contains(".deb"),
        "{compared}"
    );
    // The next comparison is of others.
    let half = check(&["--half", "2"]).await.expect_success();
    assert!(
        half.stderr.contains("build 1 is still to be made"),
        "{}",
        half.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manual_page_names_every_command() {
    let page = fs::read_to_string(project().join("packaging/fieldpost.1")).expect("a page");
    for half in ["edge", "central"] {
        let help = run(env!("CARGO_BIN_EXE_fieldpost"), &[half, "--help"], &[]).await;
        let help = help.expect_success().stdout;
        let (_, commands) = help.split_once("Commands:\n").expect("they are listed");
        let (commands, _) = commands.split_once("\n\n").expect("options follow");
        let names = commands.lines().filter(|line| !line.starts_with("   "));
        let names = names.filter_map(|line| line.split_ascii_whitespace().next());
        let names: Vec<&str> = names.filter(|name| *name != "help").collect();
        assert!(names.len() > 10, "{help}");
        for name in names {
            let entry = format!(".B fieldpost {half} {}\n", name.replace('-', "\\-"));
            assert!(page.contains(&entry), "{entry}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn debian_packages_are_clean_to_lintian() {
    let packages = folder();
    build("edge", "deb", "0.1.0", packages.path()).await;
    build("central", "deb", "0.1.0", packages.path()).await;
    let debs = files(packages.path(), ".deb");
    let arguments = [
        "--allow-root",
        "--fail-on",
        "error,warning",
        "--display-level",
        ">=warning",
    ];
    let output = run("lintian", &arguments, &debs).await.expect_success();
    assert_eq!(output.stdout, "");
    for deb in &debs {
        let fields = run("dpkg-deb", &["--field"], std::slice::from_ref(deb)).await;
        let fields = fields.expect_success().stdout;
        // What the program needs, read from it.
        assert!(fields.contains("libc6 (>= 2."), "{fields}");
        assert!(fields.contains("ca-certificates"), "{fields}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_clean_to_shellcheck() {
    let folders = ["packaging", "launchd", "tests/fleet", "tests/fuzz"];
    let mut folders = Vec::from(folders.map(|folder| project().join(folder)));
    let mut scripts = 0;
    while let Some(folder) = folders.pop() {
        for path in files(&folder, "") {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read(&path).expect("readable");
            let text = String::from_utf8_lossy(&text);
            let first = text.lines().next().unwrap_or_default();
            let is_script = first.starts_with("#!");
            // Lines that are read by another shell have no first line of their own.
            let is_sourced = !is_script && path.extension().is_some_and(|it| it == "sh");
            let is_shells = is_sourced || (is_script && first.ends_with("sh"));
            if !is_shells {
                continue;
            }
            let shell: &[&str] = if is_sourced { &["--shell=sh"] } else { &[] };
            let output = run("shellcheck", shell, std::slice::from_ref(&path)).await;
            assert!(output.success, "{}:\n{}", path.display(), output.stdout);
            scripts += 1;
        }
    }
    assert!(scripts > 20, "{scripts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ansible_role_is_clean_to_ansible_lint() {
    let role = project().join("packaging/mdm/edge/ansible");
    let mut command = process::command("ansible-lint");
    let home = folder();
    command
        .args([
            "--offline",
            "--nocolor",
            "--skip-list",
            "role-name,meta-no-info,fqcn[action-core],no-handler",
        ])
        .arg(&role)
        .current_dir(home.path())
        .env("HOME", home.path());
    let output = process::run(command, "", LIMIT).await;
    assert!(output.success, "{}\n{}", output.stdout, output.stderr);
}
