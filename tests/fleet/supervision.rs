//! The edge under a supervisor: sockets handed over, what it tells, and restarts that lose nothing.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fieldpost::edge;
use fieldpost::shutdown;

use crate::fleet::machine::{DAY, jwt};
use crate::support::fieldpost::{client, command, edge_config, free_port};
use crate::support::process::{self, signal};
use crate::support::queue;
use crate::support::upstream::Upstream;
use crate::support::{PATIENCE, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_systemd_hands_over_are_taken() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let upstream = Upstream::start().await;
    // The configuration names another port: the supervisor's counts.
    let config = edge_config(directory.path(), &upstream.endpoint, None, free_port());
    let file = directory.path().join("edge.toml");
    std::fs::write(&file, config).expect("a file");
    let port = free_port();
    let mut command = process::command("systemd-socket-activate");
    command
        .args(["--fdname=otlp:otlp", "-l", &format!("127.0.0.1:{port}")])
        .args(["-l", &format!("[::1]:{port}")])
        .arg(env!("CARGO_BIN_EXE_fieldpost"))
        .args(["edge", "run", "--config"])
        .arg(&file)
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .expect("systemd-socket-activate runs: install systemd");
    for host in ["127.0.0.1", "[::1]"] {
        let url = format!("http://{host}:{port}/v1/logs");
        eventually("an answer at the handed socket", async || {
            let request = client()
                .post(&url)
                .header("content-type", "application/json")
                .body(r#"{"resourceLogs":[]}"#);
            let answer = request.send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }
    terminate(&mut child).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_supervisor_hears_when_it_is_ready_how_it_goes_and_when_it_stops() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let upstream = Upstream::start().await;
    let config = edge_config(directory.path(), &upstream.endpoint, None, free_port());
    let file = directory.path().join("edge.toml");
    std::fs::write(&file, config).expect("a file");
    let socket = directory.path().join("notify");
    let supervisor = Supervisor::listen(&socket);
    let mut child = command()
        .args(["edge", "run", "--config"])
        .arg(&file)
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "400000")
        .spawn()
        .expect("the binary starts");
    supervisor.hears("READY=1").await;
    supervisor.hears("WATCHDOG=1").await;
    supervisor.hears("STATUS=").await;
    supervisor.hears("WATCHDOG=1").await;
    signal(&child, "-HUP").await;
    supervisor.hears("RELOADING=1").await;
    supervisor.hears("READY=1").await;
    signal(&child, "-TERM").await;
    supervisor.hears("STOPPING=1").await;
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    assert!(
        ended
            .expect("its time is bounded")
            .expect("it ends")
            .success()
    );
}

/// A token that is good for some days more stops nothing, and nothing but a check tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_daemons_own_checks_find_is_told_wherever_somebody_looks() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (upstream, port) = (Upstream::start().await, free_port());
    let token = jwt(10 * DAY);
    let config = edge_config(directory.path(), &upstream.endpoint, Some(&token), port);
    let file = directory.path().join("edge.toml");
    std::fs::write(&file, config).expect("a file");
    let (socket, log) = (
        directory.path().join("notify"),
        directory.path().join("log"),
    );
    let supervisor = Supervisor::listen(&socket);
    let mut child = command()
        .args(["edge", "run", "--config"])
        .arg(&file)
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "400000")
        .stderr(std::fs::File::create(&log).expect("a file"))
        .spawn()
        .expect("the binary starts");
    let words = "E05 token: the token expires on ";
    supervisor
        .hears(&format!("STATUS=0 records wait; {words}"))
        .await;
    let ready = client()
        .get(format!("http://127.0.0.1:{port}/readyz"))
        .send()
        .await;
    let ready = ready.expect("an answer");
    assert_eq!(ready.status(), 200, "it takes records all the same");
    let ready = ready.text().await.expect("text");
    assert!(ready.starts_with(&format!("ready\n{words}")), "{ready}");
    let log = std::fs::read_to_string(log).expect("a log");
    assert_eq!(log.matches(words).count(), 1, "{log}");
    assert!(!log.contains(&token));
    let status = command()
        .args(["edge", "status", "--config"])
        .arg(&file)
        .output()
        .await
        .expect("the binary starts");
    let shown = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(shown.starts_with("all well"), "{shown}");
    let check = shown
        .lines()
        .find(|line| line.contains(words))
        .expect("a line");
    assert!(
        check.contains("fieldpost edge install --token-stdin"),
        "{check}"
    );
    terminate(&mut child).await;
}

