//! The central service's configuration: one TOML file, every key with a default.

mod oidc;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Mistakes, Reader, Setting};
use crate::http::tls::IdentityFiles;
use crate::http::{Http2, Limits};
use crate::secret::{self, Secret};

use super::keys::KeySource;
use super::people::{Clock, SessionLimits};
use super::store::{Location, PostgresConnection};

pub use oidc::{ClientSecret, Oidc};

/// Requests a second that one token may send unless configured otherwise: a fleet shares a token, and
/// comes back all at once after an outage.
const DEFAULT_REQUESTS_PER_SECOND: u32 = 2_000;

/// Requests a second to the API that one key or one person may send unless configured otherwise.
const DEFAULT_API_REQUESTS_PER_SECOND: u32 = 200;

/// Bytes of one HTTP/2 connection that may wait to be read.
const HTTP2_WINDOW: u32 = 256 << 10;

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    pub address: SocketAddr,
    /// The address that clients use, when it is not the one listened on.
    pub public_url: Option<String>,
    /// The certificate to show; `None` where a proxy ends TLS, or nobody needs it.
    pub tls: Option<IdentityFiles>,
    /// Directory with the database and the keys.
    pub data: PathBuf,
    /// Where the store is.
    pub database: Location,
    /// The service's own secrets, where they are not in the data directory.
    pub keys: Keys,
    /// What connections may hold open.
    pub limits: Limits,
    /// Largest body in bytes, before and after inflating.
    pub max_body: usize,
    /// Time for a body to arrive.
    pub body_timeout: Duration,
    /// What a token may send, and what all of them together may have in memory.
    pub ingest: Ingest,
    /// Requests a second to the API that one key or one person may send; more are answered with 429.
    pub api_requests_per_second: u32,
    /// When people's sessions end by themselves.
    pub sessions: SessionLimits,
    /// Whether passwords let people in.
    pub has_passwords: bool,
    /// The provider that people sign in through.
    pub oidc: Option<Oidc>,
    /// What time it is.
    pub clock: Clock,
}

/// Where the service's own secrets are. Replicas of one service have the same.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// What signs and verifies tokens.
    pub signing: Option<KeySource>,
    /// What record identities are derived with.
    pub identity: Option<IdentityKey>,
}

/// Where the key of record identities comes from.
#[derive(Clone, Debug)]
pub enum IdentityKey {
    /// A file, made when it does not exist.
    File(PathBuf),
    /// 64 hexadecimal digits.
    Variable(Secret),
}

impl Keys {
    /// Where the signing keys are.
    pub(super) fn signing(&self, data: &Path) -> KeySource {
        let in_data = || KeySource::File(data.join("signing-keys.json"));
        self.signing.clone().unwrap_or_else(in_data)
    }

    /// The key of record identities.
    ///
    /// # Errors
    /// When it cannot be read, or made.
    pub(super) fn identity(&self, data: &Path) -> std::io::Result<[u8; 32]> {
        match &self.identity {
            None => secret::key_file(&data.join("identity.key")),
            Some(IdentityKey::File(file)) => secret::key_file(file),
            Some(IdentityKey::Variable(digits)) => {
                secret::parse_key(digits.expose()).ok_or_else(|| {
                    std::io::Error::other(
                        "FIELDPOST_IDENTITY_KEY does not hold 64 hexadecimal digits",
                    )
                })
            }
        }
    }
}

