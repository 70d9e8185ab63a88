//! The bytes of one message in both directions, and the check that what arrives is a run of them.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use crate::connection::refused;
use crate::failure::{Doing, Failure};

/// Subject of every throughput scenario.
pub const SUBJECT: &str = "choria.bench";
/// Identifier of every throughput subscription.
pub const SID: &str = "1";
/// Runs of frames are at least this long, so that they are compared and written in large pieces.
const RUN_BYTES_MIN: usize = 64 * 1024;
const LINE_BYTES_MAX: usize = 64 * 1024;
const HEADERS: &str = "NATS/1.0\r\nContent-Type: application/json\r\nTrace: 5f2c90a1\r\n\r\n";

/// One message as it is published and as it must arrive, each repeated to a long run.
#[derive(Debug)]
pub struct Frame {
    /// Length of one PUB or HPUB with its payload.
    pub published_bytes: usize,
    /// Length of one MSG or HMSG with its payload.
    pub delivered_bytes: usize,
    /// A whole number of published messages.
    pub published_run: Arc<[u8]>,
    delivered_run: Arc<[u8]>,
}

impl Frame {
    /// A message with a payload of this length, with two headers or none.
    pub fn new(payload_bytes: usize, headers: bool) -> Frame {
        let block = if headers { HEADERS } else { "" };
        let total = block.len() + payload_bytes;
        let sizes = if headers { format!("{} {total}", block.len()) } else { total.to_string() };
        let verb = |plain: &str| if headers { format!("H{plain}") } else { plain.to_owned() };
        let body = format!("{block}{}\r\n", "x".repeat(payload_bytes));
        let published = format!("{} {SUBJECT} {sizes}\r\n{body}", verb("PUB"));
        let delivered = format!("{} {SUBJECT} {SID} {sizes}\r\n{body}", verb("MSG"));
        Frame {
            published_bytes: published.len(),
            delivered_bytes: delivered.len(),
            published_run: run(&published),
            delivered_run: run(&delivered),
        }
    }
}

fn run(frame: &str) -> Arc<[u8]> {
    frame.repeat(RUN_BYTES_MIN / frame.len() + 2).into_bytes().into()
}

/// What one subscriber has received. Every byte is compared with what the message must look like.
#[derive(Debug)]
pub struct Inbox {
    run: Arc<[u8]>,
    frame_bytes: usize,
    /// Place in the frame that is being received.
    phase: usize,
    /// An operation that is no message, until its line is complete.
    line: Vec<u8>,
    received_bytes: u64,
}

impl Inbox {
    /// Nothing received yet.
    pub fn new(frame: &Frame) -> Inbox {
        Inbox {
            run: frame.delivered_run.clone(),
            frame_bytes: frame.delivered_bytes,
            phase: 0,
            line: Vec::new(),
            received_bytes: 0,
        }
    }

    /// Complete messages received.
    pub fn messages(&self) -> u64 {
        self.received_bytes / self.frame_bytes as u64
    }

    /// Takes what was read from `stream`; answers a PING on it.
    pub fn take(&mut self, mut bytes: &[u8], stream: &TcpStream) -> Result<(), Failure> {
        while !bytes.is_empty() {
            if !self.line.is_empty() {
                bytes = self.take_line(bytes, stream)?;
                continue;
            }
            let count = self.take_messages(bytes);
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
    fn take_messages(&mut self, bytes: &[u8]) -> usize {
        let expected = &self.run[self.phase..];
        let length = expected.len().min(bytes.len());
        let same = if expected[..length] == bytes[..length] {
            length
        } else {
            expected.iter().zip(bytes).take_while(|(expected, byte)| expected == byte).count()
        };
        self.received_bytes += same as u64;
        self.phase = (self.phase + same) % self.frame_bytes;
        same
    }

    fn take_line<'b>(
        &mut self,
        bytes: &'b [u8],
        mut stream: &TcpStream,
    ) -> Result<&'b [u8], Failure> {
        let end =
            bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |place| place + 1);
        self.line.extend_from_slice(&bytes[..end]);
        if self.line.len() > LINE_BYTES_MAX {
            return Err(Failure::Broker("it sent an endless line".into()));
        }
        if self.line.ends_with(b"\n") {
            let line = std::mem::take(&mut self.line);
            match line.trim_ascii_end() {
                b"PING" => stream.write_all(b"PONG\r\n").doing("answer a PING")?,
                b"PONG" | b"+OK" => {}
                other if other.starts_with(b"INFO ") => {}
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
