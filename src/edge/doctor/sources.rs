//! Who tells Claude what to do on this machine: those who manage it, the highest first, and people themselves.
//!
//! An organization's console comes before device management (a profile on macOS, the registry on Windows), and that
//! before files. What a user may write in the registry comes last. Claude in WSL asks the Windows side first, where
//! that says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;
use tokio::process::Command;

use super::claude::modified;
use super::homes::Home;
use super::world::{World, read_text};

/// Where macOS keeps what profiles say, for all users, and in a folder for each one.
const PROFILES: &str = "Library/Managed Preferences";
const PROFILE: &str = "com.anthropic.claudecode.plist";

/// Below a drive of Windows.
const REG: &str = "Windows/System32/reg.exe";
const WINDOWS_POLICY: &str = "Program Files/ClaudeCode";

/// Where WSL shows that drive.
const WINDOWS_DRIVE: &str = "mnt/c";

/// Has Claude in WSL ask the Windows side; only what an administrator has written there counts.
const INHERITS: &str = "wslInheritsWindowsSettings";

/// What proxies are set by.
pub(super) const PROXIES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"];

/// What is read of a person's own shell, beside [`PROXIES`].
const NAMES: [&str; 11] = [
    "CLAUDE_CODE_ENABLE_TELEMETRY",
    "OTEL_LOGS_EXPORTER",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_LOG_USER_PROMPTS",
    "OTEL_LOG_TOOL_DETAILS",
    "NO_PROXY",
    "no_proxy",
];

/// Settings that somebody manages, or that a person has made.
#[derive(Clone, Default)]
pub(super) struct Source {
    /// How a person knows it.
    pub(super) name: String,
    /// The only account that it is for; `None` for everybody.
    user: Option<String>,
    /// When its files were last changed; `None` for what comes from elsewhere.
    pub(super) changed: Option<SystemTime>,
    pub(super) env: BTreeMap<String, String>,
    has_headers_helper: bool,
    /// A program whose output takes the place of all that is managed.
    pub(super) helper: Option<String>,
    /// How people must sign in.
    pub(super) login: Option<String>,
    inherits: bool,
}

/// Somebody who uses Claude here, and what is managed for that account.
pub(super) struct Person {
    pub(super) home: Home,
    pub(super) managed: Vec<Source>,
}

/// Settings that are not JSON.
pub(super) struct Broken(pub(super) String);

impl Source {
    fn named(name: impl Into<String>) -> Source {
        Source {
            name: name.into(),
            ..Source::default()
        }
    }

    fn only_for(self, user: &str) -> Source {
        Source {
            user: Some(user.to_owned()),
            ..self
        }
    }

    /// What the file says as well, if it is there.
    fn with_file(mut self, file: &Path) -> Result<Source, Broken> {
        match read_text(file) {
            Ok(text) => {
                self.changed = self.changed.max(modified(file));
                self.with(&text, &file.display().to_string())
            }
            Err(_) => Ok(self),
        }
    }

    /// What `text` says as well, which stands in `place`.
    fn with(mut self, text: &str, place: &str) -> Result<Source, Broken> {
        let settings: Value =
            serde_json::from_str(text).map_err(|error| Broken(format!("{place}: {error}")))?;
        self.has_headers_helper |= settings.get("otelHeadersHelper").is_some();
        self.inherits |= settings[INHERITS] == true;
        let word = |value: &Value| value.as_str().map(str::to_owned);
        self.helper = word(&settings["policyHelper"]["path"]).or(self.helper);
        self.login = word(&settings["forceLoginMethod"]).or(self.login);
        let env = settings["env"].as_object().into_iter().flatten();
        self.env.extend(env.map(|(name, value)| {
            let value = word(value).unwrap_or_else(|| value.to_string());
            (name.clone(), value)
        }));
        Ok(self)
    }

