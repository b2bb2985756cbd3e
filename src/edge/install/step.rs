//! One change of the machine. Files are written beside their places and renamed into them: never half,
//! and never through a link that somebody else has put there.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::secret::Secret;

use super::{ACCOUNT, SOCKET};

/// Something to do, unless it is done.
#[derive(Clone, Debug)]
pub enum Step {
    /// Make a folder that everybody may look into.
    Folder(PathBuf),
    /// Write a file.
    Write(PathBuf, Text),
    /// Copy a program.
    Copy(PathBuf, PathBuf),
    /// Remove a file, and its folder when nothing else is in it.
    Remove(PathBuf),
    /// Remove a folder with all that is in it.
    RemoveTree(PathBuf),
    /// Set who may do what with a file or a folder.
    Mode(PathBuf, u32),
    /// Run a program.
    Run(String, Vec<String>),
}

/// What a file holds, and who may read it.
#[derive(Clone)]
pub struct Text {
    contents: String,
    readers: Readers,
}

#[derive(Clone, PartialEq, Eq)]
enum Readers {
    Everybody,
    Owner,
    /// The owner, and the group of the service of the machine below this root.
    Service(PathBuf),
}

impl Text {
    /// For everybody.
    pub(super) fn open(contents: &str) -> Text {
        Text {
            contents: contents.to_owned(),
            readers: Readers::Everybody,
        }
    }

    /// For its owner alone.
    pub(in crate::edge) fn private(secret: &Secret) -> Text {
        Text {
            contents: format!("{}\n", secret.expose()),
            readers: Readers::Owner,
        }
    }

    /// For its owner, and for the service of the machine below `root`, which may not change it.
    pub(super) fn for_service(secret: &Secret, root: &Path) -> Text {
        Text {
            readers: Readers::Service(root.to_owned()),
            ..Text::private(secret)
        }
    }

    fn mode(&self) -> u32 {
        match self.readers {
            Readers::Everybody => 0o644,
            Readers::Owner => 0o600,
            Readers::Service(_) => 0o640,
        }
    }

    /// The number of the group that may read it, where one may.
    fn group(&self) -> io::Result<Option<u32>> {
        let Readers::Service(root) = &self.readers else {
            return Ok(None);
        };
        let groups = fs::read_to_string(root.join("etc/group"))?;
        let mut groups = groups.lines().map(|line| line.split(':'));
        let number = groups.find_map(|mut fields| {
            let is_it = fields.next() == Some(ACCOUNT);
            is_it.then(|| fields.nth(1)?.parse().ok()).flatten()
        });
        let missing = || io::Error::other(format!("there is no group {ACCOUNT}"));
        number.ok_or_else(missing).map(Some)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.contents.len())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Folder(path) => write!(formatter, "make the folder {}", path.display()),
            Step::Write(path, text) => {
                let readers = match text.readers {
                    Readers::Everybody => "",
                    Readers::Owner => ", for its owner alone",
                    Readers::Service(_) => ", for its owner and the service",
                };
                write!(formatter, "write {}{readers}", path.display())
            }
            Step::Copy(from, to) => {
                write!(formatter, "copy {} to {}", from.display(), to.display())
            }
            Step::Remove(path) => write!(formatter, "remove {}", path.display()),
            Step::RemoveTree(path) => write!(formatter, "remove {} with all in it", path.display()),
            Step::Mode(path, mode) => {
                write!(formatter, "set the mode of {} to {mode:o}", path.display())
            }
            Step::Run(program, arguments) => {
                write!(formatter, "run {program} {}", arguments.join(" "))
            }
        }
    }
}

impl Step {
    pub(super) fn folder(path: PathBuf) -> Step {
        Step::Folder(path)
    }

    pub(super) fn write(path: PathBuf, text: Text) -> Step {
        Step::Write(path, text)
    }

    pub(super) fn copy(from: PathBuf, to: PathBuf) -> Step {
        Step::Copy(from, to)
    }

    pub(super) fn remove(path: PathBuf) -> Step {
        Step::Remove(path)
    }

    pub(super) fn remove_tree(path: PathBuf) -> Step {
        Step::RemoveTree(path)
    }

    pub(super) fn run(program: &str, arguments: Vec<String>) -> Step {
        Step::Run(program.to_owned(), arguments)
    }

