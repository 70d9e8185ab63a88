//! The life of one connection: reading, writing, and watching that it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_io::Timer;
use smol::future::{self, FutureExt as _};
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::nats::client::error::{Error, ErrorKind};
use crate::nats::client::events::{Counters, Event, Operation};
use crate::nats::client::handshake::{LIMITS, Link, decode_info, from_io};
use crate::nats::client::message::Message;
use crate::nats::client::queue::Pushed;
use crate::nats::client::registry::Sink;
use crate::nats::client::{Inner, lock};
use crate::nats::codec::{Delivery, ServerDecoder, ServerOp};
use crate::net::stream::{ReadHalf, WriteHalf};

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;
/// Capacity the write buffers keep between bursts.
const WRITE_BYTES_KEPT: usize = 256 * 1024;
/// How long a client that is being closed may take to send what is queued.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Why a connection ended.
pub(super) enum End {
    /// We closed it.
    Closed,
    /// It was lost.
    Lost(Error),
}

/// Serves a connection until it ends.
pub(super) async fn run(inner: &Arc<Inner>, link: Link) -> End {
    let Link { reader, writer, decoder, unread, .. } = link;
    let outstanding = AtomicUsize::new(0);
    let mut write = inner.options.executor.spawn(write_loop(inner.clone(), writer));
    let read = async { End::Lost(read_loop(inner, reader, decoder, unread, &outstanding).await) };
    let watch = async { End::Lost(ping_loop(inner, &outstanding).await) };
    let closing = async {
        inner.closing.wait().await;
        inner.outbox.finish();
        future::pending().await
    };
    let written = async {
        match (&mut write).await {
            Ok(()) => End::Closed,
            Err(error) => End::Lost(error),
        }
    };
    let expired = async {
        inner.closing.wait().await;
        Timer::after(CLOSE_LIMIT).await;
        End::Closed
    };
    let end = read.or(watch).or(written).or(closing).or(expired).await;
    // Dropping its task stops the writer; it must be gone before the outbox is used again.
    write.cancel().await;
    end
}

/// Sends what is queued until the client is closed.
async fn write_loop(inner: Arc<Inner>, mut writer: WriteHalf) -> Result<(), Error> {
    let mut bytes = Vec::new();
    while future::poll_fn(|cx| inner.outbox.poll_take(cx, &mut bytes)).await {
        writer.write_all(&bytes).await.map_err(from_io)?;
        writer.flush().await.map_err(from_io)?;
        if bytes.capacity() > WRITE_BYTES_KEPT {
            bytes = Vec::new();
        }
    }
    // The peer may be gone already, which is no failure of a close.
    let _ = writer.close().await;
    Ok(())
}

/// Asks the broker for a sign of life at intervals.
async fn ping_loop(inner: &Inner, outstanding: &AtomicUsize) -> Error {
    loop {
        Timer::after(inner.options.ping_interval).await;
        if outstanding.fetch_add(1, Ordering::Relaxed) >= inner.options.pings_outstanding_max {
            let text = "the broker does not answer: the connection is stale";
            return Error::new(ErrorKind::Stale, text);
        }
        inner.ping(None);
    }
}

async fn read_loop(
    inner: &Inner,
    mut reader: ReadHalf,
    mut decoder: ServerDecoder,
    unread: Vec<u8>,
    outstanding: &AtomicUsize,
) -> Error {
    let mut session = Session { inner, outstanding };
    if let Err(error) = session.take(&mut decoder, &unread) {
        return error;
    }
    drop(unread);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = match reader.read(&mut buffer).await {
            Ok(0) => return Error::new(ErrorKind::Io, "the broker closed the connection"),
            Ok(count) => count,
            Err(error) => return from_io(error),
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        if let Err(error) = session.take(&mut decoder, bytes) {
            return error;
        }
        // A flood must leave its consumers time to run.
        future::yield_now().await;
    }
}

struct Session<'a> {
    inner: &'a Inner,
    outstanding: &'a AtomicUsize,
}

