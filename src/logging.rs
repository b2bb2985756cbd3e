//! What the program says about itself: on standard error or in a file, never a record's content, never
//! a token.
//!
//! Errors of others (an upstream, a library, a panic) may quote what they were given. So each line goes
//! through a filter before it is written, once there is one: [`clean_with`] is given the redaction that
//! is in force.

mod file;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tracing_subscriber::EnvFilter;

use file::LogFile;

/// Takes secrets out of a text.
type Filter = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// The subscriber is one for the whole process, and so is its filter.
static FILTER: RwLock<Option<Filter>> = RwLock::new(None);

/// Where lines go, if not to standard error.
static FILE: Mutex<Option<LogFile>> = Mutex::new(None);

/// Stands for a line that the filter could not take.
const WITHHELD: &str = "a line was withheld: what it says could not be searched for secrets";

thread_local! {
    /// The filter is at work, and whatever it says itself cannot be filtered.
    static IS_FILTERING: Cell<bool> = const { Cell::new(false) };
}

/// Starts logging. `FIELDPOST_LOG` filters as `tracing-subscriber` describes (default `info`);
/// `FIELDPOST_LOG_FORMAT=json` writes one object per line. Panics are logged like any error.
pub fn start() {
    let filter = EnvFilter::try_from_env("FIELDPOST_LOG").unwrap_or_else(|_| {
        // What these say at info, nobody who runs this needs.
        EnvFilter::new("info,sled=warn,refinery_core=warn")
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| CleanLines)
        // Colors would stand between a key and its value, where the filter looks for a sign.
        .with_ansi(false);
    // A second start within one process (tests) keeps the first subscriber.
    let _ = match std::env::var("FIELDPOST_LOG_FORMAT").as_deref() {
        Ok("json") => builder.json().try_init(),
        _ => builder.with_target(false).try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        let words = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string);
        let place = place.unwrap_or_default();
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => tracing::error!(place, "panicked: {words}\n{backtrace}"),
            _ => tracing::error!(place, "panicked: {words}"),
        }
    }));
}

/// Everything that is said from now on goes to the end of this file. It may be renamed at any time, as
/// newsyslog and logrotate do: the next line begins a new one.
///
/// # Errors
/// When it cannot be opened.
pub fn write_to(path: &Path) -> io::Result<()> {
    let file = LogFile::open(path)?;
    *FILE.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    Ok(())
}

/// Everything that is said from now on goes through `filter`.
pub fn clean_with(filter: impl Fn(&str) -> String + Send + Sync + 'static) {
    *FILTER.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(filter));
}

/// What others said, as it may be shown and kept. The same text until there is a filter.
pub fn clean(text: &str) -> String {
    let filter = FILTER.read().unwrap_or_else(PoisonError::into_inner);
    let Some(filter) = filter.clone() else {
        return text.to_owned();
    };
    if IS_FILTERING.replace(true) {
        return WITHHELD.to_owned();
    }
    let cleaned = catch_unwind(AssertUnwindSafe(|| filter(text)));
    IS_FILTERING.set(false);
    cleaned.unwrap_or_else(|_| WITHHELD.to_owned())
}

/// Standard error or the file, filtered. The subscriber writes each event in one call.
struct CleanLines;

impl Write for CleanLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = format!("{}\n", clean(line));
        let mut file = FILE.lock().unwrap_or_else(PoisonError::into_inner);
        let is_kept = match &mut *file {
            Some(file) => file.write(line.as_bytes()).is_ok(),
            None => false,
        };
        if !is_kept {
            io::stderr().write_all(line.as_bytes())?;
        }
        Ok(bytes.len())
    }

    /// Nothing is held back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
