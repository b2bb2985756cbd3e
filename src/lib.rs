//! fieldpost: see, completely and truthfully, what Claude does on your people's machines.
//!
//! Two halves over one ground. [`edge`] runs on each machine: it receives Claude's OpenTelemetry
//! records, enriches and redacts them, keeps them on disk and forwards them. [`central`] runs once: it
//! authenticates what arrives, stores each record exactly once, materializes the inventory and shows
//! it. The path of a record, file by file, is in the README.
//!
//! What must stay absent:
//! - `edge` and `central` never import each other; only `dev` and the command line know both.
//! - Only `edge/queue` names sled, only `edge/retry.rs` names backoff.
//! - Nothing reaches `edge/queue` but the type `Redacted`, which only `edge/redact.rs` makes.
//! - [`event`] and [`otlp`] open no socket, read no file and know no runtime.

pub mod event;
pub mod otlp;
pub mod http;
pub mod config;
pub mod words;
#[cfg(feature = "edge")]
pub mod reload;
pub mod secret;
pub mod rate;
pub mod shutdown;
pub mod supervisor;
pub mod logging;
pub mod rollout;
#[cfg(feature = "edge")]
pub mod edge;
#[cfg(feature = "central")]
pub mod central;
#[cfg(all(feature = "edge", feature = "central"))]
pub mod dev;
