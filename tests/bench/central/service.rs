//! The service as processes, its database, and what the kernel says about them.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fieldpost::central::store::{Location, PostgresConnection, Store};
use fieldpost::secret::Secret;
use rusqlite::Connection;

use super::PATIENCE;
use super::postgres::Cluster;

/// Where the store is.
pub(crate) enum Database {
    Sqlite,
    Postgres { cluster: Box<Cluster> },
}

impl Database {
    /// A cluster with its defaults, but for more shared memory and a checkpoint every few minutes.
    pub(crate) fn postgres() -> Database {
        let cluster = Cluster::start("bench", &["shared_buffers=512MB", "max_wal_size=4GB"]);
        for name in ["bound", "store"] {
            cluster
                .psql("postgres", &format!("CREATE DATABASE {name}"))
                .expect("a database is made");
        }
        Database::Postgres {
            cluster: Box::new(cluster),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Database::Sqlite => "SQLite",
            Database::Postgres { .. } => "PostgreSQL, two replicas",
        }
    }

    /// How much of its bound shall be reached.
    pub(crate) fn share(&self) -> f64 {
        match self {
            Database::Sqlite => 0.35,
            Database::Postgres { .. } => 0.3,
        }
    }

    /// What the bound is.
    pub(crate) fn bound_is(&self) -> &'static str {
        match self {
            Database::Sqlite => "insert without key",
            Database::Postgres { .. } => "COPY without key",
        }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        match self {
            Database::Sqlite => String::new(),
            Database::Postgres { cluster } => cluster.url(database),
        }
    }

    /// The service on it: one process, or two.
    pub(crate) fn start(&self, folder: &Path) -> Vec<Service> {
        let section = match self {
            Database::Sqlite => String::new(),
            Database::Postgres { .. } => format!("[database]\nurl = \"{}\"\n", self.url("store")),
        };
        let count = match self {
            Database::Sqlite => 1,
            Database::Postgres { .. } => 2,
        };
        (0..count)
            .map(|_| Service::start(folder, &section))
            .collect()
    }

    /// The store of the service, beside the service.
    pub(crate) async fn open(&self, folder: &Path) -> Store {
        let location = match self {
            Database::Sqlite => Location::DataDirectory,
            Database::Postgres { .. } => {
                let url = Secret::new(self.url("store"));
                let connection = PostgresConnection::new(url, None, None);
                Location::Postgres(connection.expect("an address"))
            }
        };
        let opened = Store::open(&location, &folder.join("data")).await;
        opened.expect("the store opens")
    }

    /// One number that a statement gives.
    fn number(&self, folder: &Path, file: &str, sql: &str) -> i64 {
        match self {
            Database::Sqlite => {
                let connection =
                    Connection::open(folder.join("data").join(file)).expect("a database");
                connection
                    .query_row(sql, [], |row| row.get(0))
                    .expect("it reads")
            }
            Database::Postgres { cluster } => {
                let said = cluster.psql("store", sql).expect("it reads");
                said.parse().expect("a number")
            }
        }
    }

    /// How long SQLite takes for a statement that is kept: the median of so many times, all rows read.
    pub(crate) fn time_of_kept(&self, folder: &Path, sql: &str, times: usize) -> Option<Duration> {
        if !matches!(self, Database::Sqlite) {
            return None;
        }
        let connection =
            Connection::open(folder.join("data").join("fieldpost.db")).expect("a database");
        let mut statement = connection.prepare(sql).expect("a statement");
        let mut taken: Vec<Duration> = Vec::new();
        for _ in 0..times {
            let begun = Instant::now();
            let mut rows = statement.query([]).expect("it reads");
            while let Some(row) = rows.next().expect("it reads") {
                let _: (String, rusqlite::types::Value, i64) = (
                    row.get(0).expect("a text"),
                    row.get(1).expect("a value"),
                    row.get(2).expect("a number"),
                );
            }
            taken.push(begun.elapsed());
        }
        taken.sort();
        Some(taken[times / 2])
    }

    /// Events stored.
    pub(crate) fn count(&self, folder: &Path) -> i64 {
        self.number(folder, "fieldpost.db", "SELECT count(*) FROM events")
    }

    /// Waits until the text index has everything.
    pub(crate) fn wait_for_index(&self, folder: &Path) -> Duration {
        let begun = Instant::now();
        let last = self.number(folder, "fieldpost.db", "SELECT max(seq) FROM events");
        let position = match self {
            Database::Sqlite => "SELECT seq FROM position",
            Database::Postgres { .. } => {
                "SELECT coalesce(max(value::bigint), 0) FROM store_state WHERE key = 'indexed'"
            }
        };
        while self.number(folder, "fieldpost-text.db", position) < last {
            std::thread::sleep(Duration::from_millis(100));
        }
        begun.elapsed()
    }

    /// Has PostgreSQL look at its tables, as it does by itself within a minute: before, its plans say nothing of how
    /// a list grows.
    pub(crate) fn analyze(&self) {
        if let Database::Postgres { cluster } = self {
            cluster.psql("store", "ANALYZE").expect("it reads");
        }
    }

    /// Has PostgreSQL make a checkpoint, as it does by itself every few minutes: before its first, it fills each file of
    /// its log with zeros when it begins it, and whoever commits waits.
    pub(crate) fn checkpoint(&self) {
        if let Database::Postgres { cluster } = self {
            cluster.psql("store", "CHECKPOINT").expect("it writes");
        }
    }

    /// Says which tables and indexes of PostgreSQL take the most, in bytes an event.
    pub(crate) fn tell_sizes(&self, events: i64) {
        let Database::Postgres { cluster } = self else {
            return;
        };
        let sql = format!(
            "SELECT relname || ' ' || pg_relation_size(oid) / {events} FROM pg_class
             WHERE relkind IN ('r', 'i', 't') ORDER BY pg_relation_size(oid) DESC LIMIT 20"
        );
        eprintln!("{}", cluster.psql("store", &sql).expect("it reads"));
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self, folder: &Path) -> i64 {
        match self {
            Database::Sqlite => ["fieldpost.db", "fieldpost-text.db"]
                .iter()
                .filter_map(|file| fs::metadata(folder.join("data").join(file)).ok())
                .map(|file| file.len() as i64)
                .sum(),
            Database::Postgres { .. } => {
                self.number(folder, "", "SELECT pg_database_size('store')")
            }
        }
    }
}

