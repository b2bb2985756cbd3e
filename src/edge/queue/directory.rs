//! The queue's directory: its lock, its format marker, its names, and files that survive a power cut.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::OpenError;

/// How long a file may still be locked by what is ending.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const FORMAT: &str = "1";
pub(super) const SEGMENT: &str = "sled";
pub(super) const QUARANTINED: &str = "bad";
const TRASH: &str = "trash";
/// What is to take the place of the segment with its name.
pub(super) const ANEW: &str = "anew";
const BALLAST: &str = "ballast";
/// Opening a queue writes: snapshots of sled's, what segments hold. So does the ledger.
const BALLAST_BYTES: u64 = 4 << 20;

/// Makes the directory if need be, and takes it for this process until the returned file is closed.
pub(super) fn claim(root: &Path) -> Result<File, OpenError> {
    make_private(root).map_err(|error| OpenError::io(root, error))?;
    // Of whom had it before, a program that they started may hold it a moment longer, until it has become that program.
    let is_held = |error: &OpenError| matches!(error, OpenError::InUse(_));
    let lock = patiently(is_held, || lock(root))?;
    check_format(root)?;
    empty_trash(root).map_err(|error| OpenError::io(root, error))?;
    Ok(lock)
}

/// Takes a directory that is there, to look at and not to change.
pub(super) fn claim_as_it_is(root: &Path) -> Result<File, OpenError> {
    let marker = root.join("format");
    fs::metadata(&marker).map_err(|error| OpenError::io(&marker, error))?;
    let lock = lock(root)?;
    check_format(root)?;
    Ok(lock)
}

/// Tries again for a moment while something is held by what is ending.
pub(super) fn patiently<T, E>(
    is_held: impl Fn(&E) -> bool,
    attempt: impl Fn() -> Result<T, E>,
) -> Result<T, E> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match attempt() {
            Err(error) if is_held(&error) && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            settled => return settled,
        }
    }
}

fn lock(root: &Path) -> Result<File, OpenError> {
    let path = root.join("queue.lock");
    let open = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let lock = open.map_err(|error| OpenError::io(&path, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(root.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::io(&path, error)),
    }
}

fn check_format(root: &Path) -> Result<(), OpenError> {
    if has_format(root)? {
        return Ok(());
    }
    let path = root.join("format");
    replace_file(&path, FORMAT).map_err(|error| OpenError::io(&path, error))
}

/// Whether a queue is there. One that this version cannot read is an error.
pub(in crate::edge) fn has_format(root: &Path) -> Result<bool, OpenError> {
    let path = root.join("format");
    match fs::read_to_string(&path) {
        Ok(found) if found.trim() == FORMAT => Ok(true),
        Ok(found) => Err(OpenError::Format {
            path: root.to_owned(),
            found: found.trim().into(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(OpenError::io(&path, error)),
    }
}

/// Directories named `<number>.<extension>`, in order of their numbers.
pub(super) fn numbered(root: &Path, extension: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension)
            && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
            && let Ok(number) = u64::from_str_radix(stem, 16)
        {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

pub(super) fn segment_path(root: &Path, first: u64) -> PathBuf {
    root.join(format!("{first:016x}.{SEGMENT}"))
}

/// Removes a directory so that a crash in the middle leaves nothing that looks like data.
pub(super) fn remove_directory(path: &Path) -> io::Result<()> {
    let trash = path.with_extension(TRASH);
    match fs::rename(path, &trash) {
        Ok(()) => fs::remove_dir_all(&trash),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// A copy of a database's directory, to open without changing the original; it goes with this value,
/// or at the next start.
pub(super) struct Copied(PathBuf);

impl Copied {
    pub(super) fn new(root: &Path, database: &Path) -> io::Result<Copied> {
        let name = database.file_stem().unwrap_or_default().to_string_lossy();
        let copied = Copied(root.join(format!("{name}-{}.{TRASH}", uuid::Uuid::new_v4())));
        make_private(&copied.0)?;
        for entry in fs::read_dir(database)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), copied.0.join(entry.file_name()))?;
            }
        }
        Ok(copied)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, "a copy stays until the next start");
        }
    }
}

/// Puts a damaged segment aside for an expert, if it is there at all.
pub(super) fn quarantine(path: &Path) -> io::Result<()> {
    match fs::rename(path, path.with_extension(QUARANTINED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        settled => settled,
    }
}

/// Replaces a segment by one that is made, whole: after a crash one of the two is there, and
/// [`finish_replacing`] goes on where it stopped.
pub(super) fn take_the_place(anew: &Path, path: &Path) -> io::Result<()> {
    remove_directory(path)?;
    fs::rename(anew, path)?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Ends what a crash left half done of [`take_the_place`].
pub(super) fn finish_replacing(root: &Path) -> io::Result<()> {
    for (first, anew) in numbered(root, ANEW)? {
        let path = segment_path(root, first);
        // While the old one is there, it is not known whether the new one is whole.
        if path.exists() {
            remove_directory(&anew)?;
        } else {
            take_the_place(&anew, &path)?;
        }
    }
    Ok(())
}

fn empty_trash(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == TRASH)
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::warn!(path = %path.display(), %error, "what the queue has thrown away stays until the next start");
        }
    }
    Ok(())
}

/// Replaces a small file whole: after a power cut there is the old text or the new one.
pub(super) fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Makes names in a directory durable. Only Unix lets a directory be opened, and needs it.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()
    } else {
        Ok(())
    }
}

/// Keeps disk space for a file that is still to be written, without making it longer.
#[cfg(target_os = "linux")]
pub(super) fn set_aside(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::{fs::FallocateFlags, io::Errno};
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        // Not every file system can; a full disk then shows later.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        result => Ok(result?),
    }
}

/// Only Linux is asked.
#[cfg(not(target_os = "linux"))]
pub(super) fn set_aside(_: &File, _: u64) -> io::Result<()> {
    Ok(())
}

/// Takes disk space that [`drop_ballast`] gives back, where it is not taken yet and there is enough.
pub(super) fn take_ballast(root: &Path) {
    let path = root.join(BALLAST);
    if path.exists() {
        return;
    }
    let taken = File::create(&path).and_then(|file| set_aside(&file, BALLAST_BYTES));
    if let Err(error) = taken {
        let _ = fs::remove_file(&path);
        tracing::debug!(%error, "there is no space for the queue's ballast now");
    }
}

/// Gives back the space that was kept for when the disk is full. Whether there was any.
pub(super) fn drop_ballast(root: &Path) -> bool {
    fs::remove_file(root.join(BALLAST)).is_ok()
}

/// Makes a directory, for its owner alone: what is queued is not for other users of the machine.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
