//! The texts. Where a file has more to say than the variables, what it says stands in `texts/`, with
//! `@NAME@` where something is put in.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Format, HEADER_FILE, LOOPBACK, Rollout, Route, TOKEN_PLACEHOLDER, Variable};

/// The profile's and its payloads' names begin with this.
const MACOS_IDENTIFIER: &str = "dev.fieldpost.claude";

pub(super) fn render(rollout: &Rollout, format: Format) -> String {
    match format {
        Format::Shell => shell(rollout),
        Format::ProfileD => profile_d(rollout),
        Format::Environment => environment(rollout),
        Format::ManagedSettings => pretty(&settings(rollout)),
        Format::MacosProfile => macos_profile(rollout),
        Format::IntuneScript => windows(rollout, include_str!("texts/fieldpost.ps1")),
        Format::IntuneDetection => windows(rollout, include_str!("texts/detection.ps1")),
        Format::Registry => registry(rollout),
        Format::Ansible => ansible(rollout),
        Format::Salt => salt(rollout),
        Format::Json => pretty(&Value::Object(object(&rollout.variables()))),
    }
}

/// A shell can merge its own `NO_PROXY`, and read the header from a file that only its owner reads.
fn shell(rollout: &Rollout) -> String {
    exports(&rollout.variables())
}

/// Everybody can read it: no token, and nothing that decides what people's content is exported.
fn profile_d(rollout: &Rollout) -> String {
    let head =
        "# Fallback for programs that do not read Claude's managed settings. Login shells only.\n";
    let note = match rollout.route {
        Route::Edge => "",
        Route::Central => {
            "# Each account keeps its own header, readable by nobody else, in ~/.fieldpost-header.\n"
        }
    };
    format!("{head}{note}{}", exports(&rollout.switches()))
}

fn exports(variables: &[Variable]) -> String {
    let line = |(name, value): &Variable| match *name {
        "NO_PROXY" => {
            let company = value.strip_suffix(LOOPBACK).unwrap_or_default();
            format!("export NO_PROXY=\"{company}{LOOPBACK}${{NO_PROXY:+,$NO_PROXY}}\"\n")
        }
        "OTEL_EXPORTER_OTLP_HEADERS" => {
            format!("{name}=\"Authorization=$(cat \"{HEADER_FILE}\")\"\nexport {name}\n")
        }
        _ => format!("export {name}={value}\n"),
    };
    variables.iter().map(line).collect()
}

fn environment(rollout: &Rollout) -> String {
    let line = |(name, value): &Variable| format!("{name}=\"{value}\"\n");
    rollout.switches().iter().map(line).collect()
}

/// Claude's managed settings.
fn settings(rollout: &Rollout) -> Value {
    json!({ "env": object(&rollout.variables()) })
}

fn object(variables: &[Variable]) -> Map<String, Value> {
    let pairs = variables.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), Value::String(value.clone())))
        .collect()
}

fn pretty(value: &Value) -> String {
    // A map of texts is always JSON.
    format!("{value:#}\n")
}

fn macos_profile(rollout: &Rollout) -> String {
    let entry = |(name, value): &Variable| {
        format!(
            "\t\t\t\t<key>{name}</key>\n\t\t\t\t<string>{}</string>\n",
            escaped(value)
        )
    };
    let variables: String = rollout.variables().iter().map(entry).collect();
    let background = match rollout.route {
        Route::Edge => include_str!("texts/background.plist"),
        Route::Central => "",
    };
    let uuid = |part: &str| {
        let seed = format!("{part}\n{:?}\n{}", rollout.route, rollout.endpoint);
        let hash = blake3::hash(seed.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_bytes()[..16]);
        Uuid::new_v8(bytes).to_string().to_uppercase()
    };
    include_str!("texts/profile.plist")
        .replace("@BACKGROUND@", background)
        .replace("@VARIABLES@", &variables)
        .replace("@IDENTIFIER@", MACOS_IDENTIFIER)
        .replace("@PROFILE_UUID@", &uuid("profile"))
        .replace("@SETTINGS_UUID@", &uuid("settings"))
        .replace("@BACKGROUND_UUID@", &uuid("background"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn windows(rollout: &Rollout, text: &str) -> String {
    let assignment =
        |(name, value): &Variable| format!("    '{name}' = '{}'\n", value.replace('\'', "''"));
    let variables: String = rollout.variables().iter().map(assignment).collect();
    let text = text
        .replace("@VARIABLES@", &variables)
        .replace("@ENDPOINT@", &rollout.endpoint);
    text.replace('\n', "\r\n")
}

/// In the form that `reg import` and Group Policy take.
fn registry(rollout: &Rollout) -> String {
    let settings = settings(rollout).to_string();
    let settings = settings.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "Windows Registry Editor Version 5.00\r\n\r\n\
         [HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\ClaudeCode]\r\n\
         \"Settings\"=\"{settings}\"\r\n"
    )
}

fn ansible(rollout: &Rollout) -> String {
    let text = match rollout.route {
        Route::Edge => include_str!("texts/ansible-edge.yml"),
        Route::Central => include_str!("texts/ansible-central.yml"),
    };
    with_settings(rollout, text, "          ").replace(TOKEN_PLACEHOLDER, "{{ fieldpost_token }}")
}

fn salt(rollout: &Rollout) -> String {
    let text = match rollout.route {
        Route::Edge => include_str!("texts/salt-edge.sls"),
        Route::Central => include_str!("texts/salt-central.sls"),
    };
    with_settings(rollout, text, "        ")
        .replace(TOKEN_PLACEHOLDER, "{{ pillar['fieldpost']['token'] }}")
}

/// The drop-in as a block of text within YAML.
fn with_settings(rollout: &Rollout, text: &str, indent: &str) -> String {
    let settings = pretty(&settings(rollout));
    let block: String = settings
        .lines()
        .map(|line| format!("{indent}{line}\n"))
        .collect();
    text.replace("@SETTINGS@\n", &block)
}
