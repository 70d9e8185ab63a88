//! TLS client connections over the reactor: rustls fed from a non-blocking socket.
//!
//! The connection may start at any moment of a TCP connection's life, which is what "INFO in clear, then upgrade"
//! needs. Reading and writing may happen in two tasks at once: see [`TlsStream::split`].

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use async_io::Async;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, ClientConfig, ClientConnection};
use smol::io::{AsyncRead, AsyncWrite};

use crate::crypto::x509::Certificate;

/// Ciphertext taken from the socket in one read.
const READ_BYTES: usize = 32 * 1024;
/// Most bytes rustls may hold for us in each direction: bounds what a slow peer costs.
const BUFFER_BYTES_MAX: usize = 256 * 1024;

/// Why no TLS connection came about.
#[derive(Debug)]
pub enum TlsError {
    /// The host part of the address cannot be the name of a TLS server.
    Name(String),
    /// The peers do not agree, or a certificate was refused.
    Handshake(rustls::Error),
    /// The connection broke during the handshake.
    Io(io::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?} cannot be the name of a TLS server"),
            Self::Handshake(error) => write!(f, "TLS handshake: {}", describe(error)),
            Self::Io(error) => write!(f, "TLS handshake: {error}"),
        }
    }
}

impl std::error::Error for TlsError {}

/// Says what went wrong in an operator's words; certificate problems start with `certificate`.
pub fn describe(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "certificate refused: it was not issued by the CA that is trusted here (UnknownIssuer)"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(fault) => {
            format!("certificate refused: {}", fault_words(fault))
        }
        rustls::Error::AlertReceived(alert) => {
            format!("the peer refused the connection: {} ({alert:?})", alert_words(*alert))
        }
        other => other.to_string(),
    }
}

/// What is wrong with the certificate of a peer.
fn fault_words(fault: &rustls::CertificateError) -> String {
    match fault {
        rustls::CertificateError::Revoked => "it was revoked".to_owned(),
        rustls::CertificateError::UnknownRevocationStatus => {
            "no revocation list of its issuer vouches for it".to_owned()
        }
        rustls::CertificateError::ExpiredRevocationList => {
            "the revocation list has expired".to_owned()
        }
        rustls::CertificateError::Other(other) => other.0.to_string(),
        fault => fault.to_string(),
    }
}

/// What the alert of a peer means for the one who receives it.
fn alert_words(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::UnknownCA => "our certificate was not issued by the CA that it trusts",
        AlertDescription::CertificateRequired => "it demands a certificate",
        AlertDescription::CertificateRevoked => "our certificate was revoked",
        AlertDescription::CertificateExpired => "our certificate is outside its dates",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => "it does not accept our certificate",
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
            "there is no TLS version and cipher that both sides use"
        }
        _ => "it sent an alert",
    }
}

/// Whether a certificate in DER is for a host name or an address. One without alternative names may have the name as
/// its common name.
pub fn is_for(certificate: &[u8], name: &str) -> bool {
    let der = CertificateDer::from(certificate);
    let Ok(name) = ServerName::try_from(name) else { return false };
    let is_named = webpki::EndEntityCert::try_from(&der)
        .is_ok_and(|read| read.verify_is_valid_for_subject_name(&name).is_ok());
    is_named
        || Certificate::from_der(certificate).is_ok_and(|read| {
            !read.has_alternative_names()
                && read.common_name().is_some_and(|have| have.eq_ignore_ascii_case(&name.to_str()))
        })
}

/// An established TLS connection.
#[derive(Clone)]
pub struct TlsStream {
    shared: Arc<Shared>,
}

struct Shared {
    socket: Async<TcpStream>,
    tls: Mutex<ClientConnection>,
    /// Ciphertext for `tls`: only the reader uses it. It is locked before `tls`.
    inbound: Mutex<Inbound>,
}

/// Ciphertext that was read and not yet given to rustls, which takes a few kilobytes at a time.
#[derive(Default)]
struct Inbound {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The socket has nothing more, ever.
    is_ended: bool,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("socket", &self.shared.socket).finish_non_exhaustive()
    }
}

/// The reading half of a [`TlsStream`]; at most one task may use it.
#[derive(Debug)]
pub struct TlsReader(TlsStream);

/// The writing half of a [`TlsStream`]; at most one task may use it.
#[derive(Debug)]
pub struct TlsWriter(TlsStream);

impl TlsStream {
    /// Shakes hands over `socket` and verifies that the peer is `name` (a host name or IP address).
    pub async fn connect(
        config: Arc<ClientConfig>,
        name: &str,
        socket: Async<TcpStream>,
    ) -> Result<Self, TlsError> {
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let server =
            ServerName::try_from(bare.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))?;
        let mut tls = ClientConnection::new(config, server).map_err(TlsError::Handshake)?;
        tls.set_buffer_limit(Some(BUFFER_BYTES_MAX));
        handshake(&mut tls, &socket).await?;
        let shared = Shared { socket, tls: Mutex::new(tls), inbound: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Splits into halves that two tasks may use at the same time.
    pub fn split(self) -> (TlsReader, TlsWriter) {
        (TlsReader(self.clone()), TlsWriter(self))
    }

    /// The negotiated protocol version, for logs.
    pub fn version(&self) -> &'static str {
        match self.shared.lock().protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS",
        }
    }
}

