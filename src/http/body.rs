//! Reads a request's body, chunked or with a length, under a limit of size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;

/// Time for the whole of a body from a peer that has shown who it is, over a slow line.
const LONGEST: Duration = Duration::from_secs(600);

/// Size up to which a body may inflate whatever its ratio, in bytes.
const INFLATE_FREE: usize = 1 << 20;

/// Time for the next piece of a body to arrive.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for a body that nobody wants.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// Largest length that is believed before it has come.
const MAX_CLAIMED: usize = 256 << 10;

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes, before and after inflating.
    pub bytes: usize,
    /// Time for all of it to arrive.
    pub time: Duration,
    /// How many times its own size it may inflate to, once that is more than a mebibyte.
    pub inflate_ratio: usize,
}

impl BodyLimits {
    /// Limits for a peer that has shown who it is: of size, and generous ones of time.
    pub fn of_bytes(bytes: usize) -> BodyLimits {
        BodyLimits {
            bytes,
            time: LONGEST,
            inflate_ratio: usize::MAX,
        }
    }

    /// Bytes that a body of `received` bytes may inflate to.
    pub fn inflated(&self, received: usize) -> usize {
        let by_ratio = received.saturating_mul(self.inflate_ratio);
        self.bytes.min(by_ratio.max(INFLATE_FREE))
    }
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is larger than allowed.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The peer stopped sending.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// It does not fit into what may be in memory.
    #[error("too much is being received at once")]
    NoRoom,
    /// The connection ended in the middle.
    #[error("the body was cut off: {0}")]
    Interrupted(axum::Error),
}

/// Bytes of a refused request's body that are read, so that the client gets to read the answer.
const MAX_DISCARDED: usize = 1 << 20;

/// Reads a body that nobody wants, as far as it is small and comes without pause. A connection that is
/// closed with bytes unread takes the answer with it.
pub async fn discard_body(mut body: Body) {
    let mut discarded = 0;
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, Bytes::len);
            if discarded > MAX_DISCARDED {
                return;
            }
        }
    };
    // Whether all of it came makes no difference to the answer.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, read).await;
}

/// Reads `body` whole. `hold` is asked for room before memory is taken, for all that is taken so far.
///
/// # Errors
/// [`BodyError`]; a declared length beyond the limit, or for which there is no room, is refused before
/// anything is read.
pub async fn read_body(
    body: Body,
    limits: BodyLimits,
    hold: impl FnMut(usize) -> bool,
) -> Result<Bytes, BodyError> {
    tokio::time::timeout(limits.time, read_pieces(body, limits.bytes, hold))
        .await
        .unwrap_or(Err(BodyError::TooSlow))
}

async fn read_pieces(
    mut body: Body,
    limit: usize,
    mut hold: impl FnMut(usize) -> bool,
) -> Result<Bytes, BodyError> {
    let declared = body.size_hint().lower();
    if declared > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    // Made in one piece where it is small; what a peer only claims takes no memory.
    let claimed = usize::try_from(declared).unwrap_or(limit);
    if !hold(claimed) {
        return Err(BodyError::NoRoom);
    }
    let mut collected = BytesMut::with_capacity(claimed.min(MAX_CLAIMED));
    loop {
        let frame = tokio::time::timeout(PIECE_TIMEOUT, body.frame())
            .await
            .map_err(|_| BodyError::TooSlow)?;
        let Some(frame) = frame else {
            return Ok(collected.freeze());
        };
        if let Ok(data) = frame.map_err(BodyError::Interrupted)?.into_data() {
            if collected.len() + data.len() > limit {
                return Err(BodyError::TooLarge { limit });
            }
            if !hold(collected.len() + data.len()) {
                return Err(BodyError::NoRoom);
            }
            collected.extend_from_slice(&data);
        }
    }
}
