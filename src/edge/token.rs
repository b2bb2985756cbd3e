//! The upstream's bearer token: read from its file, and read again when the file changes.

use std::path::{Path, PathBuf};

use crate::reload::FileWatch;
use crate::secret::{self, Secret};

/// Where the token comes from, and the token as last read.
pub(super) enum Token {
    /// The upstream asks for none.
    NotNeeded,
    /// It stands in a file.
    File {
        path: PathBuf,
        token: Option<Secret>,
        watch: FileWatch,
    },
}

impl Token {
    /// Begins to watch `path` and reads the token, which may come later.
    ///
    /// # Errors
    /// When the file's directory cannot be watched.
    pub(super) fn new(path: Option<&Path>) -> anyhow::Result<Token> {
        let Some(path) = path else {
            return Ok(Token::NotNeeded);
        };
        let watch = FileWatch::new(path).map_err(|error| {
            anyhow::anyhow!(
                "cannot watch the folder of the token {}: {error}",
                path.display()
            )
        })?;
        let mut token = Token::File {
            path: path.to_owned(),
            token: None,
            watch,
        };
        token.read();
        Ok(token)
    }

    /// Reads the file again. A file that cannot be read leaves no token: the old one may be revoked.
    pub(super) fn read(&mut self) {
        if let Token::File { path, token, .. } = self {
            *token = match secret::read_file(path) {
                Ok(read) => Some(without_scheme(&read)),
                Err(error) => {
                    tracing::warn!(%error, "no token: records wait on disk until there is one");
                    None
                }
            };
        }
    }

    /// The `Authorization` header.
    pub(super) fn header(&self) -> Header {
        match self {
            Token::NotNeeded => Header::None,
            Token::File {
                token: Some(token), ..
            } => Header::Bearer(Secret::new(format!("Bearer {}", token.expose()))),
            Token::File { token: None, .. } => Header::Missing,
        }
    }

    /// Ends when the file has changed; never for an upstream without a token.
    pub(super) async fn changed(&mut self) {
        match self {
            Token::NotNeeded => std::future::pending().await,
            Token::File { watch, .. } => watch.changed().await,
        }
    }
}

/// The token itself: people paste the whole header that the portal shows, `Bearer <token>`.
fn without_scheme(read: &Secret) -> Secret {
    let text = read.expose();
    let token = text.strip_prefix("Bearer ").unwrap_or(text).trim();
    Secret::new(token)
}

/// What to send as `Authorization`.
pub(super) enum Header {
    /// Nothing.
    None,
    /// This.
    Bearer(Secret),
    /// There should be a token and is none: sending would be refused.
    Missing,
}
