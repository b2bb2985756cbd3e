//! Rules of one's own: what works is in force, what does not is refused with its line and the reason.
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use fieldpost::edge::redact::{RedactConfig, Redactor, Tally};

use super::world::{attribute, first_record, github_token, logs, record, string, text};

/// A made-up format, and a rule that knows it.
fn badge() -> String {
    ["acme", "-", "4f9c2b7d81e6"].concat()
}

const BADGE: &str = r#"
[[rule]]
id = "acme-badge"
keywords = ["acme-"]
regex = '(acme-[0-9a-f]{12})'
examples = ["badge acme-{+}0123456789ab"]
non_examples = ["badge acme-0123"]
"#;

#[test]
fn the_readmes_rules_work_as_it_says() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = fs::read_to_string(readme).expect("the README is part of the source");
    let (_, example) = readme
        .split_once("```toml\n# /etc/fieldpost/rules.toml\n")
        .expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let files = Files::new();
    let redactor = with(&[files.write("rules.toml", example)]);
    assert_eq!(redactor.refusals(), []);
    let pin = ["30", "1946"].concat();
    assert_eq!(redacted(&redactor, &badge()), "[REDACTED:badge]");
    assert_eq!(
        redacted(&redactor, &format!("VAULT_PIN={pin}")),
        "VAULT_PIN=[REDACTED:acme-vault-pin]"
    );
    let attributes = vec![
        text("event.name", "tool_result"),
        text("diary.today", "rain"),
    ];
    let out = redactor
        .redact(logs(vec![record(attributes)]))
        .into_request();
    let diary = attribute(&first_record(&out), "diary.today");
    assert_eq!(diary, Some(string("[REDACTED:diary]")));
    let demo = ["API_TOKEN=acme-", "demo-q8Zk2LmX9vTd"].concat();
    assert_eq!(redacted(&redactor, &demo), demo);
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().expect("a directory"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("writable");
        path
    }
}

fn with(rules: &[PathBuf]) -> Redactor {
    let config = RedactConfig {
        rules: rules.to_vec(),
        ..RedactConfig::default()
    };
    Redactor::new(&config).expect("the files can be read")
}

fn redacted(redactor: &Redactor, text: &str) -> String {
    redactor.redact_text(text).0.into_owned()
}

#[test]
fn a_rule_of_ones_own_finds_what_no_other_knows() {
    let files = Files::new();
    let redactor = with(&[files.write("rules.toml", BADGE)]);
    assert_eq!(redactor.refusals(), []);
    let text = format!("opened by {} and {}", badge(), github_token());
    assert_eq!(
        redacted(&redactor, &text),
        "opened by [REDACTED:acme-badge] and [REDACTED:github-token]"
    );
    let hits = redactor.redact_text(&text).1;
    let by_rule: Vec<_> = hits.by_rule().collect();
    assert_eq!(by_rule[0], ("acme-badge", "acme-badge", 1));
    assert_eq!(by_rule.len(), 2);
}

#[test]
fn a_rule_that_cannot_work_is_refused_with_its_line_and_the_others_stand() {
    let files = Files::new();
    let broken = [
        ("keywords = []", "keywords = [\"acme-\"]", "no keyword"),
        (
            "keywords = [\"a\"]",
            "keywords = [\"acme-\"]",
            "shorter than two bytes",
        ),
        (
            "regex = 'acme-[0-9a-f]{12}'",
            "regex = '(acme-[0-9a-f]{12})'",
            "no capture group",
        ),
        (
            "regex = '(acme-[0-9a-f{12}'",
            "regex = '(acme-[0-9a-f]{12})'",
            "unclosed",
        ),
        (
            "regex = '(acme-[0-9]{12})'",
            "regex = '(acme-[0-9a-f]{12})'",
            "example 1 is not found",
        ),
        (
            "examples = []",
            "examples = [\"badge acme-{+}0123456789ab\"]",
            "needs an example",
        ),
        (
            "regexp = ''",
            "non_examples = [\"badge acme-0123\"]",
            "unknown field `regexp`",
        ),
        (
            "non_examples = [\"acme-{+}0123456789ab\"]",
            "non_examples = [\"badge acme-0123\"]",
            "counter-example 1",
        ),
        ("id = \"Acme\"", "id = \"acme-badge\"", "lower-case"),
        (
            "type = \"a b\"\nid = \"acme-badge\"",
            "id = \"acme-badge\"",
            "lower-case",
        ),
    ];
    for (bad, good, reason) in broken {
        let other = BADGE.replace("acme", "other");
        assert!(BADGE.contains(good), "{good}");
        let file = format!("# line 1\n{}{other}", BADGE.replace(good, bad));
        let path = files.write("rules.toml", &file);
        let redactor = with(std::slice::from_ref(&path));
        let [refusal] = redactor.refusals() else {
            panic!("{bad}: {:?}", redactor.refusals());
        };
        assert_eq!(refusal.file.as_ref(), Some(&path), "{bad}");
        let line = refusal.line.expect("a line");
        assert!((3..=10).contains(&line), "{bad}: {refusal}");
        assert!(refusal.reason.contains(reason), "{bad}: {refusal}");
        let shown = format!("{}:{line}: ", path.display());
        assert!(refusal.to_string().starts_with(&shown), "{refusal}");
        let text = format!("{} {}", badge(), badge().replace("acme", "other"));
        assert_eq!(
            redacted(&redactor, &text),
            format!("{} [REDACTED:other-badge]", badge()),
            "{bad}"
        );
        assert_eq!(
            redacted(&redactor, &github_token()),
            "[REDACTED:github-token]"
        );
    }
}

