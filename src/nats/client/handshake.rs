//! From nothing to a connection that is ready: TCP, INFO, TLS, CONNECT, PONG.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Instant;

use async_io::{Async, Timer};
use serde::Serialize;
use smol::future::FutureExt as _;
use smol::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::nats::client::error::{Error, ErrorKind};
use crate::nats::client::options::{Inside, Options, Presented};
use crate::nats::client::pool::Target;
use crate::nats::codec::info::ServerInfo;
use crate::nats::codec::{Limits, ServerDecoder, ServerOp, encode};
use crate::net::dial::{self, DialError};
use crate::net::servers::Scheme;
use crate::net::stream::{ReadHalf, Stream, WriteHalf};
use crate::net::tls::TlsError;

/// Longest line and largest message taken from a broker. A broker's own limits are at most these.
pub(super) const LIMITS: Limits = Limits {
    control_line_bytes_max: 64 * 1024,
    json_line_bytes_max: 64 * 1024,
    payload_bytes_max: 64 * 1024 * 1024,
};
/// The same before the connection is ready, when nobody has proven who he is and no message can be due.
const FIRST_LIMITS: Limits = Limits { payload_bytes_max: 0, ..LIMITS };
/// Operations looked at while waiting for one: a broker that only chatters is given up.
const OPERATIONS_MAX: usize = 64;
/// Bytes of one read before the connection is ready.
const READ_BYTES: usize = 4096;

/// A connection that is ready.
pub(super) struct Link {
    pub(super) reader: ReadHalf,
    pub(super) writer: WriteHalf,
    pub(super) info: ServerInfo,
    pub(super) target: Target,
    pub(super) decoder: ServerDecoder,
    /// Bytes read beyond the first PONG.
    pub(super) unread: Vec<u8>,
}

/// Connects to one broker; everything together must be done by `deadline`.
pub(super) async fn connect(
    options: &Options,
    target: Target,
    deadline: Instant,
) -> Result<Link, Error> {
    let server = target.server.clone();
    shake_hands(options, target, deadline).await.map_err(|error| error.connecting_to(&server))
}

async fn shake_hands(options: &Options, target: Target, deadline: Instant) -> Result<Link, Error> {
    if let Some(inside) = &options.inside {
        return enter(options, inside, target, deadline).await;
    }
    let server = &target.server;
    if server.scheme == Scheme::Wss {
        return Err(Error::new(ErrorKind::Unsupported, "web sockets are not supported"));
    }
    if server.scheme == Scheme::Tls && options.tls.is_none() {
        return Err(Error::new(ErrorKind::Unsupported, "its scheme needs TLS, which is disabled"));
    }
    let mut socket = dial::dial(options.servers.resolver(), &server.host, server.port, deadline)
        .await
        .map_err(from_dial)?;
    let mut wire = Wire::default();
    let info = within(deadline, "no INFO came in time", wire.info(&mut socket)).await?;
    let upgrade = secure(options, &target, &info, &wire, socket);
    let stream = within(deadline, "the TLS handshake took too long", upgrade).await?;
    let (mut reader, mut writer) = stream.split();
    let greet = async {
        let presented = present(options, &info.nonce).await?;
        let greeting = greeting(options, &info, presented.as_ref());
        writer.write_all(&greeting).await.map_err(from_io)?;
        writer.flush().await.map_err(from_io)?;
        wire.pong(&mut reader).await
    };
    let later = within(deadline, "no answer to CONNECT came in time", greet).await?;
    let info = later.unwrap_or(info);
    Ok(Link { reader, writer, info, target, decoder: wire.decoder, unread: wire.unread })
}

