//! What stands in the way, and how it is overcome.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::edge::upstream::Answer;
use crate::shutdown::Shutdown;

use super::Forwarder;

/// Why nothing is sent.
pub(super) enum Obstacle {
    /// It may pass by itself.
    Unwell {
        until: Instant,
        /// The upstream said how long.
        is_asked_for: bool,
    },
    /// The token is refused, with this status, or there is none.
    Token { status: Option<u16>, reason: String },
}

impl Obstacle {
    pub(super) fn no_token() -> Obstacle {
        Obstacle::Token {
            status: None,
            reason: "there is no token".to_owned(),
        }
    }
}

impl Forwarder {
    /// The upstream takes records, unless another request has just shown that it does not.
    pub(super) fn note_way_is_open(&mut self) {
        if self.obstacle.is_some() {
            return;
        }
        self.is_probing = false;
        self.waits.reset();
        self.token_was_renewed = false;
        if self.link.delivering() {
            tracing::info!("the upstream takes records again");
        }
    }

    pub(super) fn note_unwell(&mut self, after: Option<Duration>, reason: &str) {
        self.link.count(|counters| counters.retries += 1);
        let wait = match (&self.obstacle, after) {
            (_, Some(after)) => self.waits.as_asked(after),
            (None, None) => self.waits.next(),
            // Several were on their way: the waits grow once.
            (Some(_), None) => return,
        };
        let until = Instant::now() + wait;
        match &self.obstacle {
            Some(Obstacle::Token { .. }) => return,
            Some(Obstacle::Unwell { until: before, .. }) if *before >= until => return,
            _ => {}
        }
        self.obstacle = Some(Obstacle::Unwell {
            until,
            is_asked_for: after.is_some_and(|after| !after.is_zero()),
        });
        let now = SystemTime::now();
        let is_new = self.link.retrying(reason, now + wait, now);
        self.note_trouble(reason, is_new);
    }

    pub(super) fn note_refused_token(&mut self, answer: &Answer) {
        self.link.count(|counters| counters.retries += 1);
        self.obstacle = Some(Obstacle::Token {
            status: answer.outcome.status(),
            reason: format!("the upstream refuses the token, {}", answer.reason),
        });
    }

    /// Waits until it is worth while to try again. False when shutdown came first.
    pub(super) async fn overcome(&mut self, shutdown: &mut Shutdown) -> bool {
        self.is_probing = true;
        match self.obstacle.take() {
            None => true,
            Some(Obstacle::Unwell {
                until,
                is_asked_for,
            }) => {
                let wait = until.saturating_duration_since(Instant::now());
                self.pause(wait, is_asked_for, false, shutdown).await
            }
            Some(Obstacle::Token { status, reason }) => {
                if status.is_some() && self.renew_token().await {
                    return true;
                }
                let is_new = self.link.holding(status, &reason, SystemTime::now());
                self.note_trouble(&reason, is_new);
                let generation = self.generation;
                let wait = self.upstream.token.hold();
                if !self.pause(wait, false, true, shutdown).await {
                    return false;
                }
                if generation == self.generation {
                    self.upstream.token.read().await;
                }
                true
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

    /// Waits, though not on behalf of an upstream that is replaced, nor when somebody asks for a try,
    /// nor, if `for_token`, beyond a change of the token. False when shutdown came first.
    async fn pause(
        &mut self,
        wait: Duration,
        is_asked_for: bool,
        for_token: bool,
        shutdown: &mut Shutdown,
    ) -> bool {
        let woken = self.link.woken();
        tokio::select! {
            () = self.rest.rest(wait, is_asked_for, &mut self.waits) => {}
            () = woken => {}
            () = self.upstream.token.changed(), if for_token => {}
            upstream = self.replacement.next() => self.replace(upstream),
            () = shutdown.requested() => return false,
        }
        true
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
}
