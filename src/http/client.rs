//! HTTP clients, all with the same TLS.

use reqwest::{Client, ClientBuilder};

/// A client to be set up: rustls with ring, which needs no C toolchain beyond a compiler, and the
/// system's roots.
pub fn builder() -> ClientBuilder {
    // A second call in one process finds the provider there, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
}
