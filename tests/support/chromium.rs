//! Pages as a real browser sees them.

use std::path::Path;
use std::time::Duration;

use super::process::{self, Output};

const CHROMIUM: &str = "/usr/bin/chromium";
const LIMIT: Duration = Duration::from_secs(60);

/// The page at `url` as HTML, after it has loaded and its scripts have run.
pub(crate) async fn dump_dom(url: &str) -> String {
    run(&["--dump-dom", url]).await.stdout
}

/// The same after so many milliseconds of the page's own time, for pages that go on to others by themselves.
pub(crate) async fn dump_dom_after(url: &str, milliseconds: u32) -> String {
    let budget = format!("--virtual-time-budget={milliseconds}");
    run(&["--dump-dom", &budget, url]).await.stdout
}

/// Writes a picture of the page at `url` to `path` (PNG), seen through a window of the given size
/// in pixels.
pub(crate) async fn screenshot(url: &str, path: &Path, width: u32, height: u32) {
    let picture = format!("--screenshot={}", path.display());
    let window = format!("--window-size={width},{height}");
    let output = run(&["--hide-scrollbars", &picture, &window, url]).await;
    assert!(path.exists(), "Chromium took no picture: {output:#?}");
}

async fn run(arguments: &[&str]) -> Output {
    assert!(
        Path::new(CHROMIUM).exists(),
        "install Debian's package chromium or run tests/run --install"
    );
    let profile = tempfile::tempdir().expect("a directory for the profile");
    let mut command = process::command(CHROMIUM);
    command
        .env("HOME", profile.path())
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments);
    process::run(command, "", LIMIT).await.expect_success()
}
