//! One connection to the network, over which everything of a client process goes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use smol::Executor;

use super::error::Error;
use super::parcel::parcels;
use super::signing::{Credentials, ServiceSigner};
use crate::nats;
use crate::protocol::{Request, Transport, subject};
use crate::security::{Provider, RemoteSigner};

/// How long a flush after publishing may take.
const FLUSH_LIMIT: Duration = Duration::from_secs(30);
/// Publishes between two chances for other tasks of the same thread.
const PUBLISH_BURST: usize = 64;

/// What a client needs to know.
pub struct ClientOptions {
    /// How to reach the broker.
    pub nats: nats::client::Options,
    /// Signs requests and checks replies.
    pub security: Arc<Provider>,
    /// Name of this process's host in envelopes.
    pub identity: String,
    /// Collectives that may be asked.
    pub collectives: Vec<String>,
    /// The collective asked when none is named; its name begins every reply subject.
    pub main_collective: String,
    /// How long servers may act on a request; at least 30 seconds in protocol v1.
    pub ttl: Duration,
    /// How long answers to a discovery are waited for; also added to the time agents get.
    pub discovery_timeout: Duration,
    /// Whether discovery stops early once answers cease.
    pub windowed_discovery: bool,
    /// Whether broadcasts without filter are refused.
    pub require_filter: bool,
    /// Federations that requests go through; none means a direct connection.
    pub federations: Vec<String>,
    /// Signs requests in the place of `security`, when there is one.
    pub signer: Option<Signer>,
    /// Runs the tasks of requests.
    pub executor: Arc<Executor<'static>>,
}

/// Who signs requests in the place of this process.
#[derive(Debug, Clone)]
pub enum Signer {
    /// A service that is asked by other means than the connection of the client.
    Remote(Arc<dyn RemoteSigner>),
    /// The service `aaa_signer` of the network, which is shown these.
    Service(Arc<Credentials>),
}

/// The client library's entry point. Clones share the connection.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    nats: nats::client::Client,
    caller: String,
    settings: Settings,
}

/// [`ClientOptions`] without what connecting has used up.
pub(super) struct Settings {
    pub(super) security: Arc<Provider>,
    pub(super) identity: String,
    pub(super) collectives: Vec<String>,
    pub(super) main_collective: String,
    pub(super) ttl: Duration,
    pub(super) discovery_timeout: Duration,
    pub(super) windowed_discovery: bool,
    pub(super) require_filter: bool,
    pub(super) federations: Vec<String>,
    pub(super) signer: Option<Signer>,
    pub(super) executor: Arc<Executor<'static>>,
}

impl Client {
    /// Connects to a broker.
    ///
    /// # Errors
    /// When no broker can be reached within the time of the options, or it refuses this client.
    pub async fn connect(options: ClientOptions) -> Result<Self, Error> {
        let nats = nats::client::Client::connect(options.nats).await?;
        let settings = Settings {
            security: options.security,
            identity: options.identity,
            collectives: options.collectives,
            main_collective: options.main_collective,
            ttl: options.ttl,
            discovery_timeout: options.discovery_timeout,
            windowed_discovery: options.windowed_discovery,
            require_filter: options.require_filter,
            federations: options.federations,
            signer: options.signer,
            executor: options.executor,
        };
        let caller = settings.security.caller();
        Ok(Self { inner: Arc::new(Inner { nats, caller, settings }) })
    }

    /// The connection, for messages that are not requests.
    pub fn nats(&self) -> &nats::client::Client {
        &self.inner.nats
    }

    /// Who servers take this client for: `kind=name`.
    pub fn caller(&self) -> &str {
        &self.inner.caller
    }

    /// The federations that requests go through; none means a direct connection.
    pub fn federations(&self) -> &[String] {
        &self.settings().federations
    }

    /// Sends what is pending and closes the connection.
    pub async fn close(&self) {
        self.inner.nats.close().await;
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The collective to use, which must be a known one.
    pub(super) fn collective<'a>(&'a self, wanted: Option<&'a str>) -> Result<&'a str, Error> {
        let settings = self.settings();
        match wanted {
            None | Some("") => Ok(&settings.main_collective),
            Some(name) if settings.collectives.iter().any(|known| known == name) => Ok(name),
            Some(name) => Err(Error::UnknownCollective(name.to_owned())),
        }
    }

    /// The subject on which replies to request `id` arrive.
    pub(super) fn reply_subject(&self, collective: &str, id: &str) -> String {
        subject::reply(collective, self.caller(), id)
    }

    /// A request of this client with a fresh id, still without filter and message.
    pub(super) fn new_request(
        &self,
        agent: &str,
        collective: &str,
        ttl: Option<Duration>,
    ) -> Request {
        let settings = self.settings();
        let version = settings.security.version();
        let mut request =
            Request::new(agent, collective, &settings.identity, self.caller(), SystemTime::now())
                .in_version(version);
        request.ttl_secs = ttl.unwrap_or(settings.ttl).as_secs().max(version.ttl_secs_min());
        request
    }

    /// Signs a request, or lets the remote signer do it. The result can be published to any number of subjects.
    pub(super) async fn seal(&self, request: &Request, reply_to: &str) -> Result<Transport, Error> {
        let settings = self.settings();
        let service;
        let signer: Option<&dyn RemoteSigner> = match &settings.signer {
            None => None,
            Some(Signer::Remote(signer)) => Some(signer.as_ref()),
            Some(Signer::Service(credentials)) => {
                service = ServiceSigner::new(self, credentials);
                Some(&service)
            }
        };
        let signed = settings.security.sign_with(request, signer).await;
        let data = signed.map_err(Error::Sign)?;
        let mut transport = Transport::new(request.version, data, &settings.identity);
        transport.reply_to = Some(reply_to.to_owned());
        let url = self.inner.nats.connected_url().unwrap_or_else(|| "unknown".to_owned());
        transport.append_hop(&url, &settings.identity, &url);
        Ok(transport)
    }

    /// Publishes one sealed request to its subjects, or to the federations that lead there, and waits until the
    /// broker has it.
    pub(super) async fn publish(
        &self,
        transport: &Transport,
        request_id: &str,
        targets: &[String],
    ) -> Result<(), Error> {
        let mut published = 0;
        for parcel in parcels(transport, request_id, targets, &self.settings().federations) {
            for subject in parcel.subjects.iter() {
                self.inner.nats.publish(subject, &parcel.bytes).await?;
                published += 1;
                if published % PUBLISH_BURST == 0 {
                    smol::future::yield_now().await;
                }
            }
        }
        self.inner.nats.flush(FLUSH_LIMIT).await?;
        Ok(())
    }
}
