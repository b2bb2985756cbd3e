//! The socket itself.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};

use anyhow::Context;
use axum::http::Extensions;
use tokio::net::{UnixListener, UnixStream};

use crate::http::{Accepted, Listener};

use super::access::Peer;

/// A listening socket, whose file goes with it.
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode, to remove no other's file.
    identity: (u64, u64),
}

impl Socket {
    /// Listens at `path`, in place of what an edge that was killed left there. Everybody may
    /// connect; `access` says who may do what.
    ///
    /// # Errors
    /// When an edge answers there, or something else stands there.
    pub(super) fn bind(path: &Path) -> anyhow::Result<Socket> {
        let shown = path.display();
        if let Some(folder) = path.parent() {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o755).create(folder)?;
        }
        make_way(path)?;
        // It gets its name when it is ready, and takes a stale one's in the same moment.
        let beside = path.with_extension("new");
        let _ = fs::remove_file(&beside);
        let listener = UnixListener::bind(&beside)
            .with_context(|| format!("cannot make the socket {}", beside.display()))?;
        let ready = fs::set_permissions(&beside, Permissions::from_mode(0o666))
            .and_then(|()| fs::rename(&beside, path))
            .and_then(|()| fs::symlink_metadata(path));
        let made = ready.with_context(|| format!("cannot make the socket {shown}"))?;
        Ok(Socket {
            listener,
            path: path.to_owned(),
            identity: (made.dev(), made.ino()),
        })
    }
}

/// Sees that `path` is free, or holds a socket at which nobody answers.
fn make_way(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.with_context(|| format!("cannot look at {shown}"))?,
    };
    anyhow::ensure!(
        found.file_type().is_socket(),
        "{shown} is there, and is no socket; it is left alone"
    );
    match net::UnixStream::connect(path) {
        Ok(_) => anyhow::bail!("another edge answers at {shown}"),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot tell who answers at {shown}")),
    }
}

impl Listener for Socket {
    type Stream = UnixStream;
    type Peer = Peer;
    type Opening = std::future::Ready<io::Result<UnixStream>>;

    async fn accept(&self) -> io::Result<Accepted<Self::Opening, Peer>> {
        let (stream, _) = self.listener.accept().await?;
        let credentials = stream.peer_cred()?;
        let peer = Peer {
            uid: credentials.uid(),
            gid: credentials.gid(),
        };
        let mut extensions = Extensions::new();
        extensions.insert(peer);
        Ok(Accepted {
            opening: std::future::ready(Ok(stream)),
            peer,
            extensions,
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket's file stays");
        }
    }
}
