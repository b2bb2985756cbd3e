//! The edge as a process, and what the kernel says about it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::upstream::NullUpstream;

/// Linux counts a process's time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// `fieldpost edge run` with its defaults, but for the quota of an account, which a load beyond 100 000
/// records a second would meet. Dropped, it is killed.
pub(crate) struct Edge {
    child: Child,
    port: u16,
    queue: PathBuf,
    /// From the start of the process until it answered.
    pub(crate) started_in: Duration,
}

impl Edge {
    /// Starts it with its data in `directory`; without an upstream, nothing listens where it sends.
    pub(crate) fn start(directory: &Path, upstream: Option<&NullUpstream>) -> Edge {
        let port = free_port();
        let upstream = upstream.map_or_else(free_port, NullUpstream::port);
        let queue = directory.join("queue");
        let config = directory.join("edge.toml");
        let text = format!(
            "[listen]\naddresses = [\"127.0.0.1:{port}\"]\n\
             records_per_second = 10000000\nbytes_per_second = \"16GiB\"\n\
             [upstream]\nendpoint = \"http://127.0.0.1:{upstream}/v1/logs\"\n\
             [queue]\ndirectory = \"{}\"\nmax_bytes = \"8GiB\"\n",
            queue.display()
        );
        fs::write(&config, text).expect("the directory is writable");
        let start = Instant::now();
        let binary = std::env::var_os("FIELDPOST_BINARY");
        let child = Command::new(binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_fieldpost").into()))
            .args(["edge", "run", "--config"])
            .arg(&config)
            .env("FIELDPOST_LOG", "error")
            .stdin(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut edge = Edge {
            child,
            port,
            queue,
            started_in: Duration::ZERO,
        };
        while !answers(port) {
            let ended = edge.child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "the edge ended: {ended:?}");
            sleep(Duration::from_millis(1));
        }
        edge.started_in = start.elapsed();
        edge
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Stops it as a supervisor does, and waits for the end.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("kill runs").success());
        self.child.wait().expect("it is our child");
    }

    /// Bytes of memory in use.
    pub(crate) fn resident(&self) -> u64 {
        self.kilobytes("VmRSS:") << 10
    }

    /// The most that it was since [`Edge::forget_peak`].
    pub(crate) fn peak(&self) -> u64 {
        self.kilobytes("VmHWM:") << 10
    }

    /// Begins to look for the peak anew.
    pub(crate) fn forget_peak(&self) {
        fs::write(self.proc("clear_refs"), "5").expect("our own child's peak can be reset");
    }

    /// Bytes of the disk that the queue takes.
    pub(crate) fn disk_bytes(&self) -> u64 {
        allocated(&self.queue)
    }

    fn kilobytes(&self, field: &str) -> u64 {
        number_after(
            &fs::read_to_string(self.proc("status")).expect("it runs"),
            field,
        )
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // After a stop there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the process has used so far.
#[derive(Clone, Copy)]
pub(crate) struct Meter {
    pub(crate) cpu: Duration,
    /// Voluntary context switches of all threads.
    pub(crate) switches: u64,
    /// Bytes that it caused to be written to the disk.
    pub(crate) written: u64,
}

impl Meter {
    pub(crate) fn read(edge: &Edge) -> Meter {
        let stat = fs::read_to_string(edge.proc("stat")).expect("it runs");
        // The name in parentheses may hold anything; user and system time are the 14th and 15th field.
        let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 2..]
            .split(' ')
            .collect();
        let ticks: u32 = [fields[11], fields[12]]
            .map(|field| field.parse::<u32>().expect("a number"))
            .iter()
            .sum();
        let switches = fs::read_dir(edge.proc("task"))
            .expect("it runs")
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok())
            .map(|status| number_after(&status, "\nvoluntary_ctxt_switches:"))
            .sum();
        let io = fs::read_to_string(edge.proc("io")).expect("it runs");
        Meter {
            cpu: TICK * ticks,
            switches,
            written: number_after(&io, "\nwrite_bytes:"),
        }
    }

    pub(crate) fn since(&self, before: &Meter) -> Meter {
        Meter {
            cpu: self.cpu - before.cpu,
            switches: self.switches.saturating_sub(before.switches),
            written: self.written - before.written,
        }
    }
}

/// Whether the edge takes requests.
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    let mut answer = [0; 12];
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .and_then(|()| stream.read_exact(&mut answer))
        .is_ok_and(|()| &answer == b"HTTP/1.1 200")
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

/// Bytes of the disk below a path. What vanishes meanwhile takes none.
fn allocated(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return 0;
    };
    let below = match fs::read_dir(path) {
        Ok(entries) => entries
            .flatten()
            .map(|entry| allocated(&entry.path()))
            .sum(),
        Err(_) => 0,
    };
    metadata.blocks() * 512 + below
}

fn number_after(text: &str, field: &str) -> u64 {
    let rest = text.split(field).nth(1).expect("the kernel tells it");
    let number = rest.split_whitespace().next().expect("a value");
    number.parse().expect("a number")
}
