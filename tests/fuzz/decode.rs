//! `tests/fuzz/run decode`.
#![no_main]

mod decode_invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| decode_invariants::check(data));
