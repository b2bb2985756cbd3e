//! The other end of the control socket, for the command line.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use axum::body::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
#[cfg(unix)]
use tokio::net::UnixStream;
#[cfg(windows)]
use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient};

pub use super::routes::{Flush, ParkedItem, ParkedItems, ParkedRecords, Segments};

/// Time until a pipe whose instances are all taken is tried again.
#[cfg(windows)]
const BUSY: std::time::Duration = std::time::Duration::from_millis(50);

/// Asks the edge that listens on a socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Why there is no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "no edge is running here: nobody answers at {}; start it with `fieldpost edge run`, or name \
         the socket of one that runs with --socket", .0.display()
    )]
    NotRunning(PathBuf),
    /// The socket's folder or the socket is closed to this account.
    #[error(
        "this account may not connect to {}; run the command as the edge's own account, or with sudo",
        .0.display()
    )]
    NotAllowed(PathBuf),
    /// The edge says why not.
    #[error("{0}")]
    Refused(String),
    /// The connection failed.
    #[error("the edge did not answer: {0}")]
    Broken(io::Error),
}

impl Client {
    /// For the edge that listens on `socket`.
    pub fn new(socket: PathBuf) -> Client {
        Client { socket }
    }

    /// Asks for something.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::GET, path).await
    }

    /// Has something done.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::POST, path).await
    }

    /// Has something forgotten.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::DELETE, path).await
    }

    /// Asks for lines that come as they happen.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn lines(&self, path: &str) -> Result<Lines, ClientError> {
        let response = self.send(Method::GET, path).await?;
        Ok(Lines {
            body: response.into_body(),
            read: Vec::new(),
        })
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, ClientError> {
        let response = self.send(method, path).await?;
        let body = response.into_body().collect().await.map_err(broken)?;
        serde_json::from_slice(&body.to_bytes()).map_err(broken)
    }

    async fn send(&self, method: Method, path: &str) -> Result<Response<Incoming>, ClientError> {
        let stream = connect(&self.socket).await;
        let stream = stream.map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                ClientError::NotRunning(self.socket.clone())
            }
            ErrorKind::PermissionDenied => ClientError::NotAllowed(self.socket.clone()),
            _ => ClientError::Broken(error),
        })?;
        let opened = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = opened.map_err(broken)?;
        // It ends with the answer's body; what goes wrong shows there.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "edge")
            .body(Empty::<Bytes>::new())
            .map_err(broken)?;
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.into_body().collect().await.map_err(broken)?;
        let said: Option<Said> = serde_json::from_slice(&body.to_bytes()).ok();
        let words = said.map_or_else(|| format!("the edge answered {status}"), |said| said.error);
        Err(ClientError::Refused(words))
    }
}

#[cfg(unix)]
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(socket).await
}

/// All instances of the pipe may be taken for a moment.
#[cfg(windows)]
async fn connect(pipe: &Path) -> io::Result<NamedPipeClient> {
    const ERROR_PIPE_BUSY: i32 = 231;
    loop {
        match ClientOptions::new().open(pipe) {
            Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY) => {
                tokio::time::sleep(BUSY).await;
            }
            opened => return opened,
        }
    }
}

#[derive(Deserialize)]
struct Said {
    error: String,
}

/// Lines as they come.
pub struct Lines {
    body: Incoming,
    read: Vec<u8>,
}

impl Lines {
    /// The next line that is not empty; `None` when the edge has stopped.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line[..end]).into_owned();
                if !line.is_empty() {
                    return Ok(Some(line));
                }
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    let frame = frame.map_err(broken)?;
                    self.read
                        .extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                }
            }
        }
    }
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
    ClientError::Broken(io::Error::other(error))
}
