//! The TLS state of one connection: bytes of the socket in, plain bytes out, and the other way round.
//!
//! rustls holds no buffers here. What was read is decrypted where it is, what is to be sent is encrypted into a buffer
//! that all connections of a thread share. A connection keeps its keys and counters, and for as long as there is need a
//! record that did not come completely and encrypted bytes that its socket did not take.
//!
//! Nothing here waits or reads from a socket, so that a handshake can be worked on by another thread.

mod flight;
mod handshake;
mod pool;

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};

use rustls_pki_types::CertificateDer;

pub(super) use handshake::Handshake;
pub(super) use pool::{HandshakePool, Outcome, Worked};

use super::link::{Batch, Chunk, Link, write_some};

/// Plain bytes of a full record (RFC 8446, 5.1).
const RECORD_PLAIN_BYTES: usize = 16 * 1024;
/// What a record adds at most: header, explicit nonce or content type, tag.
const RECORD_EXTRA_BYTES: usize = 5 + 8 + 1 + 16;
/// Full records encrypted before they are written. What the socket does not take of them must be kept.
const RECORDS_PER_WRITE: usize = 4;
/// Room for what rustls may send before a record by itself: an answer to a KeyUpdate.
const SPARE_BYTES: usize = 256;
/// Plain bytes encrypted for one receiver before others get their turn.
const PUMP_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of an incoming record at most (RFC 5246, 6.2.3).
const RECORD_BYTES_MAX: usize = 5 + 16 * 1024 + 2048;
/// Bytes that may wait to become something complete: rustls takes handshake messages of up to 64 KiB, which may come in
/// several records.
const PARTIAL_BYTES_MAX: usize = 64 * 1024 + RECORD_BYTES_MAX;

/// One TLS session.
pub(super) struct Tls {
    connection: UnbufferedServerConnection,
    /// The beginning of something that has not come completely.
    partial: Vec<u8>,
    unsent: Unsent,
    /// The session failed: nothing is encrypted any more.
    has_failed: bool,
    /// We said good-bye.
    is_ended: bool,
}

/// Encrypted bytes that wait for the socket.
#[derive(Debug, Default)]
struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
}

/// Buffers of one thread.
struct Scratch {
    plain: Vec<u8>,
    cipher: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const {
        RefCell::new(Scratch { plain: Vec::new(), cipher: Vec::new() })
    };
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("is_handshaking", &self.is_handshaking())
            .field("partial", &self.partial.len())
            .field("unsent", &self.unsent)
            .finish_non_exhaustive()
    }
}

impl Tls {
    pub fn new(config: Arc<ServerConfig>) -> Result<Tls, rustls::Error> {
        Ok(Tls {
            connection: UnbufferedServerConnection::new(config)?,
            partial: Vec::new(),
            unsent: Unsent::default(),
            has_failed: false,
            is_ended: false,
        })
    }

    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether encrypted bytes wait for the socket.
    pub fn wants_write(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Version and cipher suite as Go names them, once they are agreed on.
    pub fn names(&self) -> Option<(&'static str, &'static str)> {
        let version = match self.connection.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_3 => "1.3",
            rustls::ProtocolVersion::TLSv1_2 => "1.2",
            _ => "",
        };
        let suite = self.connection.negotiated_cipher_suite()?.suite();
        let name = match suite {
            rustls::CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
            rustls::CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
            rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
            suite => suite.as_str().unwrap_or_default(),
        };
        Some((version, name))
    }

