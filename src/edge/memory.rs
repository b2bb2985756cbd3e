//! How much memory requests may take, from their first byte until they are on disk. A local program that sends
//! much, slowly, or in a form that is small only while it is sent, is told to come back or to send less; without
//! bounds it could end the daemon, which the system lets have little (`MemoryMax` of its unit).

use axum::http::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::http::otlp::{Exchange, Refusal};
use crate::http::{Admission, Reservation, Small};

/// Bodies that are being received, or wait to be decoded.
const RECEIVED_MAX_BYTES: usize = 80 << 20;

/// A large body that comes slowly holds what has come of it for a minute; requests as Claude sends them pass it.
const RECEIVED_SMALL: Small = Small {
    bytes: 256 << 10,
    kept: 16 << 20,
};

/// What long bodies become while they are decoded and redacted.
const DECODED_MAX_BYTES: usize = 96 << 20;

/// Requests that are decoded and not yet on disk, by the length of their bodies: decoded they are a few times
/// longer. The next one waits, still as it came.
const IN_FLIGHT_MAX_BYTES: usize = 32 << 20;

/// The room for requests.
pub(super) struct Memory {
    received: Admission,
    decoded: Admission,
    in_flight: Semaphore,
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory {
            received: Admission::keeping(RECEIVED_MAX_BYTES, RECEIVED_SMALL),
            decoded: Admission::new(DECODED_MAX_BYTES),
            in_flight: Semaphore::new(IN_FLIGHT_MAX_BYTES),
        }
    }

    /// For a body that is to be received.
    pub(super) fn enter(&self) -> Reservation {
        self.received.enter()
    }

    /// Waits until a body of so many bytes may be decoded.
    pub(super) async fn in_flight(&self, bytes: usize) -> SemaphorePermit<'_> {
        let permits = bytes.min(IN_FLIGHT_MAX_BYTES) as u32;
        let permit = self.in_flight.acquire_many(permits).await;
        permit.expect("the semaphore is never closed")
    }

    /// Room for what a long body becomes when it is decoded. Of short ones there are only as many at a time as the
    /// runtime has threads.
    ///
    /// # Errors
    /// 413 for one that becomes too much, 503 when others have the room.
    pub(super) fn decoded(&self, exchange: Exchange, body: &[u8]) -> Result<Reservation, Refusal> {
        let weight = exchange.weigh(body);
        if weight > DECODED_MAX_BYTES {
            let message = "the request has too many parts; send fewer records at a time";
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        let mut room = self.decoded.enter();
        match room.hold(weight) {
            true => Ok(room),
            false => Err(Refusal::unavailable("too much is being decoded at once")),
        }
    }
}
