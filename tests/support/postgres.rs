//! PostgreSQL for tests: clusters of their own in temporary directories, on Unix sockets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// What the directories of clusters begin with; the process that made one follows.
const PREFIX: &str = "fieldpost-postgres-";

/// A server with its data.
pub(crate) struct Cluster {
    folder: PathBuf,
    options: Vec<String>,
    server: Option<Child>,
}

impl Cluster {
    /// Makes and starts a cluster; `options` are settings such as `fsync=off`.
    pub(crate) fn start(name: &str, options: &[&str]) -> Cluster {
        let folder = std::env::temp_dir().join(format!("{PREFIX}{}-{name}", std::process::id()));
        fs::create_dir(&folder).expect("a temporary directory is writable");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("it is ours");
        let mut cluster = Cluster {
            folder,
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            server: None,
        };
        let made = program("initdb")
            .args([
                "--username=fieldpost",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .arg("--pgdata")
            .arg(cluster.data())
            .output()
            .expect("initdb starts");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        cluster.start_again();
        cluster
    }

    /// The address of a database in it.
    pub(crate) fn url(&self, database: &str) -> String {
        format!(
            "postgres:///{database}?user=fieldpost&host={}",
            self.folder.display()
        )
    }

    /// Starts the server, which recovers by itself from a crash.
    pub(crate) fn start_again(&mut self) {
        let mut command = program("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(&self.folder);
        command.args(["-c", "listen_addresses=", "-c", "max_connections=400"]);
        for option in &self.options {
            command.args(["-c", option]);
        }
        let log = fs::File::create(self.folder.join("log")).expect("the directory is writable");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let deadline = Instant::now() + PATIENCE;
        let mut server = command.spawn().expect("postgres starts");
        while self.psql("postgres", "SELECT 1").is_err() {
            assert!(
                Instant::now() < deadline,
                "the server does not come up; see {}",
                self.folder.display()
            );
            std::thread::sleep(Duration::from_millis(50));
            // It refuses to start while processes of one that was killed are still ending.
            if server.try_wait().expect("it is ours").is_some() {
                server = command.spawn().expect("postgres starts");
            }
        }
        self.server = Some(server);
    }

    /// Kills the server with all its processes, without any warning.
    pub(crate) fn kill(&mut self) {
        let mut server = self.server.take().expect("it runs");
        // The processes of connections notice that their parent is gone, and end.
        server.kill().expect("it runs");
        server.wait().expect("it ends");
    }

    /// Does a statement, as an administrator would.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let output = program("psql")
            .args([
                "--no-psqlrc",
                "--tuples-only",
                "--no-align",
                "--command",
                sql,
            ])
            .arg(self.url(database))
            .output()
            .expect("psql starts");
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A connection to the database at `url`.
pub(crate) async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .expect("the server listens");
    tokio::spawn(connection);
    client
}

/// A new database in the cluster that all tests of this process share; gives its address.
pub(crate) fn database() -> String {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let cluster = CLUSTER.get_or_init(|| {
        remove_remains();
        // The server must end with this process, but not with the thread of one test.
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let cluster = Cluster::start("shared", &["fsync=off", "full_page_writes=off"]);
            sender.send(cluster).expect("somebody waits");
            loop {
                std::thread::park();
            }
        });
        receiver.recv().expect("the cluster starts")
    });
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let made = cluster.psql(
        "postgres",
        &format!("CREATE DATABASE {name} TEMPLATE template0"),
    );
    made.expect("a database is made");
    cluster.url(&name)
}

/// Removes the directories of processes that are gone.
fn remove_remains() {
    let entries = fs::read_dir(std::env::temp_dir()).expect("a temporary directory");
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// One of PostgreSQL's programs; as root, which it refuses to run as, under the account `postgres`. What
/// it starts ends with the thread that started it.
fn program(name: &str) -> Command {
    let path = (15..30)
        .rev()
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin/{name}")))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is missing: install postgresql (15 or newer)"));
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL").env_clear().current_dir("/");
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| {
        use std::os::unix::fs::MetadataExt;
        process.uid() == 0
    });
    if is_root {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg(path);
    command
}
