//! Libraries that are preloaded into a daemon, to show it another world or to watch it, built for the tests.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::process;

/// A library; its file goes with the value.
pub(crate) struct Preload(TempDir);

impl Preload {
    /// Compiles `source`, a file below `tests`.
    pub(crate) async fn build(source: &str) -> Preload {
        let preload = Preload(TempDir::new().expect("a temporary directory"));
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let mut compiler = process::command("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]);
        compiler.arg(preload.file()).arg(tests.join(source));
        let limit = std::time::Duration::from_secs(120);
        process::run(compiler, "", limit).await.expect_success();
        preload
    }

    /// The variable with which the dynamic linker loads it.
    pub(crate) fn variable(&self) -> (&'static str, PathBuf) {
        ("LD_PRELOAD", self.file())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("preload.so")
    }
}
