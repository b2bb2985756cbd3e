//! The service as Windows' service manager sees it: `sc.exe` prints a line for each thing it knows of a service.

use super::finding::Finding;

/// E01
#[cfg(windows)]
pub(super) async fn units(world: &super::world::World) -> Finding {
    let mut command = tokio::process::Command::new("sc.exe");
    command.args(["query", "fieldpost-edge"]).kill_on_drop(true);
    let output = match command.output().await {
        Ok(output) => output,
        Err(error) => return Finding::skip(format!("sc.exe cannot be started: {error}")),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let finding = judge(&text);
    match finding.verdict {
        super::Verdict::Fail => finding.repaired_by(world.systemctl(&["start"])),
        _ => finding,
    }
}

/// What `sc.exe query` says of a service, or why it says nothing.
fn judge(printed: &str) -> Finding {
    let mut lines = printed.lines().filter_map(|line| line.split_once(':'));
    // A number, and the word for it.
    let state = lines.find_map(|(name, value)| (name.trim() == "STATE").then(|| value.trim()));
    match state {
        Some(state) if state.ends_with("RUNNING") => Finding::ok("the service runs"),
        Some(state) => Finding::fail(
            format!("the service does not run: {state}"),
            r"Restart-Service fieldpost-edge; C:\ProgramData\Fieldpost\logs\edge.log says why not",
        ),
        None => Finding::fail(
            "there is no service fieldpost-edge",
            "make it with sc.exe create, as packaging/README.md says",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    /// As Windows prints it.
    fn printed(state: &str) -> String {
        format!(
            "\r\nSERVICE_NAME: fieldpost-edge \r\n        TYPE               : 10  WIN32_OWN_PROCESS  \r\n        \
             STATE              : {state} \r\n                                (STOPPABLE, NOT_PAUSABLE)\r\n"
        )
    }

    #[test]
    fn a_service_runs_does_not_or_is_not_there() {
        assert_eq!(judge(&printed("4  RUNNING")).verdict, Verdict::Ok);
        let ended = judge(&printed("1  STOPPED"));
        assert_eq!(ended.verdict, Verdict::Fail);
        assert!(ended.seen.contains("1  STOPPED"), "{ended:?}");
        let unknown = judge("[SC] EnumQueryServicesStatus:OpenService FAILED 1060:\r\n");
        assert_eq!(unknown.verdict, Verdict::Fail);
        assert!(unknown.seen.contains("no service"), "{unknown:?}");
    }
}