/// One process. Dropped, it is killed.
pub(crate) struct Service {
    child: Child,
    pub(crate) port: u16,
    config: PathBuf,
}

impl Service {
    fn start(folder: &Path, database: &str) -> Service {
        let port = free_port();
        let config = folder.join(format!("central-{port}.toml"));
        let text = format!(
            "[listen]\naddress = \"127.0.0.1:{port}\"\n[data]\ndirectory = \"{}\"\n\
             [api]\nrequests_per_second = 100000\n{database}",
            folder.join("data").display()
        );
        fs::write(&config, text).expect("the directory is writable");
        let child = binary()
            .args(["central", "run", "--config"])
            .arg(&config)
            .spawn()
            .expect("the binary starts");
        let deadline = Instant::now() + PATIENCE;
        while !is_healthy(port) {
            assert!(Instant::now() < deadline, "the service does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        Service {
            child,
            port,
            config,
        }
    }

    /// A token for it, as a header.
    pub(crate) fn install(&self) -> String {
        let printed = self.run(&["token", "install", "--json"]);
        let installation: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        installation["authorizationHeader"]
            .as_str()
            .expect("a text")
            .to_owned()
    }

    /// What a command prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = binary()
            .arg("central")
            .args(arguments)
            .arg("--config")
            .arg(&self.config)
            .output()
            .expect("the binary starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    }

    /// Seconds of processor time so far.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(self.proc("stat")).expect("it runs");
        let (_, after) = stat.rsplit_once(") ").expect("a name in parentheses");
        let ticks: Vec<f64> = after
            .split(' ')
            .skip(11)
            .take(2)
            .map(|it| it.parse().expect("a number"))
            .collect();
        (ticks[0] + ticks[1]) / 100.0
    }

    /// The most memory in bytes so far.
    pub(crate) fn peak(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kilobytes
            .expect("the kernel says it")
            .parse::<u64>()
            .expect("a number")
            << 10
    }

    /// Stops it as a supervisor does, and waits for the end.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("kill runs").success());
        self.child.wait().expect("it is our child");
    }

    fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.child.id().to_string())
            .join(file)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a service answers there that it is well.
fn is_healthy(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

fn binary() -> Command {
    let binary = std::env::var_os("FIELDPOST_BINARY");
    let mut command =
        Command::new(binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_fieldpost").into()));
    command.env("FIELDPOST_LOG", "error").stdin(Stdio::null());
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound address").port()
}
