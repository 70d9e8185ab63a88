//! The TLS state of a route that was dialled here, driven by its event loop. There are few of them, so that buffers do
//! not matter.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use async_io::Async;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection};

use crate::broker::link::Link;
use crate::net;
use crate::net::tls::TlsError;

/// Bytes that rustls may hold in each direction.
const BUFFER_BYTES_MAX: usize = 16 * 1024;

/// One TLS session.
#[derive(Debug)]
pub(in crate::broker) struct ClientTls {
    connection: ClientConnection,
}

impl ClientTls {
    /// Shakes hands with the peer of this name; its certificate must be for it.
    pub async fn connect(
        config: Arc<ClientConfig>,
        name: &str,
        socket: &Async<TcpStream>,
    ) -> Result<ClientTls, TlsError> {
        let bare = name.trim_matches(['[', ']']).to_owned();
        let server = ServerName::try_from(bare).map_err(|_| TlsError::Name(name.to_owned()))?;
        let mut connection = ClientConnection::new(config, server).map_err(TlsError::Handshake)?;
        connection.set_buffer_limit(Some(BUFFER_BYTES_MAX));
        net::tls::handshake(&mut connection, socket).await?;
        Ok(ClientTls { connection })
    }

    /// Whether encrypted bytes wait for the socket.
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// The certificates the peer has shown, its own first, in DER.
    pub fn peer_chain(&self) -> &[CertificateDer<'static>] {
        self.connection.peer_certificates().unwrap_or_default()
    }

    /// Decrypts what was read and appends it to `plain`; true when the peer ended the session.
    pub fn receive(
        &mut self,
        mut cipher: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<bool, rustls::Error> {
        let mut is_ended = false;
        // Something may have come together with the end of the handshake.
        self.take_plain(plain)?;
        while !cipher.is_empty() && !is_ended {
            let general = |error: io::Error| rustls::Error::General(error.to_string());
            if self.connection.read_tls(&mut cipher).map_err(general)? == 0 {
                break;
            }
            let state = self.connection.process_new_packets()?;
            is_ended = state.peer_has_closed();
            self.take_plain(plain)?;
        }
        Ok(is_ended)
    }

    fn take_plain(&mut self, plain: &mut Vec<u8>) -> Result<(), rustls::Error> {
        let state = self.connection.process_new_packets()?;
        let start = plain.len();
        plain.resize(start + state.plaintext_bytes_to_read(), 0);
        match plain.get_mut(start..).filter(|room| !room.is_empty()) {
            Some(room) => {
                let read = self.connection.reader().read_exact(room);
                read.map_err(|error| rustls::Error::General(error.to_string()))
            }
            None => Ok(()),
        }
    }

    /// Encrypts a link's queue into its socket until one is empty or the other full.
    pub fn pump(&mut self, link: &Link, now_ms: u64) {
        let Some((batch, socket)) = link.take_queue() else { return };
        let mut taken = 0;
        let mut rest = batch.chunks.iter().map(|chunk| chunk.bytes());
        let mut piece = rest.next().unwrap_or_default().get(batch.offset..).unwrap_or_default();
        let full = loop {
            match self.write_out(&mut &*socket) {
                Ok(true) => {}
                Ok(false) => break Ok(true),
                Err(error) => break Err(error.kind()),
            }
            let before = taken;
            while !piece.is_empty() {
                let count = self.connection.writer().write(piece).unwrap_or(0);
                taken += count;
                piece = piece.get(count..).unwrap_or_default();
                if !piece.is_empty() {
                    break;
                }
                piece = rest.next().unwrap_or_default();
            }
            if taken == before {
                break Ok(false);
            }
        };
        link.restore_queue(batch, taken, full == Ok(true), now_ms);
        if let Err(kind) = full {
            link.fail_socket(kind);
        }
    }

    /// Writes encrypted bytes; false when the socket takes no more.
    fn write_out(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        while self.connection.wants_write() {
            match self.connection.write_tls(socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Says good-bye, after everything that was encrypted before.
    pub fn end(&mut self) {
        self.connection.send_close_notify();
    }
}