/// Shakes hands over `socket` on the side of the client. What the peer sends right behind is left in `tls`.
pub async fn handshake(
    tls: &mut ClientConnection,
    socket: &Async<TcpStream>,
) -> Result<(), TlsError> {
    while tls.is_handshaking() || tls.wants_write() {
        while tls.wants_write() {
            match tls.write_tls(&mut socket.get_ref()) {
                Ok(0) => return Err(TlsError::Io(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket.writable().await.map_err(TlsError::Io)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TlsError::Io(error)),
            }
        }
        if !tls.is_handshaking() {
            break;
        }
        match tls.read_tls(&mut socket.get_ref()) {
            Ok(0) => {
                let text = "the peer closed the connection during the handshake";
                return Err(TlsError::Io(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
            }
            Ok(_) => process_or_alert(tls, socket)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.readable().await.map_err(TlsError::Io)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(TlsError::Io(error)),
        }
    }
    Ok(())
}

/// Processes what was read; on a fault tells the peer why, as far as the socket takes it at once.
fn process_or_alert(tls: &mut ClientConnection, socket: &Async<TcpStream>) -> Result<(), TlsError> {
    match tls.process_new_packets() {
        Ok(_) => Ok(()),
        Err(error) => {
            let _ = tls.write_tls(&mut socket.get_ref());
            Err(TlsError::Handshake(error))
        }
    }
}

impl Inbound {
    /// Gives rustls some of the ciphertext, or the end; `false` when there is neither.
    fn feed(&mut self, tls: &mut ClientConnection) -> io::Result<bool> {
        let mut unread = self.bytes.get(self.start..self.end).unwrap_or_default();
        if unread.is_empty() && !self.is_ended {
            return Ok(false);
        }
        self.start += tls.read_tls(&mut unread)?;
        Ok(true)
    }

    /// Reads from the socket. Everything read before has been fed.
    fn fill(&mut self, socket: &mut impl Read) -> io::Result<()> {
        self.bytes.resize(READ_BYTES, 0);
        let count = socket.read(&mut self.bytes)?;
        (self.start, self.end) = (0, count);
        self.is_ended = count == 0;
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ClientConnection> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes ciphertext until rustls has none left or the socket takes no more.
    /// Says whether everything is out.
    fn push(&self, tls: &mut ClientConnection) -> io::Result<bool> {
        while tls.wants_write() {
            match tls.write_tls(&mut self.socket.get_ref()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// One attempt to hand out plaintext; `None` when the socket has nothing more right now.
    /// A connection that ends without `close_notify` is an error (`UnexpectedEof`), not an end of data.
    fn pull(&self, inbound: &mut Inbound, buf: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            {
                let mut tls = self.lock();
                match tls.reader().read(buf) {
                    Ok(count) => return Ok(Some(count)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
                if inbound.feed(&mut tls)? {
                    let outcome = tls.process_new_packets();
                    // Alerts and key updates; what the socket refuses now goes out with the next write.
                    let _ = self.push(&mut tls);
                    outcome.map_err(|error| {
                        let text = format!("TLS: {}", describe(&error));
                        io::Error::new(io::ErrorKind::InvalidData, text)
                    })?;
                    continue;
                }
            }
            match inbound.fill(&mut self.socket.get_ref()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut inbound = self.inbound.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(count) = self.pull(&mut inbound, buf)? {
                return Poll::Ready(Ok(count));
            }
            ready!(self.socket.poll_readable(cx))?;
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            {
                let mut tls = self.lock();
                let count = tls.writer().write(buf)?;
                self.push(&mut tls)?;
                if count > 0 || buf.is_empty() {
                    return Poll::Ready(Ok(count));
                }
            }
            ready!(self.socket.poll_writable(cx))?;
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.push(&mut self.lock())? {
                return Poll::Ready(Ok(()));
            }
            ready!(self.socket.poll_writable(cx))?;
        }
    }

    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().send_close_notify();
        ready!(self.poll_flush(cx))?;
        Poll::Ready(match self.socket.get_ref().shutdown(Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
            _ => Ok(()),
        })
    }
}

macro_rules! read_half {
    ($type:ty, $($field:tt)+) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.$($field)+.poll_read(cx, buf)
            }
        }
    };
}

macro_rules! write_half {
    ($type:ty, $($field:tt)+) => {
        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.$($field)+.poll_write(cx, buf)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.$($field)+.poll_flush(cx)
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.$($field)+.poll_close(cx)
            }
        }
    };
}

read_half!(TlsStream, shared);
read_half!(TlsReader, 0.shared);
write_half!(TlsStream, shared);
write_half!(TlsWriter, 0.shared);

#[cfg(test)]
mod tests;