    /// What lines of a shell say.
    fn of_shell(name: &str, text: &str) -> Source {
        Source {
            env: assignments(text),
            ..Source::named(name)
        }
    }

    /// Whether it decides about telemetry as a whole.
    pub(super) fn decides(&self) -> bool {
        self.has_headers_helper || self.env.keys().any(|name| is_of_the_unit(name))
    }

    fn says_nothing(&self) -> bool {
        self.env.is_empty()
            && !self.has_headers_helper
            && self.helper.is_none()
            && self.login.is_none()
    }
}

/// Whether a variable follows, with all others of its kind, the first source that sets one of them.
pub(super) fn is_of_the_unit(name: &str) -> bool {
    name.starts_with("OTEL_EXPORTER_OTLP_")
        || name.starts_with("OTEL_LOG_")
        || name == "OTEL_LOGS_EXPORTER"
}

/// Everybody who uses Claude here, as far as this account may look. With nobody, what holds for whoever will.
pub(super) async fn people(world: &World) -> Result<(Vec<Person>, Vec<Source>), Broken> {
    let managed = managed(world).await?;
    let of = |user: Option<&str>| {
        let is_theirs = |source: &&Source| source.user.is_none() || source.user.as_deref() == user;
        managed.iter().filter(is_theirs).cloned().collect()
    };
    let is_named = |home: &Home| {
        let mut users = managed.iter().filter_map(|source| source.user.as_ref());
        users.any(|user| *user == home.user)
    };
    let homes = world.homes().into_iter();
    let people = homes.filter(|home| home.has_claude() || is_named(home));
    let people = people.map(|home| Person {
        managed: of(Some(&home.user)),
        home,
    });
    Ok((people.collect(), of(None)))
}

/// Managed sources, the highest first: those for single accounts among them.
pub(super) async fn managed(world: &World) -> Result<Vec<Source>, Broken> {
    let mut sources = Vec::new();
    for home in world.homes() {
        let name = format!("the organization's console (as {} got it)", home.user);
        let file = home.path.join(".claude/remote-settings.json");
        let source = Source::named(name).only_for(&home.user).with_file(&file)?;
        // Claude asks for it every hour: when it was written says nothing of when it changed.
        let changed = None;
        sources.push(Source { changed, ..source });
    }
    sources.extend(profiles(world).await?);
    sources.extend(windows_side(world).await?);
    if cfg!(windows) {
        sources.extend(registry(world, &world.path(""), "HKLM").await?);
    }
    sources.push(files(world, &world.policy())?);
    if cfg!(windows) {
        sources.extend(registry(world, &world.path(""), "HKCU").await?);
    }
    sources.retain(|source| !source.says_nothing());
    Ok(sources)
}

/// What macOS has of profiles, for one user and for all; `plutil` makes JSON of it.
async fn profiles(world: &World) -> Result<Vec<Source>, Broken> {
    let mut sources = Vec::new();
    for file in profile_files(world) {
        let shown = file.display().to_string();
        let mut command = Command::new(world.path("usr/bin/plutil"));
        command.args(["-convert", "json", "-o", "-"]).arg(&file);
        if let Some(text) = printed(&mut command).await {
            let mut source = Source::named(format!("the configuration profile ({shown})"));
            source.user = user_of(world, &file);
            sources.push(source.with(&text, &shown)?);
        }
    }
    Ok(sources)
}

/// Where profiles may be, those of single users first.
pub(super) fn profile_files(world: &World) -> Vec<PathBuf> {
    let folder = world.path(PROFILES);
    let users = world.list(&folder).into_iter();
    let mut files: Vec<PathBuf> = users.map(|user| user.join(PROFILE)).collect();
    files.push(folder.join(PROFILE));
    files.retain(|file| file.is_file());
    files
}

/// Whose profile it is that lies in a folder named after an account.
fn user_of(world: &World, file: &Path) -> Option<String> {
    let folder = file.parent()?;
    let name = folder.file_name()?.to_str()?;
    (folder != world.path(PROFILES)).then(|| name.to_owned())
}

