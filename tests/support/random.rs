//! Chance that is the same in every run.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

/// Numbers without a pattern, the same in every run.
pub(crate) struct Random(AtomicU64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(AtomicU64::new(seed))
    }

    pub(crate) fn next(&self) -> u64 {
        let step = |state: u64| {
            state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407)
        };
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
                Some(step(state))
            });
        step(before.expect("always some")) >> 33
    }
}

/// So many cases, the same each time, so that a test fails for a change alone. `PROPTEST_CASES` makes a long run of
/// other cases each time: `PROPTEST_CASES=100000 tests/run redaction::properties`.
pub(crate) fn cases(cases: u32, seed: u64) -> ProptestConfig {
    let long = std::env::var("PROPTEST_CASES").ok();
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    match long.and_then(|number| number.parse().ok()) {
        Some(cases) => ProptestConfig { cases, ..config },
        None => ProptestConfig {
            cases,
            rng_seed: RngSeed::Fixed(seed),
            ..config
        },
    }
}
