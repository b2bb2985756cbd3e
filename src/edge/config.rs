//! The edge's configuration: one TOML file, every key with a default but the upstream's endpoint.

mod control;
mod upstream;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Mistakes, Reader, Setting};

use super::install::Person;
use super::queue::{Limits, WhenFull};
use super::redact::RedactConfig;

pub use self::control::{Control, queue_directory};
pub use self::upstream::{ClientCertificate, TokenSource, Upstream};

/// Why the edge listens nowhere else, and what to do.
pub(super) const LOOPBACK_ONLY: &str = "they must be of loopback: the edge speaks no TLS, and prompts do not go \
    over a network without it; run an edge on each machine, or let clients export to the central service";

/// OTLP's own port on loopback.
pub const LOOPBACK: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4318),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 4318),
];

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
    /// `[control]`
    pub control: Control,
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
    /// Records that one account of the machine may post a second.
    pub records_per_second: u64,
    /// The same in bytes, after inflating.
    pub bytes_per_second: u64,
    /// Telemetry of other programs than Claude is kept.
    pub keeps_foreign: bool,
}

impl Default for Listen {
    fn default() -> Listen {
        Listen {
            addresses: LOOPBACK.to_vec(),
            hosts: Vec::new(),
            bearer_token_file: None,
            max_body: 64 << 20,
            max_header: 64 << 10,
            max_connections: 1024,
            max_inflate_ratio: 200,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
            // Far more than all of Claude's sessions on a machine say, and less than keeps it busy.
            records_per_second: 100_000,
            bytes_per_second: 256 << 20,
            keeps_foreign: true,
        }
    }
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
        let upstream = upstream::read(&mut reader, variable);
        let queue = Queue {
            directory: control::read_queue_directory(&mut reader),
            limits: queue_limits(&mut reader),
        };
        let control = Control::read(&mut reader, &queue.directory);
        let redact = RedactConfig::read(&mut reader);
        let enrich = reader.free_texts("enrich.attributes");
        reader.finish()?;
        Ok(Config {
            listen,
            upstream,
            queue,
            control,
            enrich,
            redact,
        })
    }
}

/// The configuration of the machine's own service.
pub fn machines_file() -> &'static Path {
    Path::new(match cfg!(windows) {
        true => r"C:\ProgramData\Fieldpost\edge.toml",
        false => "/etc/fieldpost/edge.toml",
    })
}

/// The file that is read when none is named: the machine's, or one person's where only that is there.
pub fn default_file(variable: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let of_machine = machines_file().to_owned();
    let of_person = Person::find(variable).map(|person| person.configuration());
    match of_person {
        Ok(file) if !of_machine.exists() && file.exists() => file,
        _ => of_machine,
    }
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

fn listen(reader: &mut Reader<'_>) -> Listen {
    let default = Listen::default();
    let expected = "\"keep\" or \"drop\"";
    let keeps_foreign = reader.parsed("listen.foreign", expected, |value| match value {
        Setting::Text(text) if text == "keep" => Some(true),
        Setting::Text(text) if text == "drop" => Some(false),
        _ => None,
    });
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
        records_per_second: count(reader, "listen.records_per_second")
            .map_or(default.records_per_second, |records| records as u64),
        keeps_foreign: keeps_foreign.unwrap_or(default.keeps_foreign),
        bytes_per_second: reader
            .parsed(
                "listen.bytes_per_second",
                "a size such as \"256MiB\", of 1B at least",
                |value| value.size().filter(|bytes| *bytes > 0),
            )
            .unwrap_or(default.bytes_per_second),
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
    let expected =
        format!("addresses such as [\"127.0.0.1:4318\", \"[::1]:4318\"]; {LOOPBACK_ONLY}");
    let local = |text: &str| text.trim().parse().ok().filter(is_local);
    reader.parsed("listen.addresses", &expected, |value| match value {
        Setting::List(items) => items
            .iter()
            .map(|item| match item {
                Setting::Text(text) => local(text),
                _ => None,
            })
            .collect::<Option<Vec<SocketAddr>>>(),
        Setting::Text(joined) => joined.split(',').map(local).collect(),
        _ => None,
    })
}

/// Whether only programs of this machine reach an address.
pub(super) fn is_local(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
