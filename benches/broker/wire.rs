//! One connection of the generator: a socket, with TLS over it or without.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;

use crate::failure::{Doing, Failure};

const WRITE_TIMEOUT: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// A socket, blocking or not, and the TLS session over it.
#[derive(Debug)]
pub struct Wire {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Wire {
    /// Connects and waits until that is done; reads and writes block.
    pub fn open(address: SocketAddr, source: Option<Ipv4Addr>) -> Result<Wire, Failure> {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)
            .doing("open a socket")?;
        bind(&socket, source)?;
        rustix::net::connect(&socket, &address).doing("connect")?;
        Wire::over(TcpStream::from(socket))
    }

    /// Begins to connect; nothing blocks. Dropping it resets the connection: no port stays in TIME_WAIT.
    pub fn begin(address: SocketAddr, source: Option<Ipv4Addr>) -> Result<Wire, Failure> {
        let flags = SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
            .doing("open a socket")?;
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).doing("set a socket option")?;
        bind(&socket, source)?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Wire::over(TcpStream::from(socket)),
            Err(error) => Err(error).doing("connect"),
        }
    }

    fn over(socket: TcpStream) -> Result<Wire, Failure> {
        socket.set_nodelay(true).doing("set a socket option")?;
        Ok(Wire { socket, tls: None })
    }

    /// Everything from here on is encrypted.
    pub fn start_tls(&mut self, config: &Arc<ClientConfig>) -> io::Result<()> {
        let name = ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
        let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        self.tls = Some(Box::new(session));
        self.flush()
    }

    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether a read that gives less than asked for has emptied the socket.
    pub fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    /// Reads what is there, decrypted; 0 at the end of the connection.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return (&self.socket).read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            if tls.read_tls(&mut &self.socket)? == 0 {
                return Ok(0);
            }
            let outcome = tls.process_new_packets().map_err(io::Error::other);
            flush(tls, &self.socket)?;
            outcome?;
        }
    }

    /// Writes all of it, and waits for room where the socket has none. During a TLS handshake it is kept until the end.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        if let Some(tls) = &mut self.tls {
            while !rest.is_empty() {
                // It takes as much as its buffer has room for.
                let count = tls.writer().write(rest)?;
                rest = &rest[count..];
                flush(tls, &self.socket)?;
                if count == 0 {
                    return Err(ErrorKind::WriteZero.into());
                }
            }
            return Ok(());
        }
        while !rest.is_empty() {
            match (&self.socket).write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => wait_writable(&self.socket)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tls.as_mut().map_or(Ok(()), |tls| flush(tls, &self.socket))
    }
}

fn flush(tls: &mut ClientConnection, mut socket: &TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(&mut socket) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait_writable(socket)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn bind(socket: &impl std::os::fd::AsFd, source: Option<Ipv4Addr>) -> Result<(), Failure> {
    let Some(source) = source else { return Ok(()) };
    rustix::net::bind(socket, &SocketAddr::from((source, 0))).doing("choose a source address")
}

fn wait_writable(socket: &TcpStream) -> io::Result<()> {
    match poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&WRITE_TIMEOUT))? {
        0 => Err(ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}
