//! `Content-Encoding`: identity, gzip and zstd, inflated under a limit.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// Level at which bodies are compressed on the way upstream: the fastest of the usual range.
const ZSTD_LEVEL: i32 = 3;

/// A `Content-Encoding` that fieldpost reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// RFC 1952
    Gzip,
    /// RFC 8878
    Zstd,
}

impl Coding {
    /// The coding that a `Content-Encoding` names; `None` for one that is not read here.
    pub fn of_header(header: Option<&str>) -> Option<Coding> {
        match header
            .map(str::trim)
            .unwrap_or_default()
            .to_ascii_lowercase()
            .as_str()
        {
            "" | "identity" => Some(Coding::Identity),
            "gzip" | "x-gzip" => Some(Coding::Gzip),
            "zstd" => Some(Coding::Zstd),
            _ => None,
        }
    }

    /// The value for a `Content-Encoding` header; `None` when there should be none.
    pub fn header(self) -> Option<&'static str> {
        match self {
            Coding::Identity => None,
            Coding::Gzip => Some("gzip"),
            Coding::Zstd => Some("zstd"),
        }
    }

    /// Compresses `body`.
    ///
    /// # Errors
    /// When the compressor fails, which with memory to spare it does not.
    pub fn compress(self, body: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Coding::Identity => Ok(body.to_vec()),
            Coding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(body)?;
                encoder.finish()
            }
            Coding::Zstd => zstd::stream::encode_all(body, ZSTD_LEVEL),
        }
    }

    /// Inflates `body`, several frames or members one after another included.
    ///
    /// # Errors
    /// [`InflateError::TooLarge`] beyond `limit` bytes, [`InflateError::Corrupt`] otherwise.
    pub fn inflate(self, body: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, InflateError> {
        match self {
            Coding::Identity => Ok(Cow::Borrowed(body)),
            Coding::Gzip => bounded(MultiGzDecoder::new(body), limit),
            Coding::Zstd => bounded(
                zstd::stream::read::Decoder::with_buffer(body).map_err(InflateError::Corrupt)?,
                limit,
            ),
        }
    }
}

/// Why a body could not be inflated.
#[derive(Debug, thiserror::Error)]
pub enum InflateError {
    /// It grows beyond the limit.
    #[error("the body inflates to more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// It is not what its header says.
    #[error("the body cannot be inflated: {0}")]
    Corrupt(#[source] io::Error),
}

fn bounded(reader: impl Read, limit: usize) -> Result<Cow<'static, [u8]>, InflateError> {
    let mut inflated = Vec::new();
    reader
        .take(limit as u64 + 1)
        .read_to_end(&mut inflated)
        .map_err(InflateError::Corrupt)?;
    if inflated.len() > limit {
        return Err(InflateError::TooLarge { limit });
    }
    Ok(Cow::Owned(inflated))
}
