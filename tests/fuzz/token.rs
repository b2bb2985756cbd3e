//! `tests/fuzz/run token`.
#![no_main]

mod token_invariants;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static WORLD: LazyLock<token_invariants::World> = LazyLock::new(token_invariants::World::new);

fuzz_target!(|data: &[u8]| WORLD.check(data));
