//! What must stay absent, as `lib.rs` writes it down.

use std::fs;
use std::path::{Path, PathBuf};

/// Every source file below `folder`, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("text");
                files.push((path, text));
            }
        }
    }
    assert!(!files.is_empty(), "{folder} has sources");
    files
}

/// Asserts that `word` stands in no code (comments may speak of it) but that of `allowed` files.
fn only_in(folder: &str, word: &str, allowed: &[&str]) {
    for (path, text) in sources(folder) {
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let names_it = code.into_iter().any(|line| line.contains(word));
        let is_allowed = allowed
            .iter()
            .any(|allowed| path.to_string_lossy().contains(allowed));
        assert!(!names_it || is_allowed, "{} names {word}", path.display());
    }
}

#[test]
fn the_halves_never_import_each_other() {
    only_in("src/edge", "central::", &[]);
    only_in("src/central", "edge::", &[]);
    for ground in ["src/event", "src/otlp", "src/http"] {
        only_in(ground, "crate::edge", &[]);
        only_in(ground, "crate::central", &[]);
    }
}

#[test]
fn only_the_queue_names_sled_only_the_waits_backoff_and_only_the_store_its_databases() {
    only_in("src", "sled::", &["/edge/queue"]);
    only_in("src", "backoff::", &["/edge/retry.rs"]);
    only_in("src", "rusqlite", &["/central/store/sqlite"]);
    only_in("src", "tokio_postgres", &["/central/store/postgres"]);
}

#[test]
fn pure_modules_know_no_runtime_no_socket_and_no_file() {
    for folder in ["src/event", "src/otlp"] {
        for word in ["tokio", "hyper", "axum", "reqwest", "std::fs", "std::net"] {
            only_in(folder, word, &[]);
        }
    }
}

#[test]
fn the_visible_top_level_is_as_the_user_fixed_it() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "src",
        "tests",
        "packaging",
        "systemd",
        "launchd",
        "target",
    ];
    for entry in fs::read_dir(env!("CARGO_MANIFEST_DIR")).expect("a folder") {
        let name = entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned();
        assert!(
            name.starts_with('.') || allowed.contains(&name.as_str()),
            "{name}"
        );
    }
}
