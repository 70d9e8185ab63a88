//! Listening sockets and what comes out of them.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// Listens on an address, without blocking, with SO_REUSEADDR; `[::]` takes IPv4 as well. std would fix the backlog at
/// 128, far too few when a fleet reconnects.
pub fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, backlog)?;
    Ok(TcpListener::from(socket))
}

/// The next connection of a listener that does not block; it does not block either and sends small pieces at once.
pub fn accept(listener: impl AsFd) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (socket, peer) = rustix::net::acceptfrom_with(listener, flags)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    let peer = peer.ok_or_else(|| io::Error::other("peer has no internet address"))?;
    Ok((TcpStream::from(socket), unmapped(peer)))
}

/// An IPv4 peer of a dual-stack listener under its own name.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn any_address_takes_both_families() {
        let any = "[::]:0".parse().expect("address");
        let Ok(listener) = listen(any, 4096) else {
            // A host without IPv6.
            return;
        };
        let port = listener.local_addr().expect("address").port();
        let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect");
        let (_, peer) = accept(&listener).expect("accept");
        assert!(peer.is_ipv4());
        let nobody = accept(&listener).expect_err("nobody else connected");
        assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock);
    }
}