/// Connects to the broker of this process.
async fn enter(
    options: &Options,
    inside: &Inside,
    target: Target,
    deadline: Instant,
) -> Result<Link, Error> {
    // Reading and writing work on any stream socket, and nothing else is done with it.
    let socket = inside.open().map(OwnedFd::from).map(TcpStream::from);
    let mut socket = socket.and_then(Async::new).map_err(from_io)?;
    let mut wire = Wire::default();
    let info = within(deadline, "no INFO came in time", wire.info(&mut socket)).await?;
    let (mut reader, mut writer) = Stream::plain(socket).split();
    let greet = async {
        writer.write_all(&greeting(options, &info, None)).await.map_err(from_io)?;
        wire.pong(&mut reader).await
    };
    let later = within(deadline, "no answer to CONNECT came in time", greet).await?;
    let info = later.unwrap_or(info);
    Ok(Link { reader, writer, info, target, decoder: wire.decoder, unread: wire.unread })
}

async fn within<T>(
    deadline: Instant,
    text: &str,
    step: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    step.or(async {
        Timer::at(deadline).await;
        Err(Error::new(ErrorKind::TimedOut, text))
    })
    .await
}

/// Upgrades to TLS when it is configured. There is no way to a connection in clear when it is.
async fn secure(
    options: &Options,
    target: &Target,
    info: &ServerInfo,
    wire: &Wire,
    socket: Async<TcpStream>,
) -> Result<Stream, Error> {
    let Some(config) = &options.tls else {
        if info.tls_required {
            let text = "the broker demands TLS, which is disabled here";
            return Err(Error::new(ErrorKind::TlsRequired, text));
        }
        return Ok(Stream::plain(socket));
    };
    if !info.tls_required && !info.tls_available {
        let text = "the broker offers no TLS, which is required here";
        return Err(Error::new(ErrorKind::TlsNotOffered, text));
    }
    // Whatever stands behind INFO was not protected and would be taken for protected.
    if !wire.unread.is_empty() || wire.decoder.kept_bytes() > 0 {
        let text = "the broker sent data between INFO and the TLS handshake";
        return Err(Error::new(ErrorKind::Protocol, text));
    }
    Stream::tls(config.clone(), &target.tls_name, socket).await.map_err(from_tls)
}

#[derive(Serialize)]
struct Connect<'a> {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    name: &'a str,
    lang: &'a str,
    version: &'a str,
    protocol: u8,
    echo: bool,
    headers: bool,
    no_responders: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sig: Option<&'a str>,
}

/// The proof for a broker that has sent this nonce. It may come from files, so that another thread gets it.
async fn present(options: &Options, nonce: &str) -> Result<Option<Presented>, Error> {
    let Some(credentials) = options.credentials.clone() else { return Ok(None) };
    let nonce = nonce.to_owned();
    let presented = smol::unblock(move || credentials.present(&nonce)).await;
    presented.map(Some).map_err(|text| Error::new(ErrorKind::Credentials, text))
}

fn greeting(options: &Options, info: &ServerInfo, presented: Option<&Presented>) -> Vec<u8> {
    let token = presented.map(|presented| &presented.token).or(options.token.as_ref());
    let token = token.map(|secret| secret.expose().as_str());
    let signature = presented.and_then(|presented| presented.signature.as_deref());
    let connect = Connect {
        verbose: false,
        pedantic: false,
        tls_required: options.tls.is_some(),
        name: &options.name,
        lang: "rust",
        version: env!("CARGO_PKG_VERSION"),
        protocol: 1,
        echo: !options.no_echo,
        headers: info.headers,
        no_responders: info.headers,
        user: options.user.as_deref(),
        pass: options.password.as_ref().map(|secret| secret.expose().as_str()),
        auth_token: token,
        jwt: token.filter(|_| signature.is_some()),
        sig: signature,
    };
    let mut out = Vec::new();
    // A struct of texts and booleans always serialises.
    encode::connect(&mut out, &serde_json::to_string(&connect).unwrap_or_default());
    out.extend_from_slice(b"PING\r\n");
    out
}

