//! The invariants that `tests/fuzz` searches breaches of, on its corpus and on text that is made up here, the same each
//! time.
#[path = "../fuzz/invariants.rs"]
mod invariants;

use std::fs;
use std::sync::OnceLock;

use fieldpost::edge::redact::{PiiKind, Redactor};
use proptest::prelude::*;

use super::properties::{nasty_json, nasty_text};
use super::redactor;
use crate::support::random::cases;

/// With personal data left alone, taken out, and told apart by hashes.
fn redactors() -> [&'static Redactor; 3] {
    static MORE: OnceLock<[Redactor; 2]> = OnceLock::new();
    let [personal, hashing] = MORE.get_or_init(|| {
        let all = || Redactor::builtin().with_pii(PiiKind::ALL);
        [all(), all().with_hash_key([7; 32])]
    });
    [redactor(), personal, hashing]
}

#[test]
fn the_corpus_breaks_nothing() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/redact");
    let mut files = 0;
    for entry in fs::read_dir(corpus).expect("a corpus") {
        let data = fs::read(entry.expect("an entry").path()).expect("readable");
        for redactor in redactors() {
            invariants::check(redactor, &data);
        }
        files += 1;
    }
    assert!(files >= 10, "only {files} files");
}

proptest! {
    #![proptest_config(cases(128, 4))]

    #[test]
    fn nasty_text_breaks_nothing(text in nasty_text(), document in nasty_json(1)) {
        for redactor in redactors() {
            invariants::check(redactor, text.as_bytes());
            invariants::check(redactor, document.to_string().as_bytes());
        }
    }
}