    /// The certificate the peer proved to have, in DER.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.peer_chain().first().map(AsRef::as_ref)
    }

    /// All certificates the peer has shown, its own first, in DER. rustls keeps them for as long as the session lasts.
    pub fn peer_chain(&self) -> &[CertificateDer<'static>] {
        self.connection.peer_certificates().unwrap_or_default()
    }

    /// Puts what came before and is not complete at the start of a buffer into which more is going to be read, for
    /// [`Tls::receive`]; returns how many bytes that are.
    pub fn put_partial(&self, buffer: &mut [u8]) -> usize {
        let count = self.partial.len();
        match buffer.get_mut(..count) {
            Some(room) => room.copy_from_slice(&self.partial),
            // No buffer is smaller than `PARTIAL_BYTES_MAX`.
            None => return 0,
        }
        count
    }

    /// As [`Tls::receive`], for bytes that were read elsewhere.
    pub fn receive_more(
        &mut self,
        bytes: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<bool, rustls::Error> {
        let mut input = std::mem::take(&mut self.partial);
        input.extend_from_slice(bytes);
        self.receive(&mut input, plain)
    }

    /// Decrypts what was read, which follows what [`Tls::put_partial`] gave, and appends it to `plain`. What the session
    /// has to say to that waits for the next [`Tls::pump`]. True when the peer ended the session.
    pub fn receive(
        &mut self,
        mut input: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<bool, rustls::Error> {
        let mut is_ended = false;
        let result = loop {
            let UnbufferedStatus { mut discard, state, .. } =
                self.connection.process_tls_records(input);
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                    match traffic.next_record() {
                        Some(Ok(record)) => {
                            discard += record.discard;
                            plain.extend_from_slice(record.payload);
                        }
                        Some(Err(error)) => break Err(error),
                        None => break Ok(true),
                    }
                },
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    self.unsent.encode(data);
                    Ok(true)
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    Ok(true)
                }
                Ok(ConnectionState::PeerClosed) => {
                    is_ended = true;
                    Ok(true)
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                    Ok(false)
                }
                // Early data is never accepted, and whatever else there may be is not asked for.
                Ok(_) if is_ended => Ok(false),
                Ok(_) => Err(rustls::Error::General("unexpected state of the session".to_owned())),
                Err(error) => Err(error),
            };
            input = input.get_mut(discard..).unwrap_or_default();
            match goes_on {
                Ok(true) => {}
                Ok(false) => break Ok(is_ended),
                Err(error) => break Err(error),
            }
        };
        let result = match result {
            Ok(_) if input.len() > PARTIAL_BYTES_MAX => {
                Err(rustls::Error::General("handshake message too large".to_owned()))
            }
            result => result,
        };
        match &result {
            Ok(_) => self.partial = input.to_vec(),
            Err(_) => self.fail(),
        }
        result
    }

    /// Nothing but the alert that tells the peer what was wrong goes out from now on.
    fn fail(&mut self) {
        self.has_failed = true;
        self.partial = Vec::new();
        while self.connection.wants_write() {
            let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
            match state {
                Ok(ConnectionState::EncodeTlsData(data)) => self.unsent.encode(data),
                _ => break,
            }
        }
    }

    /// Encrypts a link's queue into its socket until one is empty or the other full.
    pub fn pump(&mut self, link: &Link, now_ms: u64) {
        let Some((batch, socket)) = link.take_queue() else { return };
        let sent_before = self.unsent.sent;
        let (taken, full) = SCRATCH.with_borrow_mut(|scratch| {
            let mut taken = 0;
            let full = self.write_batch(&batch, &mut &*socket, scratch, &mut taken);
            (taken, full)
        });
        link.restore_queue(batch, taken, matches!(full, Ok(true)), now_ms);
        if taken == 0 && self.unsent.sent > sent_before {
            link.note_progress(now_ms);
        }
        if let Err(kind) = full {
            link.fail_socket(kind);
        }
    }

    /// Encrypts `bytes` from `taken` on into a socket, after what waits, and moves `taken` on. True when the socket is full
    /// or others should get their turn.
    pub fn write(
        &mut self,
        bytes: &mut Vec<u8>,
        taken: &mut usize,
        mut socket: &TcpStream,
    ) -> Result<bool, io::ErrorKind> {
        let chunk = Chunk::Own(std::mem::take(bytes));
        let mut batch = Batch { chunks: [chunk].into(), offset: *taken };
        let full = SCRATCH
            .with_borrow_mut(|scratch| self.write_batch(&batch, &mut socket, scratch, taken));
        if let Some(Chunk::Own(own)) = batch.chunks.pop_front() {
            *bytes = own;
        }
        full
    }

    /// Writes what waits, then a queue; counts in `taken` what was encrypted of it. True when the socket is full or others
    /// should get their turn.
    fn write_batch(
        &mut self,
        batch: &Batch,
        socket: &mut impl Write,
        scratch: &mut Scratch,
        taken: &mut usize,
    ) -> Result<bool, io::ErrorKind> {
        if !self.unsent.write(socket)? {
            return Ok(true);
        }
        if self.is_handshaking() || self.has_failed || self.is_ended {
            return Ok(false);
        }
        let mut pieces = Pieces::new(batch);
        scratch
            .cipher
            .resize(RECORDS_PER_WRITE * (RECORD_PLAIN_BYTES + RECORD_EXTRA_BYTES) + SPARE_BYTES, 0);
        while *taken < PUMP_BYTES_MAX {
            let mut filled = 0;
            for _ in 0..RECORDS_PER_WRITE {
                let plain = pieces.next_record(&mut scratch.plain);
                if plain.is_empty() {
                    break;
                }
                let room = scratch.cipher.get_mut(filled..).unwrap_or_default();
                filled += self.encrypt(plain, room).map_err(|_| io::ErrorKind::InvalidData)?;
                *taken += plain.len();
            }
            if filled == 0 {
                return Ok(false);
            }
            let cipher = scratch.cipher.get(..filled).unwrap_or_default();
            let written = write_some(socket, cipher)?;
            if let Some(rest) = cipher.get(written..).filter(|rest| !rest.is_empty()) {
                self.unsent = Unsent { bytes: rest.to_vec(), sent: 0 };
                return Ok(true);
            }
        }
        Ok(!pieces.is_empty())
    }

    /// Encrypts one record.
    fn encrypt(&mut self, plain: &[u8], room: &mut [u8]) -> Result<usize, EncryptError> {
        self.with_traffic(room, |traffic, room| traffic.encrypt(plain, room))
    }

    /// Lets `work` fill a buffer, behind what the session has to say first.
    fn with_traffic(
        &mut self,
        room: &mut [u8],
        work: impl FnOnce(
            &mut WriteTraffic<'_, rustls::server::ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> Result<usize, EncryptError> {
        let mut filled = 0;
        loop {
            // Nothing complete is in there, so nothing is taken from it.
            let status = self.connection.process_tls_records(&mut self.partial);
            let rest = room.get_mut(filled..).unwrap_or_default();
            match status.state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => match data.encode(rest) {
                    Ok(count) => filled += count,
                    Err(EncodeError::InsufficientSize(size)) => return Err(size.into()),
                    Err(EncodeError::AlreadyEncoded) => {}
                },
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    return work(&mut traffic, rest).map(|count| filled + count);
                }
                _ => return Err(EncryptError::EncryptExhausted),
            }
        }
    }

    /// Says good-bye, after everything that was encrypted before. The next [`Tls::pump`] sends it.
    pub fn end(&mut self) {
        if self.is_handshaking() || self.has_failed || self.is_ended {
            return;
        }
        let mut room = [0; SPARE_BYTES];
        let said = self.with_traffic(&mut room, |traffic, room| traffic.queue_close_notify(room));
        self.is_ended = true;
        if let Some(bytes) = said.ok().and_then(|count| room.get(..count)) {
            self.unsent.bytes.extend_from_slice(bytes);
        }
    }
}

