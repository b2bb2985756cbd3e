//! `RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz decode` (after `cargo install cargo-fuzz`).
#![no_main]

mod decode_invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| decode_invariants::check(data));
