//! One connection to a broker: TLS, versions, login, then requests with their answers in order.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use async_io::Timer;
use smol::future::FutureExt as _;
use smol::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::access::{Access, Mechanism, Sasl};
use super::codes::Code;
use super::fault::Fault;
use super::messages::{self, Api, Offer};
use super::scram::Scram;
use super::wire::{Reader, WireFault};
use crate::net::dial::dial;
use crate::net::resolve::Resolver;
use crate::net::tls::TlsStream;

/// Most bytes of an answer. The largest are lists of partitions: a million take 40 MB.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How much room is made for an answer before its bytes come.
const ANSWER_STEP_BYTES: usize = 64 * 1024;
/// A login is renewed by a new connection when this part of its life is over, in tenths.
const LOGIN_TENTHS: u32 = 8;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where a broker listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A connection that is ready for requests. After any [`Fault`] it must not be used again.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    offers: Vec<Offer>,
    client_id: String,
    limit: Duration,
    next_number: i32,
    /// Requests without an answer, oldest first.
    waiting: VecDeque<(i32, Api, i16)>,
    /// When it is time for another login.
    ends: Option<Instant>,
    /// What TLS was agreed on, for reports.
    pub(super) tls: Option<&'static str>,
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    api: Api,
    version: i16,
    frame: Vec<u8>,
}

impl Answer {
    /// Reads the body.
    pub(super) fn read<T>(
        &self,
        body: impl FnOnce(i16, &mut Reader<'_>) -> Result<T, WireFault>,
    ) -> Result<T, Fault> {
        let wire = |fault| Fault::Wire(self.api, fault);
        let (_, mut reader) =
            messages::opened(self.api, self.version, &self.frame).map_err(wire)?;
        body(self.version, &mut reader).map_err(wire)
    }
}

impl Connection {
    /// Connects, agrees on versions and logs in, until `deadline`.
    pub(super) async fn open(
        resolver: &Resolver,
        address: &Address,
        access: &Access,
        deadline: Instant,
    ) -> Result<Self, Fault> {
        let opening = async {
            let socket =
                dial(resolver, &address.host, address.port, deadline).await.map_err(Fault::Dial)?;
            let mut tls = None;
            let stream: Box<dyn Stream> = match &access.tls {
                None => Box::new(socket),
                Some(config) => {
                    let stream = TlsStream::connect(config.clone(), &address.host, socket)
                        .await
                        .map_err(Fault::Tls)?;
                    tls = Some(stream.version());
                    Box::new(stream)
                }
            };
            let mut connection = Self::over(stream, access);
            connection.tls = tls;
            connection.agree().await?;
            if let Some(sasl) = &access.sasl {
                connection.login(sasl).await?;
            }
            Ok(connection)
        };
        until(deadline, access.timeout, opening).await
    }

    fn over(stream: Box<dyn Stream>, access: &Access) -> Self {
        Self {
            stream,
            offers: Vec::new(),
            client_id: access.client_id.clone(),
            limit: access.timeout,
            next_number: 0,
            waiting: VecDeque::new(),
            ends: None,
            tls: None,
        }
    }

    /// Asks for the versions of the broker. One that does not know our way of asking is asked in the oldest.
    async fn agree(&mut self) -> Result<(), Fault> {
        let (oldest, newest) = Api::Versions.versions();
        for version in [newest, oldest] {
            let body = messages::versions_request(version);
            self.send_as(Api::Versions, version, &body).await?;
            let mut answer = self.next().await?;
            if answer.frame.get(4..6) == Some(&Code::UNSUPPORTED_VERSION.0.to_be_bytes()) {
                // It comes in the form of the oldest version, whatever was asked.
                answer.version = oldest;
            }
            let (code, offers) = answer.read(|_, body| messages::versions_response(body))?;
            if code == Code::UNSUPPORTED_VERSION && version != oldest {
                continue;
            }
            if !code.is_ok() {
                return Err(Fault::Code(Api::Versions, code));
            }
            self.offers = offers;
            return Ok(());
        }
        Err(Fault::Code(Api::Versions, Code::UNSUPPORTED_VERSION))
    }

    /// The newest version that both sides speak.
    pub(super) fn version_of(&self, api: Api) -> Result<i16, Fault> {
        let (oldest, newest) = api.versions();
        let offer = self
            .offers
            .iter()
            .find(|offer| offer.key == api.key())
            .ok_or(Fault::Version(api, None))?;
        let version = newest.min(offer.newest);
        if version < oldest || version < offer.oldest {
            return Err(Fault::Version(api, Some((offer.oldest, offer.newest))));
        }
        Ok(version)
    }

