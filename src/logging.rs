//! What the program says about itself: on standard error, never a record's content, never a token.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging. `FIELDPOST_LOG` filters as `tracing-subscriber` describes (default `info`);
/// `FIELDPOST_LOG_FORMAT=json` writes one object per line.
pub fn start() {
    let filter = EnvFilter::try_from_env("FIELDPOST_LOG").unwrap_or_else(|_| {
        // What these say at info, nobody who runs this needs.
        EnvFilter::new("info,sled=warn,refinery_core=warn")
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start within one process (tests) keeps the first subscriber.
    let _ = match std::env::var("FIELDPOST_LOG_FORMAT").as_deref() {
        Ok("json") => builder.json().try_init(),
        _ => builder.with_target(false).try_init(),
    };
}
