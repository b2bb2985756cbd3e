//! fieldpost itself, started for real: as processes that can be killed, or its halves within the test.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use fieldpost::central::Central;
use fieldpost::central::config::Config;
use fieldpost::central::people::{Actor, NewPassword};
use fieldpost::central::store::{
    Access, Environment, Installation, Location, PostgresConnection, Role,
};
use fieldpost::edge;
use fieldpost::secret::Secret;
use fieldpost::shutdown::{self, Trigger};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::api::Api;
use super::browser::Browser;
use super::postgres;
use super::records::{Record, request};
use super::{PATIENCE, eventually};

/// The binary under test.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldpost"));
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// The databases that a store can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// A place for a new store; of SQLite, in the data directory.
    pub(crate) fn location(self) -> Location {
        match self {
            Kind::Sqlite => Location::DataDirectory,
            Kind::Postgres => postgres_location(&super::postgres::database()),
        }
    }
}

/// The store in the database at `url`.
pub(crate) fn postgres_location(url: &str) -> Location {
    let connection = PostgresConnection::new(Secret::new(url), None, None);
    Location::Postgres(connection.expect("a good address"))
}

/// A service with a new store, and the store's address in PostgreSQL, for tests that reach for it by themselves.
pub(crate) async fn started_beside(kind: Kind, directory: &Path) -> (Option<String>, TestCentral) {
    let url = match kind {
        Kind::Sqlite => None,
        Kind::Postgres => Some(postgres::database()),
    };
    let location = url
        .as_deref()
        .map_or(Location::DataDirectory, postgres_location);
    let central = TestCentral::start_at(location, directory).await;
    (url, central)
}

/// Makes of each test, an async function of a [`Kind`], two: one on SQLite, one on PostgreSQL.
macro_rules! on_both_databases {
    ($($test:ident,)+) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test(crate::support::fieldpost::Kind::Sqlite).await;
                }
            )+
        }
        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test(crate::support::fieldpost::Kind::Postgres).await;
                }
            )+
        }
    };
}
pub(crate) use on_both_databases;

/// A central service within the test.
pub(crate) struct TestCentral {
    pub(crate) central: Arc<Central>,
    pub(crate) url: String,
    trigger: Trigger,
    server: JoinHandle<()>,
}

impl TestCentral {
    /// Starts on a free port, with its data in `directory`.
    pub(crate) async fn start(directory: &Path) -> TestCentral {
        TestCentral::start_on(Kind::Sqlite, directory).await
    }

    /// The same on a new database of this kind.
    pub(crate) async fn start_on(kind: Kind, directory: &Path) -> TestCentral {
        TestCentral::start_at(kind.location(), directory).await
    }

    /// The same on this database.
    pub(crate) async fn start_at(location: Location, directory: &Path) -> TestCentral {
        let config = Config {
            database: location,
            ..Config::default()
        };
        TestCentral::start_with(directory, config).await
    }

    /// The same with a configuration.
    pub(crate) async fn start_with(directory: &Path, config: Config) -> TestCentral {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let config = Config {
            address,
            data: directory.to_owned(),
            ..config
        };
        let url = config.url(address);
        let central = Arc::new(
            Central::open(&config, url.clone())
                .await
                .expect("the service opens"),
        );
        let (trigger, shutdown) = shutdown::channel();
        let server = tokio::spawn(fieldpost::central::run(
            Arc::clone(&central),
            listener,
            shutdown,
        ));
        TestCentral {
            central,
            url,
            trigger,
            server,
        }
    }

    /// Installs the integration in the first environment.
    pub(crate) async fn install(&self) -> Installation {
        let environments = self
            .central
            .store
            .environments()
            .await
            .expect("the store reads");
        self.central
            .install(&environments[0], "", &Actor::command_line())
            .await
            .expect("the integration installs")
    }