impl Unsent {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends a message of the handshake or an alert.
    fn encode<Data>(&mut self, mut data: EncodeTlsData<'_, Data>) {
        let start = self.bytes.len();
        let mut room = 0;
        loop {
            self.bytes.resize(start + room, 0);
            match data.encode(self.bytes.get_mut(start..).unwrap_or_default()) {
                Err(EncodeError::InsufficientSize(size)) if size.required_size > room => {
                    room = size.required_size;
                }
                _ => return,
            }
        }
    }

    /// Writes what waits; false when the socket takes no more.
    fn write(&mut self, socket: &mut impl Write) -> Result<bool, io::ErrorKind> {
        if self.is_empty() {
            return Ok(true);
        }
        self.sent += write_some(socket, self.bytes.get(self.sent..).unwrap_or_default())?;
        if self.sent < self.bytes.len() {
            return Ok(false);
        }
        *self = Unsent::default();
        Ok(true)
    }
}

/// The plain bytes of a queue, cut into records.
struct Pieces<'b> {
    rest: std::collections::vec_deque::Iter<'b, Chunk>,
    piece: &'b [u8],
}

impl<'b> Pieces<'b> {
    fn new(batch: &'b Batch) -> Pieces<'b> {
        let mut rest = batch.chunks.iter();
        let first = rest.next().map(Chunk::bytes).unwrap_or_default();
        let mut pieces = Pieces { rest, piece: first.get(batch.offset..).unwrap_or_default() };
        pieces.skip_empty();
        pieces
    }

    fn is_empty(&self) -> bool {
        self.piece.is_empty()
    }

    fn skip_empty(&mut self) {
        while self.piece.is_empty() {
            let Some(next) = self.rest.next() else { return };
            self.piece = next.bytes();
        }
    }

    fn take(&mut self, most: usize) -> &'b [u8] {
        let (taken, left) = self.piece.split_at(self.piece.len().min(most));
        self.piece = left;
        self.skip_empty();
        taken
    }

    /// The bytes of the next record, nothing at the end. Small pieces are put together in `room`; what makes a record alone
    /// is not copied.
    fn next_record<'r>(&mut self, room: &'r mut Vec<u8>) -> &'r [u8]
    where
        'b: 'r,
    {
        let first = self.take(RECORD_PLAIN_BYTES);
        if first.len() == RECORD_PLAIN_BYTES || self.is_empty() {
            return first;
        }
        room.clear();
        room.extend_from_slice(first);
        while room.len() < RECORD_PLAIN_BYTES && !self.is_empty() {
            room.extend_from_slice(self.take(RECORD_PLAIN_BYTES - room.len()));
        }
        room
    }
}

#[cfg(test)]
mod tests;