/// After an upgrade that restarted nothing, the program that runs has no file any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_was_not_restarted_after_an_upgrade_says_so() {
    let home = tempfile::tempdir().expect("a home");
    let (installed, file) = (
        home.path().join(".local/bin/fieldpost"),
        home.path().join(".config/fieldpost/edge.toml"),
    );
    for path in [&installed, &file] {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    }
    let upstream = Upstream::start().await;
    let config = edge_config(home.path(), &upstream.endpoint, None, free_port());
    std::fs::write(&file, config).expect("a file");
    std::fs::copy(env!("CARGO_BIN_EXE_fieldpost"), &installed).expect("a copy");
    let socket = home.path().join("notify");
    let supervisor = Supervisor::listen(&socket);
    // Started from the file that the new one takes the place of.
    let script = "exec 3<\"$1\" && cp \"$1\" \"$1.new\" && mv \"$1.new\" \"$1\" && \
                  exec /proc/self/fd/3 edge run --config \"$2\"";
    let mut child = process::command("sh")
        .args(["-c", script, "sh"])
        .args([&installed, &file])
        .env("HOME", home.path())
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "400000")
        .kill_on_drop(true)
        .spawn()
        .expect("a shell starts");
    let words = format!(
        "E20 program: another program lies at {}",
        installed.display()
    );
    supervisor
        .hears(&format!("STATUS=0 records wait; {words}"))
        .await;
    terminate(&mut child).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_is_fed_by_the_queues_writer_and_not_without_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let queue = queue::open(&directory.path().join("queue"));
    queue.writer_turn().await.expect("the writer takes turns");
    queue.close().await;
    queue
        .writer_turn()
        .await
        .expect_err("there is no writer any more");
}

/// The socket stays open as systemd keeps it; the service is stopped and started five times.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_posts_without_pause_loses_no_request_to_five_restarts() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let upstream = Upstream::start().await;
    let kept = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = kept.local_addr().expect("a bound address");
    let text = edge_config(directory.path(), &upstream.endpoint, None, address.port());
    let config = edge::config::Config::parse(&text, &|_| None).expect("a good configuration");

    let is_over = Arc::new(AtomicBool::new(false));
    let taken = Arc::new(AtomicUsize::new(0));
    let posting = tokio::spawn(post_without_pause(
        format!("http://{address}/v1/logs"),
        Arc::clone(&is_over),
        Arc::clone(&taken),
    ));
    for restart in 0..=5 {
        let handed = vec![kept.try_clone().expect("a copy of the socket")];
        let listeners = edge::listen(&config, handed).await.expect("it is taken");
        let (trigger, stopped) = shutdown::channel();
        let service = tokio::spawn(edge::run(config.clone(), listeners, stopped));
        let before = taken.load(Ordering::SeqCst);
        eventually("requests in this life of the service", async || {
            (taken.load(Ordering::SeqCst) > before + 20).then_some(())
        })
        .await;
        if restart == 5 {
            is_over.store(true, Ordering::SeqCst);
        }
        trigger.stop();
        service.await.expect("it ends").expect("it ends well");
    }
    let lost = posting.await.expect("the client ends");
    assert_eq!(
        lost,
        Vec::<String>::new(),
        "of {}",
        taken.load(Ordering::SeqCst)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_other_machines_reach_is_not_taken() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = edge_config(directory.path(), "http://127.0.0.1:9/v1/logs", None, 0);
    let config = edge::config::Config::parse(&text, &|_| None).expect("a good configuration");
    let open = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let address = open.local_addr().expect("a bound address").to_string();
    let local = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let error = edge::listen(&config, vec![local, open]).await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains(&address), "{error}");
    assert!(error.contains("fieldpost-edge.socket"), "{error}");
    assert!(error.contains("speaks no TLS"), "{error}");
}

/// As Claude's exporter posts: on one connection that is kept, and never a second time.
async fn post_without_pause(
    url: String,
    is_over: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
) -> Vec<String> {
    let client = fieldpost::http::client::builder()
        .no_proxy()
        .retry(reqwest::retry::never())
        .timeout(Duration::from_secs(30))
        .build()
        .expect("a client");
    let mut lost = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        let request = client
            .post(&url)
            .header("content-type", "application/json")
            .body(r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"one"}}]}]}]}"#);
        match request.send().await {
            Ok(answer) if answer.status() == 200 => {
                taken.fetch_add(1, Ordering::SeqCst);
            }
            Ok(answer) => lost.push(answer.status().to_string()),
            Err(error) => lost.push(format!("{error:?}")),
        }
    }
    lost
}

/// The other end of a notification socket.
struct Supervisor(UnixDatagram);

impl Supervisor {
    fn listen(path: &std::path::Path) -> Supervisor {
        let socket = UnixDatagram::bind(path).expect("a new socket");
        socket.set_nonblocking(true).expect("a socket");
        Supervisor(socket)
    }

    /// Waits for a message that begins so; others pass.
    async fn hears(&self, beginning: &str) {
        eventually(beginning, async || {
            let mut buffer = [0; 4096];
            while let Ok(length) = self.0.recv(&mut buffer) {
                let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if message.lines().any(|line| line.starts_with(beginning)) {
                    return Some(());
                }
            }
            None
        })
        .await;
    }
}

async fn terminate(child: &mut tokio::process::Child) {
    signal(child, "-TERM").await;
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    let status = ended.expect("its time is bounded").expect("it ends");
    assert!(status.success(), "{status}");
}
