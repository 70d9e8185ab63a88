//! The WebSocket state of one connection, over TLS or without: bytes of the socket in, protocol bytes out, and the other
//! way round. An idle one holds no buffer.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, TcpStream};

use super::encode::{Encoder, Style, append_close, append_pong};
use super::frame::{Decoder, Event, Fault, Rules, status};
use super::upgrade::{self, Refusal};
use crate::broker::end::Reason;
use crate::broker::link::{Batch, Link, write_some};
use crate::broker::tls::Tls;

/// Messages in the largest inflated one that is taken, and its bytes, as nats-server has it.
const INFLATED_PAYLOADS_MAX: u64 = 8;
const INFLATED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Room for inflated bytes.
const INFLATE_BYTES: usize = 64 * 1024;
/// Bytes read at once from a connection that deflates: a thousand times as many may come out.
const READ_BYTES_MAX: usize = 16 * 1024;
/// Bytes made into frames for one receiver before others get their turn.
const PUMP_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of frames that may wait while PINGs are still answered: a client may send those without reading.
const PONG_BYTES_MAX: usize = 128 * 1024;

/// Buffers of one thread.
#[derive(Default)]
struct Scratch {
    encoder: Encoder,
    inflated: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// How far it has come.
#[derive(Debug)]
enum Stage {
    /// The request has not come completely.
    Upgrading(Vec<u8>),
    /// Frames go both ways.
    Open,
    /// We said our last.
    Ended,
}

/// A WebSocket.
#[derive(Debug)]
pub(in crate::broker) struct Channel {
    /// Below it, if the port has TLS.
    pub tls: Option<Box<Tls>>,
    stage: Stage,
    decoder: Decoder,
    rules: Rules,
    style: Style,
    /// What the close frame will say.
    status: u16,
    unsent: Unsent,
}

/// Frames that wait for the socket.
#[derive(Debug, Default)]
struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
}

/// What came of the request that opens a WebSocket.
#[derive(Debug)]
pub(in crate::broker) enum Opening {
    /// More of it has to come.
    Waits,
    /// It is answered; these bytes came behind it.
    Done { rest: Vec<u8>, forwarded_for: Option<IpAddr> },
    /// It is refused, and told so.
    Refused(Refusal),
}

impl Channel {
    /// One at its beginning, for messages of so many bytes.
    pub fn new(tls: Option<Box<Tls>>, payload_bytes_max: usize) -> Channel {
        let inflated = (payload_bytes_max as u64).saturating_mul(INFLATED_PAYLOADS_MAX);
        Channel {
            tls,
            stage: Stage::Upgrading(Vec::new()),
            decoder: Decoder::new(),
            rules: Rules {
                takes_deflated: false,
                inflated_bytes_max: inflated.min(INFLATED_BYTES_MAX),
            },
            style: Style::default(),
            status: status::NORMAL,
            unsent: Unsent::default(),
        }
    }

    /// Whether frames go both ways.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Bytes that may be read at once.
    pub fn read_bytes_max(&self) -> usize {
        if self.rules.takes_deflated { READ_BYTES_MAX } else { usize::MAX }
    }

    /// Takes bytes of the request that opens it.
    pub fn open(&mut self, input: &[u8], origins: &[String]) -> Opening {
        let Stage::Upgrading(request) = &mut self.stage else { return Opening::Waits };
        request.extend_from_slice(input);
        match upgrade::read(request, origins) {
            Ok(None) => Opening::Waits,
            Ok(Some(upgrade)) => {
                let rest = request.split_off(upgrade.request_bytes);
                self.rules.takes_deflated = upgrade.is_deflating;
                self.style =
                    Style { is_deflating: upgrade.is_deflating, is_browser: upgrade.is_browser };
                self.unsent.bytes.extend_from_slice(&upgrade.answer);
                self.stage = Stage::Open;
                Opening::Done { rest, forwarded_for: upgrade.forwarded_for }
            }
            Err(refusal) => {
                self.unsent.bytes.extend_from_slice(&refusal.answer());
                self.stage = Stage::Ended;
                Opening::Refused(refusal)
            }
        }
    }

