//! The datagrams that a service manager waits for: the protocol of `sd_notify(3)`.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A manager that does not read is not waited for longer.
const SEND_LIMIT: Duration = Duration::from_secs(1);

/// The socket of the service manager.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UnixDatagram,
}

impl Socket {
    /// Opens the socket of this name, which is a path, or a name of the abstract namespace behind an `@`.
    pub(super) fn open(name: &OsStr) -> io::Result<Socket> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => return Err(io::Error::other("neither an absolute path nor a name behind @")),
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_write_timeout(Some(SEND_LIMIT))?;
        Ok(Socket { socket })
    }

    /// Sends some assignments, one a line.
    pub(super) fn send(&self, lines: &str) -> io::Result<()> {
        self.socket.send(lines.as_bytes()).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &OsStr, receiver: &UnixDatagram) {
        Socket::open(name).unwrap().send("READY=1\nSTATUS=fine").unwrap();
        let mut buffer = [0; 64];
        let length = receiver.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1\nSTATUS=fine");
    }

    #[test]
    fn both_kinds_of_names_are_reached() {
        let folder = std::env::temp_dir().join(format!("choria-notify-{}", std::process::id()));
        let receiver = UnixDatagram::bind(&folder).unwrap();
        check(folder.as_os_str(), &receiver);
        std::fs::remove_file(&folder).unwrap();

        let name = format!("choria-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        check(OsStr::new(&format!("@{name}")), &UnixDatagram::bind_addr(&address).unwrap());
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "relative", "vsock:2:1234", "/no/such/socket"] {
            assert!(Socket::open(OsStr::new(name)).is_err(), "{name}");
        }
    }
}
