//! The named pipe that stands for the socket on Windows.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use axum::http::Extensions;
use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};
use tokio::sync::Mutex;

use crate::http::{Accepted, Listener};

use super::access::Peer;

/// A pipe that clients can open.
pub(super) struct Socket {
    path: PathBuf,
    /// The instance that the next client gets.
    next: Mutex<NamedPipeServer>,
}

impl Socket {
    /// Makes the pipe `path`, such as `\\\\.\\pipe\\fieldpost-edge`. Its access list is the system's own for
    /// pipes: administrators, the system and this account may write.
    ///
    /// # Errors
    /// When another edge has made it.
    pub(super) fn bind(path: &Path) -> anyhow::Result<Socket> {
        let mut options = ServerOptions::new();
        let first = options.first_pipe_instance(true).create(path);
        let next = first.with_context(|| format!("cannot make the pipe {}", path.display()))?;
        Ok(Socket {
            path: path.to_owned(),
            next: Mutex::new(next),
        })
    }
}

impl Listener for Socket {
    type Stream = NamedPipeServer;
    type Peer = Peer;
    type Opening = std::future::Ready<io::Result<NamedPipeServer>>;

    async fn accept(&self) -> io::Result<Accepted<Self::Opening, Peer>> {
        let mut next = self.next.lock().await;
        next.connect().await?;
        // The next client finds an instance at once.
        let after = ServerOptions::new().create(&self.path)?;
        let stream = std::mem::replace(&mut *next, after);
        let mut extensions = Extensions::new();
        extensions.insert(Peer);
        Ok(Accepted {
            opening: std::future::ready(Ok(stream)),
            peer: Peer,
            extensions,
        })
    }
}