/// Bounds of what comes in.
#[derive(Clone, Copy, Debug)]
pub struct Ingest {
    /// Requests a second that one token may send; more are answered with 429.
    pub requests_per_second: u32,
    /// Bytes a second, after inflating, that one token may send; more are answered with 429.
    pub bytes_per_second: u64,
    /// Bytes that requests may take in memory until they are stored; more are answered with 503.
    pub max_in_flight: usize,
    /// Largest record in bytes, as protobuf; a larger one is rejected, and the others stand.
    pub max_record: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            tls: None,
            data: PathBuf::from("/var/lib/fieldpost-central"),
            database: Location::DataDirectory,
            keys: Keys::default(),
            limits: Limits {
                connections: 4096,
                http2: Some(Http2 {
                    streams: 128,
                    window: HTTP2_WINDOW,
                }),
                ..Limits::default()
            },
            max_body: 64 << 20,
            body_timeout: Duration::from_secs(120),
            ingest: Ingest {
                requests_per_second: DEFAULT_REQUESTS_PER_SECOND,
                bytes_per_second: 256 << 20,
                max_in_flight: 128 << 20,
                max_record: 16 << 20,
            },
            api_requests_per_second: DEFAULT_API_REQUESTS_PER_SECOND,
            sessions: SessionLimits::default(),
            has_passwords: true,
            oidc: None,
            clock: Clock::default(),
        }
    }
}

impl Config {
    /// Reads a configuration file's text; `variable` looks up the environment.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(
        text: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, Mistakes> {
        let mut reader = Reader::parse(text, variable);
        let defaults = Config::default();
        let expected = "an address such as \"127.0.0.1:8080\" or \"0.0.0.0:8080\"";
        let config = Config {
            address: reader
                .parsed("listen.address", expected, |value| match value {
                    Setting::Text(text) => text.parse().ok(),
                    _ => None,
                })
                .unwrap_or(defaults.address),
            public_url: public_url(&mut reader),
            tls: tls(&mut reader),
            data: reader
                .text("data.directory")
                .map_or(defaults.data, PathBuf::from),
            database: database(&mut reader),
            keys: keys(&mut reader, variable),
            limits: limits(&mut reader, defaults.limits),
            max_body: size(&mut reader, "listen.max_body", defaults.max_body),
            body_timeout: time(&mut reader, "listen.body_timeout", defaults.body_timeout),
            ingest: ingest(&mut reader, defaults.ingest),
            api_requests_per_second: count(
                &mut reader,
                "api.requests_per_second",
                defaults.api_requests_per_second,
            ),
            sessions: SessionLimits {
                max_age: time(&mut reader, "sign_in.max_age", defaults.sessions.max_age),
                idle: time(&mut reader, "sign_in.idle", defaults.sessions.idle),
            },
            has_passwords: reader.flag("sign_in.passwords").unwrap_or(true),
            oidc: oidc::read(&mut reader, variable),
            clock: defaults.clock,
        };
        if !config.has_passwords && config.oidc.is_none() {
            let help = "without passwords, people sign in through a provider: set [oidc]";
            reader.wrong("sign_in.passwords", help);
        }
        reader.finish()?;
        Ok(config)
    }

    /// The address to show to clients, when the service listens on `address`.
    pub fn url(&self, address: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let url = self.public_url.clone();
        url.unwrap_or_else(|| format!("{scheme}://{address}"))
    }
}

fn public_url(reader: &mut Reader<'_>) -> Option<String> {
    let expected = "an address such as \"https://otel.example.com\"";
    reader.parsed("public_url", expected, |value| match value {
        Setting::Text(url) => {
            let rest = url
                .strip_prefix("https://")
                .or_else(|| url.strip_prefix("http://"))?;
            let is_plain = !rest.is_empty() && !rest.contains(['?', '#', '@', ' ']);
            is_plain.then(|| url.trim_end_matches('/').to_owned())
        }
        _ => None,
    })
}

fn tls(reader: &mut Reader<'_>) -> Option<IdentityFiles> {
    let certificate = reader.text("tls.certificate");
    let key = reader.text("tls.key");
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(IdentityFiles {
            certificate: PathBuf::from(certificate),
            key: PathBuf::from(key),
        }),
        (Some(_), None) => {
            reader.missing("tls.key", "the file with the certificate's private key");
            None
        }
        (None, Some(_)) => {
            reader.missing(
                "tls.certificate",
                "the file with the certificate and those that lead to its authority",
            );
            None
        }
        (None, None) => None,
    }
}