    async fn login(&mut self, sasl: &Sasl) -> Result<(), Fault> {
        let name = sasl.mechanism.name();
        let body = messages::handshake_request(name);
        let answer = self.ask_now(Api::SaslHandshake, &body).await?;
        let (code, known) = answer.read(|_, body| messages::handshake_response(body))?;
        if !code.is_ok() {
            let known = known.join(", ");
            return Err(Fault::Login(format!(
                "{name} is refused, the broker offers {known:?}: {code}"
            )));
        }
        let lifetime_ms = match sasl.mechanism {
            Mechanism::Plain => {
                let text = format!("\0{}\0{}", sasl.user, sasl.password.expose());
                self.authenticate(text.as_bytes()).await?.lifetime_ms
            }
            Mechanism::Scram(hash) => {
                let (scram, first) = Scram::begin(hash, &sasl.user);
                let challenge = self.authenticate(&first).await?.bytes;
                let password = sasl.password.clone();
                let answered =
                    smol::unblock(move || scram.answer(&challenge, password.expose())).await;
                let (expected, proof) = answered.map_err(Fault::Login)?;
                let last = self.authenticate(&proof).await?;
                expected.verify(&last.bytes).map_err(Fault::Login)?;
                last.lifetime_ms
            }
        };
        if let Ok(lifetime) = u64::try_from(lifetime_ms)
            && lifetime > 0
        {
            let lifetime = Duration::from_millis(lifetime) / 10 * LOGIN_TENTHS;
            self.ends = Instant::now().checked_add(lifetime);
        }
        Ok(())
    }

    async fn authenticate(&mut self, bytes: &[u8]) -> Result<messages::Authenticated, Fault> {
        let version = self.version_of(Api::SaslAuthenticate)?;
        let body = messages::authenticate_request(version, bytes);
        let answer = self.ask_now(Api::SaslAuthenticate, &body).await?;
        let got = answer.read(messages::authenticate_response)?;
        if got.code.is_ok() {
            return Ok(got);
        }
        let said = got.message.unwrap_or_default();
        Err(Fault::Login(if said.is_empty() {
            got.code.to_string()
        } else {
            format!("{}: {said}", got.code)
        }))
    }

    /// Whether the login is so old that a new connection is due.
    pub(super) fn is_old(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| now >= ends)
    }

    /// How many requests have no answer yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sends a request in the version that was agreed on.
    pub(super) async fn send(
        &mut self,
        api: Api,
        body: &[u8],
        deadline: Instant,
    ) -> Result<(), Fault> {
        let version = self.version_of(api)?;
        let limit = self.limit;
        until(deadline, limit, self.send_as(api, version, body)).await
    }

    /// Takes the answer of the oldest request that has none.
    pub(super) async fn receive(&mut self, deadline: Instant) -> Result<Answer, Fault> {
        let limit = self.limit;
        until(deadline, limit, self.next()).await
    }

    /// Sends a request and takes its answer; no other may be waiting.
    pub(super) async fn ask(
        &mut self,
        api: Api,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Answer, Fault> {
        let limit = self.limit;
        until(deadline, limit, self.ask_now(api, body)).await
    }

    async fn ask_now(&mut self, api: Api, body: &[u8]) -> Result<Answer, Fault> {
        let version = self.version_of(api)?;
        self.send_as(api, version, body).await?;
        self.next().await
    }

    async fn send_as(&mut self, api: Api, version: i16, body: &[u8]) -> Result<(), Fault> {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        let frame = messages::frame(api, version, number, &self.client_id, body);
        self.waiting.push_back((number, api, version));
        self.stream.write_all(&frame).await.map_err(Fault::Io)?;
        self.stream.flush().await.map_err(Fault::Io)
    }

    async fn next(&mut self) -> Result<Answer, Fault> {
        let (number, api, version) = self.waiting.pop_front().ok_or(Fault::Order)?;
        let frame = read_frame(&mut self.stream).await?;
        let (got, _) =
            messages::opened(api, version, &frame).map_err(|fault| Fault::Wire(api, fault))?;
        if got != number {
            return Err(Fault::Order);
        }
        Ok(Answer { api, version, frame })
    }
}

/// Reads a frame without its length. Room is made as the bytes come, not as the length says.
async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, Fault> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.map_err(Fault::Io)?;
    let announced = i32::from_be_bytes(length);
    let length = usize::try_from(announced)
        .ok()
        .filter(|length| (4..=ANSWER_BYTES_MAX).contains(length))
        .ok_or(Fault::Large(i64::from(announced)))?;
    let mut frame = Vec::new();
    while frame.len() < length {
        let start = frame.len();
        frame.resize(length.min(start + ANSWER_STEP_BYTES.max(start)), 0);
        let part = frame.get_mut(start..).unwrap_or_default();
        stream.read_exact(part).await.map_err(Fault::Io)?;
    }
    Ok(frame)
}

/// Runs `work` until `deadline`; `limit` is what the error says.
async fn until<T>(
    deadline: Instant,
    limit: Duration,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let expire = async {
        Timer::at(deadline).await;
        Err(Fault::Late(limit))
    };
    work.or(expire).await
}

#[cfg(test)]
mod tests;
