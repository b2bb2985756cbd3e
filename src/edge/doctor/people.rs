//! People's accounts: who they are to Claude, what lies open, and what no edge can see.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::edge::origins::Origin;
use crate::words::plural;

use super::claude::has_installation;
use super::finding::Finding;
use super::homes::Home;
use super::sources::{managed, profile_files};
use super::world::{World, read_bytes, read_text};

/// Where the Desktop app keeps its state in a home: on Linux, macOS and Windows.
const DESKTOP: [&str; 4] = [
    ".config/Claude",
    ".config/claude-desktop",
    "Library/Application Support/Claude",
    "AppData/Roaming/Claude",
];

/// E16
pub(super) async fn identity(world: &World) -> Finding {
    let (with, without) = signed_in(world);
    let origins = world.origins().await.unwrap_or_default();
    let records: u64 = origins.iter().map(|origin| origin.records).sum();
    let nameless: u64 = origins.iter().map(|origin| origin.without_email).sum();
    let mut seen = Vec::new();
    if !with.is_empty() {
        seen.push(format!(
            "signed in with an e-mail address: {}",
            with.join(", ")
        ));
    }
    if !without.is_empty() {
        seen.push(format!(
            "no e-mail address, so the portal shows an id instead of an owner: {}",
            without.join(", ")
        ));
    }
    if records > 0 {
        seen.push(format!(
            "{nameless} of {records} records since the edge's start came without one: {}",
            addresses(&origins)
        ));
    }
    match (seen.is_empty(), without.is_empty() && nameless == 0) {
        (true, _) => Finding::skip(
            "nobody whose home this account can read has used Claude here, and the edge has received nothing that it tells this account of",
        ),
        (_, true) => Finding::ok(seen.join("; ")),
        (_, false) => Finding::warn(
            seen.join("; "),
            "have them sign in with their account (claude, then /login): an API key names nobody; \
             or set enduser.id in OTEL_RESOURCE_ATTRIBUTES",
        ),
    }
}

/// People who have used Claude with an e-mail address, and those who have without.
fn signed_in(world: &World) -> (Vec<String>, Vec<String>) {
    let used = world.homes().into_iter().filter_map(|home| {
        let text = read_text(&home.path.join(".claude.json")).ok()?;
        let state: Value = serde_json::from_str(&text).unwrap_or_default();
        let has_address = state["oauthAccount"]["emailAddress"].is_string();
        Some((home.user, has_address))
    });
    let (with, without): (Vec<_>, Vec<_>) = used.partition(|(_, has_address)| *has_address);
    let names = |people: Vec<(String, bool)>| people.into_iter().map(|(user, _)| user).collect();
    (names(with), names(without))
}

/// Which addresses each account has sent: `ada (uid 1000) is ada@example.com`.
fn addresses(origins: &[Origin]) -> String {
    let mut accounts: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for origin in origins {
        let uid = origin.account.as_ref().and(origin.uid);
        let uid = uid.map_or_else(String::new, |uid| format!(" (uid {uid})"));
        let emails = accounts
            .entry(format!("{}{uid}", origin.who()))
            .or_default();
        emails.extend(origin.emails.iter().map(String::as_str));
    }
    let accounts = accounts.into_iter().map(|(account, emails)| {
        let emails: Vec<&str> = emails.into_iter().collect();
        match emails.is_empty() {
            true => format!("{account} is nobody by e-mail"),
            false => format!("{account} is {}", emails.join(" and ")),
        }
    });
    accounts.collect::<Vec<_>>().join(", ")
}

