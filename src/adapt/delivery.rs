//! From the queue to the sink, as often as it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_io::Timer;

use super::counters::{Counters, Reason};
use super::queue::{Batch, Queue};
use super::{Sink, Verdict};
use crate::util::backoff;
use crate::util::throttle::Throttle;

/// Pauses between attempts, in milliseconds; see [`backoff::delay`].
const PAUSES: &[u32] = &[100, 250, 500, 1000, 2000, 3000, 5000];
/// Attempts after which one line says that deliveries fail, and again when they work.
const ATTEMPTS_TOLD: u32 = 1;

/// Takes batches out of a queue until it ends.
pub(super) struct Delivery {
    pub(super) name: String,
    pub(super) queue: Arc<Queue>,
    pub(super) counters: Arc<Counters>,
    pub(super) sink: Box<dyn Sink>,
    /// Attempts a record gets; none for as many as it takes.
    pub(super) attempts_max: Option<u32>,
    /// What is being delivered.
    pub(super) in_hand: Option<Batch>,
    pub(super) log: Throttle,
}

impl Delivery {
    /// Delivers until the queue has ended. May be dropped at any point: what was not delivered is in `in_hand`.
    pub(super) async fn run(&mut self) {
        loop {
            if self.in_hand.is_none() {
                self.in_hand = self.queue.take(self.sink.batch()).await;
                let Some(batch) = &self.in_hand else { return };
                let bytes = batch.records.iter().map(|record| record.body.len()).sum();
                self.counters.output.receive(batch.records.len(), bytes);
            }
            self.deliver().await;
            if let Some(batch) = self.in_hand.take() {
                self.queue.done(batch).await;
            }
        }
    }

    /// Tries the batch in hand until all of it is delivered or given up.
    async fn deliver(&mut self) {
        let mut attempt = 0;
        while let Some(batch) = self.in_hand.as_mut().filter(|batch| !batch.records.is_empty()) {
            self.counters.flight(batch.records.len());
            let started = Instant::now();
            let outcome = self.sink.deliver(&batch.records).await;
            self.counters.output.spend(started.elapsed());
            self.counters.flight(0);
            let reason = match outcome {
                Ok(verdicts) => self.judge(verdicts),
                Err(error) => Some(match error.hint {
                    Some(hint) => format!("{} ({hint})", error.text),
                    None => error.text,
                }),
            };
            self.counters.stick(reason.is_some());
            let Some(reason) = reason else { break };
            attempt += 1;
            self.retry(attempt, &reason).await;
        }
        if attempt >= ATTEMPTS_TOLD {
            log::info!("adapt: deliveries work again adapter={} attempts={attempt}", self.name);
        }
    }

    /// Acts on what became of the batch; gives a reason when a part of it has to be tried again.
    fn judge(&mut self, verdicts: Vec<Verdict>) -> Option<String> {
        let batch = self.in_hand.as_mut()?;
        let records = std::mem::take(&mut batch.records);
        let mut reason = None;
        let (mut delivered, mut refused, mut why) = (0, 0, String::new());
        let mut verdicts = verdicts.into_iter();
        for record in records {
            // A sink that says too little has not said that it is delivered.
            match verdicts.next().unwrap_or_else(|| Verdict::Retry("no answer about it".to_owned()))
            {
                Verdict::Delivered => delivered += 1,
                Verdict::Refused(text) => {
                    refused += 1;
                    why = text;
                }
                Verdict::Retry(text) => {
                    reason.get_or_insert(text);
                    batch.records.push(record);
                }
            }
        }
        self.counters.output.publish(delivered);
        if refused > 0 {
            self.counters.output.fail(refused);
            self.queue.give_up(Reason::Refused, refused, &why);
        }
        reason
    }

    /// Waits before the next attempt, with everything that waits safe on disk where there is a spool.
    async fn retry(&mut self, attempt: u32, reason: &str) {
        let Some(batch) = self.in_hand.as_mut() else { return };
        let count = batch.records.len();
        self.counters.retry(count);
        let name = &self.name;
        self.log.warn(format_args!(
            "adapt: not delivered, it is tried again adapter={name} messages={count} attempt={attempt} err={reason}"
        ));
        if self.attempts_max.is_some_and(|max| attempt >= max) {
            self.counters.output.fail(count);
            self.queue.give_up(Reason::Attempts, count, reason);
            batch.records = Vec::new();
            return;
        }
        self.queue.spill(batch).await;
        Timer::after(pause(attempt)).await;
    }
}

fn pause(attempt: u32) -> Duration {
    let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    backoff::delay(PAUSES, index)
}