/// What Claude in WSL takes from Windows: nothing, unless an administrator has said so there.
async fn windows_side(world: &World) -> Result<Vec<Source>, Broken> {
    if !world.is_wsl() {
        return Ok(Vec::new());
    }
    let drive = world.path(WINDOWS_DRIVE);
    let mut sources = Vec::from_iter(registry(world, &drive, "HKLM").await?);
    sources.push(files(world, &drive.join(WINDOWS_POLICY))?);
    let inherits = sources.iter().any(|source| source.inherits);
    sources.retain(|_| inherits);
    Ok(sources)
}

/// An administrator's files in `folder`.
fn files(world: &World, folder: &Path) -> Result<Source, Broken> {
    let mut source = Source::named(format!("the files in {}", folder.display()));
    source = source.with_file(&folder.join("managed-settings.json"))?;
    for file in world.list(&folder.join("managed-settings.d")) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".json") && !name.starts_with('.') {
            source = source.with_file(&file)?;
        }
    }
    Ok(source)
}

/// The value `Settings` of the policy in one hive.
async fn registry(world: &World, drive: &Path, hive: &str) -> Result<Option<Source>, Broken> {
    let key = format!(r"{hive}\SOFTWARE\Policies\ClaudeCode");
    let mut command = Command::new(drive.join(REG));
    command.args(["query", &key, "/v", "Settings"]);
    command.current_dir(world.path(""));
    let text = printed(&mut command).await.unwrap_or_default();
    // `    Settings    REG_SZ    {"env": …}`
    let value = text.lines().find_map(|line| {
        let line = line.trim().strip_prefix("Settings")?.trim_start();
        let value = line
            .strip_prefix("REG_EXPAND_SZ")
            .or(line.strip_prefix("REG_SZ"));
        value.map(str::trim)
    });
    let source =
        value.map(|value| Source::named(format!("the registry ({key})")).with(value, &key));
    source.transpose()
}

/// What a program prints, if there is one and it ends well.
async fn printed(command: &mut Command) -> Option<String> {
    let output = command.kill_on_drop(true).output().await.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}

/// What somebody has set beside what is managed: their settings, the shell that doctor runs in if that is theirs, and
/// what every shell of the machine has. For nobody, the shell.
pub(super) fn personal(world: &World, home: Option<&Home>) -> Result<Vec<Source>, Broken> {
    let mut sources = Vec::new();
    if let Some(home) = home {
        sources.push(own_settings(&home.user, &home.path)?);
    }
    let shells = (world.variable)("HOME").map(|home| world.path(home.trim_start_matches('/')));
    if home.is_none_or(|home| shells.as_ref() == Some(&home.path)) {
        let names = NAMES.iter().chain(&PROXIES);
        let set = names.filter_map(|name| Some(((*name).to_owned(), (world.variable)(name)?)));
        sources.push(Source {
            env: set.collect(),
            ..Source::named("this shell")
        });
    }
    for file in ["etc/environment", "etc/profile.d/fieldpost.sh"] {
        let text = world.read(file).unwrap_or_default();
        sources.push(Source::of_shell(&format!("/{file}"), &text));
    }
    Ok(sources)
}

/// What a person has told Claude in the settings of one home.
pub(super) fn own_settings(user: &str, home: &Path) -> Result<Source, Broken> {
    let source = Source::named(format!("{user}'s own settings"));
    source.with_file(&home.join(".claude/settings.json"))
}

fn assignments(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| {
        let line = line.trim().trim_start_matches("export ").trim_start();
        let (name, value) = line.split_once('=')?;
        let value = value.trim_matches(['"', '\'']);
        Some((name.to_owned(), value.to_owned()))
    });
    lines.filter(|(name, _)| !name.starts_with('#')).collect()
}
