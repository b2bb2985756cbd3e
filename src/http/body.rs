//! Reads a request's body, chunked or with a length, under a limit of size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;

use super::admission::Reservation;

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
    /// Room is taken for a declared length before it has come. Otherwise a peer that only claims to
    /// send much, and takes its time, takes no room from others.
    pub takes_room_ahead: bool,
}

impl BodyLimits {
    /// Limits for a peer that has shown who it is: of size, and generous ones of time.
    pub fn of_bytes(bytes: usize) -> BodyLimits {
        BodyLimits {
            bytes,
            time: LONGEST,
            inflate_ratio: usize::MAX,
            takes_room_ahead: true,
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

/// Reads `body` whole. `room` holds all that is taken of it so far, before memory is taken.
///
/// # Errors
/// [`BodyError`]; a declared length beyond the limit, or for which there is no room, is refused before
/// anything is read.
pub async fn read_body(
    body: &mut Body,
    limits: BodyLimits,
    room: &mut Reservation,
) -> Result<Bytes, BodyError> {
    tokio::time::timeout(limits.time, read_pieces(body, limits, room))
        .await
        .unwrap_or(Err(BodyError::TooSlow))
}

async fn read_pieces(
    body: &mut Body,
    limits: BodyLimits,
    room: &mut Reservation,
) -> Result<Bytes, BodyError> {
    let limit = limits.bytes;
    let declared = body.size_hint().lower();
    if declared > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    // Made in one piece where it is small; what a peer only claims takes no memory.
    let claimed = usize::try_from(declared).unwrap_or(limit);
    let at_once = claimed.min(MAX_CLAIMED);
    let ahead = match limits.takes_room_ahead {
        true => claimed,
        false => 0,
    };
    if !room.could_hold(claimed) || !room.hold(ahead) {
        return Err(BodyError::NoRoom);
    }
    let mut collected = BytesMut::with_capacity(at_once);
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
            if !room.hold(collected.len() + data.len()) {
                return Err(BodyError::NoRoom);
            }
            collected.extend_from_slice(&data);
        }
    }
}
