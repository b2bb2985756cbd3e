//! TLS on top of TCP, with a certificate that can be replaced while it is in use.
//!
//! Connections that are open keep what they began with. ALPN offers HTTP/2 before HTTP/1.1.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::reload::Swap;
use crate::secret::{self, SecretFileError};

use super::server::{Accepted, Listener};

/// Where a certificate and its key are kept, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate, followed by those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key: PKCS #8, SEC 1 or PKCS #1.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The certificate's file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key's file cannot be taken.
    #[error(transparent)]
    Key(#[from] SecretFileError),
    /// A file is not what it should be.
    #[error("{path} holds no usable {what} in PEM{more}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
        /// What is wrong with it, as far as that is no secret.
        more: String,
    },
    /// The two do not belong together.
    #[error("{certificate} and {key} do not belong together: {reason}")]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls said.
        reason: rustls::Error,
    },
}

impl IdentityFiles {
    /// Reads both.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub fn load(&self) -> Result<Identity, IdentityError> {
        let chain = read_chain(&self.certificate)?;
        let key = read_key(&self.key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|reason| IdentityError::Mismatch {
                certificate: self.certificate.clone(),
                key: self.key.clone(),
                reason,
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Identity(TlsAcceptor::from(Arc::new(config))))
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let text = std::fs::read(path).map_err(|source| IdentityError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let malformed = |more: String| IdentityError::Malformed {
        path: path.to_owned(),
        what: "certificate",
        more,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, pem::Error>>()
        .map_err(|error| malformed(format!(": {error}")))?;
    match chain.is_empty() {
        true => Err(malformed(String::new())),
        false => Ok(chain),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    let text = secret::read_file(path)?;
    // The error could quote the file.
    PrivateKeyDer::from_pem_slice(text.expose().as_bytes()).map_err(|_| IdentityError::Malformed {
        path: path.to_owned(),
        what: "private key",
        more: String::new(),
    })
}

/// A certificate with its key, ready to be shown.
pub struct Identity(TlsAcceptor);

/// Connections of another listener, secured. Clients may begin to speak when the handshake is done,
/// which happens in each connection's own time.
pub struct Tls<L> {
    inner: L,
    identity: Arc<Swap<Identity>>,
}

impl<L> Tls<L> {
    /// Secures the connections of `inner` with the identity that is in force when each is accepted.
    pub fn new(inner: L, identity: Arc<Swap<Identity>>) -> Tls<L> {
        Tls { inner, identity }
    }
}

impl<L> Listener for Tls<L>
where
    L: Listener<Stream = TcpStream, Opening = std::future::Ready<io::Result<TcpStream>>> + Sync,
{
    type Stream = TlsStream<TcpStream>;
    type Peer = L::Peer;
    type Opening = Opening;

    async fn accept(&self) -> io::Result<Accepted<Opening, L::Peer>> {
        let Accepted {
            opening,
            peer,
            extensions,
        } = self.inner.accept().await?;
        let stream = opening.into_inner()?;
        Ok(Accepted {
            opening: self.identity.load().0.accept(stream),
            peer,
            extensions,
        })
    }
}

/// A handshake under way.
type Opening = Accept<TcpStream>;
