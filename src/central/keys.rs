//! The keys that sign tokens: one signs, all verify. They stand in a file that only the service's account
//! can read, or in a variable where files are not wanted.
//!
//! The file is looked at every second, and when a token names a key that is not known yet: a key that
//! another process or replica has made is good at once. A file that cannot be used leaves the keys that
//! were good in force.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use jsonwebtoken::{DecodingKey, EncodingKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Timestamp;
use crate::reload::Swap;
use crate::secret::{self, Secret, random_digits};
use crate::words;

/// Shortest secret that is taken, in bytes: as long as what HS256 makes of it (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;

/// Time between two looks at the file because of tokens that name unknown keys.
const REREAD_INTERVAL: Duration = Duration::from_secs(1);

/// Where the keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A file, made when it does not exist.
    File(PathBuf),
    /// What such a file would hold.
    Variable(Secret),
}

/// The form in which keys are kept.
#[derive(Clone, Serialize, Deserialize)]
struct KeyFile {
    /// Id of the key that signs.
    current: String,
    /// Secrets by id.
    keys: BTreeMap<String, String>,
    /// When keys were made, as far as that is known.
    #[serde(default)]
    made: BTreeMap<String, Timestamp>,
}

/// All keys at one time.
pub(super) struct Ring {
    pub(super) current: String,
    keys: BTreeMap<String, (EncodingKey, DecodingKey)>,
    made: BTreeMap<String, Timestamp>,
    /// Tells one set of keys from another.
    digest: blake3::Hash,
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SigningKey {
    /// The `kid` of tokens that it signed.
    pub id: String,
    /// Whether new tokens are signed by it.
    pub current: bool,
    /// When it was made, if that is known.
    pub made_at: Option<Timestamp>,
    /// Tokens signed by it that are neither revoked nor expired.
    pub live_tokens: i64,
}

/// Why the keys were not changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyChangeError {
    /// They cannot be changed from here.
    #[error(
        "the signing keys come from FIELDPOST_SIGNING_KEYS; change them where that variable is set"
    )]
    NotAFile,
    /// There is no such key.
    #[error("there is no signing key {0}")]
    Unknown(String),
    /// New tokens are signed by it.
    #[error("new tokens are signed by {0}; rotate first: fieldpost central key rotate")]
    Current(String),
    /// Nobody agreed yet that tokens stop working.
    #[error("{id} has signed {}, which stop working when it is retired", words::live_tokens(*live))]
    InUse {
        /// The key.
        id: String,
        /// Tokens that are neither revoked nor expired.
        live: i64,
    },
    /// The file cannot be used.
    #[error("the signing keys' file cannot be changed: {0:#}")]
    File(anyhow::Error),
    /// The store cannot say which tokens there are.
    #[error(transparent)]
    Store(#[from] super::store::StoreError),
}

/// The keys in force.
pub struct TokenKeys {
    source: KeySource,
    ring: Swap<Ring>,
    /// Grows when the keys change.
    generation: AtomicU64,
    reread_at: Mutex<Option<Instant>>,
}

impl TokenKeys {
    /// Reads the keys; a file that does not exist is made with one key.
    ///
    /// # Errors
    /// When they cannot be read, made or used.
    pub fn open(source: KeySource) -> anyhow::Result<TokenKeys> {
        if let KeySource::File(path) = &source {
            secret::make_file(path, || KeyFile::empty().rotated().json())
                .with_context(|| cannot_write(path))?;
        }
        let ring = read(&source)?;
        Ok(TokenKeys {
            source,
            ring: Swap::new(ring),
            generation: AtomicU64::new(0),
            reread_at: Mutex::default(),
        })
    }

    /// The keys in force.
    pub(super) fn ring(&self) -> std::sync::Arc<Ring> {
        self.ring.load()
    }

    /// Which keys are in force: what was verified by others must be verified again.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Takes changed keys into force. Says whether there were any.
    ///
    /// # Errors
    /// When they cannot be used; then the old ones stay.
    pub(super) fn reread(&self) -> anyhow::Result<bool> {
        let ring = read(&self.source)?;
        if ring.digest == self.ring.load().digest {
            return Ok(false);
        }
        self.ring.store(ring);
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(true)
    }

    /// The same for a token that names an unknown key; not more often than once a second.
    pub(super) fn reread_for_stranger(&self) -> bool {
        let now = Instant::now();
        let mut reread_at = self
            .reread_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if reread_at.is_some_and(|at| now.duration_since(at) < REREAD_INTERVAL) {
            return false;
        }
        *reread_at = Some(now);
        // The one who looks every second says what is wrong with the file.
        self.reread().unwrap_or(false)
    }