/// Secrets themselves stand in files or in the environment, never in the configuration.
fn keys(reader: &mut Reader<'_>, variable: &dyn Fn(&str) -> Option<String>) -> Keys {
    let signing_file = reader.text("keys.signing_file").map(PathBuf::from);
    let identity_file = reader.text("keys.identity_file").map(PathBuf::from);
    let secret = |name: &str| variable(name).map(Secret::new);
    Keys {
        signing: secret("FIELDPOST_SIGNING_KEYS")
            .map(KeySource::Variable)
            .or(signing_file.map(KeySource::File)),
        identity: secret("FIELDPOST_IDENTITY_KEY")
            .map(IdentityKey::Variable)
            .or(identity_file.map(IdentityKey::File)),
    }
}

fn limits(reader: &mut Reader<'_>, defaults: Limits) -> Limits {
    let streams = defaults.http2.map_or(1, |http2| http2.streams);
    Limits {
        connections: count(reader, "listen.max_connections", defaults.connections),
        header_bytes: size(reader, "listen.max_header", defaults.header_bytes),
        header_read: time(reader, "listen.header_timeout", defaults.header_read),
        last_request: Limits::default().last_request,
        drain: time(reader, "listen.drain_timeout", defaults.drain),
        http2: Some(Http2 {
            streams: count(reader, "listen.max_streams", streams),
            window: HTTP2_WINDOW,
        }),
    }
}

fn ingest(reader: &mut Reader<'_>, defaults: Ingest) -> Ingest {
    Ingest {
        requests_per_second: count(
            reader,
            "ingest.requests_per_second",
            defaults.requests_per_second,
        ),
        bytes_per_second: size(reader, "ingest.bytes_per_second", defaults.bytes_per_second),
        max_in_flight: size(reader, "ingest.max_in_flight", defaults.max_in_flight),
        max_record: size(reader, "ingest.max_record", defaults.max_record),
    }
}

/// A whole number from 1 on.
fn count<N: TryFrom<u64>>(reader: &mut Reader<'_>, key: &str, default: N) -> N {
    reader
        .parsed(key, "a number from 1 on", |value| {
            let number: u64 = match value {
                Setting::Integer(number) => u64::try_from(*number).ok()?,
                Setting::Text(text) => text.parse().ok()?,
                _ => return None,
            };
            (number > 0).then(|| N::try_from(number).ok())?
        })
        .unwrap_or(default)
}

/// A size from one byte on.
fn size<N: TryFrom<u64>>(reader: &mut Reader<'_>, key: &str, default: N) -> N {
    let expected = "a size such as \"64MiB\", from 1 on";
    reader
        .parsed(key, expected, |value| {
            let bytes = value.size().filter(|bytes| *bytes > 0)?;
            N::try_from(bytes).ok()
        })
        .unwrap_or(default)
}

/// A length of time, longer than none.
fn time(reader: &mut Reader<'_>, key: &str, default: Duration) -> Duration {
    let expected = "a time such as \"30s\" or \"5m\", longer than none";
    reader
        .parsed(key, expected, |value| {
            value.duration().filter(|time| !time.is_zero())
        })
        .unwrap_or(default)
}

/// The `[database]` section: without an address, the store is in the data directory.
fn database(reader: &mut Reader<'_>) -> Location {
    let password_file = reader.text("database.password_file");
    let password = reader.text("database.password").map(Secret::new);
    let ca_file = reader.text("database.ca_file").map(PathBuf::from);
    let password = password.or_else(|| {
        let read = secret::read_file(Path::new(&password_file?));
        read.map_err(|error| reader.wrong("database.password_file", &error.to_string()))
            .ok()
    });
    let expected =
        "an address such as \"postgres://fieldpost@db.example.com/fieldpost?sslmode=require\"";
    let connection = reader.parsed("database.url", expected, |value| match value {
        Setting::Text(url) => {
            PostgresConnection::new(Secret::new(url.as_str()), password, ca_file).ok()
        }
        _ => None,
    });
    connection.map_or(Location::DataDirectory, Location::Postgres)
}

/// The file that is read when none is named.
pub fn default_file() -> PathBuf {
    PathBuf::from("/etc/fieldpost/central.toml")
}
