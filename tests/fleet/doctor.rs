//! doctor: each check once where all is well, and once where it is not, with what to do.

mod machine_checks;
mod upstream_checks;
mod claude_checks;
mod policy_sources;
mod repairs;
mod tokens;
mod accounts;
mod records;

use super::machine::Machine;

#[tokio::test(flavor = "multi_thread")]
async fn people_read_a_line_for_each_check_and_the_failures_once_more() {
    let machine = Machine::new();
    let (code, output, _) = machine.run(&["doctor", "--no-network"], "").await;
    assert_eq!(code, 1);
    for number in 1..=22 {
        let id = format!(" E{number:02} ");
        assert!(output.contains(&id), "{id}:\n{output}");
    }
    let (_, failed) = output
        .split_once("\nfailed:\n")
        .expect("failures come again");
    assert!(failed.contains("[FAIL] E04 configuration:"), "{failed}");
    assert!(
        failed.contains("       fix: sudo fieldpost edge install"),
        "{failed}"
    );
    assert!(output.contains("[skip] E06 way to the upstream: not looked at without the network"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_get_an_exit_code_and_a_word() {
    let machine = Machine::new();
    machine.write("home/ada/.claude.json", "{}");
    // A warning is no failure, unless asked for.
    let (code, ..) = machine.run(&["doctor", "--only", "E16"], "").await;
    assert_eq!(code, 0);
    let (code, ..) = machine
        .run(&["doctor", "--only", "E16", "--strict"], "")
        .await;
    assert_eq!(code, 1);
    let (code, output, _) = machine
        .run(&["doctor", "--only", "e04", "--format", "jamf"], "")
        .await;
    assert_eq!((code, output.trim()), (1, "<result>FAIL E04</result>"));
    let (code, _, error) = machine.run(&["doctor", "--only", "E99"], "").await;
    assert_eq!(code, 2);
    assert!(error.contains("no such check"), "{error}");
}
