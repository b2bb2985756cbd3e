//! Secrets in memory and in files, and directories that nobody else may enter.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A secret that no log line, error or debug output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret in.
    pub fn new(secret: impl Into<String>) -> Secret {
        Secret(secret.into())
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Whether two secrets are the same. Their hashes are compared, of which nobody learns anything from how long
/// it takes.
pub fn is_same(one: impl AsRef<[u8]>, other: impl AsRef<[u8]>) -> bool {
    blake3::hash(one.as_ref()) == blake3::hash(other.as_ref())
}

/// A token alone, of what people paste: the portal shows the whole header, `Bearer <token>`.
pub fn bare_token(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix("Bearer ").unwrap_or(text).trim()
}

/// Why a secret's file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Users other than the owner and the group can read it.
    #[error("{path} can be read by every user of this machine; run: chmod o-rwx {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing in it.
    #[error("{path} is empty; write the secret into it")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a secret from a file, without the white space around it.
///
/// # Errors
/// [`SecretFileError`]; a file that others can read is refused, because its secret is no longer one.
pub fn read_file(path: &Path) -> Result<Secret, SecretFileError> {
    let unreadable = |reason| SecretFileError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        if mode & 0o007 != 0 {
            return Err(SecretFileError::Exposed {
                path: path.to_owned(),
            });
        }
    }
    let text = io::read_to_string(file).map_err(unreadable)?;
    match text.trim() {
        "" => Err(SecretFileError::Empty {
            path: path.to_owned(),
        }),
        secret => Ok(Secret::new(secret)),
    }
}

/// Writes `contents` to a file that only its owner can read, whole or not at all.
///
/// # Errors
/// When the file, or the one beside it that becomes it, cannot be written.
pub fn write_file(path: &Path, contents: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&beside)?;
    file.write_all(contents.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

/// Writes `contents` to a file that only its owner can read, unless it is there. Processes that start at
/// once agree on what the first of them wrote.
///
/// # Errors
/// When it cannot be written, or its folder not be locked.
pub fn make_file(path: &Path, contents: impl FnOnce() -> io::Result<String>) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let _alone = alone(path)?;
    match path.exists() {
        true => Ok(()),
        false => write_file(path, &contents()?),
    }
}

/// Keeps other processes from changing the secrets in the folder of `path`, until the answer is dropped.
///
/// # Errors
/// When the folder, or the file that stands for it, cannot be opened or locked.
pub fn alone(path: &Path) -> io::Result<std::fs::File> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // Only Unix lets a folder be opened; elsewhere a file in it stands for it.
    let held = match cfg!(unix) {
        true => std::fs::File::open(folder)?,
        false => {
            let mut options = std::fs::OpenOptions::new();
            options.append(true).create(true);
            options.open(folder.join("secrets.lock"))?
        }
    };
    held.lock()?;
    Ok(held)
}

/// Makes a directory that only its owner can enter, with its parents; one that is there is left as it
/// is, for whoever made it may have had other plans.
///
/// # Errors
/// When it cannot be made.
pub fn private_directory(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// 256 bits from the operating system's source of randomness, as 64 hexadecimal digits.
///
/// # Panics
/// When the operating system has none, without which no key can be made.
pub fn random_digits() -> String {
    let mut key = [0; 32];
    getrandom::fill(&mut key).expect("the operating system gives random bytes");
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The 32 random bytes kept in `path`, made when the file does not exist yet.
///
/// # Errors
/// When the file cannot be read or written, or does not hold 64 hexadecimal digits.
pub fn key_file(path: &Path) -> io::Result<[u8; 32]> {
    make_file(path, || Ok(random_digits()))?;
    let secret = read_file(path).map_err(io::Error::other)?;
    parse_key(secret.expose()).ok_or_else(|| {
        io::Error::other(format!(
            "{} does not hold 64 hexadecimal digits",
            path.display()
        ))
    })
}

/// The 32 bytes of 64 hexadecimal digits.
pub fn parse_key(digits: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if digits.len() != key.len() * 2 {
        return None;
    }
    for (byte, at) in key.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    Some(key)
}
