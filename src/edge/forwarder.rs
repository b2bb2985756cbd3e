//! Takes batches from the queue to the upstream, and obeys the verdict on each answer.
//!
//! A batch is removed from the queue only when everything in it is settled: stored by the upstream,
//! or parked. A crash before that sends it again; the records' identities keep them single.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::otlp::compression::Coding;
use crate::otlp::{Request, Signal};
use crate::reload::Slot;
use crate::shutdown::Shutdown;

use super::link::Link;
use super::queue::{Batch, BatchLimits, Parked, Queue};
use super::redact::split_half;
use super::retry::Waits;
use super::upstream::{Answer, Upstream};
use super::verdict::Verdict;

/// Time that what is queued gets at shutdown.
const LAST_TRY: Duration = Duration::from_secs(5);

/// The way from the queue to the upstream.
pub(super) struct Forwarder {
    queue: Queue,
    upstream: Upstream,
    /// The upstream of a newer configuration.
    replacement: Arc<Slot<Upstream>>,
    waits: Waits,
    link: Link,
    /// The token was asked for again since the upstream last took something.
    token_was_renewed: bool,
}

/// Records on their way: as they lie in the queue, or taken apart.
enum Piece {
    Stored(Bytes),
    Apart(Request),
}

impl Piece {
    fn take_apart(self, batch: &Batch) -> Request {
        match self {
            Piece::Apart(request) => request,
            Piece::Stored(_) => batch
                .decode()
                .expect("what the queue encoded and its checksum vouches for decodes"),
        }
    }
}

/// Whether a batch is settled.
enum Delivery {
    Settled,
    /// Shutdown came first; the batch stays in the queue.
    Interrupted,
}

impl Forwarder {
    pub(super) fn new(
        queue: Queue,
        upstream: Upstream,
        replacement: Arc<Slot<Upstream>>,
        link: Link,
    ) -> Forwarder {
        Forwarder {
            queue,
            upstream,
            replacement,
            waits: Waits::new(),
            link,
            token_was_renewed: false,
        }
    }

    /// Forwards until `shutdown`, and then what can still be sent within [`LAST_TRY`].
    pub(super) async fn run(mut self, shutdown: Shutdown) {
        let mut stop = shutdown.clone();
        let time_is_up = async {
            stop.requested().await;
            tokio::time::sleep(LAST_TRY).await;
        };
        // A batch that is cut off here stays in the queue, and comes again.
        tokio::select! {
            () = self.forward(shutdown) => {}
            () = time_is_up => {}
        }
    }

    async fn forward(&mut self, mut shutdown: Shutdown) {
        while let Some(batch) = self.next_batch(&mut shutdown).await {
            match self.deliver(&batch, &mut shutdown).await {
                Delivery::Settled => {
                    self.link.count(|counters| counters.batches += 1);
                    if let Err(error) = self.queue.remove(batch).await {
                        tracing::error!(%error, "a delivered batch stays in the queue and will be sent again");
                    }
                }
                Delivery::Interrupted => return,
            }
        }
    }

    /// The next batch; `None` at shutdown once the queue is empty.
    async fn next_batch(&self, shutdown: &mut Shutdown) -> Option<Batch> {
        let empty_at_shutdown = async {
            shutdown.requested().await;
            while self.queue.depth().records > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            biased;
            batch = self.queue.next_batch(BatchLimits::default()) => batch,
            () = empty_at_shutdown => None,
        }
    }

    /// Sends a batch, whole or in ever smaller pieces, until every record in it is settled.
    async fn deliver(&mut self, batch: &Batch, shutdown: &mut Shutdown) -> Delivery {
        let signal = batch.signal();
        let mut pieces = VecDeque::from([Piece::Stored(batch.frames())]);
        while let Some(piece) = pieces.pop_front() {
            let answer = match self.send(signal, &piece, shutdown).await {
                Some(answer) => answer,
                None => return Delivery::Interrupted,
            };
            let verdict = Verdict::of(&answer.outcome, SystemTime::now());
            match verdict {
                Verdict::Remove => self.note_success(piece, batch, answer).await,
                Verdict::Retry { after } => {
                    pieces.push_front(piece);
                    let wait = after.unwrap_or_else(|| self.waits.next());
                    self.link.count(|counters| counters.retries += 1);
                    let now = SystemTime::now();
                    let is_new = self.link.retrying(&answer.reason, now + wait, now);
                    self.note_trouble(&answer.reason, is_new);
                    if !self.pause(wait, shutdown).await {
                        return Delivery::Interrupted;
                    }
                }
                Verdict::Hold => {
                    pieces.push_front(piece);
                    self.link.count(|counters| counters.retries += 1);
                    if self.renew_token().await {
                        continue;
                    }
                    let reason = format!("the upstream refuses the token, {}", answer.reason);
                    self.note_hold(answer.outcome.status(), &reason);
                    if !self.hold(shutdown).await {
                        return Delivery::Interrupted;
                    }
                }
                Verdict::Split => match split_half(piece.take_apart(batch)) {
                    Ok((first, second)) => {
                        self.link.count(|counters| counters.split += 1);
                        pieces.push_front(Piece::Apart(second));
                        pieces.push_front(Piece::Apart(first));
                    }
                    Err(request) => self.park(request, &answer).await,
                },
            }
        }
        Delivery::Settled
    }

