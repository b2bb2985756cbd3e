//! HTTP below the routes: connections with limits and graceful drain, bounded bodies, and the part of
//! OTLP/HTTP that both halves share.

mod server;
mod body;
#[cfg(any(feature = "edge", feature = "central"))]
pub mod client;
pub mod otlp;

pub use body::{BodyError, BodyLimits, discard_body, read_body};
pub use server::{Accepted, Limits, Listener, Tcp, serve, serve_connections};
