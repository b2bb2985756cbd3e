//! The edge's configuration: one TOML file, every key with a default but the upstream's endpoint.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Mistakes, Reader, Setting};
use crate::otlp::Signal;
use crate::otlp::compression::Coding;
use crate::secret::Secret;

use super::redact::RedactConfig;

/// Largest request body that is accepted, before and after inflating, unless configured otherwise.
const DEFAULT_MAX_BODY: u64 = 64 << 20;

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[listen]`
    pub listen: Listen,
    /// `[upstream]`
    pub upstream: Upstream,
    /// `[queue]`
    pub queue: Queue,
    /// `[enrich.attributes]`: fixed resource attributes.
    pub enrich: BTreeMap<String, String>,
    /// `[redact]`
    pub redact: RedactConfig,
}

/// Where and what the edge receives.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Addresses to listen on.
    pub addresses: Vec<SocketAddr>,
    /// Names besides loopback that a `Host` header may carry.
    pub hosts: Vec<String>,
    /// Largest body in bytes, before and after inflating.
    pub max_body: usize,
}

/// Where records go.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Full URL for logs; metrics and traces go beside it.
    pub endpoint: String,
    /// Where the bearer token may come from, in this order; empty for an upstream that asks for none.
    pub token: Vec<TokenSource>,
    /// How bodies are compressed.
    pub compression: Coding,
    /// Time for one request.
    pub timeout: Duration,
    /// File with the certificates (PEM) of authorities that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate by which the edge shows who it is.
    pub client_certificate: Option<ClientCertificate>,
    /// URL of the proxy; `None` for what the environment says. It may hold a password.
    pub proxy: Option<Secret>,
    /// Signals that are forwarded; others are taken from clients and thrown away.
    pub signals: Vec<Signal>,
    /// Sequence numbers, heartbeats and attributes of the edge's own, which a fieldpost upstream reads.
    pub extras: bool,
}

/// A place where the bearer token may be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// It stands in a file: one that is configured, or the systemd credential `token`.
    File(PathBuf),
    /// A program prints it: the program and its arguments.
    Command(Vec<String>),
}

/// Two PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, followed by those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Where records wait.
#[derive(Clone, Debug)]
pub struct Queue {
    /// The queue's directory; the edge's id and key stand beside it.
    pub directory: PathBuf,
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
        let listen = Listen {
            addresses: addresses(&mut reader),
            hosts: reader.texts("listen.hosts").unwrap_or_default(),
            max_body: usize::try_from(reader.size("listen.max_body").unwrap_or(DEFAULT_MAX_BODY))
                .unwrap_or(usize::MAX),
        };
        let upstream = Upstream {
            endpoint: endpoint(&mut reader),
            token: token_sources(&mut reader, variable),
            compression: reader
                .parsed(
                    "upstream.compression",
                    "\"zstd\", \"gzip\" or \"none\"",
                    coding,
                )
                .unwrap_or(Coding::Zstd),
            timeout: reader
                .duration("upstream.timeout")
                .unwrap_or(Duration::from_secs(60)),
            ca_file: reader.text("upstream.ca_file").map(PathBuf::from),
            client_certificate: client_certificate(&mut reader),
            proxy: reader.parsed(
                "upstream.proxy",
                "the URL of a proxy, such as \"http://proxy.example.com:3128\"",
                |value| match value {
                    Setting::Text(text) => is_http_url(text).then(|| Secret::new(text)),
                    _ => None,
                },
            ),
            signals: signals(&mut reader),
            extras: reader.flag("upstream.extras").unwrap_or(true),
        };
        let queue = Queue {
            directory: reader
                .text("queue.directory")
                .map_or_else(default_queue_directory, PathBuf::from),
        };
        let redact = RedactConfig {
            secrets: reader.flag("redact.secrets").unwrap_or(true),
        };
        let enrich = reader.free_texts("enrich.attributes");
        reader.finish()?;
        Ok(Config {
            listen,
            upstream,
            queue,
            enrich,
            redact,
        })
    }
}

/// The file that is read when none is named.
pub fn default_file() -> PathBuf {
    PathBuf::from("/etc/fieldpost/edge.toml")
}

fn default_queue_directory() -> PathBuf {
    PathBuf::from("/var/lib/fieldpost/queue")
}

fn addresses(reader: &mut Reader<'_>) -> Vec<SocketAddr> {
    let expected = "addresses such as [\"127.0.0.1:4318\", \"[::1]:4318\"]";
    let configured = reader.parsed("listen.addresses", expected, |value| match value {
        Setting::List(items) => items
            .iter()
            .map(|item| match item {
                Setting::Text(text) => text.parse().ok(),
                _ => None,
            })
            .collect::<Option<Vec<SocketAddr>>>(),
        Setting::Text(joined) => joined
            .split(',')
            .map(|text| text.trim().parse().ok())
            .collect(),
        _ => None,
    });
    configured.unwrap_or_else(|| {
        vec![
            SocketAddr::from(([127, 0, 0, 1], 4318)),
            SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 4318)),
        ]
    })
}

fn endpoint(reader: &mut Reader<'_>) -> String {
    const KEY: &str = "upstream.endpoint";
    const HELP: &str = "the URL for logs that the portal shows under Integrations, \
                        such as \"https://otel.example.com/v1/claude-cowork/otel/v1/logs\"";
    let mut is_present = false;
    let endpoint = reader.parsed(KEY, HELP, |value| {
        is_present = true;
        match value {
            Setting::Text(text) => is_http_url(text).then(|| text.clone()),
            _ => None,
        }
    });
    if !is_present {
        reader.missing(KEY, HELP);
    }
    endpoint.unwrap_or_default()
}

fn is_http_url(text: &str) -> bool {
    reqwest::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// systemd's credential comes first: it is what the service was started with.
fn token_sources(
    reader: &mut Reader<'_>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Vec<TokenSource> {
    let credential = variable("CREDENTIALS_DIRECTORY")
        .map(|directory| PathBuf::from(directory).join("token"))
        .filter(|file| file.exists());
    let file = reader.text("upstream.token_file").map(PathBuf::from);
    let command = reader.parsed(
        "upstream.token_command",
        "a program and its arguments, such as [\"/usr/local/bin/get-token\", \"--quiet\"]",
        |value| match value {
            Setting::List(items) if !items.is_empty() => items
                .iter()
                .map(|item| match item {
                    Setting::Text(text) => Some(text.clone()),
                    _ => None,
                })
                .collect::<Option<Vec<String>>>(),
            // In the environment: a program without arguments.
            Setting::Text(program) if !program.is_empty() => Some(vec![program.clone()]),
            _ => None,
        },
    );
    let files = credential.into_iter().chain(file).map(TokenSource::File);
    files.chain(command.map(TokenSource::Command)).collect()
}

fn client_certificate(reader: &mut Reader<'_>) -> Option<ClientCertificate> {
    let certificate = reader.text("upstream.client_cert").map(PathBuf::from);
    let key = reader.text("upstream.client_key").map(PathBuf::from);
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
        (None, None) => None,
        (Some(_), None) => {
            reader.missing("upstream.client_key", "the key of upstream.client_cert");
            None
        }
        (None, Some(_)) => {
            reader.missing(
                "upstream.client_cert",
                "the certificate of upstream.client_key",
            );
            None
        }
    }
}

fn signals(reader: &mut Reader<'_>) -> Vec<Signal> {
    let expected = "a list of \"logs\", \"metrics\" and \"traces\"";
    let signal = |word: &str| {
        Signal::ALL
            .into_iter()
            .find(|signal| signal.word() == word.trim())
    };
    let configured = reader.parsed("upstream.signals", expected, |value| match value {
        Setting::List(items) => items
            .iter()
            .map(|item| match item {
                Setting::Text(text) => signal(text),
                _ => None,
            })
            .collect::<Option<Vec<Signal>>>(),
        Setting::Text(joined) => joined.split(',').map(signal).collect(),
        _ => None,
    });
    configured.unwrap_or_else(|| Signal::ALL.to_vec())
}

fn coding(value: &Setting) -> Option<Coding> {
    match value {
        Setting::Text(text) => match text.as_str() {
            "zstd" => Some(Coding::Zstd),
            "gzip" => Some(Coding::Gzip),
            "none" => Some(Coding::Identity),
            _ => None,
        },
        _ => None,
    }
}
