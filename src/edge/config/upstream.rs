//! `[upstream]`

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Reader, Setting};
use crate::edge::queue::BatchLimits;
use crate::otlp::Signal;
use crate::otlp::compression::Coding;
use crate::secret::Secret;

use super::count;

/// Largest `upstream.batch_bytes`: four batches are in memory at once.
const MAX_BATCH_BYTES: usize = 64 << 20;

/// Clients that write one record after the other fill a batch in this time, and nobody who looks at
/// the portal waits for it.
const DEFAULT_BATCH_AGE: Duration = Duration::from_millis(100);

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
    /// Where batches are cut. Records wait for others until the oldest has this age.
    pub batch: BatchLimits,
    /// Longest wait between two tries.
    pub max_retry_wait: Duration,
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

impl TokenSource {
    /// How a person knows it.
    pub fn words(&self) -> String {
        match self {
            TokenSource::File(path) => path.display().to_string(),
            TokenSource::Command(command) => format!(
                "upstream.token_command: {}",
                command.first().map_or("", String::as_str)
            ),
        }
    }
}

/// Two PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, followed by those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Upstream {
    /// The usual way to `endpoint`, which asks for no token.
    pub fn to(endpoint: String) -> Upstream {
        Upstream {
            endpoint,
            token: Vec::new(),
            compression: Coding::Zstd,
            timeout: Duration::from_secs(60),
            batch: BatchLimits {
                age: DEFAULT_BATCH_AGE,
                ..BatchLimits::default()
            },
            max_retry_wait: Duration::from_secs(300),
            ca_file: None,
            client_certificate: None,
            proxy: None,
            signals: Signal::ALL.to_vec(),
            extras: true,
        }
    }

    /// The endpoint for people to read, in the log and elsewhere: without a user's name and password.
    pub fn shown_endpoint(&self) -> String {
        let Ok(mut url) = reqwest::Url::parse(&self.endpoint) else {
            return String::new();
        };
        // Only addresses that cannot have any refuse this.
        let _ = (url.set_username(""), url.set_password(None));
        url.into()
    }
}

pub(super) fn read(reader: &mut Reader<'_>, variable: &dyn Fn(&str) -> Option<String>) -> Upstream {
    let default = Upstream::to(endpoint(reader));
    Upstream {
        token: token_sources(reader, variable),
        compression: reader
            .parsed(
                "upstream.compression",
                "\"zstd\", \"gzip\" or \"none\"",
                coding,
            )
            .unwrap_or(default.compression),
        timeout: reader
            .duration("upstream.timeout")
            .unwrap_or(default.timeout),
        batch: batch_limits(reader, default.batch),
        max_retry_wait: reader
            .duration("upstream.max_retry_wait")
            .unwrap_or(default.max_retry_wait),
        ca_file: reader.text("upstream.ca_file").map(PathBuf::from),
        client_certificate: client_certificate(reader),
        proxy: reader.parsed(
            "upstream.proxy",
            "the URL of a proxy, such as \"http://proxy.example.com:3128\"",
            |value| match value {
                Setting::Text(text) => is_http_url(text).then(|| Secret::new(text)),
                _ => None,
            },
        ),
        signals: signals(reader).unwrap_or(default.signals),
        extras: reader.flag("upstream.extras").unwrap_or(default.extras),
        endpoint: default.endpoint,
    }
}

fn batch_limits(reader: &mut Reader<'_>, default: BatchLimits) -> BatchLimits {
    let bytes = reader.parsed(
        "upstream.batch_bytes",
        "a size such as \"4MiB\", from 1B to 64MiB",
        |value| {
            let bytes = usize::try_from(value.size()?).ok()?;
            (1..=MAX_BATCH_BYTES).contains(&bytes).then_some(bytes)
        },
    );
    let bytes = bytes.unwrap_or(default.plain_bytes);
    BatchLimits {
        records: count(reader, "upstream.batch_records").unwrap_or(default.records),
        plain_bytes: bytes,
        // Bytes that do not compress become more by a little.
        frame_bytes: bytes.max(default.frame_bytes),
        age: reader.duration("upstream.batch_age").unwrap_or(default.age),
    }
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

fn signals(reader: &mut Reader<'_>) -> Option<Vec<Signal>> {
    let expected = "a list of \"logs\", \"metrics\" and \"traces\"";
    let signal = |word: &str| {
        Signal::ALL
            .into_iter()
            .find(|signal| signal.word() == word.trim())
    };
    reader.parsed("upstream.signals", expected, |value| match value {
        Setting::List(items) => items
            .iter()
            .map(|item| match item {
                Setting::Text(text) => signal(text),
                _ => None,
            })
            .collect::<Option<Vec<Signal>>>(),
        Setting::Text(joined) => joined.split(',').map(signal).collect(),
        _ => None,
    })
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