    /// The API of the first environment, with a key of its own.
    pub(crate) async fn api(&self) -> Api {
        let environments = self
            .central
            .store
            .environments()
            .await
            .expect("the store reads");
        let key = self
            .central
            .create_api_key(
                Access::Environment(environments[0].scope, Role::Owner),
                "test",
            )
            .await;
        Api::new(&self.url, key.expect("the store writes").expose())
    }

    /// Sends OTLP/JSON of a signal (`logs`, `metrics`), which is taken.
    pub(crate) async fn post(&self, bearer: &str, signal: &str, body: String) {
        let posted = client()
            .post(format!("{}/v1/{signal}", self.url))
            .header("authorization", bearer)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .expect("the service answers");
        assert_eq!(posted.status(), 200);
    }

    /// The derived tables are what events and metrics say, before and after they are made anew.
    pub(crate) async fn verify(&self) {
        let store = &self.central.store;
        for audit in [store.verify(|_| ()).await, store.rebuild(|_| ()).await] {
            let audit = audit.expect("the store reads");
            assert_eq!(audit.differences, 0, "{:?}", audit.told);
        }
    }

    /// A browser of somebody with this role in the first environment.
    pub(crate) async fn sign_in(&self, role: Role) -> Browser {
        let environments = self.central.store.environments().await;
        let first = environments.expect("the store reads").remove(0);
        let name = format!("{}-{}", role.word(), uuid::Uuid::new_v4());
        self.sign_in_as(&name, &[(&first, role)]).await
    }

    /// A browser of a new person with these roles.
    pub(crate) async fn sign_in_as(&self, name: &str, roles: &[(&Environment, Role)]) -> Browser {
        let actor = Actor::command_line();
        for (environment, role) in roles {
            self.central
                .add_member(environment, name, *role, NewPassword::None, &actor)
                .await
                .expect("the name is free");
        }
        let link = self.central.sign_in_link(name, &actor).await;
        Browser::enter(link.expect("the store writes").url.expose()).await
    }

    /// Stops as on a signal.
    pub(crate) async fn stop(self) {
        self.trigger.stop();
        self.server.await.expect("the service ends by itself");
    }
}

/// An edge within the test.
pub(crate) struct TestEdge {
    pub(crate) address: SocketAddr,
    pub(crate) gauges: edge::Gauges,
    trigger: Trigger,
    server: JoinHandle<anyhow::Result<()>>,
}

impl TestEdge {
    /// Starts on a free port with its state in `directory`, and forwards to `endpoint`.
    pub(crate) async fn start(directory: &Path, endpoint: &str, token: Option<&str>) -> TestEdge {
        TestEdge::start_with(directory, &edge_config(directory, endpoint, token, 0)).await
    }

    /// The same with a configuration file's text.
    pub(crate) async fn start_with(directory: &Path, config: &str) -> TestEdge {
        let config = edge::config::Config::parse(config, &|_| None).expect("a good configuration");
        let mut listeners = edge::listen(&config, Vec::new())
            .await
            .expect("a free port");
        let address = listeners[0].local_addr().expect("a bound address");
        let (trigger, shutdown) = shutdown::channel();
        let listeners = std::mem::take(&mut listeners);
        let gauges = edge::Gauges::default();
        let shown = gauges.clone();
        let run = edge::run_reloading(config, None, shown, listeners, shutdown);
        let server = tokio::spawn(run);
        assert!(directory.exists());
        TestEdge {
            address,
            gauges,
            trigger,
            server,
        }
    }

    /// The endpoint for logs.
    pub(crate) fn logs(&self) -> String {
        format!("http://{}/v1/logs", self.address)
    }

    /// How things stand with the way upstream.
    pub(crate) fn link(&self) -> edge::link::Status {
        self.gauges.link.status()
    }

    /// Posts records as Claude does; they must be taken.
    pub(crate) async fn post(&self, records: &[Record]) {
        let answer = client()
            .post(self.logs())
            .header("content-type", "application/json")
            .body(request(records).to_string())
            .send()
            .await
            .expect("the edge answers");
        assert_eq!(answer.status(), 200);
    }

