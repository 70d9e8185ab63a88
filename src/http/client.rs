//! One GET of a small page, for checks of our own.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use async_io::{Async, Timer};
use smol::future;
use smol::io::{AsyncReadExt, AsyncWriteExt};

/// Headers of an answer.
const HEADERS_MAX: usize = 64;
/// Bytes of an answer, its head included.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where pages are: `http://host:port`, with a path in front of all of them or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Name or address, and port.
    authority: String,
    /// Empty, or a path without a slash at its end.
    path: String,
}

/// Why there is no page.
#[derive(Debug)]
pub enum GetError {
    /// The address is not one of HTTP without TLS.
    Address(String),
    /// The peer cannot be reached, or the connection failed.
    Io(io::Error),
    /// No answer in time.
    Late(Duration),
    /// What came is not HTTP, or more than it may be.
    Answer,
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GetError::Address(text) => write!(f, "{text:?} is not http://host:port"),
            GetError::Io(error) => write!(f, "{error}"),
            GetError::Late(limit) => write!(f, "no answer within {limit:?}"),
            GetError::Answer => f.write_str("the answer is not one of a status page"),
        }
    }
}

impl std::error::Error for GetError {}

impl From<io::Error> for GetError {
    fn from(error: io::Error) -> Self {
        GetError::Io(error)
    }
}

impl Base {
    /// Reads `http://host:port[/path]` or `host:port`.
    pub fn parse(text: &str) -> Result<Base, GetError> {
        let bad = || GetError::Address(text.to_owned());
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = authority.rsplit_once(':').ok_or_else(bad)?;
        let is_clean = |text: &str| !text.contains(|c: char| c.is_whitespace() || c.is_control());
        if host.is_empty() || port.parse::<u16>().is_err() || !is_clean(rest) || text.contains("@")
        {
            return Err(bad());
        }
        Ok(Base { authority: authority.to_owned(), path: path.trim_end_matches('/').to_owned() })
    }

    /// The page at `path`: its status and its body.
    pub async fn get(&self, path: &str, limit: Duration) -> Result<(u16, Vec<u8>), GetError> {
        let late = async {
            Timer::after(limit).await;
            Err(GetError::Late(limit))
        };
        future::or(self.fetch(path), late).await
    }

    async fn fetch(&self, path: &str) -> Result<(u16, Vec<u8>), GetError> {
        let authority = self.authority.clone();
        let found = smol::unblock(move || authority.to_socket_addrs().map(Iterator::collect)).await;
        let mut socket = connect(found?).await?;
        // Asked in this way nobody answers in chunks or keeps the connection.
        let request =
            format!("GET {}{path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.path, self.authority);
        socket.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        socket.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        parse(answer).ok_or(GetError::Answer)
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// The first address that takes a connection.
async fn connect(addresses: Vec<SocketAddr>) -> io::Result<Async<TcpStream>> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match Async::<TcpStream>::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn parse(mut answer: Vec<u8>) -> Option<(u16, Vec<u8>)> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(&answer).ok()? else { return None };
    let status = head.code?;
    Some((status, answer.split_off(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("http://localhost:8222", Some("http://localhost:8222")),
            ("http://localhost:8222/", Some("http://localhost:8222")),
            ("127.0.0.1:1", Some("http://127.0.0.1:1")),
            ("http://[::1]:8222/base/", Some("http://[::1]:8222/base")),
            ("https://localhost:8222", None),
            ("http://localhost", None),
            ("http://:1", None),
            ("http://user@host:1", None),
            ("http://host:1/a\r\nHost: b", None),
            ("", None),
        ] {
            let got = Base::parse(text).ok().map(|base| base.to_string());
            assert_eq!(got.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn answers() {
        let answer = b"HTTP/1.0 503 No\r\nContent-Type: a\r\n\r\nbody".to_vec();
        assert_eq!(parse(answer), Some((503, b"body".to_vec())));
        assert_eq!(parse(b"HTTP/1.0 503 No\r\nContent".to_vec()), None);
        assert_eq!(parse(b"INFO {}\r\n".to_vec()), None);
    }
}
