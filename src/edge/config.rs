//! The edge's configuration: one TOML file, every key with a default but the upstream's endpoint.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Mistakes, Reader, Setting};
use crate::otlp::Signal;
use crate::otlp::compression::Coding;
use crate::secret::Secret;

use super::queue::{Limits, WhenFull};
use super::redact::RedactConfig;

/// More connections than this are no limit.
const MAX_CONNECTIONS: usize = 1 << 20;

/// Smallest `queue.max_bytes`: a segment is an eighth of it.
const MIN_QUEUE_BYTES: u64 = 1 << 20;

/// Shortest `queue.max_age`.
const MIN_QUEUE_AGE: Duration = Duration::from_secs(1);

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
    /// File with the token that local clients must show; `None` when every program may post.
    pub bearer_token_file: Option<PathBuf>,
    /// Largest body in bytes, before and after inflating.
    pub max_body: usize,
    /// Longest head of a request, in bytes.
    pub max_header: usize,
    /// Connections open at once on each address; further ones wait.
    pub max_connections: usize,
    /// How many times its own size a compressed body may inflate to, once that is more than 1 MiB.
    pub max_inflate_ratio: usize,
    /// Time for a request's head to arrive, and for an idle connection to stay open.
    pub header_timeout: Duration,
    /// Time for a request's body to arrive.
    pub body_timeout: Duration,
}

impl Default for Listen {
    /// OTLP's own port on loopback.
    fn default() -> Listen {
        Listen {
            addresses: vec![
                SocketAddr::from(([127, 0, 0, 1], 4318)),
                SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 4318)),
            ],
            hosts: Vec::new(),
            bearer_token_file: None,
            max_body: 64 << 20,
            max_header: 64 << 10,
            max_connections: 1024,
            max_inflate_ratio: 200,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
        }
    }
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
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// The queue's directory; the edge's id and key stand beside it.
    pub directory: PathBuf,
    /// How much may wait, for how long, and what gives way.
    pub limits: Limits,
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
        let listen = listen(&mut reader);
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
            limits: queue_limits(&mut reader),
        };
        let redact = RedactConfig::read(&mut reader);
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

fn queue_limits(reader: &mut Reader<'_>) -> Limits {
    let default = Limits::default();
    let max_bytes = reader.parsed(
        "queue.max_bytes",
        "a size such as \"2GiB\", of 1MiB at least",
        |value| value.size().filter(|bytes| *bytes >= MIN_QUEUE_BYTES),
    );
    let max_age = reader.parsed(
        "queue.max_age",
        "a time such as \"30d\" or \"12h\", of 1s at least",
        |value| value.duration().filter(|age| *age >= MIN_QUEUE_AGE),
    );
    let expected = "\"drop_oldest\" or \"reject\"";
    let when_full = reader.parsed("queue.when_full", expected, |value| match value {
        Setting::Text(text) if text == "drop_oldest" => Some(WhenFull::DropOldest),
        Setting::Text(text) if text == "reject" => Some(WhenFull::Reject),
        _ => None,
    });
    Limits {
        max_bytes: max_bytes.unwrap_or(default.max_bytes),
        max_age: max_age.unwrap_or(default.max_age),
        min_free: reader.size("queue.min_free").unwrap_or(default.min_free),
        when_full: when_full.unwrap_or(default.when_full),
    }
}

fn default_queue_directory() -> PathBuf {
    PathBuf::from("/var/lib/fieldpost/queue")
}

fn listen(reader: &mut Reader<'_>) -> Listen {
    let default = Listen::default();
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    Listen {
        addresses: addresses(reader).unwrap_or(default.addresses),
        hosts: reader.texts("listen.hosts").unwrap_or(default.hosts),
        bearer_token_file: reader.text("listen.bearer_token_file").map(PathBuf::from),
        max_body: reader
            .size("listen.max_body")
            .map_or(default.max_body, bytes),
        max_header: reader
            .size("listen.max_header")
            .map_or(default.max_header, bytes),
        max_connections: count(reader, "listen.max_connections")
            .map_or(default.max_connections, |number| {
                number.min(MAX_CONNECTIONS)
            }),
        max_inflate_ratio: count(reader, "listen.max_inflate_ratio")
            .unwrap_or(default.max_inflate_ratio),
        header_timeout: reader
            .duration("listen.header_timeout")
            .unwrap_or(default.header_timeout),
        body_timeout: reader
            .duration("listen.body_timeout")
            .unwrap_or(default.body_timeout),
    }
}

/// `key` as a whole number from 1.
fn count(reader: &mut Reader<'_>, key: &str) -> Option<usize> {
    reader.parsed(key, "a whole number from 1", |value| {
        let number = match value {
            Setting::Integer(number) => usize::try_from(*number).ok(),
            Setting::Text(text) => text.parse().ok(),
            _ => None,
        };
        number.filter(|number| *number > 0)
    })
}

fn addresses(reader: &mut Reader<'_>) -> Option<Vec<SocketAddr>> {
    let expected = "addresses such as [\"127.0.0.1:4318\", \"[::1]:4318\"]";
    reader.parsed("listen.addresses", expected, |value| match value {
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
