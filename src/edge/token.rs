//! The upstream's bearer token: read from its file or printed by its program, and read again when
//! the file changes, when the upstream refuses it, and, from a program, every so often.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::Instant;

use crate::reload::FileWatch;
use crate::secret::{self, Secret};

use super::config::TokenSource;
use super::link::{Link, TokenFacts};

/// Time for a program to print the token.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// Time after which a program is asked again although nobody refused its token: they often expire.
const COMMAND_INTERVAL: Duration = Duration::from_secs(600);

/// Time after which a refused or missing token is asked for again although no file has changed.
const HOLD: Duration = Duration::from_secs(300);

/// The same after a program that printed none, for what it asks may be back soon, and while a file's folder is
/// not there to be watched.
const RETRY: Duration = Duration::from_secs(30);

/// Longest token that a program may print, in bytes.
const COMMAND_MAX_BYTES: u64 = 64 << 10;

/// What stands where a token will come to stand: systemd wants a credential to have some text.
pub(super) const NO_TOKEN_YET: &str = "unset";

/// Where the token may come from, and the token as last read.
pub(super) struct Token {
    sources: Vec<TokenSource>,
    token: Option<Secret>,
    read_at: Option<Instant>,
    watch: Option<FileWatch>,
    /// So many files are watched.
    watched: usize,
    /// Told what is known of it.
    link: Link,
}

impl Token {
    /// Begins to watch the files among `sources`. The token is read when it is first asked for, and
    /// `link` is told what is known of it.
    pub(super) fn new(sources: &[TokenSource], link: Link) -> Token {
        let mut token = Token {
            sources: sources.to_vec(),
            token: None,
            read_at: None,
            watch: None,
            watched: 0,
            link,
        };
        token.watch();
        token
    }

    /// Watches those of the files whose folders are there.
    fn watch(&mut self) {
        let is_there = |file: &&Path| match file.parent() {
            Some(folder) if folder != Path::new("") => folder.is_dir(),
            _ => true,
        };
        let files: Vec<&Path> = self.files().filter(is_there).collect();
        let count = files.len();
        if count <= self.watched {
            return;
        }
        match FileWatch::new(files) {
            Ok(watch) => (self.watch, self.watched) = (Some(watch), count),
            Err(error) => tracing::warn!(%error, "the token's file is not watched for changes"),
        }
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().filter_map(|source| match source {
            TokenSource::File(path) => Some(path.as_path()),
            TokenSource::Command(_) => None,
        })
    }

    /// Asks the sources again, in their order, until one has a token. One that cannot be read leaves
    /// none: the old one may be revoked. True when there is another token than before.
    pub(super) async fn read(&mut self) -> bool {
        // Before the files are read: what changes from here on is seen.
        self.watch();
        let mut found = None;
        let mut problems = Vec::new();
        for source in &self.sources {
            let read = match source {
                TokenSource::File(path) => secret::read_file(path).map_err(anyhow::Error::from),
                TokenSource::Command(command) => run(command).await,
            };
            match read {
                Ok(read) if read.expose() == NO_TOKEN_YET => {
                    problems.push(format!("{} says `{NO_TOKEN_YET}`", source.words()));
                }
                Ok(read) => {
                    found = Some(Secret::new(secret::bare_token(read.expose())));
                    break;
                }
                Err(error) => {
                    tracing::warn!("no token: {error:#}");
                    problems.push(error.to_string());
                }
            }
        }
        self.link.token(TokenFacts {
            expires: found.as_ref().and_then(expiry),
            problem: found.is_none().then(|| problems.join("; ")),
        });
        if found.is_none() && !self.sources.is_empty() {
            tracing::warn!("there is no token: records wait on disk until there is one");
        }
        self.read_at = Some(Instant::now());
        let is_new = found.is_some() && found != self.token;
        self.token = found;
        is_new
    }

    /// The `Authorization` header; reads the token when that is due.
    pub(super) async fn header(&mut self) -> Header {
        if self.sources.is_empty() {
            return Header::None;
        }
        if self.is_due() {
            let before = self.token.clone();
            self.read().await;
            // Whether the old one still holds is the upstream's to say.
            self.token = self.token.take().or(before);
        }
        match &self.token {
            Some(token) => Header::Bearer(Secret::new(format!("Bearer {}", token.expose()))),
            None => Header::Missing,
        }
    }

    /// Ends when a file has changed; never for a token that stands in none.
    pub(super) async fn changed(&mut self) {
        match &mut self.watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }

    /// How long to wait before [`Token::read`] is worth while, unless a file changes.
    pub(super) fn hold(&self) -> Duration {
        match self.token {
            None if self.has_command() || self.watched < self.files().count() => RETRY,
            _ => HOLD,
        }
    }

    fn is_due(&self) -> bool {
        self.read_at
            .is_none_or(|read_at| self.has_command() && read_at.elapsed() >= COMMAND_INTERVAL)
    }

    fn has_command(&self) -> bool {
        let mut sources = self.sources.iter();
        sources.any(|source| matches!(source, TokenSource::Command(_)))
    }
}

/// What a program prints, without the white space around it. It is started without a shell; what it
/// says on standard error stands in the daemon's.
async fn run(command: &[String]) -> anyhow::Result<Secret> {
    let (program, arguments) = command
        .split_first()
        .context("upstream.token_command is empty")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("upstream.token_command: cannot start {program}"))?;
    let finish = async {
        let mut printed = String::new();
        if let Some(output) = child.stdout.take() {
            output
                .take(COMMAND_MAX_BYTES)
                .read_to_string(&mut printed)
                .await?;
        }
        io::Result::Ok((printed, child.wait().await?))
    };
    let (printed, status) = tokio::time::timeout(COMMAND_TIMEOUT, finish)
        .await
        .with_context(|| {
            let seconds = COMMAND_TIMEOUT.as_secs();
            format!("upstream.token_command: {program} took longer than {seconds} s")
        })?
        .with_context(|| format!("upstream.token_command: {program}"))?;
    anyhow::ensure!(
        status.success(),
        "upstream.token_command: {program} failed with {status}"
    );
    let token = printed.trim();
    anyhow::ensure!(
        !token.is_empty(),
        "upstream.token_command: {program} printed nothing"
    );
    Ok(Secret::new(token))
}

/// When a token expires that says so.
fn expiry(token: &Secret) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Expiry {
        exp: u64,
    }
    let Expiry { exp } = claims(token.expose())?;
    time_of(exp)
}

/// The time that a token writes as seconds since 1970; `None` for one that is beyond all clocks.
pub(super) fn time_of(seconds: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// What a token says of itself that is a JWT (RFC 7519). It is not checked: the upstream does.
pub(super) fn claims<T: DeserializeOwned>(token: &str) -> Option<T> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

/// What to send as `Authorization`.
pub(super) enum Header {
    /// Nothing.
    None,
    /// This.
    Bearer(Secret),
    /// There should be a token and is none: sending would be refused.
    Missing,
}
