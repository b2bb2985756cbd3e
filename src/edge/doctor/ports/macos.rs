//! `lsof` tells root who listens; anybody else it tells of their own processes only.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Holder;

/// Who listens on `address`, or on every address with its port; `None` when nobody does. Processes of others are seen by
/// root only.
#[cfg(target_os = "macos")]
pub(in crate::edge::doctor) fn holders(address: SocketAddr) -> Option<BTreeSet<Holder>> {
    let port = format!("-iTCP:{}", address.port());
    let mut command = std::process::Command::new("/usr/sbin/lsof");
    command.args(["-nP", &port, "-sTCP:LISTEN", "-Fpcn"]);
    let output = command.output().ok()?;
    let holders = listed(&String::from_utf8_lossy(&output.stdout), address);
    match holders.is_empty() && uzers::get_effective_uid() == 0 {
        true => None,
        false => Some(holders),
    }
}

/// Lines of a letter and a value: `p` a process, `c` its name, and for each of its files `n` what it is.
fn listed(text: &str, address: SocketAddr) -> BTreeSet<Holder> {
    let (own, any) = (address.to_string(), format!("*:{}", address.port()));
    let (mut pid, mut name) = (None, String::new());
    let mut holders = BTreeSet::new();
    for line in text.lines() {
        let Some((letter, value)) = line.split_at_checked(1) else {
            continue;
        };
        match letter {
            "p" => pid = value.parse().ok(),
            "c" => value.clone_into(&mut name),
            "n" if value == own || value == any => {
                let name = name.clone();
                holders.extend(pid.map(|pid| Holder { pid, name }));
            }
            _ => {}
        }
    }
    holders
}

#[cfg(test)]
mod tests {
    use super::*;

    const LSOF: &str = "p1\nclaunchd\nf12\nn127.0.0.1:4318\nf13\nn[::1]:4318\np812\ncnode\nf21\nn127.0.0.1:4319\n\
                        p900\ncotelcol\nf7\nn*:4320\n";

    #[test]
    fn the_process_is_the_one_above_the_address() {
        let names = |address: &str| {
            let holders = listed(LSOF, address.parse().expect("an address"));
            let names = holders.iter().map(ToString::to_string);
            names.collect::<Vec<_>>()
        };
        assert_eq!(names("127.0.0.1:4318"), ["launchd (pid 1)"]);
        assert_eq!(names("[::1]:4318"), ["launchd (pid 1)"]);
        assert_eq!(names("127.0.0.1:4319"), ["node (pid 812)"]);
        assert_eq!(names("127.0.0.1:4320"), ["otelcol (pid 900)"]);
        assert!(names("[::1]:4319").is_empty());
    }
}
