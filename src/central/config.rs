//! The central service's configuration: one TOML file, every key with a default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::{Mistakes, Reader, Setting};
use crate::secret::{self, Secret};

use super::store::{Location, PostgresConnection};

/// Largest request body that is accepted, before and after inflating, unless configured otherwise.
const DEFAULT_MAX_BODY: u64 = 64 << 20;

/// Requests a second that one token may send unless configured otherwise: a fleet shares a token, and
/// comes back all at once after an outage.
pub const DEFAULT_REQUESTS_PER_SECOND: u32 = 2_000;

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    pub address: SocketAddr,
    /// The address that clients use, when it is not the one listened on.
    pub public_url: Option<String>,
    /// Directory with the database and the keys.
    pub data: PathBuf,
    /// Where the store is.
    pub database: Location,
    /// Largest body in bytes, before and after inflating.
    pub max_body: usize,
    /// Requests a second that one token may send; more are answered with 429.
    pub requests_per_second: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config::parse("", &|_| None).expect("every key has a default")
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
        let expected = "an address such as \"127.0.0.1:8080\" or \"0.0.0.0:8080\"";
        let config = Config {
            address: reader
                .parsed("listen.address", expected, |value| match value {
                    Setting::Text(text) => text.parse().ok(),
                    _ => None,
                })
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            public_url: reader.text("public_url"),
            data: reader.text("data.directory").map_or_else(
                || PathBuf::from("/var/lib/fieldpost-central"),
                PathBuf::from,
            ),
            database: database(&mut reader),
            max_body: usize::try_from(reader.size("listen.max_body").unwrap_or(DEFAULT_MAX_BODY))
                .unwrap_or(usize::MAX),
            requests_per_second: reader
                .parsed(
                    "ingest.requests_per_second",
                    "a number from 1 on",
                    |value| {
                        match value {
                            Setting::Integer(number) => u32::try_from(*number).ok(),
                            Setting::Text(text) => text.parse().ok(),
                            _ => None,
                        }
                        .filter(|number| *number > 0)
                    },
                )
                .unwrap_or(DEFAULT_REQUESTS_PER_SECOND),
        };
        reader.finish()?;
        Ok(config)
    }
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
