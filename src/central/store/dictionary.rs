//! What records are compressed with: zstd and a dictionary trained from the store's own records, kept in
//! the store. A frame names the dictionary it was made with, so that old ones stay readable.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::{self, DCtx};

use super::StoreError;
use super::block::BlockError;
use super::query::{Dialect, Row};

/// How hard blocks are compressed in SQLite, whose one writer waits for nobody; and in PostgreSQL, where
/// rows and indexes take more.
const SQLITE_LEVEL: i32 = 3;
const POSTGRES_LEVEL: i32 = 6;

/// Longest dictionary.
const DICTIONARY_BYTES: usize = 64 << 10;

/// What one record may inflate to at most, in bytes: more than any request may have.
const MAX_INFLATED: usize = 1 << 30;

thread_local! {
    /// Takes a hundred kilobytes, which are not asked for anew with each frame.
    static DECOMPRESSOR: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// The dictionaries of a store. Clones share them.
#[derive(Clone)]
pub(super) struct Dictionaries(Arc<RwLock<Known>>);

struct Known {
    level: i32,
    newest: Option<Arc<EncoderDictionary<'static>>>,
    by_id: HashMap<u32, Arc<DecoderDictionary<'static>>>,
}

impl Dictionaries {
    /// None yet, for records of this database.
    pub(super) fn of(dialect: Dialect) -> Dictionaries {
        Dictionaries(Arc::new(RwLock::new(Known {
            level: match dialect {
                Dialect::Sqlite => SQLITE_LEVEL,
                Dialect::Postgres => POSTGRES_LEVEL,
            },
            newest: None,
            by_id: HashMap::new(),
        })))
    }

    /// Takes one more; new records are compressed with it.
    pub(super) fn add(&self, id: u32, dictionary: &[u8]) {
        let mut known = self.0.write().expect("no holder of this lock panics");
        let encoder = EncoderDictionary::copy(dictionary, known.level);
        known.newest = Some(Arc::new(encoder));
        let decoder = Arc::new(DecoderDictionary::copy(dictionary));
        known.by_id.insert(id, decoder);
    }

    /// Takes rows of id and dictionary.
    pub(super) fn add_rows(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        for mut row in rows {
            let (id, dictionary): (i64, Vec<u8>) = (row.take(0)?, row.take(1)?);
            if let Ok(id) = u32::try_from(id) {
                self.add(id, &dictionary);
            }
        }
        Ok(())
    }

    /// Whether there is none yet.
    pub(super) fn is_empty(&self) -> bool {
        let known = self.0.read().expect("no holder of this lock panics");
        known.by_id.is_empty()
    }

    /// Whether what this frame was made with is at hand.
    pub(super) fn knows(&self, frame: &[u8]) -> bool {
        let known = self.0.read().expect("no holder of this lock panics");
        frame_dictionary(frame).is_none_or(|id| known.by_id.contains_key(&id))
    }

    /// The newest dictionary, for what is compressed from now on.
    pub(super) fn newest(&self) -> Dictionary {
        let known = self.0.read().expect("no holder of this lock panics");
        Dictionary {
            level: known.level,
            encoder: known.newest.clone(),
        }
    }

    /// What a frame holds.
    pub(super) fn inflate(&self, frame: &[u8]) -> Result<Vec<u8>, BlockError> {
        let size = zstd_safe::get_frame_content_size(frame).ok().flatten();
        let size = size.and_then(|size| usize::try_from(size).ok());
        let size = size.unwrap_or(MAX_INFLATED).min(MAX_INFLATED);
        let dictionary = match frame_dictionary(frame) {
            None => None,
            Some(id) => {
                let known = self.0.read().expect("no holder of this lock panics");
                let unknown = || BlockError(format!("dictionary {id} is not in the store"));
                Some(known.by_id.get(&id).cloned().ok_or_else(unknown)?)
            }
        };
        let mut inflated = Vec::with_capacity(size);
        let result = DECOMPRESSOR.with_borrow_mut(|decompressor| match &dictionary {
            None => decompressor.decompress(&mut inflated, frame),
            Some(dictionary) => {
                decompressor.decompress_using_ddict(&mut inflated, frame, dictionary.as_ddict())
            }
        });
        match result {
            Ok(_) => Ok(inflated),
            Err(code) => Err(BlockError(zstd_safe::get_error_name(code).to_owned())),
        }
    }
}

/// What records are compressed with, if there is anything yet.
#[derive(Clone)]
pub struct Dictionary {
    level: i32,
    encoder: Option<Arc<EncoderDictionary<'static>>>,
}

impl Dictionary {
    /// A compressor with this dictionary.
    pub fn compressor(&self) -> Compressor<'_> {
        let compressor = match &self.encoder {
            Some(dictionary) => zstd::bulk::Compressor::with_prepared_dictionary(dictionary),
            None => zstd::bulk::Compressor::new(self.level),
        };
        Compressor(compressor.expect("the level is one that zstd has"))
    }
}

/// Compresses what is stored.
pub struct Compressor<'a>(zstd::bulk::Compressor<'a>);

impl Compressor<'_> {
    /// The bytes as one frame.
    pub fn compress(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.0.compress(bytes).expect("zstd compresses into memory")
    }
}

/// Makes a dictionary of sample records, as they are before they are compressed; gives its id, too.
pub(super) fn train(samples: &[Vec<u8>]) -> Result<(u32, Vec<u8>), BlockError> {
    let unreadable = |error: std::io::Error| BlockError(error.to_string());
    let dictionary = zstd::dict::from_samples(samples, DICTIONARY_BYTES).map_err(unreadable)?;
    let id = zstd_safe::get_dict_id(&dictionary)
        .ok_or_else(|| BlockError("the dictionary has no id".to_owned()))?;
    Ok((id.get(), dictionary))
}

fn frame_dictionary(frame: &[u8]) -> Option<u32> {
    zstd_safe::get_dict_id_from_frame(frame).map(std::num::NonZeroU32::get)
}