    /// The file to look at, when there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.source {
            KeySource::File(path) => Some(path),
            KeySource::Variable(_) => None,
        }
    }

    /// Makes a key that signs from now on. Gives its id.
    pub(super) fn rotate(&self) -> Result<String, KeyChangeError> {
        self.change(|file| Ok(file.rotated()))
    }

    /// Forgets a key that does not sign any more.
    pub(super) fn retire(&self, id: &str) -> Result<(), KeyChangeError> {
        self.change(|mut file| {
            if file.current == id {
                return Err(KeyChangeError::Current(id.to_owned()));
            }
            file.made.remove(id);
            match file.keys.remove(id) {
                Some(_) => Ok(file),
                None => Err(KeyChangeError::Unknown(id.to_owned())),
            }
        })?;
        Ok(())
    }

    fn change(
        &self,
        change: impl FnOnce(KeyFile) -> Result<KeyFile, KeyChangeError>,
    ) -> Result<String, KeyChangeError> {
        let path = self.file().ok_or(KeyChangeError::NotAFile)?;
        // A key that another process makes meanwhile must not be forgotten.
        let _alone = secret::alone(path).map_err(|error| KeyChangeError::File(error.into()))?;
        // What stands there now, not what was read at the start.
        let file = parse(&text(&self.source).map_err(KeyChangeError::File)?)
            .map_err(KeyChangeError::File)?;
        let file = change(file)?;
        file.json()
            .and_then(|json| secret::write_file(path, &json))
            .with_context(|| cannot_write(path))
            .map_err(KeyChangeError::File)?;
        self.reread().map_err(KeyChangeError::File)?;
        Ok(file.current)
    }
}

impl Ring {
    /// The key with this id, to verify with.
    pub(super) fn verifier(&self, id: &str) -> Option<&DecodingKey> {
        self.keys.get(id).map(|(_, verifier)| verifier)
    }

    /// The key that signs.
    pub(super) fn signer(&self) -> &EncodingKey {
        &self.keys[&self.current].0
    }

    /// All keys, in the order of their ids.
    pub(super) fn list(&self, live: &BTreeMap<String, i64>) -> Vec<SigningKey> {
        let keys = self.keys.keys().map(|id| SigningKey {
            id: id.clone(),
            current: *id == self.current,
            made_at: self.made.get(id).copied(),
            live_tokens: live.get(id).copied().unwrap_or(0),
        });
        keys.collect()
    }
}

impl KeyFile {
    fn empty() -> KeyFile {
        KeyFile {
            current: String::new(),
            keys: BTreeMap::new(),
            made: BTreeMap::new(),
        }
    }

    /// The same with one more key, which signs.
    fn rotated(mut self) -> KeyFile {
        let numbers = self.keys.keys();
        let highest = numbers.filter_map(|id| id.strip_prefix('k')?.parse::<u64>().ok());
        let id = format!("k{}", highest.max().unwrap_or(0) + 1);
        self.keys.insert(id.clone(), random_digits());
        self.made.insert(id.clone(), Timestamp::now());
        self.current = id;
        self
    }

    fn json(&self) -> std::io::Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write the signing keys to {}", path.display())
}

fn text(source: &KeySource) -> anyhow::Result<Secret> {
    match source {
        KeySource::File(path) => Ok(secret::read_file(path)?),
        KeySource::Variable(text) => Ok(text.clone()),
    }
}

fn parse(text: &Secret) -> anyhow::Result<KeyFile> {
    // What serde says of a mistake could quote a secret.
    let file: KeyFile = serde_json::from_str(text.expose()).map_err(|error| {
        anyhow::anyhow!(
            "line {} is not what such a file holds: \
             {{\"current\": \"k1\", \"keys\": {{\"k1\": \"<64 hexadecimal digits>\"}}}}",
            error.line()
        )
    })?;
    anyhow::ensure!(
        file.keys.contains_key(&file.current),
        "the current key {:?} is not among the keys",
        file.current
    );
    for (id, secret) in &file.keys {
        anyhow::ensure!(
            secret.len() >= MIN_SECRET,
            "the key {id:?} is shorter than {MIN_SECRET} bytes"
        );
    }
    Ok(file)
}

fn read(source: &KeySource) -> anyhow::Result<Ring> {
    let named = || match source {
        KeySource::File(path) => format!("cannot use the signing keys in {}", path.display()),
        KeySource::Variable(_) => "cannot use the signing keys in FIELDPOST_SIGNING_KEYS".into(),
    };
    let text = text(source).with_context(named)?;
    let KeyFile {
        current,
        keys,
        made,
    } = parse(&text).with_context(named)?;
    let keys = keys.into_iter().map(|(id, secret)| {
        let secret = secret.as_bytes();
        let pair = (
            EncodingKey::from_secret(secret),
            DecodingKey::from_secret(secret),
        );
        (id, pair)
    });
    Ok(Ring {
        current,
        keys: keys.collect(),
        made,
        digest: blake3::hash(text.expose().as_bytes()),
    })
}
