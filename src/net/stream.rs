//! A connection that is plain TCP or TLS, and its two halves.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_io::Async;
use rustls::ClientConfig;
use smol::io::{AsyncRead, AsyncWrite};

use crate::net::tls::{TlsError, TlsReader, TlsStream, TlsWriter};

/// A connection to another machine.
#[derive(Debug)]
pub enum Stream {
    /// In clear.
    Plain(Arc<Async<TcpStream>>),
    /// Encrypted, the peer's identity checked by the TLS configuration.
    Tls(TlsStream),
}

impl Stream {
    /// A plain connection over `socket`.
    pub fn plain(socket: Async<TcpStream>) -> Self {
        Self::Plain(Arc::new(socket))
    }

    /// A TLS connection over `socket` to the peer called `name`.
    pub async fn tls(
        config: Arc<ClientConfig>,
        name: &str,
        socket: Async<TcpStream>,
    ) -> Result<Self, TlsError> {
        TlsStream::connect(config, name, socket).await.map(Self::Tls)
    }

    /// Splits into halves that two tasks may use at the same time.
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Plain(socket) => (ReadHalf::Plain(socket.clone()), WriteHalf::Plain(socket)),
            Self::Tls(stream) => {
                let (reader, writer) = stream.split();
                (ReadHalf::Tls(reader), WriteHalf::Tls(writer))
            }
        }
    }
}

/// The reading half of a [`Stream`].
#[derive(Debug)]
pub enum ReadHalf {
    /// In clear.
    Plain(Arc<Async<TcpStream>>),
    /// Encrypted.
    Tls(TlsReader),
}

/// The writing half of a [`Stream`].
#[derive(Debug)]
pub enum WriteHalf {
    /// In clear.
    Plain(Arc<Async<TcpStream>>),
    /// Encrypted.
    Tls(TlsWriter),
}

impl AsyncRead for ReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(&mut &**socket).poll_read(cx, buf),
            Self::Tls(reader) => Pin::new(reader).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(&mut &**socket).poll_write(cx, buf),
            Self::Tls(writer) => Pin::new(writer).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(writer) => Pin::new(writer).poll_flush(cx),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Poll::Ready(match socket.get_ref().shutdown(Shutdown::Write) {
                Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
                _ => Ok(()),
            }),
            Self::Tls(writer) => Pin::new(writer).poll_close(cx),
        }
    }
}