#[test]
fn what_is_not_a_rule_is_refused_and_what_is_no_file_of_rules_is_an_error() {
    let files = Files::new();
    let strange =
        format!("rules = 1\n[keys]\nnonsense = [\"word\"]\nsecret = \"word\"\n{BADGE}{BADGE}");
    let strange = format!("{strange}[[attribute]]\naction = \"drop\"\nkeys = []\n");
    let redactor = with(&[files.write("rules.toml", &strange)]);
    let mut told: Vec<(Option<usize>, &str)> = redactor
        .refusals()
        .iter()
        .map(|refusal| (refusal.line, refusal.reason.as_str()))
        .collect();
    told.sort_unstable();
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(
        told[0].0 == Some(1) && told[0].1.starts_with("rules: "),
        "{told:?}"
    );
    assert!(
        told[1].0 == Some(2) && told[1].1.contains("no such list"),
        "{told:?}"
    );
    assert!(
        told[2].0 == Some(2) && told[2].1.contains("list of words"),
        "{told:?}"
    );
    assert!(
        told[3].0 == Some(13) && told[3].1.contains("another rule"),
        "{told:?}"
    );
    assert!(
        told[4].0 == Some(19) && told[4].1.contains("names no key"),
        "{told:?}"
    );
    assert_eq!(redacted(&redactor, &badge()), "[REDACTED:acme-badge]");

    let error = |path: PathBuf| {
        let config = RedactConfig {
            rules: vec![path],
            ..RedactConfig::default()
        };
        Redactor::new(&config).expect_err("no rules").to_string()
    };
    let broken = files.write("broken.toml", "[[rule]]\nid = \"a\n");
    let told = error(broken.clone());
    assert!(
        told.starts_with(&format!("{}:2: ", broken.display())),
        "{told}"
    );
    assert!(error(files.0.path().join("missing.toml")).contains("missing.toml"));
}

#[test]
fn a_later_rule_takes_the_place_of_one_with_its_id_unless_it_is_bad() {
    let files = Files::new();
    let first = files.write("first.toml", BADGE);
    let other_type = BADGE.replace("id = ", "type = \"visitor\"\nid = ");
    let second = files.write("second.toml", &other_type);
    let both = with(&[first.clone(), second]);
    assert_eq!(redacted(&both, &badge()), "[REDACTED:visitor]");
    // A builtin one as well; and the builtin one stands when the other does not work.
    let id = both.rules().next().expect("rules").id.to_owned();
    let taken = files.write("taken.toml", &BADGE.replace("acme-badge", &id));
    let redactor = with(std::slice::from_ref(&taken));
    assert_eq!(redacted(&redactor, &badge()), format!("[REDACTED:{id}]"));
    assert_eq!(redactor.rules().filter(|rule| rule.id == id).count(), 1);
    let bad = BADGE.replace("acme-badge", &id).replace("{12}", "{13}");
    let redactor = with(&[files.write("bad.toml", &bad)]);
    assert_eq!(redactor.refusals().len(), 1);
    let stands = redactor
        .rules()
        .find(|rule| rule.id == id)
        .expect("the builtin one");
    assert_eq!(stands.file, None);
}

#[test]
fn rules_are_switched_off_by_id_and_an_unknown_id_is_told() {
    let files = Files::new();
    let config = RedactConfig {
        rules: vec![files.write("rules.toml", BADGE)],
        disable: vec!["acme-badge".to_owned(), "acme-bagde".to_owned()],
        ..RedactConfig::default()
    };
    let redactor = Redactor::new(&config).expect("a good file");
    assert_eq!(redacted(&redactor, &badge()), badge());
    let [refusal] = redactor.refusals() else {
        panic!("{:?}", redactor.refusals());
    };
    assert!(
        refusal.to_string().contains("there is no rule acme-bagde"),
        "{refusal}"
    );
}

#[test]
fn words_of_ones_own_make_keys() {
    let files = Files::new();
    let words = "[keys]\npassword = [\"sesam\"]\n";
    let redactor = with(&[files.write("rules.toml", words)]);
    assert_eq!(redactor.refusals(), []);
    let secret = ["Gr8", "Lantern", "!77"].concat();
    let text = format!("sesam = '{secret}'");
    assert_eq!(redacted(&redactor, &text), "sesam = '[REDACTED:password]'");
    assert_eq!(redacted(super::redactor(), &text), text);
}

