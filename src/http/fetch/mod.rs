//! Asking an HTTPS service: authorities, signers, logins, webhooks. One request, one connection unless [`Fetcher::keeping`]
//! says otherwise, everything bounded.
//!
//! [`Fetcher`] is made from TLS settings of [`crate::security`], which decide whom it trusts and whether it
//! shows a certificate. It follows no redirect, uses no proxy and reads no more than [`Bounds`] says; an
//! answer of any status is an answer. The work is done in the pool of blocking threads.

mod tls;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use ureq::http;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};

/// How long a connection that is kept may be idle: services close theirs after a minute or so.
const KEPT_MAX: Duration = Duration::from_secs(15);

/// What one request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Time for all of it, from the look-up of the name to the last byte of the answer.
    pub time: Duration,
    /// Bytes of the answer's head.
    pub head_bytes_max: usize,
    /// Bytes of the answer's body.
    pub body_bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            time: Duration::from_secs(30),
            head_bytes_max: 32 * 1024,
            body_bytes_max: 1024 * 1024,
        }
    }
}

/// The methods that services here are asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET, without a body.
    Get,
    /// DELETE, without a body.
    Delete,
    /// OPTIONS, without a body: asks and changes nothing.
    Options,
    /// PUT.
    Put,
    /// POST.
    Post,
}

