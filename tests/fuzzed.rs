//! The invariants of decoding and of tokens that `tests/fuzz` searches breaches of, on its corpus and on
//! what is made up here, the same each time.

#[path = "fuzz/decode_invariants.rs"]
mod decode_invariants;
#[path = "fuzz/token_invariants.rs"]
mod token_invariants;

use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::random::cases;
use crate::support::wire;

/// The files of one target's corpus.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = format!("{}/tests/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(folder).expect("a corpus");
    let files: Vec<_> = entries
        .map(|entry| fs::read(entry.expect("an entry").path()).expect("readable"))
        .collect();
    assert!(files.len() >= 10, "only {} files", files.len());
    files
}

/// `data` with some of its bytes changed, and cut off.
fn damaged(mut data: Vec<u8>, changes: &[(u16, u8)], end: u16) -> Vec<u8> {
    for (at, byte) in changes {
        let at = usize::from(*at) * data.len() / (1 << 16);
        if let Some(changed) = data.get_mut(at) {
            *changed = *byte;
        }
    }
    data.truncate(usize::from(end) * (data.len() + 1) / (1 << 16));
    data
}

#[test]
fn the_corpora_break_nothing() {
    for data in corpus("decode") {
        decode_invariants::check(&data);
    }
    let world = token_invariants::World::new();
    for data in corpus("token") {
        world.check(&data);
    }
}

#[test]
fn captured_requests_break_nothing_whole_and_cut() {
    for capture in wire::all() {
        decode_invariants::check(&capture.body);
        let middle = capture.body.len() / 2;
        decode_invariants::check(&capture.body[..middle]);
    }
}

proptest! {
    #![proptest_config(cases(256, 8))]

    #[test]
    fn damaged_bodies_break_nothing(
        pick in any::<prop::sample::Index>(),
        changes in vec(any::<(u16, u8)>(), 0..4),
        end in (1_u16 << 13)..,
    ) {
        let corpus = corpus("decode");
        let data = pick.get(&corpus).clone();
        decode_invariants::check(&damaged(data, &changes, end));
    }

    #[test]
    fn made_up_tokens_break_nothing(data in vec(any::<u8>(), 0..80)) {
        token_invariants::World::new().check(&data);
    }
}
