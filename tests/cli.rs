//! The command line: every mistake at once, words that say what to do, exit codes.

use serde_json::Value;

use crate::support::fieldpost::command;

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let output = command()
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .await
        .expect("the binary starts");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_config_tells_every_mistake_with_its_line() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("edge.toml");
    let text = "[listen]\naddresses = [\"nowhere\"]\nmax_body = \"64 elephants\"\n\n\
        [upstream]\nendpoint = \"ftp://example.com\"\ncompression = \"rar\"\n\n[queue]\nsize = 3\n\
        max_bytes = \"1kB\"\nmax_age = 30\nmin_free = \"much\"\nwhen_full = \"drop_newest\"\n";
    std::fs::write(&file, text).expect("the directory is writable");
    let file = file.display().to_string();
    let ran = run(&["edge", "check-config", "--config", &file], &[]).await;
    assert_eq!(ran.code, Some(1));
    let told: Vec<&str> = ran.stdout.lines().collect();
    let lines: Vec<String> = [2, 3, 6, 7, 10, 11, 12, 13, 14]
        .iter()
        .map(|line| format!("{file}:{line}: "))
        .collect();
    assert_eq!(told.len(), lines.len(), "{}", ran.stdout);
    for (told, line) in told.iter().zip(&lines) {
        assert!(told.starts_with(line), "{told}");
    }
    let json = run(&["edge", "check-config", "--json", "--config", &file], &[]).await;
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["ok"], false);
    assert_eq!(json["mistakes"].as_array().map(Vec::len), Some(9));

    let good = [(
        "FIELDPOST_UPSTREAM_ENDPOINT",
        "https://otel.example.com/v1/logs",
    )];
    std::fs::write(&file, "[listen]\naddresses = [\"127.0.0.1:0\"]\n").expect("writable");
    assert_eq!(
        run(&["edge", "check-config", "--config", &file], &good)
            .await
            .code,
        Some(0)
    );
    let missing = run(&["edge", "check-config", "--config", &file], &[]).await;
    assert!(
        missing.stdout.contains("upstream.endpoint is missing"),
        "{}",
        missing.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_listens_for_its_own_machine_only() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("edge.toml");
    let path = file.display().to_string();
    for (address, is_local) in [
        ("127.0.0.1:0", true),
        ("127.8.0.1:0", true),
        ("[::1]:0", true),
        ("[::ffff:127.0.0.1]:0", true),
        ("0.0.0.0:4318", false),
        ("[::]:4318", false),
        ("192.0.2.1:4318", false),
        ("[::ffff:192.0.2.1]:4318", false),
    ] {
        let text = format!(
            "[listen]\naddresses = [\"127.0.0.1:0\", \"{address}\"]\n\
             [upstream]\nendpoint = \"http://127.0.0.1:9/v1/logs\"\n"
        );
        std::fs::write(&file, text).expect("writable");
        let ran = run(&["edge", "check-config", "--config", &path], &[]).await;
        assert_eq!(ran.code, Some(i32::from(!is_local)), "{address}");
        if !is_local {
            let told = format!("{path}:2: listen.addresses: expected addresses such as ");
            assert!(ran.stdout.starts_with(&told), "{}", ran.stdout);
            assert!(ran.stdout.contains("speaks no TLS"), "{}", ran.stdout);
            assert!(ran.stdout.contains("central service"), "{}", ran.stdout);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_names_the_configuration_file() {
    let default = "/etc/fieldpost/edge.toml";
    assert!(
        !std::path::Path::new(default).exists(),
        "an edge is installed here"
    );
    for command in ["run", "check-config"] {
        let ran = run(&["edge", command], &[]).await;
        assert_eq!(ran.code, Some(1));
        let said = ran.stdout + &ran.stderr;
        let missing =
            format!("{default}: there is no such file; `fieldpost edge install` writes it");
        assert!(said.contains(&missing), "{command}: {said}");
        let endpoint = format!("{default}: upstream.endpoint is missing");
        assert!(said.contains(&endpoint), "{command}: {said}");
    }

    // So does what is found wrong only when the configuration is used.
    let folder = tempfile::tempdir().expect("a temporary directory");
    let here = folder.path().display().to_string();
    std::fs::write(folder.path().join("file"), "").expect("writable");
    let file = format!("{here}/edge.toml");
    let holder = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let taken = holder.local_addr().expect("a bound address").to_string();
    for (listen, upstream, queue, told) in [
        (taken.as_str(), "", "queue", taken.as_str()),
        (
            "127.0.0.1:0",
            "ca_file = \"/nowhere/ca.pem\"",
            "queue",
            "/nowhere/ca.pem",
        ),
        ("127.0.0.1:0", "", "file/queue", "file/queue"),
    ] {
        let text = format!(
            "[listen]\naddresses = [\"{listen}\"]\n[queue]\ndirectory = \"{here}/{queue}\"\n\
             [upstream]\nendpoint = \"http://127.0.0.1:9/v1/logs\"\n{upstream}\n"
        );
        std::fs::write(&file, text).expect("writable");
        let ran = run(&["edge", "run", "--config", &file], &[]).await;
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        let names = ran
            .stderr
            .contains(&format!("the edge cannot run with {file}: "));
        assert!(names && ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_to_do() {
    let ran = run(&["edge", "run", "--config", "/nowhere/edge.toml"], &[]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("/nowhere/edge.toml"), "{}", ran.stderr);

    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken
        .local_addr()
        .expect("a bound address")
        .port()
        .to_string();
    let data = tempfile::tempdir().expect("a temporary directory");
    let data = data.path().display().to_string();
    let ran = run(
        &[
            "dev",
            "--edge-port",
            &port,
            "--central-port",
            "0",
            "--data",
            &data,
        ],
        &[],
    )
    .await;
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains(&port) && ran.stderr.contains("--edge-port 0"),
        "{}",
        ran.stderr
    );

    assert_eq!(run(&["fly"], &[]).await.code, Some(2));
    for arguments in [
        &["--help"][..],
        &["dev", "--help"],
        &["edge", "--help"],
        &["central", "--help"],
    ] {
        let ran = run(arguments, &[]).await;
        assert_eq!(ran.code, Some(0), "{arguments:?}");
        assert!(ran.stdout.contains("Usage: fieldpost"), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_tokens_and_keys_are_managed_from_the_shell() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().display().to_string();
    let environment = [("FIELDPOST_DATA_DIRECTORY", data.as_str())];
    let central = async |arguments: &[&str]| {
        let mut all = vec!["central"];
        all.extend(arguments);
        let ran = run(&all, &environment).await;
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        ran.stdout
    };
    central(&[
        "tenant",
        "add",
        "--tenant",
        "acme",
        "--environment",
        "laptops",
    ])
    .await;
    assert_eq!(
        central(&["tenant", "list"]).await,
        "default/default\nacme/laptops\n"
    );
    let place = ["--tenant", "acme", "--environment", "laptops"];
    let installed = central(&[&["token", "install", "--json"][..], &place].concat()).await;
    let installed: Value = serde_json::from_str(&installed).expect("JSON");
    assert!(
        installed["authorizationHeader"]
            .as_str()
            .is_some_and(|text| text.starts_with("Bearer "))
    );
    let tokens = central(&[&["token", "list", "--json"][..], &place].concat()).await;
    let tokens: Value = serde_json::from_str(&tokens).expect("JSON");
    let id = tokens[0]["id"].as_str().expect("an id").to_owned();
    central(&[&["token", "revoke", &id][..], &place].concat()).await;
    let again = run(
        &[&["central", "token", "revoke", &id][..], &place].concat(),
        &environment,
    )
    .await;
    assert_eq!(again.code, Some(1), "a token is revoked once");
    let key = central(&[&["api-key"][..], &place].concat()).await;
    assert!(key.starts_with("fpk_"), "{key}");
    let nowhere = run(
        &["central", "token", "list", "--tenant", "nobody"],
        &environment,
    )
    .await;
    assert!(nowhere.stderr.contains("tenant list"), "{}", nowhere.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_at_once_agree_on_the_keys() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().display().to_string();
    let environment = [("FIELDPOST_DATA_DIRECTORY", data.as_str())];
    let list = || run(&["central", "key", "list", "--json"], &environment);
    let (one, two, three, four) = tokio::join!(list(), list(), list(), list());
    for ran in [&one, &two, &three, &four] {
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        // The time at which the one key was made tells it from another of the same name.
        assert_eq!(ran.stdout, one.stdout);
    }
    let rotate = || run(&["central", "key", "rotate"], &environment);
    let (one, two, three, four) = tokio::join!(rotate(), rotate(), rotate(), rotate());
    for ran in [&one, &two, &three, &four] {
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    let keys: Value = serde_json::from_str(&list().await.stdout).expect("JSON");
    assert_eq!(keys.as_array().map(Vec::len), Some(5), "{keys}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_readme_for_the_service_works() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data").display().to_string();
    let environment = [("FIELDPOST_DATA_DIRECTORY", data.as_str())];
    let central = async |line: &str| {
        let arguments: Vec<&str> = ["central"].into_iter().chain(line.split(' ')).collect();
        run(&arguments, &environment).await
    };
    let done = async |line: &str| {
        let ran = central(line).await;
        assert_eq!(ran.code, Some(0), "{line}: {}", ran.stderr);
        ran.stdout
    };
    let place = "--tenant acme --environment laptops";

    done("migrate").await;
    done(&format!("tenant add {place}")).await;
    let header = done(&format!("token install --json {place}")).await;
    let header: Value = serde_json::from_str(&header).expect("JSON");
    assert_eq!(header["protocol"], "http/json");
    let tokens = done(&format!("token list --json {place}")).await;
    let tokens: Value = serde_json::from_str(&tokens).expect("JSON");
    let token = tokens[0]["id"].as_str().expect("an id");
    done(&format!("token show {token} {place}")).await;
    done(&format!("token rename {token} Berlin {place}")).await;
    let live = central(&format!("token delete {token} {place}")).await;
    assert_eq!(live.code, Some(1), "a token that works is not forgotten");
    done(&format!("integration list {place}")).await;
    let refused = central(&format!("integration uninstall {place}")).await;
    assert!(
        refused.stderr.contains("1 live token") && refused.stderr.contains("--yes"),
        "{}",
        refused.stderr
    );
    let revoked = done(&format!("integration uninstall --yes {place}")).await;
    assert_eq!(revoked, "revoked 1 live token\n");
    done(&format!("token delete {token} {place}")).await;

    done("key rotate").await;
    done("key retire k1").await;
    assert!(!done("key list").await.contains("k1"));
    done(&format!("api-key --name dashboards --role viewer {place}")).await;
    let keys = done(&format!("api-key list --json {place}")).await;
    let keys: Value = serde_json::from_str(&keys).expect("JSON");
    let key = keys[0]["id"].as_str().expect("an id");
    done(&format!("api-key delete {key} {place}")).await;

    done(&format!("retention set --keep 365d --content 90d {place}")).await;
    done("retention run").await;
    done("rebuild").await;
    done("verify").await;
    let copy = directory.path().join("copy").display().to_string();
    done(&format!("backup {copy}")).await;
    let copied = run(
        &["central", "tenant", "list"],
        &[("FIELDPOST_DATA_DIRECTORY", copy.as_str())],
    )
    .await;
    assert_eq!(copied.stdout, "default/default\nacme/laptops\n");
    assert_eq!(done(&format!("export {place}")).await, "");

    let rules = "late after 300 s, silent after 2 working days if there on 5 of 10\n";
    let set = done(&format!("environment machines set --late-after 5m {place}")).await;
    assert_eq!(set, rules);
    assert_eq!(
        done(&format!("environment machines show {place}")).await,
        rules
    );

    done("tenant rename acme apex").await;
    let place = "--tenant apex --environment laptops";
    done(&format!("environment rename {place} desks")).await;
    let place = "--tenant apex --environment desks";
    let refused = central(&format!("environment delete {place}")).await;
    assert_eq!(refused.code, Some(1), "nothing is deleted unasked");
    done(&format!("environment delete --yes {place}")).await;
    done("tenant delete apex --yes").await;
    assert_eq!(done("tenant list").await, "default/default\n");
}