    /// One try, or as many as it takes until there is a token. `None` when shutdown came first.
    async fn send(
        &mut self,
        signal: Signal,
        piece: &Piece,
        shutdown: &mut Shutdown,
    ) -> Option<Answer> {
        let frames = match piece {
            Piece::Stored(frames) => frames.clone(),
            Piece::Apart(request) => Coding::Zstd
                .compress(&request.encode())
                .map(Bytes::from)
                .expect("zstd compresses into memory"),
        };
        loop {
            if let Some(upstream) = self.replacement.take() {
                self.replace(upstream);
            }
            self.link.sent(frames.len());
            let answer = self.upstream.post(signal, frames.clone()).await;
            self.link.answered();
            if answer.is_some() {
                return answer;
            }
            self.note_hold(None, "there is no token");
            if !self.hold(shutdown).await {
                return None;
            }
        }
    }

    /// Asks for another token at once, the first time that one is refused: it may have expired. True
    /// when there is one.
    async fn renew_token(&mut self) -> bool {
        if self.token_was_renewed {
            return false;
        }
        self.token_was_renewed = true;
        self.upstream.token.read().await
    }

    /// Waits for another token, or until it is time to try the old one again. False at shutdown.
    async fn hold(&mut self, shutdown: &mut Shutdown) -> bool {
        let time_is_up = tokio::time::sleep(self.upstream.token.hold());
        tokio::select! {
            () = self.upstream.token.changed() => {}
            () = self.link.woken() => {}
            () = time_is_up => {}
            upstream = self.replacement.next() => {
                self.replace(upstream);
                return true;
            }
            () = shutdown.requested() => return false,
        }
        self.upstream.token.read().await;
        true
    }

    /// Waits, though not on behalf of an upstream that is replaced. False when shutdown came first.
    async fn pause(&mut self, wait: Duration, shutdown: &mut Shutdown) -> bool {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.link.woken() => {}
            upstream = self.replacement.next() => self.replace(upstream),
            () = shutdown.requested() => return false,
        }
        true
    }

    fn replace(&mut self, upstream: Upstream) {
        self.upstream = upstream;
        self.waits.reset();
        self.token_was_renewed = false;
    }

    async fn note_success(&mut self, piece: Piece, batch: &Batch, answer: Answer) {
        let records = match &piece {
            Piece::Stored(_) => batch.record_count(),
            Piece::Apart(request) => request.record_count(),
        };
        let rejected = answer
            .partial
            .as_ref()
            .map_or(0, |partial| partial.rejected);
        let rejected = usize::try_from(rejected).unwrap_or(usize::MAX);
        let taken = records.saturating_sub(rejected);
        self.link.delivered(taken, SystemTime::now());
        self.waits.reset();
        self.token_was_renewed = false;
        if self.link.delivering() {
            tracing::info!("the upstream takes records again");
        }
        if let Some(partial) = &answer.partial {
            tracing::warn!(
                rejected = partial.rejected,
                reason = partial.message,
                "the upstream did not store some records; they are kept in the parked list"
            );
            let request = piece.take_apart(batch);
            let reason = format!("{} rejected: {}", partial.rejected, partial.message);
            self.park_for(request, reason, Some(200)).await;
        }
    }

    fn note_hold(&self, status: Option<u16>, reason: &str) {
        let is_new = self.link.holding(status, reason, SystemTime::now());
        self.note_trouble(reason, is_new);
    }

    /// Says once what is wrong, not at every try.
    fn note_trouble(&self, reason: &str, is_new: bool) {
        if is_new {
            let waiting = self.queue.depth().records;
            tracing::warn!(
                reason,
                waiting,
                "records wait on disk: the upstream does not take them"
            );
        }
    }

    async fn park(&self, request: Request, answer: &Answer) {
        let status = answer.outcome.status();
        tracing::warn!(
            reason = answer.reason,
            "the upstream refuses a record; it is parked"
        );
        self.park_for(request, answer.reason.clone(), status).await;
    }

    async fn park_for(&self, request: Request, reason: String, status: Option<u16>) {
        let records = request.record_count() as u64;
        self.link.count(|counters| counters.parked += records);
        if let Err(error) = self
            .queue
            .park(Parked {
                reason,
                status,
                request,
            })
            .await
        {
            tracing::error!(%error, "a refused record could not be parked and is lost");
        }
    }
}
