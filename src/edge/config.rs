//! The edge's configuration: one TOML file, every key with a default but the upstream's endpoint.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Mistakes, Reader, Setting};
use crate::otlp::compression::Coding;

use super::queue::{Limits, WhenFull};
use super::redact::RedactConfig;

/// Largest request body that is accepted, before and after inflating, unless configured otherwise.
const DEFAULT_MAX_BODY: u64 = 64 << 20;

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
    /// Largest body in bytes, before and after inflating.
    pub max_body: usize,
}

/// Where records go.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Full URL for logs; metrics and traces go beside it.
    pub endpoint: String,
    /// File with the bearer token; `None` for an upstream that asks for none.
    pub token_file: Option<PathBuf>,
    /// How bodies are compressed.
    pub compression: Coding,
    /// Time for one request.
    pub timeout: Duration,
}

/// Where records wait.
#[derive(Clone, Debug)]
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
        let listen = Listen {
            addresses: addresses(&mut reader),
            hosts: reader.texts("listen.hosts").unwrap_or_default(),
            max_body: usize::try_from(reader.size("listen.max_body").unwrap_or(DEFAULT_MAX_BODY))
                .unwrap_or(usize::MAX),
        };
        let upstream = Upstream {
            endpoint: endpoint(&mut reader),
            token_file: reader.text("upstream.token_file").map(PathBuf::from),
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
        };
        let queue = Queue {
            directory: reader
                .text("queue.directory")
                .map_or_else(default_queue_directory, PathBuf::from),
            limits: queue_limits(&mut reader),
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
            Setting::Text(text) => {
                let url = reqwest::Url::parse(text).ok()?;
                (matches!(url.scheme(), "http" | "https") && url.has_host()).then(|| text.clone())
            }
            _ => None,
        }
    });
    if !is_present {
        reader.missing(KEY, HELP);
    }
    endpoint.unwrap_or_default()
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
