//! `fieldpost edge redact` and what `check-config` says of rules, as a person runs them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fieldpost::command;
use crate::support::process::{Output, run};

/// More than a loaded machine needs.
const LIMIT: Duration = Duration::from_secs(60);

fn token() -> String {
    ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA2bC4"].concat()
}

async fn redact(arguments: &[&str], input: &str) -> Output {
    let mut command = command();
    command.args(["edge", "redact"]).args(arguments);
    run(command, input, LIMIT).await
}

fn written(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).expect("writable");
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn text_goes_through_without_its_secrets() {
    let input = format!("first\nlogin with {} é\nno end of line", token());
    let output = redact(&["--stats", "--explain"], &input)
        .await
        .expect_success();
    let expected = "first\nlogin with [REDACTED:github-token] é\nno end of line";
    assert_eq!(output.stdout, expected);
    assert!(!output.stderr.contains(&token()[4..]), "{}", output.stderr);
    let place = format!("line 2, bytes 11 to {}: ", 11 + token().len());
    assert!(output.stderr.contains(&place), "{}", output.stderr);
    assert!(output.stderr.contains("1  in all"), "{}", output.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_json_keep_their_ids() {
    let input = format!(
        "{}\n\n{}\n{{\"id\": 3, \"text\": \"half \\ud83d of one\"}}\n",
        json!({"id": 7, "text": format!("use {}", token()), "kind": "positive"}),
        json!({"id": ["a", null], "text": "nothing\nhere"}),
    );
    let output = redact(&["--jsonl", "--explain"], &input)
        .await
        .expect_success();
    let lines: Vec<Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let end = 4 + token().len();
    let rule = &lines[0]["findings"][0]["rule"];
    assert_eq!(
        lines[0],
        json!({"id": 7, "out": "use [REDACTED:github-token]",
            "findings": [{"rule": rule, "type": "github-token", "start": 4, "end": end}]})
    );
    assert_eq!(
        lines[1],
        json!({"id": ["a", null], "out": "nothing\nhere", "findings": []})
    );
    assert_eq!(
        lines[2],
        json!({"id": 3, "out": "half \u{fffd} of one", "findings": []})
    );

    let broken = format!(
        "{{\"id\": 1, \"text\": \"a\"}}\n{{\"id\": 2, \"{}\": 1}}\n",
        token()
    );
    let output = redact(&["--jsonl"], &broken).await;
    assert!(!output.success);
    assert!(
        output.stderr.contains("line 2, column "),
        "{}",
        output.stderr
    );
    assert!(!output.stderr.contains(&token()), "{}", output.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_data_goes_when_it_is_asked_for() {
    let input = "mail ada@example.com from 203.0.113.77";
    assert_eq!(redact(&[], input).await.expect_success().stdout, input);
    let all = redact(&["--pii"], input).await.expect_success();
    assert_eq!(all.stdout, "mail [REDACTED:email] from [REDACTED:ip]");
    let one = redact(&["--pii=card,ip"], input).await.expect_success();
    assert_eq!(one.stdout, "mail ada@example.com from [REDACTED:ip]");
    let mut command = command();
    command.args(["edge", "redact", "--pii=shoes"]);
    let status = command.output().await.expect("the binary starts").status;
    assert_eq!(status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_names_rules_and_bad_ones_are_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let rule = "[[rule]]\nid = \"acme-badge\"\nkeywords = [\"acme-\"]\nregex = '(acme-[0-9a-f]{12})'\n\
        examples = [\"acme-{+}0123456789ab\"]\nnon_examples = [\"acme-0123\"]\n";
    let bad = rule
        .replace("acme-badge", "acme-pass")
        .replace("{12})", "{12}");
    let rules = written(directory.path(), "rules.toml", &format!("{rule}{bad}"));
    // Only [redact] counts: there is no upstream, and nobody minds.
    let text =
        format!("[upstream]\nnonsense = 1\n[redact]\nrules = [\"{rules}\"]\npii = [\"email\"]\n");
    let config = written(directory.path(), "edge.toml", &text);
    let badge = ["acme", "-", "4f9c2b7d81e6"].concat();
    let output = redact(&["--config", &config], &format!("{badge} ada@example.com")).await;
    assert!(!output.success, "a rule is refused");
    assert_eq!(output.stdout, "[REDACTED:acme-badge] [REDACTED:email]");
    let told = format!("{rules}:7: rule acme-pass: ");
    assert!(output.stderr.contains(&told), "{}", output.stderr);

    let output = redact(&["--config", &config, "--rules", "--json"], "").await;
    let listed: Vec<Value> = serde_json::from_str(&output.stdout).expect("JSON");
    let own = json!({"id": "acme-badge", "type": "acme-badge", "source": rules});
    assert!(listed.contains(&own));
    assert!(
        listed
            .iter()
            .filter(|rule| rule["source"] == "builtin")
            .count()
            > 100
    );
    let plain = redact(&["--rules"], "").await.expect_success();
    assert_eq!(plain.stdout.lines().count(), listed.len() - 1);

    let good = "[upstream]\nendpoint = \"https://otel.example.com/v1/logs\"\n";
    let text = format!("{good}[redact]\nrules = [\"{rules}\"]\ndisable = [\"nothing\"]\n");
    let config = written(directory.path(), "edge.toml", &text);
    let mut check = command();
    check.args(["edge", "check-config", "--config", &config]);
    let output = run(check, "", LIMIT).await;
    assert!(!output.success);
    assert!(output.stdout.contains(&told), "{}", output.stdout);
    assert!(
        output.stdout.contains("there is no rule nothing"),
        "{}",
        output.stdout
    );

    let text = "[redact]\nsecrets = 1\npii = [\"shoes\"]\nplaceholder = \"none\"\n";
    let config = written(directory.path(), "edge.toml", text);
    let output = redact(&["--config", &config], "").await;
    assert!(!output.success);
    for words in [
        "line 2: redact.secrets",
        "line 3: redact.pii",
        "line 4: redact.placeholder",
    ] {
        assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_tell_equal_secrets_from_others() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = "[redact]\nplaceholder = \"hash\"\n";
    let config = written(directory.path(), "edge.toml", text);
    let other = token().replace("aB3d", "xY8z");
    let input = format!("{0}\n{0}\n{other}\n", token());
    let output = redact(&["--config", &config], &input)
        .await
        .expect_success();
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert!(
        lines[0].starts_with("[REDACTED:github-token:h="),
        "{}",
        lines[0]
    );
    assert_eq!(lines[0], lines[1]);
    assert_ne!(lines[0], lines[2]);
}