/// One request. Its `Debug` form shows neither headers nor body: both may hold secrets.
#[derive(Clone)]
pub struct Ask {
    verb: Verb,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("verb", &self.verb)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Ask {
    /// A request without headers of its own and without a body.
    pub fn new(verb: Verb, url: impl Into<String>) -> Self {
        Ask { verb, url: url.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets the body; only PUT and POST send it.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// What a service answered, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The status code.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
    /// When it may be asked again, as the service says it: seconds or a date.
    pub retry_after: Option<String>,
}

impl Answered {
    /// The first line of the body, shortened, as part of an error text.
    pub fn first_line(&self) -> String {
        const CHARS_MAX: usize = 300;
        let text = String::from_utf8_lossy(&self.body);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        crate::util::text::brief(line, CHARS_MAX)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum FetchError {
    /// The address is none that can be asked.
    Address(String),
    /// The name of the host does not exist.
    UnknownHost(String),
    /// TLS failed: who is at fault is in the error.
    Tls(rustls::Error),
    /// Nobody listens, or the connection broke.
    Io(io::Error),
    /// It took longer than it may.
    Late(Duration),
    /// The answer is larger than it may be.
    TooLarge(usize),
    /// What came is not HTTP.
    Protocol(String),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::Address(reason) => write!(f, "the address cannot be used: {reason}"),
            FetchError::UnknownHost(host) => write!(f, "the name {host:?} cannot be resolved"),
            // A CA of the same name with another key shows as a bad signature.
            FetchError::Tls(rustls::Error::InvalidCertificate(
                rustls::CertificateError::UnknownIssuer | rustls::CertificateError::BadSignature,
            )) => f.write_str("TLS: its certificate was not issued by the CA that is trusted here"),
            FetchError::Tls(rustls::Error::InvalidCertificate(fault)) => {
                write!(f, "TLS: its certificate is refused: {fault}")
            }
            FetchError::Tls(error) => write!(f, "TLS: {error}"),
            FetchError::Io(error) => write!(f, "{error}"),
            FetchError::Late(limit) => write!(f, "no answer within {} s", limit.as_secs_f32()),
            FetchError::TooLarge(limit) => write!(f, "the answer is larger than {limit} bytes"),
            FetchError::Protocol(reason) => write!(f, "the answer is not HTTP: {reason}"),
        }
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FetchError::Tls(error) => Some(error),
            FetchError::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// Asks services. Clones share settings and connections that are kept.
#[derive(Debug, Clone)]
pub struct Fetcher {
    agent: ureq::Agent,
    bounds: Bounds,
}

impl Fetcher {
    /// One for `https` addresses, with these TLS settings.
    pub fn new(tls: Arc<ClientConfig>, bounds: Bounds) -> Self {
        Self::made(tls, bounds, true, 0)
    }

    /// One for `http` addresses too. Whoever configures such an address wants it so.
    pub fn with_clear_text(tls: Arc<ClientConfig>, bounds: Bounds) -> Self {
        Self::made(tls, bounds, false, 0)
    }

    /// One that keeps up to so many connections open for further requests. With `in_clear` for `http` addresses too.
    pub fn keeping(
        tls: Arc<ClientConfig>,
        bounds: Bounds,
        connections_max: usize,
        in_clear: bool,
    ) -> Self {
        Self::made(tls, bounds, !in_clear, connections_max)
    }

    fn made(tls: Arc<ClientConfig>, bounds: Bounds, https_only: bool, kept_max: usize) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .https_only(https_only)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .max_idle_connections(kept_max)
            .max_idle_connections_per_host(kept_max)
            .max_idle_age(KEPT_MAX)
            .max_response_header_size(bounds.head_bytes_max)
            .timeout_global(Some(bounds.time))
            .build();
        let connector = ().chain(TcpConnector::default()).chain(tls::TlsConnector::new(tls));
        let agent = ureq::Agent::with_parts(config, connector, DefaultResolver::default());
        Fetcher { agent, bounds }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn send(&self, ask: Ask) -> Result<Answered, FetchError> {
        let fetcher = self.clone();
        smol::unblock(move || fetcher.send_now(ask)).await
    }

    /// [`Fetcher::send`] on this thread.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn send_now(&self, ask: Ask) -> Result<Answered, FetchError> {
        let (verb, body) = (ask.verb, ask.body);
        let host = host_of(&ask.url);
        let failed = |error| self.fault(error, &host);
        let mut head = http::Request::builder().uri(&ask.url);
        for (name, value) in ask.headers {
            head = head.header(name, value);
        }
        let response = match verb {
            Verb::Get => self.agent.run(finish(head.method("GET"), ())?),
            Verb::Delete => self.agent.run(finish(head.method("DELETE"), ())?),
            Verb::Options => self.agent.run(finish(head.method("OPTIONS"), ())?),
            Verb::Put => self.agent.run(finish(head.method("PUT"), body)?),
            Verb::Post => self.agent.run(finish(head.method("POST"), body)?),
        };
        let mut response = response.map_err(failed)?;
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|text| text.to_str().ok()).map(str::to_owned);
        let limit = self.bounds.body_bytes_max as u64;
        let body = response.body_mut().with_config().limit(limit).read_to_vec();
        let status = response.status().as_u16();
        Ok(Answered { status, body: body.map_err(failed)?, retry_after })
    }

    fn fault(&self, error: ureq::Error, host: &str) -> FetchError {
        match error {
            ureq::Error::HostNotFound => FetchError::UnknownHost(host.to_owned()),
            ureq::Error::Timeout(_) => FetchError::Late(self.bounds.time),
            ureq::Error::BodyExceedsLimit(_) => FetchError::TooLarge(self.bounds.body_bytes_max),
            ureq::Error::LargeResponseHeader(..) => {
                FetchError::TooLarge(self.bounds.head_bytes_max)
            }
            ureq::Error::BadUri(reason) | ureq::Error::RequireHttpsOnly(reason) => {
                FetchError::Address(reason)
            }
            ureq::Error::Http(error) => FetchError::Address(error.to_string()),
            ureq::Error::Io(error) => io_fault(error),
            other => FetchError::Protocol(other.to_string()),
        }
    }
}

/// rustls hides its errors in those of the stream.
fn io_fault(error: io::Error) -> FetchError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => FetchError::Tls(inner.clone()),
        None => FetchError::Io(error),
    }
}

fn finish<B>(head: http::request::Builder, body: B) -> Result<http::Request<B>, FetchError> {
    head.body(body).map_err(|error| FetchError::Address(error.to_string()))
}

/// The host of an address, for messages.
fn host_of(url: &str) -> String {
    url.parse::<http::Uri>()
        .ok()
        .and_then(|uri| uri.host().map(str::to_owned))
        .unwrap_or_else(|| url.to_owned())
}
