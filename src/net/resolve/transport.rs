//! Asking name servers: UDP first, TCP when the answer was cut, the next server when one does not help.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use smol::future::FutureExt as _;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::crypto::random;
use crate::net::resolve::Kind;
use crate::net::resolve::conf::ResolvConf;
use crate::net::resolve::query::{self, Answer, Records, UDP_BYTES_MAX, Wanted};

/// Most packets looked at while waiting for one answer: a flood of forgeries ends the wait.
const FOREIGN_PACKETS_MAX: usize = 64;

/// Asks the servers of `conf` for one absolute name, until one gives a final answer.
pub(super) async fn ask(
    conf: &ResolvConf,
    port: u16,
    name: &str,
    wanted: Wanted,
) -> Result<Records, Kind> {
    let count = conf.nameservers.len();
    let start = if conf.rotate { fastrand::usize(0..count.max(1)) } else { 0 };
    let mut last = Kind::TimedOut;
    for _ in 0..conf.attempts {
        for index in 0..count {
            let Some(server) = conf.nameservers.get((start + index) % count) else { continue };
            let address = SocketAddr::new(*server, port);
            last = match ask_server(address, name, wanted, conf.timeout).await {
                Ok(Answer::Records(records)) => return Ok(records),
                Ok(Answer::NoSuchName) => return Err(Kind::NoSuchName),
                Ok(Answer::Unable(reason)) => Kind::Refused(format!("{server} says {reason}")),
                // A cut answer over TCP, or nothing that answers the question.
                Ok(Answer::Truncated | Answer::NotOurs) => {
                    Kind::Refused(format!("{server} gives no usable answer"))
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    return Err(Kind::BadName);
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => Kind::TimedOut,
                Err(error) => Kind::Refused(format!("{server}: {error}")),
            };
        }
    }
    Err(last)
}

async fn ask_server(
    server: SocketAddr,
    name: &str,
    wanted: Wanted,
    timeout: Duration,
) -> io::Result<Answer> {
    let deadline = Instant::now() + timeout;
    let id = random_id();
    let question =
        query::encode(id, name, wanted).ok_or(io::Error::from(io::ErrorKind::InvalidInput))?;
    let answer = limit(deadline, over_udp(server, &question, id, name, wanted)).await?;
    if answer != Answer::Truncated {
        return Ok(answer);
    }
    let deadline = Instant::now() + timeout;
    limit(deadline, over_tcp(server, &question, id, name, wanted)).await
}

fn random_id() -> u16 {
    let mut bytes = [0; 2];
    random::fill(&mut bytes);
    u16::from_be_bytes(bytes)
}

async fn limit<T>(deadline: Instant, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    work.or(async {
        Timer::at(deadline).await;
        Err(io::ErrorKind::TimedOut.into())
    })
    .await
}

/// A new socket for each question: the kernel picks a random port, and `connect` makes it drop
/// everything that does not come from the server.
async fn over_udp(
    server: SocketAddr,
    question: &[u8],
    id: u16,
    name: &str,
    wanted: Wanted,
) -> io::Result<Answer> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = Async::<UdpSocket>::bind((any, 0))?;
    socket.get_ref().connect(server)?;
    socket.send(question).await?;
    let mut buffer = [0; UDP_BYTES_MAX];
    for _ in 0..FOREIGN_PACKETS_MAX {
        let count = socket.recv(&mut buffer).await?;
        match query::decode(buffer.get(..count).unwrap_or_default(), id, name, wanted) {
            Answer::NotOurs => {}
            answer => return Ok(answer),
        }
    }
    Ok(Answer::NotOurs)
}

async fn over_tcp(
    server: SocketAddr,
    question: &[u8],
    id: u16,
    name: &str,
    wanted: Wanted,
) -> io::Result<Answer> {
    let mut socket = Async::<TcpStream>::connect(server).await?;
    // A question is far below 64 KiB: names have at most 255 bytes.
    let length = u16::try_from(question.len()).unwrap_or(u16::MAX);
    let mut message = length.to_be_bytes().to_vec();
    message.extend_from_slice(question);
    socket.write_all(&message).await?;
    let mut length = [0; 2];
    socket.read_exact(&mut length).await?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    socket.read_exact(&mut answer).await?;
    Ok(query::decode(&answer, id, name, wanted))
}
