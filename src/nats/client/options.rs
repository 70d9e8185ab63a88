//! How a client connects and what it may use.

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use crate::net::servers::ServerList;
use crate::util::backoff;
use crate::util::secret::Secret;

/// How long [`Initial::Once`] usually tries.
pub const ONCE_LIMIT: Duration = Duration::from_secs(5);

/// What to do when no broker can be reached at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initial {
    /// Give up after [`Options::once_limit`]; an authorization refusal is final at once. For one-shot commands.
    Once,
    /// Try for ever and log each failure. For daemons.
    Forever,
}

/// Proves who this process is to brokers that want a token. Asked again for each attempt to connect, because tokens are
/// renewed and every connection has another nonce.
pub trait Credentials: Send + Sync {
    /// What to answer a broker that has sent this nonce, empty when it sent none. May read files.
    ///
    /// # Errors
    /// Why there is nothing to answer; the attempt ends with this text.
    fn present(&self, nonce: &str) -> Result<Presented, String>;
}

/// A token, and the proof that it is ours.
#[derive(Debug, Clone)]
pub struct Presented {
    /// The token, sent as `auth_token` and, together with a signature, as `jwt`.
    pub token: Secret<String>,
    /// Base64url of the signature over the nonce.
    pub signature: Option<String>,
}

/// Makes connections to a broker in this process: no address, no TLS, no login.
#[derive(Clone)]
pub struct Inside(Arc<dyn Fn() -> io::Result<UnixStream> + Send + Sync>);

impl Inside {
    /// Connections come from `open`: a stream on which the broker speaks first.
    pub fn new(open: impl Fn() -> io::Result<UnixStream> + Send + Sync + 'static) -> Inside {
        Inside(Arc::new(open))
    }

    pub(super) fn open(&self) -> io::Result<UnixStream> {
        (self.0)()
    }
}

/// The settings of a [`super::Client`].
#[derive(Clone)]
pub struct Options {
    /// Where the brokers are; asked again for each round of attempts.
    pub servers: ServerList,
    /// Connects to the broker of this process instead; `servers` only gives its name then.
    pub inside: Option<Inside>,
    /// Name of the connection in the broker's lists.
    pub name: String,
    /// TLS is used, and demanded, when set.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// User name.
    pub user: Option<String>,
    /// Password of the user.
    pub password: Option<Secret<String>>,
    /// Token, sent as `auth_token`.
    pub token: Option<Secret<String>>,
    /// Gives the token instead, with a signature over the broker's nonce.
    pub credentials: Option<Arc<dyn Credentials>>,
    /// First tokens of inboxes, without final dot.
    pub inbox_prefix: String,
    /// Limit of one attempt: look-up, TCP, INFO, TLS, CONNECT and PONG together.
    pub connect_timeout: Duration,
    /// Time between PINGs.
    pub ping_interval: Duration,
    /// Unanswered PINGs after which the connection counts as dead.
    pub pings_outstanding_max: usize,
    /// Bytes of publishes kept while there is no connection; more are refused.
    pub reconnect_buffer_bytes: usize,
    /// Bytes waiting for the socket above which publishers wait.
    pub write_queue_bytes: usize,
    /// Messages one subscription may have waiting; more are dropped and counted.
    pub subscription_messages_max: usize,
    /// Bytes one subscription may have waiting.
    pub subscription_bytes_max: usize,
    /// Bytes all subscriptions together may have waiting.
    pub queued_bytes_max: usize,
    /// What to do when no broker can be reached at first.
    pub initial: Initial,
    /// How long [`Initial::Once`] tries.
    pub once_limit: Duration,
    /// Pauses between rounds of first attempts, in milliseconds; see [`backoff::delay`].
    pub initial_delays: &'static [u32],
    /// Pauses between rounds after a lost connection.
    pub reconnect_delays: &'static [u32],
    /// Do not receive what this connection publishes itself.
    pub no_echo: bool,
    /// Runs the connection's tasks.
    pub executor: Arc<smol::Executor<'static>>,
}

impl Options {
    /// The defaults of a Choria connection, in clear and without credentials.
    pub fn new(servers: ServerList, executor: Arc<smol::Executor<'static>>) -> Self {
        Self {
            servers,
            inside: None,
            name: "choria".to_owned(),
            tls: None,
            user: None,
            password: None,
            token: None,
            credentials: None,
            inbox_prefix: "_INBOX".to_owned(),
            connect_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(120),
            pings_outstanding_max: 2,
            reconnect_buffer_bytes: 10 * 1024,
            write_queue_bytes: 1024 * 1024,
            subscription_messages_max: 64 * 1024,
            subscription_bytes_max: 64 * 1024 * 1024,
            queued_bytes_max: 256 * 1024 * 1024,
            initial: Initial::Once,
            once_limit: ONCE_LIMIT,
            initial_delays: backoff::INITIAL,
            reconnect_delays: backoff::RECONNECT,
            no_echo: false,
            executor,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("servers", &self.servers)
            .field("name", &self.name)
            .field("tls", &self.tls.is_some())
            .field("user", &self.user)
            .field("initial", &self.initial)
            .finish_non_exhaustive()
    }
}