    /// Stops as on a signal.
    pub(crate) async fn stop(self) {
        self.trigger.stop();
        self.server
            .await
            .expect("the edge ends by itself")
            .expect("the edge ends well");
    }
}

/// A configuration file for an edge with its state in `directory`.
pub(crate) fn edge_config(
    directory: &Path,
    endpoint: &str,
    token: Option<&str>,
    port: u16,
) -> String {
    let mut text = format!(
        "[listen]\naddresses = [\"127.0.0.1:{port}\"]\n\
         [queue]\ndirectory = \"{}\"\n\
         [upstream]\nendpoint = \"{endpoint}\"\n",
        directory.join("queue").display(),
    );
    if let Some(token) = token {
        let file = directory.join("token");
        write_token(&file, token);
        text.push_str(&format!("token_file = \"{}\"\n", file.display()));
    }
    text
}

/// Writes a token as an administrator would: readable by its owner only, renamed into place.
pub(crate) fn write_token(file: &Path, token: &str) {
    let bare = token.strip_prefix("Bearer ").unwrap_or(token);
    fieldpost::secret::write_file(file, bare).expect("the directory is writable");
}

/// A process of the binary under test, with a port that stays the same over restarts.
pub(crate) struct Service {
    arguments: Vec<String>,
    environment: Vec<(&'static str, PathBuf)>,
    health: String,
    child: Child,
}

impl Service {
    /// Runs `fieldpost HALF run` with a configuration file, and waits until it takes requests.
    pub(crate) async fn start(half: &str, directory: &Path, config: &str, port: u16) -> Service {
        Service::start_in(half, directory, config, port, &[]).await
    }

    /// The same in an environment that holds these variables.
    pub(crate) async fn start_in(
        half: &str,
        directory: &Path,
        config: &str,
        port: u16,
        environment: &[(&'static str, PathBuf)],
    ) -> Service {
        let file = directory.join(format!("{half}.toml"));
        fs::write(&file, config).expect("the directory is writable");
        let arguments = vec![
            half.to_owned(),
            "run".to_owned(),
            "--config".to_owned(),
            file.display().to_string(),
        ];
        let health = format!("http://127.0.0.1:{port}/healthz");
        let environment = environment.to_vec();
        let child = spawn(&arguments, &environment);
        let service = Service {
            arguments,
            environment,
            health,
            child,
        };
        service.wait_until_ready().await;
        service
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("the process is running")
    }

    /// Asks it to stop, as a supervisor does, and waits for the end.
    pub(crate) async fn terminate(&mut self) {
        let pid = self.child.id().expect("the process is running").to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(sent.expect("kill runs").success());
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.expect("its time is bounded").expect("it ends");
        assert!(status.success(), "it was asked to stop: {status}");
    }

    /// Kills with -9 and waits until the process is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("the process was running");
    }

    /// Starts again with the same configuration.
    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(&self.arguments, &self.environment);
        self.wait_until_ready().await;
    }

    /// Runs another command of the same half with the same configuration, and gives what it printed.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        let output = command()
            .arg(&self.arguments[0])
            .args(arguments)
            .args(&self.arguments[2..])
            .stderr(Stdio::inherit())
            .output()
            .await
            .expect("the binary starts");
        assert!(output.status.success(), "{arguments:?} failed");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The same for a command that prints JSON.
    pub(crate) async fn run_json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments).await).expect("JSON")
    }

    async fn wait_until_ready(&self) {
        let client = client();
        eventually("the service to answer", async || {
            client
                .get(&self.health)
                .send()
                .await
                .ok()
                .filter(|answer| answer.status().is_success())
        })
        .await;
    }
}

/// Both halves as processes, the edge forwarding to the service.
pub(crate) struct Pair {
    pub(crate) central: Service,
    pub(crate) edge: Service,
    pub(crate) edge_port: u16,
    pub(crate) api: Api,
}

impl Pair {
    /// Starts both with their data in `directory`.
    pub(crate) async fn start(directory: &Path) -> Pair {
        Pair::start_through(directory, async |endpoint| endpoint, "").await
    }

