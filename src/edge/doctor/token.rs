//! The token, as it lies on the disk. It is never shown.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::edge::config::TokenSource;
#[cfg(unix)]
use crate::edge::install::{ACCOUNT, has_credentials};
use crate::edge::install::{Step, Text};
use crate::edge::token::{NO_TOKEN_YET, claims, time_of};
use crate::event::Timestamp;
use crate::secret::{Secret, bare_token};

use super::finding::Finding;
use super::world::{World, read_text};

/// A token that expires within this time is worth a word.
const SOON: Duration = Duration::from_secs(30 * 86_400);

const PORTAL: &str = "make a token in the portal under Integrations";

fn renew(world: &World) -> String {
    format!("{PORTAL}, then: {}", world.typed_install("--token-stdin"))
}

/// What a token of a fieldpost service says of itself.
#[derive(Deserialize)]
struct Claims {
    exp: Option<u64>,
    tid: Option<String>,
    eid: Option<String>,
}

/// E05
pub(super) async fn token(world: &World) -> Finding {
    let Ok(config) = &world.config else {
        return Finding::skip("the configuration does not say where the token is");
    };
    let sources = &config.upstream.token;
    // As the daemon does: a place without a token leaves it to the next.
    let source = sources.iter().find(|source| may_hold_one(source));
    match source.or(sources.first()) {
        // An upstream that asks for one says so, in E07.
        None => Finding::ok("no token is configured, and none is sent"),
        Some(TokenSource::Command(_)) => Finding::skip("a program prints the token; E07 tries it"),
        Some(TokenSource::File(path)) => file(world, path),
    }
}

/// Whether a token is expected there. What this account may not read may be one.
fn may_hold_one(source: &TokenSource) -> bool {
    let TokenSource::File(path) = source else {
        return true;
    };
    match read_text(path) {
        Ok(text) => !matches!(text.trim(), "" | NO_TOKEN_YET),
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    }
}

fn file(world: &World, path: &Path) -> Finding {
    let shown = path.display();
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Finding::skip(format!("only root may read {shown}; run doctor with sudo"));
        }
        Err(error) => return Finding::fail(format!("{shown}: {error}"), renew(world)),
    };
    #[cfg(unix)]
    if let Some(finding) = rights(world, path) {
        return finding;
    }
    let token = text.trim();
    if token.is_empty() || token == NO_TOKEN_YET {
        return Finding::fail(format!("{shown} holds no token yet"), renew(world));
    }
    let alone = bare_token(token);
    if alone != token {
        let text = Text::private(&Secret::new(alone));
        return Finding::warn(
            format!("{shown} holds the whole header; the word Bearer is taken off"),
            format!("the token alone: {}", world.typed_install("--token-stdin")),
        )
        .repaired_by(Step::Write(path.to_owned(), text));
    }
    if token.contains(char::is_whitespace) {
        return Finding::fail(
            format!("{shown} holds more than a token: it has white space in it"),
            renew(world),
        );
    }
    match claims::<Claims>(token) {
        None => Finding::ok("there is a token; it is no JWT, so when it expires is not known"),
        Some(claims) => judge(world, &claims),
    }
}

/// What is wrong with who may read or replace the token, if anything is.
#[cfg(unix)]
fn rights(world: &World, path: &Path) -> Option<Finding> {
    use std::os::unix::fs::MetadataExt;
    let metadata = path.metadata().ok()?;
    let (shown, mode, owner) = (path.display(), metadata.mode() & 0o777, metadata.uid());
    // What a link leads to may be another program's.
    let repaired = |finding: Finding, steps: &[Step]| match path.is_symlink() {
        true => finding,
        false => steps.iter().cloned().fold(finding, Finding::repaired_by),
    };
    if mode & 0o007 != 0 {
        let closed = if has_credentials() { 0o600 } else { 0o640 };
        let finding = Finding::fail(
            format!("{shown} has the mode {mode:o}: every user of the machine can read it"),
            format!("sudo chmod {closed:o} {shown}, and renew the token: it may be known"),
        );
        return Some(repaired(finding, &[Step::Mode(path.to_owned(), closed)]));
    }
    // A person's own edge has that person's token.
    let service = world.account(ACCOUNT).filter(|_| world.is_of_the_machine());
    let is_services = service.is_some_and(|(account, _)| account == owner);
    if owner != 0 && !is_services && world.is_of_the_machine() {
        let arguments = vec!["root:".to_owned(), shown.to_string()];
        let finding = Finding::fail(
            format!("{shown} belongs to the account {owner}, who can read and replace it"),
            format!("sudo chown root: {shown}, and renew the token: it may be known"),
        );
        return Some(repaired(
            finding,
            &[Step::Run("chown".to_owned(), arguments)],
        ));
    }
    let (_, group) = service?;
    let reads = is_services || (mode & 0o040 != 0 && metadata.gid() == group);
    (!reads && !has_credentials()).then(|| {
        let finding = Finding::fail(
            format!(
                "this systemd hands the service no copy of {shown}, and the service may not read it"
            ),
            format!("sudo chown root:{ACCOUNT} {shown} && sudo chmod 640 {shown}"),
        );
        let arguments = vec![format!("0:{group}"), shown.to_string()];
        let steps = [
            Step::Run("chown".to_owned(), arguments),
            Step::Mode(path.to_owned(), 0o640),
        ];
        repaired(finding, &steps)
    })
}

fn judge(world: &World, claims: &Claims) -> Finding {
    let whose = match (&claims.tid, &claims.eid) {
        (Some(tenant), Some(environment)) => format!("tenant {tenant}, environment {environment}"),
        _ => "of no tenant that it names".to_owned(),
    };
    let Some(exp) = claims.exp else {
        return Finding::ok(format!("{whose}; it does not expire"));
    };
    let Some(expires) = time_of(exp) else {
        return Finding::ok(format!("{whose}; it expires later than any clock goes"));
    };
    let date = Timestamp::from(expires).display();
    let date = date.get(..10).unwrap_or(&date);
    match expires.duration_since(world.now) {
        Err(_) => Finding::fail(
            format!("the token has expired on {date}; {whose}"),
            renew(world),
        ),
        Ok(left) if left < SOON => Finding::warn(
            format!(
                "the token expires on {date}, in {} days; {whose}",
                left.as_secs() / 86_400
            ),
            renew(world),
        ),
        Ok(_) => Finding::ok(format!("{whose}; expires on {date}")),
    }
}
