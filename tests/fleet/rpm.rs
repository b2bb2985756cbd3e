//! The rpm packages, as rpm reads them and lays them down in a root of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::packages::{build, files, folder, run};

#[tokio::test(flavor = "multi_thread")]
async fn rpm_packages_leave_the_socket_alone_and_keep_configuration() {
    let (packages, root) = (folder(), folder());
    build("edge", "rpm", "0.1.0", packages.path()).await;
    build("edge", "rpm", "0.1.1", packages.path()).await;
    let rpms = files(packages.path(), ".rpm");
    let scripts = run("rpm", &["-qp", "--scripts"], &rpms[..1])
        .await
        .expect_success()
        .stdout;
    let (before, after) = scripts.split_once("postuninstall").expect("there is one");
    assert!(
        after.contains("try-restart fieldpost-edge.service") && !after.contains(".socket"),
        "{after}"
    );
    assert!(
        before.contains("[ \"$1\" = 0 ]"),
        "only a removal stops: {before}"
    );
    let flags = "[%{FILENAMES} %{FILEFLAGS:fflags}\n]";
    let flags = run("rpm", &["-qp", "--qf", flags], &rpms[..1])
        .await
        .expect_success()
        .stdout;
    for kept in ["/etc/fieldpost/edge.toml cng", "/etc/fieldpost/token cng"] {
        let is_there = flags.lines().any(|line| line == kept);
        assert!(is_there, "{kept}:\n{flags}");
    }

    let in_root = root.path().display().to_string();
    let rpm = async |arguments: &[&str], files: &[PathBuf]| {
        let mut all = vec!["--root", in_root.as_str()];
        all.extend(arguments);
        run("rpm", &all, files).await.expect_success().stdout
    };
    let alone = ["--noscripts", "--nodeps"];
    let [install, upgrade] = ["-i", "-U"].map(|mode| [&[mode, "--ignoreos"], &alone[..]].concat());
    rpm(&install, &rpms[..1]).await;
    let config = root.path().join("etc/fieldpost/edge.toml");
    fs::write(&config, "# mine\n").expect("a file");
    rpm(&upgrade, &rpms[1..]).await;
    assert_eq!(
        fs::read_to_string(&config).expect("it is there"),
        "# mine\n"
    );
    assert!(rpm(&["-q", "fieldpost-edge"], &[]).await.contains("0.1.1"));
    // A token for the group of the service as well is as good as one for root alone.
    let token = root.path().join("etc/fieldpost/token");
    fs::write(&token, "a-token\n").expect("a file");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o640)).expect("its mode is ours");
    let verified = rpm(&["-V", "--nodeps", "fieldpost-edge"], &[]).await;
    assert!(!verified.contains("token"), "{verified}");
    rpm(&["-e", "--noscripts", "--nodeps", "fieldpost-edge"], &[]).await;
    assert!(!root.path().join("usr/bin/fieldpost").exists());
    for (kept, text) in [(&config, "# mine\n"), (&token, "a-token\n")] {
        let found = fs::read_to_string(kept).unwrap_or_default();
        assert_eq!(found, text, "{}", kept.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_central_services_rpm_takes_no_edges_place_by_itself() {
    let packages = folder();
    build("central", "rpm", "0.1.1", packages.path()).await;
    build("edge", "rpm", "0.1.0", packages.path()).await;
    let query = async |name: &str, arguments: &[&str]| {
        let arguments = [&["-qp"], arguments].concat();
        let rpms = files(packages.path(), ".rpm").into_iter();
        let rpms: Vec<PathBuf> = rpms
            .filter(|rpm| rpm.display().to_string().contains(name))
            .collect();
        run("rpm", &arguments, &rpms).await.expect_success().stdout
    };
    // dnf would take it as the successor of every older edge, and put a server on each machine.
    assert_eq!(query("fieldpost-central", &["--obsoletes"]).await, "");
    let conflicts = query("fieldpost-central", &["--conflicts"]).await;
    assert_eq!(conflicts, "fieldpost-edge\n");
    assert_eq!(
        query("fieldpost-edge", &["--conflicts"]).await,
        "fieldpost-central\n"
    );
    let listed = query("fieldpost-central", &["--list"]).await;
    for file in [
        "/usr/bin/fieldpost",
        "/usr/lib/systemd/system/fieldpost-central.service",
        "/usr/lib/systemd/system/fieldpost-central.socket",
        "/etc/fieldpost/central.toml",
    ] {
        assert!(listed.lines().any(|line| line == file), "{file}:\n{listed}");
    }
    assert!(!listed.contains("fieldpost-edge"), "{listed}");
    let scripts = query("fieldpost-central", &["--scripts"]).await;
    let (before, after) = scripts.split_once("postuninstall").expect("there is one");
    assert!(
        before.contains("[ \"$1\" = 0 ]"),
        "only a removal stops: {before}"
    );
    assert!(
        after.contains("try-restart fieldpost-central.service"),
        "{after}"
    );
}
