//! The token, as it lies on the disk. It is never shown.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::edge::config::TokenSource;
#[cfg(unix)]
use crate::edge::install::ACCOUNT;
use crate::edge::install::{Step, Text};
use crate::edge::token::{NO_TOKEN_YET, claims, time_of};
use crate::event::Timestamp;
use crate::secret::{Secret, bare_token};

use super::finding::Finding;
use super::world::World;

/// A token that expires within this time is worth a word.
const SOON: Duration = Duration::from_secs(30 * 86_400);

const RENEW: &str = "make a token in the portal under Integrations, then: \
                     sudo fieldpost edge install --token-stdin";

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
    match config.upstream.token.first() {
        // An upstream that asks for one says so, in E07.
        None => Finding::ok("no token is configured, and none is sent"),
        Some(TokenSource::Command(_)) => Finding::skip("a program prints the token; E07 tries it"),
        Some(TokenSource::File(path)) => file(world, path),
    }
}

fn file(world: &World, path: &Path) -> Finding {
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Finding::skip(format!("only root may read {shown}; run doctor with sudo"));
        }
        Err(error) => return Finding::fail(format!("{shown}: {error}"), RENEW),
    };
    #[cfg(unix)]
    if let Some(finding) = rights(world, path) {
        return finding;
    }
    let token = text.trim();
    if token.is_empty() || token == NO_TOKEN_YET {
        return Finding::fail(format!("{shown} holds no token yet"), RENEW);
    }
    let alone = bare_token(token);
    if alone != token {
        let text = Text::private(&Secret::new(alone));
        return Finding::warn(
            format!("{shown} holds the whole header; the word Bearer is taken off"),
            "sudo fieldpost edge install --token-stdin writes the token alone",
        )
        .repaired_by(Step::Write(path.to_owned(), text));
    }
    if token.contains(char::is_whitespace) {
        return Finding::fail(
            format!("{shown} holds more than a token: it has white space in it"),
            RENEW,
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
    if mode & 0o007 != 0 {
        let finding = Finding::fail(
            format!("{shown} has the mode {mode:o}: every user of the machine can read it"),
            format!("sudo chmod 600 {shown}, and renew the token: it may be known"),
        );
        return Some(finding.repaired_by(Step::Mode(path.to_owned(), 0o600)));
    }
    // A person's own edge has that person's token.
    let is_strange = owner != 0 && world.uid(ACCOUNT) != Some(owner);
    (is_strange && world.is_of_the_machine()).then(|| {
        let arguments = vec!["root:".to_owned(), shown.to_string()];
        Finding::fail(
            format!("{shown} belongs to the account {owner}, who can read and replace it"),
            format!("sudo chown root: {shown}, and renew the token: it may be known"),
        )
        .repaired_by(Step::Run("chown".to_owned(), arguments))
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
        Err(_) => Finding::fail(format!("the token has expired on {date}; {whose}"), RENEW),
        Ok(left) if left < SOON => Finding::warn(
            format!(
                "the token expires on {date}, in {} days; {whose}",
                left.as_secs() / 86_400
            ),
            RENEW,
        ),
        Ok(_) => Finding::ok(format!("{whose}; expires on {date}")),
    }
}
