//! The invariants that `tests/fuzz` searches breaches of, on its corpus and on text that is made up here, the same each
//! time.
#[path = "../fuzz/invariants.rs"]
mod invariants;

use std::fs;
use std::sync::OnceLock;

use fieldpost::edge::redact::{PiiKind, Redactor};
use proptest::prelude::*;

use super::properties::{cases, nasty_json, nasty_text};
use super::redactor;

fn with_personal_data() -> &'static Redactor {
    static REDACTOR: OnceLock<Redactor> = OnceLock::new();
    REDACTOR.get_or_init(|| Redactor::builtin().with_pii(PiiKind::ALL))
}

#[test]
fn the_corpus_breaks_nothing() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/redact");
    let mut files = 0;
    for entry in fs::read_dir(corpus).expect("a corpus") {
        let data = fs::read(entry.expect("an entry").path()).expect("readable");
        invariants::check(redactor(), &data);
        invariants::check(with_personal_data(), &data);
        files += 1;
    }
    assert!(files >= 10, "only {files} files");
}

proptest! {
    #![proptest_config(cases(128, 4))]

    #[test]
    fn nasty_text_breaks_nothing(text in nasty_text(), document in nasty_json(1)) {
        for redactor in [redactor(), with_personal_data()] {
            invariants::check(redactor, text.as_bytes());
            invariants::check(redactor, document.to_string().as_bytes());
        }
    }
}
