//! macOS tells which process holds a socket, and whose the process is, only through calls that are not safe Rust. Its
//! own programs tell the same to everybody: `netstat -anv` the process of each connection, `ps` the account of a
//! process. They are started once per connection, and nobody waits for them longer than [`TIMEOUT`].
//!
//! `netstat` prints one of two tables, depending on the release: with a column `pid`, or with `process:pid`, in which
//! the name of the process may hold blanks. Addresses end in a point and the port.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Semaphore;

/// Time for both programs together.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Connections that are looked up at once; others wait for their turn, within their time.
static TURNS: Semaphore = Semaphore::const_new(2);

/// Where the two programs are.
pub(super) struct Programs {
    netstat: PathBuf,
    ps: PathBuf,
}

impl Default for Programs {
    fn default() -> Programs {
        Programs {
            netstat: "/usr/sbin/netstat".into(),
            ps: "/bin/ps".into(),
        }
    }
}

/// The uid that owns the socket at `peer` which is connected to `local`.
pub(super) async fn uid(programs: &Programs, peer: SocketAddr, local: SocketAddr) -> Option<u32> {
    let look_up = async {
        let _turn = TURNS.acquire().await.ok()?;
        let sockets = said_by(&programs.netstat, &["-anv", "-p", "tcp"]).await?;
        let pid = process_in(&sockets, peer, local)?.to_string();
        let uid = said_by(&programs.ps, &["-o", "uid=", "-p", &pid]).await?;
        uid.trim().parse().ok()
    };
    match tokio::time::timeout(TIMEOUT, look_up).await {
        Ok(uid) => uid,
        Err(_) => {
            tracing::warn!("the account of a connection was not found in time");
            None
        }
    }
}

/// What a program prints, if it ends well. It ends when nobody waits for it any more.
async fn said_by(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(printed)
}

/// The process that holds the socket at `peer` which is connected to `local`.
fn process_in(sockets: &str, peer: SocketAddr, local: SocketAddr) -> Option<u32> {
    const STATE: &str = "(state)";
    let mut lines = sockets.lines();
    let header = lines.find_map(|line| line.split_once(STATE))?.1;
    let is_pid = |name: &str| name == "pid" || name == "process:pid";
    let column = header.split_ascii_whitespace().position(is_pid)?;
    lines.find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(3);
        if address(fields.next()?)? != canonical(peer)
            || address(fields.next()?)? != canonical(local)
        {
            return None;
        }
        // The state comes first, then the columns of the header.
        let mut fields = fields.skip(1 + column);
        let process = fields.next()?;
        let named = |field: &str| field.rsplit_once(':')?.1.parse().ok();
        let is_number = process.bytes().all(|b| b.is_ascii_digit());
        match is_number && !header.contains("process:pid") {
            true => process.parse().ok(),
            false => named(process).or_else(|| fields.find_map(named)),
        }
    })
}

/// `127.0.0.1.52345`, `::1.52345`
fn address(written: &str) -> Option<SocketAddr> {
    let (ip, port) = written.rsplit_once('.')?;
    let ip: IpAddr = ip.parse().ok()?;
    Some(canonical(SocketAddr::new(ip, port.parse().ok()?)))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As macOS 13 prints it.
    const WITH_PID: &str = "\
Active Internet connections (including servers)
Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)      rhiwat  shiwat    pid   epid state  options
tcp4       0      0  127.0.0.1.4318         127.0.0.1.52345        ESTABLISHED  408128  146988    311      0 00102 00000000
tcp4       0      0  127.0.0.1.52345        127.0.0.1.4318         ESTABLISHED  408128  146988   8642      0 00102 00000008
tcp6       0      0  ::1.52346              ::1.4318               ESTABLISHED  407296  146808   8643      0 00102 00000008
tcp4       0      0  127.0.0.1.4318         *.*                    LISTEN       131072  131072    311      0 00100 00000006
";

    /// As macOS 15 prints it.
    const WITH_NAMES: &str = "\
Active Internet connections (including servers)
Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)          rxbytes      txbytes  rhiwat  shiwat  process:pid    state  options
tcp4       0      0  127.0.0.1.4318         127.0.0.1.52345        ESTABLISHED          120          431  131072  131768  fieldpost:311   00102 00000000
tcp4       0      0  127.0.0.1.52345        127.0.0.1.4318         ESTABLISHED          431          120  131072  131768  Claude Helper (Re:8642 00102 00000008
tcp6       0      0  ::1.52346              ::1.4318               ESTABLISHED          431          120  131072  131768  node:8643      00102 00000008
";

    fn at(address: &str) -> SocketAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn the_process_at_the_clients_end_is_found_in_both_tables() {
        for table in [WITH_PID, WITH_NAMES] {
            let process = |peer, local| process_in(table, at(peer), at(local));
            assert_eq!(process("127.0.0.1:52345", "127.0.0.1:4318"), Some(8642));
            assert_eq!(process("[::1]:52346", "[::1]:4318"), Some(8643));
            assert_eq!(process("127.0.0.1:52346", "127.0.0.1:4318"), None);
        }
        assert_eq!(process_in("", at("[::1]:1"), at("[::1]:2")), None);
    }

    /// Programs that stand in for macOS's own.
    fn programs(directory: &Path, netstat: &str) -> Programs {
        use std::os::unix::fs::PermissionsExt;
        let program = |name: &str, script: &str| {
            let path = directory.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("it is writable");
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&path, mode).expect("it is ours");
            path
        };
        Programs {
            netstat: program("netstat", netstat),
            ps: program("ps", r#"test "$*" = "-o uid= -p 8642" && echo "  501""#),
        }
    }

    #[tokio::test]
    async fn the_programs_are_asked_one_after_the_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let table = directory.path().join("table");
        std::fs::write(&table, WITH_NAMES).expect("it is writable");
        let script = format!(
            r#"test "$*" = "-anv -p tcp" && /bin/cat {}"#,
            table.display()
        );
        let programs = programs(directory.path(), &script);
        let [peer, local] = ["127.0.0.1:52345", "127.0.0.1:4318"].map(at);
        assert_eq!(uid(&programs, peer, local).await, Some(501));
        // Another process's account is not told by this `ps`.
        assert_eq!(
            uid(&programs, at("[::1]:52346"), at("[::1]:4318")).await,
            None
        );
    }

    #[tokio::test]
    async fn a_program_that_hangs_or_is_missing_leaves_the_account_unknown() {
        let directory = tempfile::tempdir().expect("a directory");
        let hanging = programs(directory.path(), "exec /bin/sleep 60");
        let missing = Programs {
            netstat: directory.path().join("netstat that is not there"),
            ps: directory.path().join("ps that is not there"),
        };
        let [peer, local] = ["127.0.0.1:52345", "127.0.0.1:4318"].map(at);
        assert_eq!(uid(&missing, peer, local).await, None);
        let start = std::time::Instant::now();
        assert_eq!(uid(&hanging, peer, local).await, None);
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "it did not wait for the program"
        );
    }
}