    /// `systemctl` with these words.
    pub(in crate::edge) fn systemctl(words: &[&str]) -> Step {
        let words = words.iter().map(|word| (*word).to_owned());
        Step::run("systemctl", words.collect())
    }

    /// Whether there is nothing left to do. A program is always run: those that are run do no harm twice.
    pub fn is_done(&self) -> bool {
        match self {
            Step::Folder(path) => path.is_dir(),
            Step::Write(path, text) => {
                let is_same = fs::read_to_string(path).is_ok_and(|read| read == text.contents);
                let is_theirs = text.group().is_ok_and(|group| has_group(path, group));
                is_same && !path.is_symlink() && has_mode(path, text.mode()) && is_theirs
            }
            Step::Copy(from, to) => {
                from == to
                    || fs::read(from)
                        .ok()
                        .is_some_and(|own| fs::read(to).ok() == Some(own))
            }
            Step::Remove(path) | Step::RemoveTree(path) => !path.exists() && !path.is_symlink(),
            Step::Mode(path, mode) => has_mode(path, *mode),
            Step::Run(..) => false,
        }
    }

    /// Whether it changes where clients are to connect.
    pub(super) fn changes_socket(&self) -> bool {
        match self {
            Step::Write(path, _) => path.to_string_lossy().contains(SOCKET),
            _ => false,
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// Says what failed, and that root may do more where that is why.
    pub fn apply(&self) -> anyhow::Result<()> {
        let done = match self {
            Step::Folder(path) => folder(path),
            Step::Write(path, text) => write(path, text),
            Step::Copy(from, to) => copy(from, to),
            Step::Remove(path) => remove(path),
            Step::RemoveTree(path) => absent_is_well(fs::remove_dir_all(path)),
            Step::Mode(path, mode) => set_mode(path, *mode),
            Step::Run(program, arguments) => return run(program, arguments),
        };
        let failed = |error: &io::Error| match error.kind() {
            ErrorKind::PermissionDenied => format!("cannot {self}; try it with sudo"),
            _ => format!("cannot {self}"),
        };
        done.map_err(|error| {
            let words = failed(&error);
            anyhow::Error::new(error).context(words)
        })
    }
}

fn run(program: &str, arguments: &[String]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "{program} {} failed: {}",
        arguments.join(" "),
        words.trim()
    );
    Ok(())
}

fn folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o755);
    }
    builder.create(path)
}

fn write(path: &Path, text: &Text) -> io::Result<()> {
    folder(path.parent().unwrap_or(path))?;
    let beside = beside(path);
    absent_is_well(fs::remove_file(&beside))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(text.mode());
    }
    let mut file = options.open(&beside)?;
    set_group(&beside, text.group()?)?;
    // Whatever the umask has taken away.
    set_mode(&beside, text.mode())?;
    file.write_all(text.contents.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// A running program's file cannot be written, but another one can take its place.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    folder(to.parent().unwrap_or(to))?;
    let beside = beside(to);
    absent_is_well(fs::remove_file(&beside))?;
    fs::copy(from, &beside)?;
    set_mode(&beside, 0o755)?;
    fs::rename(&beside, to)
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

fn remove(path: &Path) -> io::Result<()> {
    absent_is_well(fs::remove_file(path))?;
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    let is_ours = folder.to_string_lossy().ends_with(".d");
    if is_ours && fs::read_dir(folder).is_ok_and(|mut rest| rest.next().is_none()) {
        return fs::remove_dir(folder);
    }
    Ok(())
}

fn absent_is_well(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(unix)]
fn has_mode(path: &Path, mode: u32) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(path);
    metadata.is_ok_and(|it| it.permissions().mode() & 0o777 == mode)
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(unix)]
fn has_group(path: &Path, group: Option<u32>) -> bool {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path);
    metadata.is_ok_and(|it| group.is_none_or(|group| it.gid() == group))
}

#[cfg(unix)]
fn set_group(path: &Path, group: Option<u32>) -> io::Result<()> {
    match group {
        Some(_) => std::os::unix::fs::lchown(path, None, group),
        None => Ok(()),
    }
}

#[cfg(not(unix))]
fn has_group(_path: &Path, _group: Option<u32>) -> bool {
    true
}

#[cfg(not(unix))]
fn set_group(_path: &Path, _group: Option<u32>) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn has_mode(_path: &Path, _mode: u32) -> bool {
    true
}

/// Who may do what is a matter of access lists there.
#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}
