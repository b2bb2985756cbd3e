//! Takes batches from the queue to the upstream, and obeys the verdict on each answer.
//!
//! One request is on its way at a time, and up to [`CATCHING_UP`], each with a batch of its own, while
//! more than a full batch waits besides. Batches leave the queue in their order, and each only when
//! everything in it is settled: stored by the upstream, or parked. A crash before that sends them
//! again; the records' identities keep them single.
//!
//! When the upstream does not take something (no answer, a refusal that may pass, a refused token),
//! nothing more is sent: what is on its way ends, and after a wait the oldest batch alone is tried,
//! until it gets through.

mod flight;
mod obstacle;
mod rest;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use crate::otlp::Request;
use crate::reload::Slot;
use crate::shutdown::Shutdown;

use super::link::Link;
use super::queue::{Batch, BatchLimits, Parked, Queue};
use super::retry::Waits;
use super::upstream::{Answer, Upstream};
use super::verdict::Verdict;

use self::flight::{Flight, Piece};
use self::obstacle::Obstacle;
use self::rest::{LOOK_EVERY, Rest};

/// Most requests on their way at once.
const CATCHING_UP: usize = 4;

/// Time that what is queued gets at shutdown.
const LAST_TRY: Duration = Duration::from_secs(5);

/// How often the forwarder looks at shutdown whether the queue is empty.
const EMPTY_CHECK: Duration = Duration::from_millis(10);

/// The way from the queue to the upstream.
pub(super) struct Forwarder {
    queue: Queue,
    upstream: Upstream,
    /// The upstream of a newer configuration.
    replacement: Arc<Slot<Upstream>>,
    /// Counts the upstreams: what an earlier one said is no obstacle to the one in force.
    generation: u64,
    link: Link,
    waits: Waits,
    rest: Rest,
    /// Batches that are handed out, in their order.
    flights: VecDeque<Flight>,
    next_flight: u64,
    requests: JoinSet<Sent>,
    obstacle: Option<Obstacle>,
    /// Nothing got through since the last obstacle.
    is_probing: bool,
    /// The token was asked for again since the upstream last took something.
    token_was_renewed: bool,
}

/// A request that has ended.
struct Sent {
    flight: u64,
    generation: u64,
    answer: Answer,
}

type Reading = Pin<Box<dyn Future<Output = Option<Batch>> + Send>>;

impl Forwarder {
    pub(super) fn new(
        queue: Queue,
        upstream: Upstream,
        replacement: Arc<Slot<Upstream>>,
        link: Link,
    ) -> Forwarder {
        Forwarder {
            queue,
            waits: Waits::new(upstream.longest_wait),
            upstream,
            replacement,
            generation: 0,
            link,
            rest: Rest::new(),
            flights: VecDeque::new(),
            next_flight: 0,
            requests: JoinSet::new(),
            obstacle: None,
            is_probing: false,
            token_was_renewed: false,
        }
    }

    /// Forwards until `shutdown`, and then what can still be sent within [`LAST_TRY`]. What is on its
    /// way when that is over goes back into the queue, and comes again.
    pub(super) async fn run(mut self, shutdown: Shutdown) {
        let mut stop = shutdown.clone();
        let time_is_up = async {
            stop.requested().await;
            tokio::time::sleep(LAST_TRY).await;
        };
        tokio::select! {
            () = self.forward(shutdown) => {}
            () = time_is_up => {}
        }
    }

    async fn forward(&mut self, mut shutdown: Shutdown) {
        let mut reading: Option<Reading> = None;
        let mut is_stopping = false;
        loop {
            self.remove_settled().await;
            if self.rest.has_slept() {
                self.begin_anew();
            }
            self.launch().await;
            if self.obstacle.is_some() && self.requests.is_empty() {
                if !self.overcome(&mut shutdown).await {
                    return;
                }
                continue;
            }
            if is_stopping && self.flights.is_empty() && self.queue.depth().records == 0 {
                return;
            }
            let wants_batch = self.wants_batch();
            let batch = reading.get_or_insert_with(|| self.read(is_stopping));
            tokio::select! {
                biased;
                Some(sent) = self.requests.join_next() => {
                    self.judge(sent.expect("a request does not panic")).await;
                }
                batch = batch, if wants_batch => {
                    reading = None;
                    match batch {
                        Some(batch) => self.take(batch),
                        None => return,
                    }
                }
                () = shutdown.requested(), if !is_stopping => {
                    is_stopping = true;
                    // From now on no batch is waited for until it is old enough.
                    reading = None;
                }
                () = tokio::time::sleep(EMPTY_CHECK), if is_stopping && wants_batch => {}
                () = tokio::time::sleep(LOOK_EVERY), if !self.requests.is_empty() => {}
            }
        }
    }

    /// After a sleep of the machine nothing is left of its connections, and nobody would say so before a
    /// request's time is over: what is on its way is sent again.
    fn begin_anew(&mut self) {
        tracing::info!("the machine was asleep; the upstream is connected to anew");
        self.upstream.connect_anew();
        self.requests = JoinSet::new();
        for flight in &mut self.flights {
            if std::mem::take(&mut flight.is_sending) {
                self.link.answered(0, None);
            }
        }
    }

    /// The next batch; `None` once the queue is closed.
    fn read(&self, at_once: bool) -> Reading {
        let queue = self.queue.clone();
        let mut limits = self.upstream.batch;
        if at_once {
            limits.age = Duration::ZERO;
        }
        Box::pin(async move { queue.next_batch(limits).await })
    }

