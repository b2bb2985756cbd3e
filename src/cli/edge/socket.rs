//! Finds the running edge.

use std::path::PathBuf;

use clap::Args;
use fieldpost::config::read_file;
use fieldpost::edge::config::{Control, default_file, queue_directory};
use fieldpost::edge::control::client::Client;

/// Which edge is asked.
#[derive(Args)]
pub(in crate::cli) struct Socket {
    /// Control socket of the edge [default: control.socket of its configuration; without that
    /// /run/fieldpost/edge.sock for the daemon, and edge.sock beside the queue of any other].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Configuration file of the edge [default: /etc/fieldpost/edge.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Socket {
    /// The edge, which may not be running.
    ///
    /// A configuration with mistakes will do: the edge that runs has something to say about them.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let socket = match &self.socket {
            Some(socket) => socket.clone(),
            None => Control::find(&self.text()?, &crate::cli::variable).socket,
        };
        Ok(Client::new(socket))
    }

    /// The queue's directory, for when no edge is running. None where only the socket was named.
    pub(super) fn queue(&self) -> anyhow::Result<Option<PathBuf>> {
        if self.socket.is_some() {
            return Ok(None);
        }
        let text = self.text()?;
        Ok(Some(queue_directory(&text, &crate::cli::variable)))
    }

    fn text(&self) -> anyhow::Result<String> {
        let path = self
            .config
            .clone()
            .unwrap_or_else(|| default_file(&crate::cli::variable));
        Ok(read_file(&path, self.config.is_some())?)
    }
}