    /// The same with something between them: `lead` is told where records shall go, and says where the
    /// edge sends them; `more` is configuration of the edge's upstream.
    pub(crate) async fn start_through(
        directory: &Path,
        lead: impl AsyncFnOnce(String) -> String,
        more: &str,
    ) -> Pair {
        let central_folder = folder(directory, "central");
        let edge_folder = folder(directory, "edge");
        let (central_port, edge_port) = (free_port(), free_port());
        let config = format!(
            "[listen]\naddress = \"127.0.0.1:{central_port}\"\n[data]\ndirectory = \"{}\"\n",
            central_folder.display()
        );
        let central = Service::start("central", &central_folder, &config, central_port).await;
        let installation = central.run_json(&["token", "install", "--json"]).await;
        let key = central.run(&["api-key"]).await;
        let text = |key: &str| installation[key].as_str().expect("a text").to_owned();
        let token = text("authorizationHeader");
        let endpoint = lead(text("endpoint")).await;
        let config = edge_config(&edge_folder, &endpoint, Some(&token), edge_port);
        let config = format!("{config}{more}");
        let edge = Service::start("edge", &edge_folder, &config, edge_port).await;
        let api = Api::new(&format!("http://127.0.0.1:{central_port}"), key.trim());
        Pair {
            central,
            edge,
            edge_port,
            api,
        }
    }
}

fn spawn(arguments: &[String], environment: &[(&'static str, PathBuf)]) -> Child {
    command()
        .args(arguments)
        .envs(environment.iter().cloned())
        .spawn()
        .expect("the binary starts")
}

/// A port that was free a moment ago, for a process that must come back to it.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

/// A client that goes straight to loopback.
pub(crate) fn client() -> reqwest::Client {
    fieldpost::http::client::builder()
        .no_proxy()
        .build()
        .expect("a client")
}

/// `fieldpost dev --json`, as a process.
pub(crate) struct Dev {
    child: Child,
    /// The line it printed.
    pub(crate) addresses: Value,
}

impl Dev {
    /// Starts on free ports, with more `arguments`, and waits for the line.
    pub(crate) async fn start(data: &Path, arguments: &[&str]) -> Dev {
        let mut child = command()
            .args([
                "dev",
                "--json",
                "--edge-port",
                "0",
                "--central-port",
                "0",
                "--data",
            ])
            .arg(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let output = child.stdout.take().expect("standard output is piped");
        let line = BufReader::new(output)
            .lines()
            .next_line()
            .await
            .expect("it can be read");
        let line = line.expect("one line when all is ready");
        let addresses = serde_json::from_str(&line).expect("the line is JSON");
        Dev { child, addresses }
    }

    /// The text under `key` in the line.
    pub(crate) fn address(&self, key: &str) -> &str {
        self.addresses[key]
            .as_str()
            .unwrap_or_else(|| panic!("the line has {key}"))
    }

    /// The API.
    pub(crate) fn api(&self) -> Api {
        let url = self.url();
        Api::new(&url, self.address("api_key"))
    }

    /// The service's address, without a slash at its end.
    pub(crate) fn url(&self) -> String {
        let api = self.address("api");
        api.strip_suffix("/api/v1").expect("an API").to_owned()
    }

    /// A browser that is signed in by the link in the line, which is used up by it.
    pub(crate) async fn browser(&self) -> Browser {
        Browser::enter(self.address("portal")).await
    }

    /// Sends an interrupt, as Ctrl-C does, and waits for the end.
    pub(crate) async fn interrupt(mut self) {
        let pid = self.child.id().expect("the process is running").to_string();
        let sent = Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .await
            .expect("kill runs");
        assert!(sent.success());
        let status = self.child.wait().await.expect("the process ends");
        assert!(status.success(), "Ctrl-C is no failure: {status}");
    }
}

/// A directory with a name, below a temporary one.
pub(crate) fn folder(root: &Path, name: &str) -> PathBuf {
    let folder = root.join(name);
    fs::create_dir_all(&folder).expect("a temporary directory is writable");
    folder
}
