//! Somebody at a real browser: scripts of `tests/browser`, which drive Chromium.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::browser::Browser;
use super::clients::installed;
use super::process;

const LIMIT: Duration = Duration::from_secs(400);

/// Runs a script as whoever is signed in here; `asked` is what it is told besides. Gives what it printed.
pub(crate) async fn run(script: &str, browser: &Browser, mut asked: Value) -> String {
    asked["address"] = browser.url.trim_start_matches("http://").into();
    asked["cookie"] = browser.cookie.clone().into();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let home = tempfile::tempdir().expect("a directory for the profile");
    let mut command = process::command("node");
    command
        .arg(scripts.join(script))
        .current_dir(installed(""))
        .env("HOME", home.path());
    let output = process::run(command, &asked.to_string(), LIMIT).await;
    output.expect_success().stdout
}
