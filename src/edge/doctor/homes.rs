//! The homes of people. Accounts of a directory (Active Directory, LDAP) stand in no file and are seldom listed at all:
//! they are found by their folders below `/home`, and by who is signed in.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::world::World;

/// A person's account.
#[derive(Clone)]
pub(super) struct Home {
    pub(super) user: String,
    pub(super) path: PathBuf,
}

impl Home {
    /// Whether this account may not look into it.
    pub(super) fn is_closed(&self) -> bool {
        let looked = fs::read_dir(&self.path);
        looked.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    }

    /// Whether Claude Code has left something there.
    pub(super) fn has_claude(&self) -> bool {
        let left = [".claude", ".claude.json"];
        left.iter().any(|name| self.path.join(name).exists())
    }
}

/// Each home once; where no file lists accounts, all of `/Users`.
pub(super) fn homes(world: &World) -> Vec<Home> {
    if cfg!(any(target_os = "macos", windows)) {
        let homes = world.list(&world.path("Users")).into_iter();
        return homes.filter_map(named_after_its_folder).collect();
    }
    let mut homes = listed(world);
    for found in below_home(world).into_iter().chain(signed_in(world)) {
        if homes.iter().all(|home| home.path != found.path) {
            homes.push(found);
        }
    }
    homes
}

/// Accounts from 1000 on, and root; 65534 is nobody.
fn listed(world: &World) -> Vec<Home> {
    let accounts = world.read("etc/passwd").unwrap_or_default();
    let homes = accounts.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (user, uid, home) = (fields.first()?, fields.get(2)?, fields.get(5)?);
        let uid: u32 = uid.parse().ok()?;
        let is_person = uid == 0 || (uid >= 1000 && uid != 65_534);
        let home = home.trim_start_matches('/');
        (is_person && !home.is_empty()).then(|| Home {
            user: (*user).to_owned(),
            path: world.path(home),
        })
    });
    homes.collect()
}

/// Folders in `/home`, and those of a domain one level below.
fn below_home(world: &World) -> Vec<Home> {
    let folders = world.list(&world.path("home")).into_iter();
    let homes = folders.flat_map(|folder| match looks_like_home(&folder) {
        true => vec![folder],
        false => {
            let mut folders = world.list(&folder);
            folders.retain(|folder| looks_like_home(folder));
            folders
        }
    });
    homes.filter_map(named_after_its_folder).collect()
}

/// Every home has a file whose name begins with a point. One that is closed to this account is told as one.
fn looks_like_home(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().any(|entry| {
            let name = entry.file_name();
            name.to_string_lossy().starts_with('.')
        }),
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    }
}

fn named_after_its_folder(path: PathBuf) -> Option<Home> {
    let user = path.file_name()?.to_str()?.to_owned();
    Some(Home { user, path })
}

/// Whoever is signed in has a folder below `/run/user`; where that account's home is, the system says, if what is looked
/// at is this system.
#[cfg(unix)]
fn signed_in(world: &World) -> Vec<Home> {
    use uzers::os::unix::UserExt;
    if world.options.root != Path::new("/") {
        return Vec::new();
    }
    let folders = world.list(&world.path("run/user")).into_iter();
    let homes = folders.filter_map(|folder| {
        let uid: u32 = folder.file_name()?.to_str()?.parse().ok()?;
        let user = uzers::get_user_by_uid(uid)?;
        Some(Home {
            user: user.name().to_string_lossy().into_owned(),
            path: user.home_dir().to_owned(),
        })
    });
    homes.collect()
}

#[cfg(not(unix))]
fn signed_in(_world: &World) -> Vec<Home> {
    Vec::new()
}
