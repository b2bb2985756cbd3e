//! The service as launchd sees it. What it prints is for people; only the words that have been there for years are read.

use super::finding::Finding;

/// E01
#[cfg(target_os = "macos")]
pub(super) async fn units(world: &super::world::World) -> Finding {
    let mut command = tokio::process::Command::new("/bin/launchctl");
    command.args(["print", super::hints::LAUNCHD_SERVICE]);
    let output = match command.kill_on_drop(true).output().await {
        Ok(output) => output,
        Err(error) => return Finding::skip(format!("launchctl cannot be started: {error}")),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let finding = judge(output.status.success().then_some(&text));
    match finding.verdict {
        super::Verdict::Fail => finding.repaired_by(world.systemctl(&["start"])),
        _ => finding,
    }
}

/// What `launchctl print` says of a service, or that it knows none of that name.
fn judge(printed: Option<&str>) -> Finding {
    let Some(printed) = printed else {
        return Finding::fail(
            "launchd does not know the service dev.fieldpost.edge",
            "sudo launchctl bootstrap system /Library/LaunchDaemons/dev.fieldpost.edge.plist; where that is refused, \
             allow fieldpost in System Settings, General, Login Items",
        );
    };
    // Those of the service stand one tabulator in, those of its sockets deeper.
    let property = |name: &str| {
        let mut lines = printed.lines().filter_map(|line| line.strip_prefix('\t'));
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
    };
    match property("state") {
        Some("running") => Finding::ok("launchd runs the service"),
        state => Finding::fail(
            format!(
                "launchd does not run the service: {} (last exit code: {})",
                state.unwrap_or("no state"),
                property("last exit code").unwrap_or("none")
            ),
            "tail -n 20 /var/log/fieldpost/edge.log /var/log/fieldpost/edge.stderr says why",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    /// As macOS prints it, but for what is not read.
    fn printed(state: &str) -> String {
        format!(
            "system/dev.fieldpost.edge = {{\n\tactive count = 3\n\tpath = /Library/LaunchDaemons/dev.fieldpost.edge.plist\n\
             \tstate = {state}\n\tlast exit code = 78: EX_CONFIG\n\tsockets = {{\n\t\t\"otlp4\" = {{\n\t\t\tstate = listening\n\t\t}}\n\t}}\n}}\n"
        )
    }

    #[test]
    fn a_service_runs_does_not_or_is_not_known() {
        assert_eq!(judge(Some(&printed("running"))).verdict, Verdict::Ok);
        let ended = judge(Some(&printed("spawn scheduled")));
        assert_eq!(ended.verdict, Verdict::Fail);
        assert!(
            ended.seen.contains("spawn scheduled (last exit code: 78"),
            "{ended:?}"
        );
        let unknown = judge(None);
        assert_eq!(unknown.verdict, Verdict::Fail);
        assert!(unknown.fix.is_some_and(|fix| fix.contains("bootstrap")));
    }
}
