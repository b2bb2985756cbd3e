//! `RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz redact` (after `cargo install cargo-fuzz`).
#![no_main]

mod invariants;

use std::sync::LazyLock;

use fieldpost::edge::redact::{PiiKind, Redactor};
use libfuzzer_sys::fuzz_target;

static REDACTORS: LazyLock<[Redactor; 2]> = LazyLock::new(|| {
    [Redactor::builtin(), Redactor::builtin().with_pii(PiiKind::ALL)]
});

fuzz_target!(|data: &[u8]| {
    REDACTORS.iter().for_each(|redactor| invariants::check(redactor, data));
});