/// E17
pub(super) async fn leaked_token(world: &World) -> Finding {
    let mut open = Vec::new();
    let mut unreadable = 0;
    for path in places(world) {
        match read_bytes(&path) {
            Ok(bytes) if holds_token(&String::from_utf8_lossy(&bytes)) => {
                open.push(path.display().to_string())
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => unreadable += 1,
            _ => {}
        }
    }
    match (open.is_empty(), unreadable) {
        (false, _) => Finding::fail(
            format!("a token lies open in {}", open.join(", ")),
            format!(
                "take it out there, revoke it in the portal, and give the edge a new one: {}",
                world.typed_install("--token-stdin")
            ),
        ),
        (true, 0) => Finding::ok("no file that Claude or a shell reads holds a token"),
        (true, _) => Finding::skip(format!(
            "{unreadable} files can be read by their owners only; run doctor with sudo"
        )),
    }
}

/// Files that every user can read, or every program of one user.
fn places(world: &World) -> Vec<PathBuf> {
    let mut places = vec![
        world.path("etc/environment"),
        world.path("etc/profile"),
        world.policy().join("managed-settings.json"),
    ];
    for folder in [
        world.policy().join("managed-settings.d"),
        world.path("etc/profile.d"),
        world.path("etc/environment.d"),
    ] {
        places.extend(world.list(&folder));
    }
    places.extend(profile_files(world));
    let personal = [
        ".claude/settings.json",
        ".bashrc",
        ".bash_profile",
        ".profile",
        ".zshrc",
        ".zshenv",
        ".zprofile",
        ".config/fish/config.fish",
    ];
    for home in world.homes() {
        places.extend(personal.iter().map(|name| home.path.join(name)));
    }
    places
}

/// A JWT, or a header with any token.
fn holds_token(text: &str) -> bool {
    let is_token = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let length = |rest: &str| rest.chars().take_while(|letter| is_token(*letter)).count();
    let jwt = text
        .match_indices("eyJ")
        .any(|(at, _)| length(&text[at..]) >= 40);
    let mut headers = text.match_indices("Authorization=Bearer");
    let header = headers.any(|(at, found)| {
        let rest = text[at + found.len()..].trim_start_matches(' ');
        let rest = rest.strip_prefix("%20").unwrap_or(rest);
        length(rest) >= 16
    });
    jwt || header
}

/// E19
pub(super) async fn surfaces(world: &World) -> Finding {
    if world.is_wsl() {
        return Finding::warn(
            "this is WSL: Claude on the Windows side does not reach this loopback unless networking is mirrored",
            "run an edge on the side where Claude runs, or set networkingMode=mirrored in .wslconfig",
        );
    }
    let (at_gateway, desktop): (Vec<_>, Vec<_>) = world
        .homes()
        .into_iter()
        .partition(|home| is_at_gateway(&home.path));
    if !at_gateway.is_empty() || must_use_gateway(world).await {
        let people: Vec<String> = at_gateway.into_iter().map(|home| home.user).collect();
        let seen = match people.is_empty() {
            true => "the policy has everybody sign in at a gateway".to_owned(),
            false => format!("signed in at a gateway: {}", people.join(", ")),
        };
        return Finding::warn(
            format!("{seen}; such sessions export to the gateway and to nothing else"),
            "have the gateway forward to the central service: telemetry.forward_to in its settings",
        );
    }
    let users: Vec<String> = desktop
        .into_iter()
        .filter(|home| DESKTOP.iter().any(|folder| home.path.join(folder).is_dir()))
        .map(|home| home.user)
        .collect();
    if !users.is_empty() {
        return Finding::warn(
            format!(
                "the Desktop app was found ({}): its Cowork sessions do not come through this edge",
                users.join(", ")
            ),
            "have an admin enter the central service's endpoint in Claude's console: Organization settings, Cowork",
        );
    }
    let homes = world.homes();
    let closed: Vec<&str> = homes
        .iter()
        .filter(|home| home.is_closed())
        .map(|home| home.user.as_str())
        .collect();
    let is_used = homes.iter().any(Home::has_claude) || has_installation(world);
    match (closed.is_empty(), is_used) {
        (false, _) => Finding::skip(format!(
            "homes that this account may not look into: {}; run doctor with sudo",
            closed.join(", ")
        )),
        (true, true) => Finding::ok("only Claude Code was found; the edge sees all of it"),
        (true, false) => Finding::skip(format!(
            "no Claude was found in {}",
            plural(homes.len(), "home", "homes")
        )),
    }
}

/// Whether a person has signed in at a gateway; what Claude keeps of that is not read.
fn is_at_gateway(home: &Path) -> bool {
    #[derive(Deserialize)]
    struct Kept {
        #[serde(rename = "enterpriseGateway")]
        gateway: Option<IgnoredAny>,
    }
    let text = read_text(&home.join(".claude/.credentials.json")).unwrap_or_default();
    let kept = serde_json::from_str::<Kept>(&text).ok();
    kept.is_some_and(|kept| kept.gateway.is_some())
}

/// Whether managed settings leave no other way to sign in.
async fn must_use_gateway(world: &World) -> bool {
    let managed = managed(world).await.unwrap_or_default();
    let login = managed.iter().find_map(|source| source.login.as_deref());
    login == Some("gateway")
}
