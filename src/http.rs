//! HTTP below the routes: connections with limits and graceful drain, bounded bodies, and the part of
//! OTLP/HTTP that both halves share.

mod server;
mod idle;
#[cfg(feature = "central")]
pub mod tls;
mod body;
mod admission;
#[cfg(any(feature = "edge", feature = "central"))]
pub mod client;
pub mod otlp;
#[cfg(feature = "central")]
pub mod grpc;

pub use admission::{Admission, Reservation, Small};
pub use body::{BodyError, BodyLimits, discard_body, read_body};
#[cfg(feature = "central")]
pub use server::listen;
pub use server::{Accepted, Http2, Limits, Listener, Tcp, serve, serve_connections};