impl Session<'_> {
    /// Acts on every operation in `bytes`; an error ends the connection.
    fn take(&mut self, decoder: &mut ServerDecoder, bytes: &[u8]) -> Result<(), Error> {
        let mut input = bytes;
        loop {
            match decoder.next(&mut input, &LIMITS) {
                Ok(Some(operation)) => self.act(operation)?,
                Ok(None) => return Ok(()),
                Err(fault) => {
                    let text = format!("the broker does not speak NATS: {fault}");
                    return Err(Error::new(ErrorKind::Protocol, text));
                }
            }
        }
    }

    fn act(&mut self, operation: ServerOp<'_>) -> Result<(), Error> {
        match operation {
            ServerOp::Message(delivery) => self.deliver(&delivery),
            ServerOp::Ping => {
                if !self.inner.outbox.answer(b"PONG\r\n") {
                    let text = "the broker sends PINGs and does not take the answers";
                    return Err(Error::new(ErrorKind::Protocol, text));
                }
            }
            ServerOp::Pong => {
                self.outstanding.store(0, Ordering::Relaxed);
                self.inner.pong();
            }
            ServerOp::Info(json) => self.inner.update_info(decode_info(json)?),
            ServerOp::Err(text) => self.refused(&String::from_utf8_lossy(text))?,
            ServerOp::Ok => {}
        }
        Ok(())
    }

    fn deliver(&self, delivery: &Delivery<'_>) {
        let inner = self.inner;
        Counters::add(&inner.counters.received_messages, 1);
        let size = delivery.headers.len() + delivery.payload.len();
        Counters::add(&inner.counters.received_bytes, size);
        let sid = std::str::from_utf8(delivery.sid).ok().and_then(|text| text.parse().ok());
        // Messages for a subscription that was just ended are normal.
        let Some((sink, is_last)) = sid.and_then(|sid| lock(&inner.registry).receive(sid)) else {
            return;
        };
        match sink {
            Sink::Replies => inner.requests.answer(Message::from_wire(delivery)),
            Sink::Queue(queue) => {
                let outcome = queue.push(Message::from_wire(delivery));
                if outcome != Pushed::Queued {
                    Counters::add(&inner.counters.dropped_messages, 1);
                }
                if outcome == Pushed::DroppedFirst {
                    self.report_slow(sid.unwrap_or_default());
                }
                if is_last {
                    queue.close();
                }
            }
        }
    }

    fn report_slow(&self, sid: u64) {
        let subject = lock(&self.inner.registry).subject(sid).unwrap_or_default().to_owned();
        let text = format_args!("nats: slow consumer, dropping messages subject={subject}");
        self.inner.log.warn(text);
        self.inner.events.send(&Event::SlowConsumer { subject });
    }

    /// An `-ERR`: some concern one operation only, the others end the connection.
    fn refused(&self, text: &str) -> Result<(), Error> {
        let lower = text.to_ascii_lowercase();
        if lower.starts_with("permissions violation") {
            let (operation, subject) = parse_violation(text);
            let log = &self.inner.log;
            log.warn(format_args!(
                "nats: permission violation operation={operation:?} subject={subject}"
            ));
            let text = text.to_owned();
            self.inner.events.send(&Event::PermissionViolation { operation, subject, text });
            return Ok(());
        }
        if lower.starts_with("maximum subscriptions exceeded") {
            self.inner.log.warn(format_args!("nats: the broker makes no more subscriptions"));
            self.inner.events.send(&Event::SubscriptionLimit { text: text.to_owned() });
            return Ok(());
        }
        if lower == "invalid subject" || lower == "invalid publish subject" {
            self.inner.log.warn(format_args!("nats: the broker refused a subject err={lower}"));
            return Ok(());
        }
        Err(Error::from_broker(text))
    }
}

/// What `Permissions Violation for <operation> to "<subject>"` is about.
fn parse_violation(text: &str) -> (Operation, String) {
    let lower = text.to_ascii_lowercase();
    let operation = if lower.starts_with("permissions violation for subscription") {
        Operation::Subscribe
    } else {
        Operation::Publish
    };
    let subject = text.split('"').nth(1).unwrap_or_default();
    (operation, subject.chars().filter(|c| !c.is_control()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_violations_say_what_was_refused() {
        let check = |text: &str, operation, subject: &str| {
            assert_eq!(parse_violation(text), (operation, subject.to_owned()), "{text}");
        };
        check("Permissions Violation for Publish to \"a.b\"", Operation::Publish, "a.b");
        check("permissions violation for subscription to \"a\"", Operation::Subscribe, "a");
        check(
            "Permissions Violation for Subscription to \"a\" using queue \"q\"",
            Operation::Subscribe,
            "a",
        );
        check("Permissions Violation", Operation::Publish, "");
    }
}
