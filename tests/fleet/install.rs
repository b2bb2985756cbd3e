//! install and uninstall, in a machine's root of its own.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use serde_json::Value;

use super::machine::Machine;

const ENDPOINT: &str = "https://otel.example.com/v1/claude-cowork/otel/v1/logs";

fn install<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["install", "--endpoint", ENDPOINT];
    arguments.extend(more);
    arguments
}

/// A machine whose systemctl and systemd-sysusers write down what they were asked.
fn machine() -> Machine {
    with_systemd(252)
}

/// The same with a systemd of this version, which knows no units but those that are there.
fn with_systemd(version: u32) -> Machine {
    let mut machine = Machine::new();
    let (asked, root) = (machine.path("asked"), machine.path(""));
    let (asked, root) = (asked.display(), root.display());
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo 'systemd {version} ({version}-1)' && exit\n\
         echo systemctl \"$@\" >> '{asked}'\n\
         for word in \"$@\"; do case $word in fieldpost-*)\n\
         ls {root}/etc/systemd/system/$word {root}/usr/lib/systemd/system/$word 2>/dev/null | grep -q . || exit 1\n\
         esac; done\n"
    );
    machine.script("systemctl", &script);
    let script = format!("#!/bin/sh\necho systemd-sysusers \"$@\" >> '{asked}'\n");
    machine.script("systemd-sysusers", &script);
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
    for unit in [
        "fieldpost-edge.socket",
        "fieldpost-edge-token.path",
        "fieldpost-edge.service",
    ] {
        machine.write(&format!("usr/lib/systemd/system/{unit}"), "[Unit]\n");
    }
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
async fn beside_the_central_service_the_program_is_its_packages_and_the_units_are_ours() {
    let machine = machine();
    machine.write(
        "usr/lib/systemd/system/fieldpost-central.service",
        "[Service]\n",
    );
    machine.write("usr/bin/fieldpost", "the package's");
    let (code, _, error) = machine.run(&install(&[]), "").await;
    assert_eq!(code, 0, "{error}");
    let unit = "etc/systemd/system/fieldpost-edge.service";
    assert!(machine.path(unit).exists());
    let (code, output, error) = machine.run(&["uninstall", "--purge"], "").await;
    assert_eq!(code, 0, "{error}");
    assert!(!machine.path(unit).exists());
    assert_eq!(machine.read("usr/bin/fieldpost"), "the package's");
    let central = "usr/lib/systemd/system/fieldpost-central.service";
    assert!(machine.path(central).exists());
    assert!(output.contains("belongs to fieldpost-central"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_was_interrupted_is_finished_by_another() {
    let machine = machine();
    assert_eq!(machine.run(&install(&[]), "").await.0, 0);
    // As if it had ended here: systemd knows two of the units no more.
    for unit in ["fieldpost-edge.socket", "fieldpost-edge.service"] {
        let unit = machine.path(&format!("etc/systemd/system/{unit}"));
        fs::remove_file(unit).expect("it was there");
    }
    for _ in 0..2 {
        let (code, output, error) = machine.run(&["uninstall"], "").await;
        assert_eq!(code, 0, "{output}{error}");
    }
    assert!(!machine.path("usr/bin/fieldpost").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_systemd_without_credentials_gets_a_token_that_the_service_reads() {
    let machine = with_systemd(239);
    machine.write("etc/group", "root:x:0:\nfieldpost:x:12345:\n");
    let arguments = install(&["--token-stdin"]);
    for _ in 0..2 {
        let (code, _, error) = machine.run(&arguments, "a-token").await;
        assert_eq!(code, 0, "{error}");
        let token = machine.path("etc/fieldpost/token").metadata();
        let token = token.expect("it is written");
        assert_eq!(
            (token.mode() & 0o777, token.uid(), token.gid()),
            (0o640, 0, 12345)
        );
    }
    let (_, output, _) = machine
        .run(&["install", "--token-stdin", "--dry-run"], "a-token")
        .await;
    let done = "token, for its owner and the service";
    let line = output.lines().find(|line| line.contains(done));
    assert!(
        line.is_some_and(|line| line.starts_with("done already")),
        "{output}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_companys_exceptions_from_its_proxy_are_kept() {
    let machine = machine();
    let policy = "etc/claude-code/managed-settings.d/10-fieldpost.json";
    let company = serde_json::json!({"env": {"NO_PROXY": ".corp.example.com, 10.0.0.0/8"}});
    machine.write(
        "etc/claude-code/managed-settings.json",
        &company.to_string(),
    );
    machine.write(
        "etc/environment",
        "LANG=C\nno_proxy=\"localhost,.corp.example.com,.test\"\n",
    );
    let exceptions = || {
        let settings: Value = serde_json::from_str(&machine.read(policy)).expect("JSON");
        settings["env"]["NO_PROXY"]
            .as_str()
            .expect("text")
            .to_owned()
    };
    let arguments = install(&["--configure-claude"]);
    for _ in 0..2 {
        assert_eq!(machine.run(&arguments, "").await.0, 0);
        assert_eq!(
            exceptions(),
            ".corp.example.com,10.0.0.0/8,.test,127.0.0.1,localhost,::1"
        );
    }
    let given = install(&["--configure-claude", "--no-proxy", ".other.example.com"]);
    assert_eq!(machine.run(&given, "").await.0, 0);
    assert_eq!(exceptions(), ".other.example.com,127.0.0.1,localhost,::1");
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