#[test]
fn attributes_are_denied_before_they_are_searched_and_allowed_but_for_known_formats() {
    let files = Files::new();
    let password = ["Gr8", "Lantern", "!77"].concat();
    let entries = "[[attribute]]\naction = \"allow\"\nkeys = [\"build.*\", \"plan\"]\n\
        [[attribute]]\naction = \"drop\"\nkeys = [\"build.secret\", \"diary\"]\n\
        [[attribute]]\naction = \"allow\"\nforce = true\nkeys = [\"sample\"]\n\
        [[attribute]]\naction = \"search\"\nkeys = [\"body\"]\nevents = [\"api_request_body\"]\n";
    let redactor = with(&[files.write("rules.toml", entries)]);
    assert_eq!(redactor.refusals(), []);
    let value = format!("password='{password}' {}", github_token());
    let mut attributes = vec![text("event.name", "api_request_body")];
    let keys = [
        "build.log",
        "build.secret",
        "diary",
        "sample",
        "body",
        "elsewhere",
    ];
    attributes.extend(keys.map(|key| text(key, &value)));
    let redacted = redactor
        .redact(logs(vec![record(attributes)]))
        .into_request();
    let record = first_record(&redacted);
    let is = |key: &str, expected: &str| {
        assert_eq!(attribute(&record, key), Some(string(expected)), "{key}");
    };
    is(
        "build.log",
        &format!("password='{password}' [REDACTED:github-token]"),
    );
    is("build.secret", "[REDACTED:denied]");
    is("diary", "[REDACTED:denied]");
    is("sample", &value);
    is(
        "body",
        "password='[REDACTED:password]' [REDACTED:github-token]",
    );
    is(
        "elsewhere",
        "password='[REDACTED:password]' [REDACTED:github-token]",
    );
    // What is dropped once stays as it is.
    let again = redactor.redact(redacted.clone()).into_request();
    assert_eq!(first_record(&again), record);
}

#[test]
fn what_is_taken_out_of_records_is_counted_by_rule_over_changes_of_rules() {
    let tally = Arc::new(Tally::default());
    let first = Redactor::builtin().counting_in(Arc::clone(&tally));
    let files = Files::new();
    let second = with(&[files.write("rules.toml", BADGE)]).counting_in(Arc::clone(&tally));
    let value = format!("{} {}", badge(), github_token());
    for redactor in [&first, &second] {
        let record = record(vec![text("prompt", &value), text("response", &value)]);
        redactor.redact(logs(vec![record]));
    }
    // Logs and what is tried out are not records.
    second.redact_text(&value);
    let counts = tally.snapshot();
    let of_badge = counts.by_rule().find(|(rule, _, _)| *rule == "acme-badge");
    assert_eq!(of_badge, Some(("acme-badge", "acme-badge", 2)));
    assert_eq!((counts.total(), counts.over_budget()), (6, 0));
    let costly = "token=key=secret=".repeat(60_000);
    first.redact(logs(vec![record(vec![text("prompt", &costly)])]));
    assert_eq!(tally.snapshot().over_budget(), 1);
}

#[test]
fn what_is_allowed_stays_and_formats_only_by_force() {
    let files = Files::new();
    let allowed = r#"
[[allow]]
texts = ["acme-demo-"]
types = ["password", "secret"]

[[allow]]
texts = ["rotated-in-2019"]
force = true
"#;
    let redactor = with(&[files.write("rules.toml", allowed)]);
    assert_eq!(redactor.refusals(), []);
    let demo = ["acme-demo-", "q8Zk2LmX9vTd"].concat();
    let kept = format!("API_TOKEN={demo}");
    assert_eq!(redacted(&redactor, &kept), kept);
    let value = text("api_token", &demo);
    let out = redactor.redact(logs(vec![record(vec![value])]));
    let token = attribute(&first_record(out.request()), "api_token");
    assert_eq!(
        token,
        Some(string(&demo)),
        "as the value of a key of its own"
    );
    // What is not named goes, also where it holds what is.
    let other = format!("API_TOKEN={}", ["acme-prod-", "q8Zk2LmX9vTd"].concat());
    assert_ne!(redacted(&redactor, &other), other);
    let beside = format!("API_TOKEN={demo}.{}", github_token());
    assert!(!redacted(&redactor, &beside).contains(&github_token()));

    let force = "[[allow]]\ntexts = [\"ghp_\"]\ntypes = [\"github-token\"]\n";
    let unforced = with(&[files.write("rules.toml", &force.replace("ghp_", &github_token()))]);
    assert_eq!(
        redacted(&unforced, &github_token()),
        "[REDACTED:github-token]"
    );
    let forced = format!("{force}force = true\n").replace("ghp_", &github_token());
    let forced = with(&[files.write("rules.toml", &forced)]);
    assert_eq!(redacted(&forced, &github_token()), github_token());
}
