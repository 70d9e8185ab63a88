//! Opening connections: a chosen source address, and the first lines of the NATS protocol.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use choria::nats::codec::{Limits, ServerDecoder, ServerOp};
use rustix::net::{AddressFamily, SocketType};

use crate::failure::{Doing, Failure};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of one source address: the range of ephemeral ports is shared by everything on the host.
const CONNECTIONS_PER_ADDRESS: usize = 500;

/// What every connection says first.
pub const CONNECT: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\
    \"protocol\":1,\"echo\":true,\"lang\":\"rust\",\"version\":\"1\",\"name\":\"bench\"}\r\n";

/// The loopback address that connection `index` comes from.
pub fn source_address(index: usize) -> Ipv4Addr {
    let [_, _, high, low] = (2 + index / CONNECTIONS_PER_ADDRESS).to_be_bytes()[4..] else {
        unreachable!()
    };
    Ipv4Addr::new(127, 0, high, low)
}

/// Opens a blocking connection.
pub fn open(address: SocketAddr, source: Option<Ipv4Addr>) -> Result<TcpStream, Failure> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)
        .doing("open a socket")?;
    if let Some(source) = source {
        rustix::net::bind(&socket, &SocketAddr::from((source, 0)))
            .doing("choose a source address")?;
    }
    rustix::net::connect(&socket, &address).doing("connect")?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).doing("set a socket option")?;
    Ok(stream)
}

/// Sends CONNECT, `more` and a PING, and waits for the PONG: then the broker has acted on all of it.
pub fn handshake(stream: &TcpStream, more: &[u8]) -> Result<(), Failure> {
    stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT)).doing("set a socket option")?;
    let mut writer = stream;
    writer.write_all(&[CONNECT, more, b"PING\r\n"].concat()).doing("send CONNECT")?;
    let (mut decoder, limits, mut buffer) = (ServerDecoder::new(), Limits::default(), [0; 4096]);
    loop {
        let mut reader = stream;
        let count = reader.read(&mut buffer).doing("read the answer to CONNECT")?;
        if count == 0 {
            return Err(Failure::Broker("it closed a new connection".into()));
        }
        let mut rest = &buffer[..count];
        while let Some(op) = decoder.next(&mut rest, &limits).map_err(protocol_fault)? {
            match op {
                ServerOp::Pong => return Ok(()),
                ServerOp::Err(text) => return Err(refused(text)),
                ServerOp::Info(_) | ServerOp::Message(_) | ServerOp::Ping | ServerOp::Ok => {}
            }
        }
    }
}

/// A `-ERR` as a failure.
pub fn refused(text: &[u8]) -> Failure {
    Failure::Broker(format!("it sent -ERR '{}'", String::from_utf8_lossy(text)))
}

/// Bytes that are no operation as a failure.
pub fn protocol_fault(fault: choria::nats::codec::Fault) -> Failure {
    Failure::Broker(format!("it sent what is no operation: {fault}"))
}
