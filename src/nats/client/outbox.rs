//! The write queue: operations encoded back to back, taken by the writer in one piece.
//!
//! Publishing is a copy into this buffer. Publishers wait when it holds more than its limit. While there is no
//! connection, publishes are kept up to a smaller limit and everything else is left to the next connection's start.

use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use crate::nats::client::lock;

/// Bytes of answers that may wait for the socket: thousands of PONGs.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why nothing was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The client was closed.
    Closed,
    /// No connection, and no room for the time without one.
    OfflineFull,
}

#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// Bytes above which publishers wait.
    queue_max: usize,
    /// Bytes of publishes kept without connection.
    offline_max: usize,
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    /// Ranges of `buffer` that mean something to the present connection only.
    control: Vec<std::ops::Range<usize>>,
    /// Bytes of answers in `buffer`.
    answer_bytes: usize,
    is_connected: bool,
    is_finished: bool,
    writer: Option<Waker>,
    publishers: Vec<Waker>,
}

impl State {
    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn wake_publishers(&mut self) {
        self.publishers.drain(..).for_each(Waker::wake);
    }
}

impl Outbox {
    pub(super) fn new(queue_max: usize, offline_max: usize) -> Self {
        Self { state: Mutex::default(), queue_max, offline_max }
    }

    /// Queues one publish, which `encode` appends to the buffer.
    pub(super) fn poll_publish(
        &self,
        cx: &mut Context<'_>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Poll<Result<(), Refused>> {
        let mut state = lock(&self.state);
        if state.is_finished {
            return Poll::Ready(Err(Refused::Closed));
        }
        let before = state.buffer.len();
        if state.is_connected {
            if before >= self.queue_max {
                if !state.publishers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    state.publishers.push(cx.waker().clone());
                }
                return Poll::Pending;
            }
            encode(&mut state.buffer);
            state.wake_writer();
            return Poll::Ready(Ok(()));
        }
        encode(&mut state.buffer);
        if state.buffer.len() > self.offline_max {
            state.buffer.truncate(before);
            return Poll::Ready(Err(Refused::OfflineFull));
        }
        Poll::Ready(Ok(()))
    }

    /// Queues what only the present connection needs; does nothing without one. Says whether it was queued.
    pub(super) fn control(&self, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = lock(&self.state);
        if !state.is_connected || state.is_finished {
            return false;
        }
        let start = state.buffer.len();
        encode(&mut state.buffer);
        let end = state.buffer.len();
        match state.control.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => state.control.push(start..end),
        }
        state.wake_writer();
        true
    }

    /// Queues an answer to something the broker asked; false when it asks on and on and takes no answers.
    pub(super) fn answer(&self, line: &[u8]) -> bool {
        {
            let mut state = lock(&self.state);
            if state.answer_bytes >= ANSWER_BYTES_MAX {
                return false;
            }
            state.answer_bytes += line.len();
        }
        self.control(|out| out.extend_from_slice(line));
        true
    }

    /// Everything queued, exchanged for the empty `spare`. `false` when the client was closed and nothing is left.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>, spare: &mut Vec<u8>) -> Poll<bool> {
        let mut state = lock(&self.state);
        if state.buffer.is_empty() {
            if state.is_finished {
                return Poll::Ready(false);
            }
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        spare.clear();
        std::mem::swap(&mut state.buffer, spare);
        state.control.clear();
        state.answer_bytes = 0;
        state.wake_publishers();
        Poll::Ready(true)
    }

    /// Starts a connection: `opening` goes out before what was published meanwhile.
    pub(super) fn connected(&self, opening: Vec<u8>) {
        let mut state = lock(&self.state);
        let pending = std::mem::replace(&mut state.buffer, opening);
        let end = state.buffer.len();
        state.control.clear();
        state.answer_bytes = 0;
        state.control.push(0..end);
        state.buffer.extend_from_slice(&pending);
        state.is_connected = true;
        state.wake_writer();
    }

    /// Ends a connection: publishes that were not taken yet are kept.
    pub(super) fn disconnected(&self) {
        let mut state = lock(&self.state);
        state.is_connected = false;
        state.writer = None;
        let ranges = std::mem::take(&mut state.control);
        let mut kept = Vec::new();
        let mut from = 0;
        for range in ranges {
            kept.extend_from_slice(state.buffer.get(from..range.start).unwrap_or_default());
            from = range.end;
        }
        kept.extend_from_slice(state.buffer.get(from..).unwrap_or_default());
        state.buffer = kept;
        state.wake_publishers();
    }

    /// Takes nothing more; what is queued still goes out.
    pub(super) fn finish(&self) {
        let mut state = lock(&self.state);
        state.is_finished = true;
        state.wake_writer();
        state.wake_publishers();
    }

    pub(super) fn queued_bytes(&self) -> usize {
        lock(&self.state).buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn publish(outbox: &Outbox, text: &str) -> Poll<Result<(), Refused>> {
        let mut cx = Context::from_waker(Waker::noop());
        outbox.poll_publish(&mut cx, |out| out.extend_from_slice(text.as_bytes()))
    }

    fn taken(outbox: &Outbox) -> String {
        let mut cx = Context::from_waker(Waker::noop());
        let mut bytes = Vec::new();
        let _ = outbox.poll_take(&mut cx, &mut bytes);
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn publishes_outlive_a_connection_and_the_rest_does_not() {
        let outbox = Outbox::new(1000, 20);
        outbox.connected(b"[sub]".to_vec());
        assert_eq!(publish(&outbox, "one"), Poll::Ready(Ok(())));
        assert!(outbox.control(|out| out.extend_from_slice(b"[ping]")));
        assert!(outbox.control(|out| out.extend_from_slice(b"[ping]")));
        assert_eq!(publish(&outbox, "two"), Poll::Ready(Ok(())));
        outbox.disconnected();
        assert!(!outbox.control(|out| out.extend_from_slice(b"[ping]")));
        assert_eq!(publish(&outbox, "three"), Poll::Ready(Ok(())));
        outbox.connected(b"[sub2]".to_vec());
        assert_eq!(taken(&outbox), "[sub2]onetwothree");
    }

    #[test]
    fn answers_that_nobody_takes_are_bounded() {
        let outbox = Outbox::new(1000, 20);
        outbox.connected(Vec::new());
        let count = (0..1_000_000).take_while(|_| outbox.answer(b"PONG\r\n")).count();
        assert_eq!(count, ANSWER_BYTES_MAX.div_ceil(6));
        assert_eq!(taken(&outbox).len(), count * 6);
        assert!(outbox.answer(b"PONG\r\n"));
        while outbox.answer(b"PONG\r\n") {}
        outbox.disconnected();
        outbox.connected(Vec::new());
        assert!(outbox.answer(b"PONG\r\n"));
    }

    #[test]
    fn without_connection_the_limit_is_kept_to_the_byte() {
        let outbox = Outbox::new(1000, 10);
        assert_eq!(publish(&outbox, "0123456789"), Poll::Ready(Ok(())));
        assert_eq!(publish(&outbox, "x"), Poll::Ready(Err(Refused::OfflineFull)));
        assert_eq!(outbox.queued_bytes(), 10);
    }

    #[test]
    fn publishers_wait_for_the_writer_and_a_closed_outbox_empties() {
        let outbox = Outbox::new(4, 10);
        outbox.connected(Vec::new());
        assert_eq!(publish(&outbox, "abcd"), Poll::Ready(Ok(())));
        assert_eq!(publish(&outbox, "efgh"), Poll::Pending);
        assert_eq!(taken(&outbox), "abcd");
        assert_eq!(publish(&outbox, "efgh"), Poll::Ready(Ok(())));
        outbox.finish();
        assert_eq!(publish(&outbox, "ijkl"), Poll::Ready(Err(Refused::Closed)));
        assert_eq!(taken(&outbox), "efgh");
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(outbox.poll_take(&mut cx, &mut Vec::new()), Poll::Ready(false));
    }
}
