//! TLS under control: an authority of the test's own, certificates, and a listener that shows them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
    is_late: bool,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than those it signs, which would seem to have signed themselves.
        let name = "An authority of the tests";
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("it signs itself");
        Authority {
            issuer: Issuer::new(params, key),
            certificate,
            is_late: false,
        }
    }

    /// The same authority, whose certificates have expired when they are made.
    pub(crate) fn late(self) -> Authority {
        Authority {
            is_late: true,
            ..self
        }
    }

    /// Writes its own certificate to a file in `directory`.
    pub(crate) fn write(&self, directory: &Path) -> PathBuf {
        let file = directory.join("authority.pem");
        std::fs::write(&file, self.certificate.pem()).expect("the directory is writable");
        file
    }

    /// Writes a certificate for `name` and its key to files in `directory`.
    pub(crate) fn write_identity(&self, name: &str, directory: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.sign(name);
        let files = (directory.join("client.pem"), directory.join("client.key"));
        std::fs::write(&files.0, certificate.pem()).expect("the directory is writable");
        fieldpost::secret::write_file(&files.1, &key.serialize_pem())
            .expect("the directory is writable");
        files
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        if self.is_late {
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.issuer).expect("it signs");
        (certificate, key)
    }
}

/// Accepts TLS connections; those that fail their handshake are passed over.
pub(crate) struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl TlsListener {
    /// Listens on a free port as `name`, signed by `authority`. Asks clients for a certificate by
    /// `clients`, when there is one.
    pub(crate) async fn bind(
        name: &str,
        authority: &Authority,
        clients: Option<&Authority>,
    ) -> TlsListener {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring knows the usual versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots
                    .add(clients.certificate.der().clone())
                    .expect("a certificate");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .expect("a verifier");
                builder.with_client_cert_verifier(verifier)
            }
        };
        let (certificate, key) = authority.sign(name);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = builder
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate and its key");
        TlsListener {
            listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .expect("a free port"),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a bound address")
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = self.listener.accept().await.expect("connections come");
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
