//! The first lines of the NATS protocol, on a connection that blocks.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::failure::{Doing, Failure};
use crate::frame::{Frame, Inbox};
use crate::wire::Wire;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of one source address: the range of ephemeral ports is shared by everything on the host.
const CONNECTIONS_PER_ADDRESS: usize = 500;

/// The loopback address that connection `index` comes from.
pub fn source_address(index: usize) -> Ipv4Addr {
    let [_, _, high, low] = (2 + index / CONNECTIONS_PER_ADDRESS).to_be_bytes()[4..] else {
        unreachable!()
    };
    Ipv4Addr::new(127, 0, high, low)
}

/// Where to connect and how.
#[derive(Debug, Clone)]
pub struct Target {
    /// Address of the broker.
    pub address: SocketAddr,
    /// What every connection says first, with the end of the line.
    pub connect: String,
    /// Settings of TLS, when the broker wants it: those of each client.
    pub tls: Option<Arc<[Arc<ClientConfig>]>>,
}

impl Target {
    /// Settings of TLS of connection `index`.
    pub fn tls_of(&self, index: usize) -> Option<&Arc<ClientConfig>> {
        let clients = self.tls.as_ref()?;
        clients.get(index % clients.len())
    }
}

/// What a connection says first; `login` is further fields of the JSON, each followed by a comma.
pub fn connect_line(login: &str) -> String {
    format!(
        "CONNECT {{{login}\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\
         \"protocol\":1,\"echo\":true,\"lang\":\"rust\",\"version\":\"1\",\"name\":\"bench\"}}\r\n"
    )
}

/// Opens a blocking connection, sends CONNECT, `more` and a PING, and waits for the PONG: then the broker has acted on
/// all of it.
pub fn open(target: &Target, more: &[u8]) -> Result<Wire, Failure> {
    let mut wire = Wire::open(target.address, None)?;
    wire.socket().set_read_timeout(Some(HANDSHAKE_TIMEOUT)).doing("set a socket option")?;
    wait_info(&mut wire)?;
    if let Some(config) = target.tls_of(0) {
        wire.start_tls(config).doing("begin TLS")?;
    }
    wire.write_all(&[target.connect.as_bytes(), more, b"PING\r\n"].concat())
        .doing("send CONNECT")?;
    wait(&mut wire, |inbox| inbox.pongs() > 0)?;
    Ok(wire)
}

/// Reads the line that a broker begins with.
pub fn wait_info(wire: &mut Wire) -> Result<(), Failure> {
    wait(wire, |inbox| inbox.infos() > 0)
}

fn wait(wire: &mut Wire, is_done: impl Fn(&Inbox) -> bool) -> Result<(), Failure> {
    let (mut inbox, mut buffer) = (Inbox::default(), [0; 4096]);
    while !is_done(&inbox) {
        let count = wire.read(&mut buffer).doing("read what a broker begins with")?;
        if count == 0 {
            return Err(Failure::Broker("it closed a new connection".into()));
        }
        inbox.take(Frame::none(), &buffer[..count], wire)?;
    }
    Ok(())
}

/// A `-ERR` as a failure.
pub fn refused(text: &[u8]) -> Failure {
    Failure::Broker(format!("it sent -ERR {}", String::from_utf8_lossy(text)))
}
