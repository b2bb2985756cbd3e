//! No secret gets past redaction, and nothing else changes.
//!
//! Secrets in these tests are made up, and put together when a test runs: no scanner of this source finds one.
mod rules;
mod notations;
mod requests;
mod own;
mod policy;
mod daemon;
mod stream;
mod personal;
mod properties;
mod fuzz;
mod world;

use std::sync::OnceLock;

use fieldpost::edge::redact::Redactor;

/// The built-in rules, compiled once for all tests.
fn redactor() -> &'static Redactor {
    static REDACTOR: OnceLock<Redactor> = OnceLock::new();
    REDACTOR.get_or_init(Redactor::builtin)
}

fn redact(text: &str) -> String {
    redactor().redact_text(text).0.into_owned()
}
