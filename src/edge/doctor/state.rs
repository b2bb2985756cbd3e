//! Who may look at what waits, and change it. Only what is the edge's own is repaired: the folder above the queue may be
//! anybody's, such as `/srv`, or `/`.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::edge::install::{ACCOUNT, Step};
use crate::edge::queue::has_format;
use crate::edge::state::FILES;

use super::finding::Finding;
use super::local::own_folder;
use super::world::World;

/// What is wrong, if anything is, with `queue` and with what lies beside it in `folder`.
pub(super) fn rights(world: &World, folder: &Path, queue: &Path) -> Option<Finding> {
    // A folder without a queue's marker is not known to be one, whatever the configuration says.
    let is_queue = !matches!(has_format(queue), Ok(false));
    modes(folder, queue, is_queue).or_else(|| owners(world, folder, queue, is_queue))
}

/// Either of the two keeps others out.
fn modes(folder: &Path, queue: &Path, is_queue: bool) -> Option<Finding> {
    let is_closed = |metadata: &Metadata| metadata.mode() & 0o077 == 0;
    // One that is not there yet is made for its owner alone.
    let metadata = queue.metadata().ok()?;
    if is_closed(&metadata) || is_closed(&folder.metadata().ok()?) {
        return None;
    }
    let (shown, mode) = (queue.display(), metadata.mode() & 0o777);
    let seen = format!("{shown} has the mode {mode:o}: others can look at what waits");
    Some(match is_queue {
        true => Finding::fail(seen, format!("sudo chmod 700 {shown}"))
            .repaired_by(Step::Mode(queue.to_owned(), 0o700)),
        false => Finding::fail(
            seen,
            "name a folder of the edge's own in queue.directory; it makes one that is not there",
        ),
    })
}

/// A person's own edge runs as that person, and there the service has no account.
fn owners(world: &World, folder: &Path, queue: &Path, is_queue: bool) -> Option<Finding> {
    let account = world.account(ACCOUNT).filter(|_| world.is_of_the_machine());
    let (account, group) = account?;
    let folder_of_its_own = own_folder(world).filter(|own| own == folder);
    let mut own = Vec::from_iter(folder_of_its_own);
    own.extend(is_queue.then(|| queue.to_owned()));
    own.extend(FILES.iter().map(|name| folder.join(name)));
    let owner = |path: &PathBuf| path.symlink_metadata().ok().map(|it| it.uid());
    let strange = |path: &&PathBuf| owner(path).is_some_and(|owner| owner != account);
    let strange: Vec<&PathBuf> = own.iter().filter(strange).collect();
    let first = *strange.first()?;
    let shown: Vec<String> = strange.iter().map(|it| it.display().to_string()).collect();
    // By number: below another root the names are that machine's.
    let mut arguments = vec!["-hR".to_owned(), format!("{account}:{group}")];
    arguments.extend_from_slice(&shown);
    Some(
        Finding::fail(
            format!(
                "{} belongs to the account {}, and the service runs as {ACCOUNT}",
                first.display(),
                owner(first).unwrap_or_default()
            ),
            format!("sudo chown -hR {ACCOUNT}:{ACCOUNT} {}", shown.join(" ")),
        )
        .repaired_by(Step::Run("chown".to_owned(), arguments)),
    )
}
