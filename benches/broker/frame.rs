//! The bytes of one message in both directions, and the check that what arrives is a run of them.

use std::sync::LazyLock;

use crate::connection::refused;
use crate::failure::{Doing, Failure};
use crate::wire::Wire;

/// Subject of every throughput scenario.
pub const SUBJECT: &str = "choria.bench";
/// Identifier of the first subscription of a connection.
pub const SID: &str = "1";
/// Runs of frames are at least this long, so that they are compared and written in large pieces.
const RUN_BYTES_MIN: usize = 64 * 1024;
const LINE_BYTES_MAX: usize = 64 * 1024;
const HEADERS: &str = "NATS/1.0\r\nContent-Type: application/json\r\nTrace: 5f2c90a1\r\n\r\n";

/// What a message looks like.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'s> {
    /// Where it is published.
    pub subject: &'s str,
    /// Where answers go; empty for nowhere.
    pub reply: &'s str,
    /// Identifier of the subscription that gets it.
    pub sid: &'s str,
    /// Length of the payload, without headers.
    pub payload_bytes: usize,
    /// Whether it carries two headers.
    pub headers: bool,
}

impl Shape<'_> {
    /// A message on [`SUBJECT`] for the first subscription.
    pub fn new(payload_bytes: usize) -> Shape<'static> {
        Shape { subject: SUBJECT, reply: "", sid: SID, payload_bytes, headers: false }
    }
}

/// One message as it is published and as it must arrive, each repeated to a long run.
#[derive(Debug, Default)]
pub struct Frame {
    /// Length of one PUB or HPUB with its payload.
    pub published_bytes: usize,
    /// Length of one MSG or HMSG with its payload.
    pub delivered_bytes: usize,
    /// A whole number of published messages.
    pub published_run: Vec<u8>,
    delivered_run: Vec<u8>,
}

impl Frame {
    /// The message of this shape.
    pub fn new(shape: &Shape<'_>) -> Frame {
        let &Shape { subject, reply, sid, payload_bytes, headers } = shape;
        let block = if headers { HEADERS } else { "" };
        let total = block.len() + payload_bytes;
        let sizes = if headers { format!("{} {total}", block.len()) } else { total.to_string() };
        let verb = |plain: &str| if headers { format!("H{plain}") } else { plain.to_owned() };
        let reply = if reply.is_empty() { String::new() } else { format!("{reply} ") };
        let body = format!("{block}{}\r\n", payload(payload_bytes));
        let published = format!("{} {subject} {reply}{sizes}\r\n{body}", verb("PUB"));
        let delivered = format!("{} {subject} {sid} {reply}{sizes}\r\n{body}", verb("MSG"));
        Frame {
            published_bytes: published.len(),
            delivered_bytes: delivered.len(),
            published_run: run(&published),
            delivered_run: run(&delivered),
        }
    }

    /// Expected by a connection that no message may reach.
    pub fn none() -> &'static Frame {
        static NONE: LazyLock<Frame> = LazyLock::new(Frame::default);
        &NONE
    }

    /// One message as it is published.
    pub fn published(&self) -> &[u8] {
        &self.published_run[..self.published_bytes]
    }
}

/// Letters whose place can be told from their neighbours, so that a shift shows.
fn payload(bytes: usize) -> String {
    (0..bytes).map(|place| char::from(b'a' + (place % 25 + place / 25 % 7) as u8 % 26)).collect()
}

fn run(frame: &str) -> Vec<u8> {
    frame.repeat(RUN_BYTES_MIN / frame.len() + 2).into_bytes()
}

/// What one connection has received. Every byte is compared with what the message must look like.
#[derive(Debug, Default)]
pub struct Inbox {
    /// Place in the frame that is being received.
    phase: u32,
    infos: u32,
    pongs: u32,
    messages: u64,
    /// An operation that is no message, until its line is complete.
    line: Vec<u8>,
}

impl Inbox {
    /// Complete messages received.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// INFOs received.
    pub fn infos(&self) -> u32 {
        self.infos
    }

    /// PONGs received.
    pub fn pongs(&self) -> u32 {
        self.pongs
    }

    /// Takes what was read from `wire`; answers a PING on it.
    pub fn take(
        &mut self,
        frame: &Frame,
        mut bytes: &[u8],
        wire: &mut Wire,
    ) -> Result<(), Failure> {
        while !bytes.is_empty() {
            if !self.line.is_empty() {
                bytes = self.take_line(bytes, wire)?;
                continue;
            }
            let count = self.take_messages(frame, bytes);
            bytes = &bytes[count..];
            if count == 0 {
                if self.phase != 0 {
                    return Err(Failure::Broker("it delivered a message with other bytes".into()));
                }
                self.line.push(bytes[0]);
                bytes = &bytes[1..];
            }
        }
        Ok(())
    }

    /// How many bytes at the start are what must come next.
    fn take_messages(&mut self, frame: &Frame, bytes: &[u8]) -> usize {
        let expected = &frame.delivered_run[self.phase as usize..];
        let length = expected.len().min(bytes.len());
        let same = if expected[..length] == bytes[..length] {
            length
        } else {
            expected.iter().zip(bytes).take_while(|(expected, byte)| expected == byte).count()
        };
        if same > 0 {
            let received = self.phase as usize + same;
            self.messages += (received / frame.delivered_bytes) as u64;
            self.phase = (received % frame.delivered_bytes) as u32;
        }
        same
    }

    fn take_line<'b>(&mut self, bytes: &'b [u8], wire: &mut Wire) -> Result<&'b [u8], Failure> {
        let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |place| place + 1);
        self.line.extend_from_slice(&bytes[..end]);
        if self.line.len() > LINE_BYTES_MAX {
            return Err(Failure::Broker("it sent an endless line".into()));
        }
        if self.line.ends_with(b"\n") {
            let line = std::mem::take(&mut self.line);
            match line.trim_ascii_end() {
                b"PING" => wire.write_all(b"PONG\r\n").doing("answer a PING")?,
                b"PONG" => self.pongs += 1,
                b"+OK" => {}
                other if other.starts_with(b"INFO ") => self.infos += 1,
                other if other.starts_with(b"-ERR ") => return Err(refused(&other[5..])),
                other => {
                    let text = String::from_utf8_lossy(other);
                    return Err(Failure::Broker(format!(
                        "it sent an unexpected operation: {text:.80}"
                    )));
                }
            }
        }
        Ok(&bytes[end..])
    }
}
