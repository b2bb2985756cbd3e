//! `tests/fuzz/run redact`: secrets alone, with personal data, and with hashes in their place.
#![no_main]

mod invariants;

use std::sync::LazyLock;

use fieldpost::edge::redact::{PiiKind, Redactor};
use libfuzzer_sys::fuzz_target;

static REDACTORS: LazyLock<[Redactor; 3]> = LazyLock::new(|| {
    let all = || Redactor::builtin().with_pii(PiiKind::ALL);
    [Redactor::builtin(), all(), all().with_hash_key([7; 32])]
});

fuzz_target!(|data: &[u8]| {
    REDACTORS
        .iter()
        .for_each(|redactor| invariants::check(redactor, data));
});