    fn take(&mut self, batch: Batch) {
        let flight = Flight::new(self.next_flight, batch, self.upstream.batch);
        self.next_flight += 1;
        self.flights.push_back(flight);
    }

    fn wants_batch(&self) -> bool {
        let most = match self.is_catching_up() && !self.is_probing {
            true => CATCHING_UP,
            false => 1,
        };
        self.obstacle.is_none() && self.flights.len() < most
    }

    /// Whether more than a full batch waits besides those that are handed out.
    fn is_catching_up(&self) -> bool {
        let Some(last) = self.flights.back() else {
            return false;
        };
        let BatchLimits {
            records,
            plain_bytes,
            ..
        } = self.upstream.batch;
        let depth = self.queue.depth();
        let taken = self
            .flights
            .iter()
            .map(|flight| flight.batch.record_count());
        let waiting = depth.records.saturating_sub(taken.sum::<usize>() as u64);
        // Records that wait are taken to be as large as those of the last batch.
        let average = last.batch.plain_bytes() / last.batch.record_count().max(1);
        waiting > records as u64 || waiting.saturating_mul(average as u64) > plain_bytes as u64
    }

    /// Sends a piece of each batch that has none on its way; of the oldest only, while it is not known
    /// whether the upstream takes anything.
    async fn launch(&mut self) {
        if self.obstacle.is_some() {
            return;
        }
        if let Some(upstream) = self.replacement.take() {
            self.replace(upstream);
        }
        let most = if self.is_probing { 1 } else { CATCHING_UP };
        for flight in self.flights.iter_mut().take(most) {
            let Some(frames) = flight.next_to_send() else {
                continue;
            };
            let Some(post) = self.upstream.prepare(flight.batch.signal()).await else {
                self.obstacle = Some(Obstacle::no_token());
                return;
            };
            flight.is_sending = true;
            self.link.sent();
            let (flight, generation) = (flight.id, self.generation);
            self.requests.spawn(async move {
                Sent {
                    flight,
                    generation,
                    answer: post.send(frames).await,
                }
            });
        }
    }

    async fn judge(&mut self, sent: Sent) {
        self.link
            .answered(sent.answer.sent_bytes, sent.answer.clock_offset);
        let verdict = Verdict::of(&sent.answer.outcome, SystemTime::now());
        let first = self.flights.front().map_or(0, |flight| flight.id);
        let at = usize::try_from(sent.flight - first).expect("there are few");
        self.flights[at].is_sending = false;
        match verdict {
            Verdict::Remove => self.note_success(at, &sent.answer).await,
            // It is sent again, to the one in force.
            _ if sent.generation != self.generation => {}
            Verdict::Retry { after } => self.note_unwell(after, &sent.answer.reason),
            Verdict::Hold => self.note_refused_token(&sent.answer),
            Verdict::Split => match self.flights[at].split() {
                Ok(()) => self.link.count(|counters| counters.split += 1),
                Err(request) => self.park_refused(at, request, &sent.answer).await,
            },
        }
        if self.flights[at].is_settled() {
            self.link.count(|counters| counters.batches += 1);
            self.note_way_is_open();
        }
    }

    async fn note_success(&mut self, at: usize, answer: &Answer) {
        let flight = &mut self.flights[at];
        let piece = flight.pieces.pop_front().expect("it was sent");
        let records = piece.record_count(&flight.batch);
        let rejected = answer
            .partial
            .as_ref()
            .map_or(0, |partial| partial.rejected);
        let rejected = usize::try_from(rejected).unwrap_or_default();
        let parked = answer
            .partial
            .as_ref()
            .map(|partial| (piece.take_apart(&flight.batch), partial));
        let taken = records.saturating_sub(rejected);
        self.link.delivered(taken, SystemTime::now());
        self.note_way_is_open();
        if let Some((request, partial)) = parked {
            tracing::warn!(
                rejected = partial.rejected,
                reason = partial.message,
                "the upstream did not store some records; they are kept in the parked list"
            );
            let reason = format!("{} rejected: {}", partial.rejected, partial.message);
            let status = answer.outcome.status();
            self.park(at, request, reason, status).await;
        }
    }

    fn replace(&mut self, upstream: Upstream) {
        self.waits = Waits::new(upstream.longest_wait);
        self.upstream = upstream;
        self.generation += 1;
        self.token_was_renewed = false;
    }

    /// A batch that is settled waits for those before it.
    async fn remove_settled(&mut self) {
        while self.flights.front().is_some_and(Flight::is_settled) {
            let flight = self.flights.pop_front().expect("there is one");
            if let Err(error) = self.queue.remove(flight.batch).await {
                tracing::error!(%error, "a delivered batch stays in the queue and will be sent again");
            }
        }
    }

    async fn park_refused(&mut self, at: usize, request: Request, answer: &Answer) {
        tracing::warn!(
            reason = answer.reason,
            "the upstream refuses a record; it is parked"
        );
        let (reason, status) = (answer.reason.clone(), answer.outcome.status());
        self.park(at, request, reason, status).await;
    }

    /// What cannot be parked, because the disk does not take it, is sent again after a while.
    async fn park(&mut self, at: usize, request: Request, reason: String, status: Option<u16>) {
        let records = request.record_count() as u64;
        let parked = Parked {
            reason,
            status,
            request: request.clone(),
        };
        match self.queue.park(parked).await {
            Ok(()) => self.link.count(|counters| counters.parked += records),
            Err(error) => {
                self.flights[at].pieces.push_front(Piece::Apart(request));
                let reason = format!("a record that it refuses cannot be parked: {error}");
                self.note_unwell(None, &reason);
            }
        }
    }
}
