//! launchd's files, as far as they can be looked at without a Mac.

use std::fs;
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