/// What matters of an operation before the connection is ready.
enum Early {
    Info(Box<ServerInfo>),
    Pong,
    Error(Error),
    Other,
}

/// Reads operations one at a time and keeps what follows.
#[derive(Default)]
struct Wire {
    decoder: ServerDecoder,
    unread: Vec<u8>,
}

impl Wire {
    async fn info(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> Result<ServerInfo, Error> {
        match self.next(reader).await? {
            Early::Info(info) => Ok(*info),
            Early::Error(error) => Err(error),
            Early::Pong | Early::Other => {
                Err(Error::new(ErrorKind::Protocol, "the broker does not start with INFO"))
            }
        }
    }

    /// Waits for the first PONG; gives the last INFO that came before it.
    async fn pong(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
    ) -> Result<Option<ServerInfo>, Error> {
        let mut info = None;
        for _ in 0..OPERATIONS_MAX {
            match self.next(reader).await? {
                Early::Pong => return Ok(info),
                Early::Info(newer) => info = Some(*newer),
                Early::Error(error) => return Err(error),
                Early::Other => {}
            }
        }
        Err(Error::new(ErrorKind::Protocol, "the broker does not answer CONNECT"))
    }

    async fn next(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> Result<Early, Error> {
        loop {
            let mut input = self.unread.as_slice();
            let early = match self.decoder.next(&mut input, &FIRST_LIMITS) {
                Ok(operation) => operation.map(early).transpose()?,
                Err(fault) => {
                    let text = format!("the broker does not speak NATS: {fault}");
                    return Err(Error::new(ErrorKind::Protocol, text));
                }
            };
            let used = self.unread.len() - input.len();
            self.unread.drain(..used);
            if let Some(early) = early {
                return Ok(early);
            }
            let mut bytes = [0; READ_BYTES];
            let count = reader.read(&mut bytes).await.map_err(from_io)?;
            if count == 0 {
                return Err(Error::new(ErrorKind::Io, "the broker closed the connection"));
            }
            self.unread.extend_from_slice(bytes.get(..count).unwrap_or_default());
        }
    }
}

fn early(operation: ServerOp<'_>) -> Result<Early, Error> {
    Ok(match operation {
        ServerOp::Info(json) => Early::Info(Box::new(decode_info(json)?)),
        ServerOp::Pong => Early::Pong,
        ServerOp::Err(text) => Early::Error(Error::from_broker(&String::from_utf8_lossy(text))),
        ServerOp::Ping | ServerOp::Ok | ServerOp::Message(_) => Early::Other,
    })
}

pub(super) fn decode_info(json: &[u8]) -> Result<ServerInfo, Error> {
    ServerInfo::decode(json).map_err(|error| {
        Error::new(ErrorKind::Protocol, format!("the broker's INFO cannot be read: {error}"))
    })
}

fn from_dial(error: DialError) -> Error {
    let kind = match &error {
        DialError::Resolve(_) => ErrorKind::Resolve,
        DialError::TimedOut => ErrorKind::TimedOut,
        DialError::Io(..) => ErrorKind::Io,
    };
    Error::new(kind, error.to_string())
}

fn from_tls(error: TlsError) -> Error {
    let kind = match &error {
        TlsError::Name(_) | TlsError::Handshake(_) => ErrorKind::Tls,
        TlsError::Io(_) => ErrorKind::Io,
    };
    Error::new(kind, error.to_string())
}

/// A read or write that failed. TLS faults arrive as `InvalidData`: a refused client certificate shows up here, because
/// TLS 1.3 lets the client finish first.
pub(super) fn from_io(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidData => Error::new(ErrorKind::Tls, error.to_string()),
        io::ErrorKind::UnexpectedEof => {
            Error::new(ErrorKind::Io, "the connection was cut without a TLS goodbye")
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            Error::new(ErrorKind::Io, "the broker broke the connection")
        }
        _ => Error::new(ErrorKind::Io, error.to_string()),
    }
}
