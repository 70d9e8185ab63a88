//! Opening TCP connections: every address of a host is tried, within one time limit.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use smol::future::FutureExt as _;

use crate::net::resolve::{ResolveError, Resolver};

/// Least time one address gets when several share a limit.
const ADDRESS_TIME_MIN: Duration = Duration::from_millis(500);

/// Why no TCP connection came about.
#[derive(Debug)]
pub enum DialError {
    /// The host name has no address.
    Resolve(ResolveError),
    /// No address answered in time.
    TimedOut,
    /// The last address tried refused.
    Io(SocketAddr, io::Error),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(error) => error.fmt(f),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Io(address, error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => write!(f, "connection refused by {address}"),
                _ => write!(f, "{address}: {error}"),
            },
        }
    }
}

impl std::error::Error for DialError {}

/// Connects to `host:port`, trying each address in turn until `deadline`.
pub async fn dial(
    resolver: &Resolver,
    host: &str,
    port: u16,
    deadline: Instant,
) -> Result<Async<TcpStream>, DialError> {
    let addresses = async { resolver.lookup_ip(host).await.map_err(DialError::Resolve) }
        .or(async {
            Timer::at(deadline).await;
            Err(DialError::TimedOut)
        })
        .await?;
    let mut last = DialError::TimedOut;
    let count = addresses.len();
    for (index, ip) in addresses.into_iter().enumerate() {
        let address = SocketAddr::new(ip, port);
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        // Rounding: at most a few dozen addresses.
        let share = (left / u32::try_from(count - index).unwrap_or(u32::MAX)).max(ADDRESS_TIME_MIN);
        match dial_address(address, share.min(left)).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Connects to one address within `limit`.
pub async fn dial_address(
    address: SocketAddr,
    limit: Duration,
) -> Result<Async<TcpStream>, DialError> {
    let connect = async {
        Async::<TcpStream>::connect(address).await.map_err(|error| DialError::Io(address, error))
    };
    let expire = async {
        Timer::after(limit).await;
        Err(DialError::TimedOut)
    };
    let socket = connect.or(expire).await?;
    // Small requests and replies must not wait for each other.
    socket.get_ref().set_nodelay(true).map_err(|error| DialError::Io(address, error))?;
    Ok(socket)
}