    /// Hands the data in frames to `take`. True when the client ended the connection.
    pub fn receive<E: From<Fault>>(
        &mut self,
        mut input: &mut [u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut inflated = SCRATCH.with_borrow_mut(|scratch| std::mem::take(&mut scratch.inflated));
        if self.rules.takes_deflated {
            inflated.resize(INFLATE_BYTES, 0);
        }
        let result = loop {
            match self.decoder.next(&mut input, &mut inflated, &self.rules) {
                Ok(None) => break Ok(false),
                Ok(Some(Event::Data(bytes))) => {
                    if let Err(error) = take(bytes) {
                        break Err(error);
                    }
                }
                Ok(Some(Event::Ping(payload))) => {
                    if self.unsent.bytes.len() < PONG_BYTES_MAX {
                        append_pong(&mut self.unsent.bytes, &payload);
                    }
                }
                Ok(Some(Event::Pong)) => {}
                Ok(Some(Event::Close(status))) => {
                    self.status = status.unwrap_or(status::NORMAL);
                    break Ok(true);
                }
                Err(fault) => break Err(fault.into()),
            }
        };
        SCRATCH.with_borrow_mut(|scratch| scratch.inflated = inflated);
        result
    }

    /// Notes why it is going to end, for the close frame.
    pub fn will_end(&mut self, reason: &Reason) {
        self.status = match reason {
            Reason::ClientClosed => self.status,
            Reason::WebSocket(fault) => fault.status(),
            Reason::Protocol(crate::nats::codec::Fault::PayloadTooLarge { .. }) => status::TOO_BIG,
            Reason::Protocol(_)
            | Reason::BadJson
            | Reason::BadOptions
            | Reason::HeadersNotAgreed => status::PROTOCOL,
            Reason::Stale | Reason::LameDuck | Reason::Shutdown => status::GOING_AWAY,
            Reason::ClientError(_) => status::NORMAL,
            Reason::Panic => status::INTERNAL,
            _ => status::POLICY,
        };
    }

    /// Whether frames wait, or what they became in TLS.
    pub fn wants_write(&self) -> bool {
        !self.unsent.bytes.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Sends a link's queue in frames until one is empty or its socket full.
    pub fn pump(&mut self, link: &Link, now_ms: u64) {
        let Some((batch, socket)) = link.take_queue() else { return };
        let mut taken = 0;
        let full = SCRATCH.with_borrow_mut(|scratch| {
            self.write_batch(&batch, &socket, &mut scratch.encoder, &mut taken)
        });
        link.restore_queue(batch, taken, matches!(full, Ok(true)), now_ms);
        if let Err(kind) = full {
            link.fail_socket(kind);
        }
    }

    /// Writes what waits, then a queue; counts in `taken` what was made into frames of it. True when the socket is full or
    /// others should get their turn.
    fn write_batch(
        &mut self,
        batch: &Batch,
        socket: &TcpStream,
        encoder: &mut Encoder,
        taken: &mut usize,
    ) -> Result<bool, io::ErrorKind> {
        loop {
            if !self.write_unsent(socket)? {
                return Ok(true);
            }
            // What is left cannot be sent: TLS is not ready, or not any more.
            if !self.is_open() || !self.unsent.bytes.is_empty() {
                return Ok(false);
            }
            if *taken >= PUMP_BYTES_MAX {
                return Ok(true);
            }
            let count = encoder.append(pieces(batch, *taken), self.style, &mut self.unsent.bytes);
            if count == 0 {
                return Ok(false);
            }
            *taken += count;
        }
    }

    /// Writes the frames that wait; false when the socket takes no more.
    fn write_unsent(&mut self, mut socket: &TcpStream) -> Result<bool, io::ErrorKind> {
        let Unsent { bytes, sent } = &mut self.unsent;
        let is_full = match &mut self.tls {
            Some(tls) => tls.write(bytes, sent, socket)?,
            None => {
                *sent += write_some(&mut socket, bytes.get(*sent..).unwrap_or_default())?;
                *sent < bytes.len()
            }
        };
        if *sent == bytes.len() {
            self.unsent = Unsent::default();
        }
        Ok(!is_full)
    }

    /// Says good-bye once everything was sent; false when something still waits.
    pub fn end(&mut self, link: &Link) -> bool {
        if self.is_open() {
            append_close(&mut self.unsent.bytes, self.status);
            self.stage = Stage::Ended;
            self.pump(link, 0);
        }
        if self.wants_write() {
            return false;
        }
        if let Some(tls) = &mut self.tls {
            tls.end();
            self.pump(link, 0);
        }
        true
    }
}

/// The bytes of a queue behind the first `skipped`.
fn pieces(batch: &Batch, skipped: usize) -> impl Iterator<Item = &[u8]> {
    let mut skip = batch.offset + skipped;
    batch.chunks.iter().filter_map(move |chunk| {
        let bytes = chunk.bytes();
        let from = skip.min(bytes.len());
        skip -= from;
        bytes.get(from..).filter(|rest| !rest.is_empty())
    })
}
