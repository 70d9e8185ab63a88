//! The bounded queue between the connection and one subscriber.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::nats::client::lock;
use crate::nats::client::message::Message;

/// How much may wait.
#[derive(Debug, Clone)]
pub(super) struct QueueLimits {
    pub(super) messages_max: usize,
    pub(super) bytes_max: usize,
    /// Shared by every queue of a client.
    pub(super) total_bytes_max: usize,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    Queued,
    /// Dropped, and it is the first since the consumer last kept up.
    DroppedFirst,
    Dropped,
}

/// Messages that wait for their consumer. At most one task consumes.
#[derive(Debug)]
pub(super) struct MessageQueue {
    limits: QueueLimits,
    total_bytes: Arc<AtomicUsize>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    dropped: u64,
    is_slow: bool,
    is_closed: bool,
    /// The consumer took a message and has not come back for the next.
    is_handling: bool,
    consumer: Option<Waker>,
}

impl MessageQueue {
    pub(super) fn new(limits: QueueLimits, total_bytes: Arc<AtomicUsize>) -> Self {
        Self { limits, total_bytes, state: Mutex::default() }
    }

    pub(super) fn push(&self, message: Message) -> Pushed {
        let weight = message.weight();
        let mut state = lock(&self.state);
        if state.is_closed {
            return Pushed::Dropped;
        }
        let total = self.total_bytes.load(Ordering::Relaxed);
        if state.messages.len() >= self.limits.messages_max
            || state.bytes + weight > self.limits.bytes_max
            || total + weight > self.limits.total_bytes_max
        {
            state.dropped += 1;
            let is_first = !state.is_slow;
            state.is_slow = true;
            return if is_first { Pushed::DroppedFirst } else { Pushed::Dropped };
        }
        state.bytes += weight;
        self.total_bytes.fetch_add(weight, Ordering::Relaxed);
        state.messages.push_back(message);
        let consumer = state.consumer.take();
        drop(state);
        if let Some(consumer) = consumer {
            consumer.wake();
        }
        Pushed::Queued
    }

    /// The oldest message; `None` once the queue is closed and empty.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut state = lock(&self.state);
        match self.take(&mut state) {
            Some(message) => Poll::Ready(Some(message)),
            None if state.is_closed => Poll::Ready(None),
            None => {
                state.consumer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn try_next(&self) -> Option<Message> {
        self.take(&mut lock(&self.state))
    }

    fn take(&self, state: &mut State) -> Option<Message> {
        state.is_handling = false;
        let message = state.messages.pop_front()?;
        state.is_handling = true;
        let weight = message.weight();
        state.bytes = state.bytes.saturating_sub(weight);
        self.total_bytes.fetch_sub(weight, Ordering::Relaxed);
        if state.messages.is_empty() {
            state.is_slow = false;
            // A burst must not keep its memory for ever.
            state.messages.shrink_to(64);
        }
        Some(message)
    }

    /// No more messages will come; what waits can still be taken.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        let consumer = state.consumer.take();
        drop(state);
        if let Some(consumer) = consumer {
            consumer.wake();
        }
    }

    /// The consumer is gone: nothing waits for it any more.
    pub(super) fn abandon(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        state.is_handling = false;
        self.total_bytes.fetch_sub(state.bytes, Ordering::Relaxed);
        state.bytes = 0;
        state.messages = VecDeque::new();
    }

    pub(super) fn dropped(&self) -> u64 {
        lock(&self.state).dropped
    }

    /// Whether the consumer may still be working on the message it took last.
    pub(super) fn is_handling(&self) -> bool {
        lock(&self.state).is_handling
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.state).messages.len()
    }
}

impl Drop for MessageQueue {
    fn drop(&mut self) {
        let bytes = lock(&self.state).bytes;
        self.total_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(size: usize) -> Message {
        Message { payload: vec![0; size], ..Message::default() }
    }

    fn queue(messages_max: usize, bytes_max: usize, total: &Arc<AtomicUsize>) -> MessageQueue {
        let limits = QueueLimits { messages_max, bytes_max, total_bytes_max: 10_000 };
        MessageQueue::new(limits, total.clone())
    }

    #[test]
    fn what_is_over_a_limit_is_dropped_and_counted() {
        let total = Arc::new(AtomicUsize::new(0));
        let by_count = queue(2, 10_000, &total);
        assert_eq!(by_count.push(message(1)), Pushed::Queued);
        assert_eq!(by_count.push(message(1)), Pushed::Queued);
        assert_eq!(by_count.push(message(1)), Pushed::DroppedFirst);
        assert_eq!(by_count.push(message(1)), Pushed::Dropped);
        assert_eq!((by_count.dropped(), by_count.len()), (2, 2));
        let by_bytes = queue(100, 1000, &total);
        assert_eq!(by_bytes.push(message(700)), Pushed::Queued);
        assert_eq!(by_bytes.push(message(700)), Pushed::DroppedFirst);
        let by_total = queue(100, 100_000, &total);
        assert_eq!(by_total.push(message(9500)), Pushed::DroppedFirst);
        assert!(by_bytes.try_next().is_some());
        by_count.abandon();
        assert_eq!((by_count.len(), by_count.push(message(1))), (0, Pushed::Dropped));
        drop((by_count, by_bytes, by_total));
        assert_eq!(total.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_consumer_that_caught_up_is_not_slow_any_more() {
        let queue = queue(1, 10_000, &Arc::default());
        queue.push(message(1));
        assert_eq!(queue.push(message(1)), Pushed::DroppedFirst);
        assert!(queue.try_next().is_some());
        queue.push(message(1));
        assert_eq!(queue.push(message(1)), Pushed::DroppedFirst);
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_then_ends() {
        let queue = queue(10, 10_000, &Arc::default());
        queue.push(message(1));
        queue.close();
        assert_eq!(queue.push(message(1)), Pushed::Dropped);
        let next = || smol::block_on(std::future::poll_fn(|cx| queue.poll_next(cx)));
        assert!(next().is_some());
        assert!(queue.is_handling());
        assert!(next().is_none());
        assert!(!queue.is_handling());
    }
}
