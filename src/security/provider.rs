//! The security of one identity: signs, verifies, seals, opens, and makes TLS settings.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::client::ResolvesClientCert;
use rustls::{ClientConfig, ServerConfig};

use super::authority::Presented;
use super::doubt::{self, Doubt, Use};
use super::fresh::{Seen, Shown};
use super::login::{Greeting, Login, LoginError};
use super::own::Own;
use super::setup::{self, Problem, SetupError, What};
use super::signer::{Refused, RemoteSigner};
use super::tls::{self, Verify};
use super::whose::Whose;
use super::{Denied, Kind, Settings, token, x509};
use crate::crypto::rsa;
use crate::protocol::{Fault, Reply, Request, Transport, Version, v1, v2};
use crate::tokens::{ClientClaims, Trust};

/// Requests to this agent are proven by what they hold, not by a signature.
const SIGNER_AGENT: &str = "aaa_signer";

/// Why a request of ours cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignError {
    /// The request itself is not valid.
    Request(Fault),
    /// A file that signing needs is absent.
    Absent(Problem),
    /// The private key cannot sign.
    Key {
        /// Where the key is.
        path: std::path::PathBuf,
        /// Why not.
        reason: rsa::Error,
    },
    /// The remote signer did not sign.
    Remote(Refused),
    /// What the remote signer gave is not a secure request.
    RemoteAnswer(Fault),
    /// The remote signer does not say who it is.
    RemoteUnnamed,
    /// The remote signer has signed something else than it was asked to.
    RemoteChanged {
        /// What of the request.
        what: &'static str,
    },
    /// There is no token to make requests with.
    NoToken,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignError::Request(fault) => write!(f, "cannot make the request: {fault}"),
            SignError::Absent(problem) => write!(f, "cannot sign the request: {problem}"),
            SignError::Key { path, reason } => {
                write!(f, "cannot sign the request with {}: {reason}", path.display())
            }
            SignError::Remote(refused) => {
                write!(f, "the remote signer did not sign the request: {refused}")
            }
            SignError::RemoteAnswer(fault) => {
                write!(f, "the answer of the remote signer is of no use: {fault}")
            }
            SignError::RemoteUnnamed => f.write_str(
                "the answer of the remote signer is of no use: it does not say who signed",
            ),
            SignError::RemoteChanged { what } => {
                write!(f, "the answer of the remote signer is of no use: it signed another {what}")
            }
            SignError::NoToken => f.write_str("cannot sign the request: there is no token"),
        }
    }
}

impl std::error::Error for SignError {}

impl From<Fault> for SignError {
    fn from(fault: Fault) -> Self {
        SignError::Request(fault)
    }
}

/// A request whose caller was proven (or believed, when protocol security is off).
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The request.
    pub request: Request,
    /// Whether a privileged certificate, or a signer, vouched for a caller it does not name.
    pub privileged: bool,
    /// The decoded signature.
    pub signature: Vec<u8>,
    /// SHA-256 of the certificate that signed, or of the caller id in the token; of nothing when there was neither.
    pub fingerprint: [u8; 32],
    /// The certificates of the caller as received, for authorizers; empty in v2.
    pub certificate_pem: String,
    /// The caller's token, verified, for authorizers; none in v1.
    pub token: Option<Arc<ClientClaims>>,
}

/// The security of one identity.
pub struct Provider {
    pub(super) settings: Settings,
    pub(super) shown: RwLock<Option<Arc<Shown>>>,
    pub(super) seen: Seen,
    pub(super) tls: Tls,
    login: Option<Arc<Login>>,
    pub(super) engine: Engine,
}

/// How callers are proven, which decides the version of the protocol.
pub(super) enum Engine {
    Certificates(Box<x509::Engine>),
    Tokens(Box<token::Engine>),
}

/// What TLS needs of the files.
pub(super) struct Tls {
    pub(super) key: Option<Arc<tls::Current>>,
    authority: Option<Arc<super::Authority>>,
    algorithms: Arc<rustls::crypto::CryptoProvider>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Provider {
    /// Reads the files and checks that everything needed is there.
    ///
    /// With TLS off, files that do not exist are no problem until something needs them; files that
    /// exist must be usable always.
    ///
    /// # Errors
    /// Everything that has to be repaired.
    pub fn open(settings: Settings) -> Result<Self, SetupError> {
        let mut problems = Vec::new();
        if settings.identity.is_empty() {
            problems.push(Problem::NoIdentity);
        }
        for what in [What::Key, What::Seed] {
            setup::warn_if_open(what, &settings);
        }
        let seen = Seen::now(&settings);
        let own = Own::read(&settings, &mut problems);
        let mut login = |files| match Login::open(&settings, files) {
            Ok(login) => Some(Arc::new(login)),
            Err(wrong) => {
                problems.extend(wrong);
                None
            }
        };
        let login = settings.token.as_ref().and_then(&mut login);
        if !problems.is_empty() {
            return Err(SetupError { problems });
        }
        let engine = match settings.kind {
            Kind::Puppet | Kind::File | Kind::CertManager => {
                let (pem, key) = (own.certificate_pem.clone(), own.key.as_deref());
                let engine = x509::Engine::new(pem, key, own.authority.clone(), &settings);
                Engine::Certificates(Box::new(engine))
            }
            Kind::Choria => {
                let trust = settings.trust.clone();
                Engine::Tokens(Box::new(token::Engine::new(login.clone(), trust, &settings)))
            }
        };
        let shown = RwLock::new(Shown::of(&own));
        let tls = Tls {
            key: own.tls_key.map(|key| Arc::new(tls::Current::new(key))),
            authority: own.authority,
            algorithms: own.algorithms,
        };
        Ok(Provider { settings, shown, seen, tls, login, engine })
    }

    /// The version of the protocol that requests made here have, and that is understood here.
    pub fn version(&self) -> Version {
        match self.engine {
            Engine::Certificates(_) => Version::V1,
            Engine::Tokens(_) => Version::V2,
        }
    }

    /// The caller id of requests made here: that of the token when there is one, the identity of a server included.
    pub fn caller(&self) -> String {
        match &self.login {
            Some(login) => login.name().to_owned(),
            None => format!("choria={}", self.settings.identity),
        }
    }

    /// The name of this process: the one in [`Provider::caller`], unless that is of a token.
    pub fn certname(&self) -> &str {
        &self.settings.identity
    }

    /// Whether a broker is shown the token.
    pub fn has_login(&self) -> bool {
        let shows = self.settings.kind == Kind::Choria || self.settings.anonymous_tls;
        shows && self.login.is_some()
    }

    /// What a broker is shown that has sent this nonce. Reads the files of the token again, so it may block.
    ///
    /// # Errors
    /// Why this process cannot log in.
    pub fn greet(&self, nonce: &str, now: SystemTime) -> Result<Greeting, LoginError> {
        let (Some(login), Some(files)) = (&self.login, &self.settings.token) else {
            return Err(LoginError::File(setup::absent(What::Token, &self.settings)));
        };
        login.greet(&self.settings, files, nonce, now)
    }

    /// Believes the tokens of others from now on, in place of those of the settings. Of no effect where callers have
    /// certificates.
    pub fn believe_tokens(&self, trust: Option<Trust>) {
        if let Engine::Tokens(engine) = &self.engine {
            engine.believe_tokens(trust);
        }
    }

    /// End of the own token, when there is one that ends.
    pub fn token_expires(&self) -> Option<SystemTime> {
        self.login.as_ref().and_then(|login| login.expires())
    }

    /// What peers may hold against the own certificate when it is used in this way by a process of
    /// this name. None of it keeps the process from working.
    pub fn doubts(&self, usage: Use, identity: &str, now: SystemTime) -> Vec<Doubt> {
        let shown = self.shown();
        let pem = shown.as_ref().map(|shown| shown.pem.as_bytes()).unwrap_or_default();
        let Ok(own) = Presented::from_pem(pem, identity) else { return Vec::new() };
        doubt::of(&own, self.tls.authority.as_deref(), usage, identity, now)
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// End of the own certificate's validity, when there is a certificate.
    pub fn certificate_expires(&self) -> Option<SystemTime> {
        self.shown().map(|shown| shown.certificate.not_after())
    }

    fn shown(&self) -> Option<Arc<Shown>> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The authorities that vouch for others, and what they have revoked.
    pub fn authority(&self) -> Option<Arc<super::Authority>> {
        self.tls.authority.clone()
    }

    /// Signs a request; the result is the data of a transport.
    ///
    /// # Errors
    /// When the request is not valid, or there is no key that can sign.
    pub fn sign(&self, request: &Request) -> Result<Vec<u8>, SignError> {
        let message = request.encode()?;
        Ok(match (&self.engine, self.is_signed(request)) {
            (Engine::Certificates(engine), true) => {
                engine.secure(message, &request.agent, &self.settings)?.encode()?
            }
            (Engine::Certificates(_), false) => x509::Engine::unsigned(message).encode()?,
            (Engine::Tokens(engine), true) => engine.secure(message)?.encode()?,
            (Engine::Tokens(engine), false) => engine.unsigned(message).encode()?,
        })
    }

    /// [`Provider::sign`], by somebody else when there is one and the request needs a signature.
    ///
    /// # Errors
    /// As [`Provider::sign`], and when the signer refuses or answers what cannot be sent.
    pub async fn sign_with(
        &self,
        request: &Request,
        signer: Option<&dyn RemoteSigner>,
    ) -> Result<Vec<u8>, SignError> {
        let Some(signer) = signer.filter(|_| self.is_signed(request)) else {
            return self.sign(request);
        };
        let text = request.encode()?;
        let secure = signer.sign(text.as_bytes()).await.map_err(SignError::Remote)?;
        match &self.engine {
            Engine::Certificates(_) => {
                let read = v1::SecureRequest::decode(&secure).map_err(SignError::RemoteAnswer)?;
                check_answer(Version::V1, &text, read.message.as_bytes())?;
                Ok(secure)
            }
            Engine::Tokens(engine) => {
                let read = v2::SecureRequest::decode(&secure).map_err(SignError::RemoteAnswer)?;
                check_answer(Version::V2, &text, &read.request)?;
                Ok(engine.adopt(read)?.encode()?)
            }
        }
    }

    /// Whether a request needs a signature.
    fn is_signed(&self, request: &Request) -> bool {
        self.settings.security_on && request.agent != SIGNER_AGENT
    }

    /// Verifies the data of a transport of this version, over the bytes as received. It does not look at the time to
    /// live, nor whether it was handled before.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(
        &self,
        version: Version,
        data: &[u8],
        now: SystemTime,
    ) -> Result<Verified, Denied> {
        self.verify_of(Whose::Callers, version, data, now)
    }

    fn verify_of(
        &self,
        whose: Whose,
        version: Version,
        data: &[u8],
        now: SystemTime,
    ) -> Result<Verified, Denied> {
        match (&self.engine, version) {
            (Engine::Certificates(engine), Version::V1) => {
                let secure = v1::SecureRequest::decode(data)?;
                if self.settings.security_on {
                    engine.verify(&secure, whose, now)
                } else {
                    x509::Engine::believe(&secure)
                }
            }
            (Engine::Tokens(engine), Version::V2) => {
                let secure = v2::SecureRequest::decode(data)?;
                if self.settings.security_on {
                    engine.verify(secure, whose, now)
                } else {
                    token::Engine::believe(secure)
                }
            }
            (Engine::Certificates(_), found) | (Engine::Tokens(_), found) => {
                Err(Fault::Version { found }.into())
            }
        }
    }

    /// Signs a request and wraps it for publishing.
    ///
    /// # Errors
    /// As [`Provider::sign`].
    pub fn encode_request(
        &self,
        request: &Request,
        reply_to: &str,
    ) -> Result<Transport, SignError> {
        let mut transport = Transport::new(self.version(), self.sign(request)?, &request.sender);
        transport.reply_to = (!reply_to.is_empty()).then(|| reply_to.to_owned());
        transport.federation.clone_from(&request.federation);
        Ok(transport)
    }

    /// Verifies the request in a transport and copies the federation headers and hops to it.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn decode_request(
        &self,
        transport: &Transport,
        now: SystemTime,
    ) -> Result<Verified, Denied> {
        self.decode_of(Whose::Callers, transport, now)
    }

    /// The same for who only takes notes: nodes are believed as well in what they say about themselves. It is a request
    /// to the agent `registration` that names the node as sender and as caller, signed by its certificate or token,
    /// whatever the list of callers says. Nothing may be done because of it.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn decode_registration(
        &self,
        transport: &Transport,
        now: SystemTime,
    ) -> Result<Verified, Denied> {
        self.decode_of(Whose::CallersAndNodes, transport, now)
    }

    fn decode_of(
        &self,
        whose: Whose,
        transport: &Transport,
        now: SystemTime,
    ) -> Result<Verified, Denied> {
        let mut verified = self.verify_of(whose, transport.version, &transport.data, now)?;
        verified.request.federation.clone_from(&transport.federation);
        verified.request.hops.clone_from(&transport.hops);
        Ok(verified)
    }

    /// What a request says of itself when [`Provider::decode_request`] does not believe it: for
    /// records of the refusal only, since nothing of it is proven.
    pub fn claims(&self, transport: &Transport) -> Option<Request> {
        let text = match transport.version {
            Version::V1 => v1::SecureRequest::decode(&transport.data).ok()?.message.into_bytes(),
            Version::V2 => v2::SecureRequest::decode(&transport.data).ok()?.request,
        };
        Request::decode(transport.version, &text).ok()
    }

    /// Seals a reply and wraps it for publishing, with its federation headers and hops.
    ///
    /// # Errors
    /// When the version of the reply cannot hold its payload.
    pub fn encode_reply(&self, reply: &Reply) -> Result<Transport, Fault> {
        let text = reply.encode()?;
        let data = match &self.engine {
            Engine::Certificates(_) => v1::SecureReply::seal(text).encode(),
            Engine::Tokens(engine) => engine.seal(text).encode(),
        };
        let mut transport = Transport::new(reply.version, data, &reply.sender);
        transport.federation.clone_from(&reply.federation);
        transport.hops.clone_from(&reply.hops);
        Ok(transport)
    }

    /// Checks the reply in a transport and reads it, with federation headers and hops.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn decode_reply(&self, transport: &Transport, now: SystemTime) -> Result<Reply, Denied> {
        let mut reply = match (&self.engine, transport.version) {
            (Engine::Certificates(_), Version::V1) => {
                let secure = v1::SecureReply::decode(&transport.data)?;
                Reply::decode(Version::V1, secure.message.as_bytes())?
            }
            (Engine::Tokens(engine), Version::V2) => {
                engine.open(&v2::SecureReply::decode(&transport.data)?, now)?
            }
            (Engine::Certificates(_), found) | (Engine::Tokens(_), found) => {
                return Err(Fault::Version { found }.into());
            }
        };
        reply.federation.clone_from(&transport.federation);
        reply.hops.clone_from(&transport.hops);
        Ok(reply)
    }

    /// Verifies that PEM certificates lead to a trusted authority and, when a name is given, that
    /// the first one is for it: its common name, a DNS name, or for `email:<address>` an e-mail
    /// address when it has any.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify_certificate(
        &self,
        pem: &[u8],
        name: Option<&str>,
        now: SystemTime,
    ) -> Result<(), Denied> {
        let presented = Presented::from_pem(pem, name.unwrap_or("a certificate"))?;
        x509::verify_presented(self.tls.authority.as_deref(), &presented, name, now)
    }

    /// TLS settings for connecting. Certificate and key are presented when they are there.
    ///
    /// # Errors
    /// When there is no CA to verify the broker with, or TLS cannot be set up.
    pub fn client_tls(&self) -> Result<Arc<ClientConfig>, SetupError> {
        if self.settings.anonymous_tls {
            log::warn!("security: TLS is anonymous, the broker is not verified");
            let config = tls::client(&self.tls.algorithms, None, None, Verify::Off);
            return tls_settings(config);
        }
        let verify = match (self.settings.allows_legacy_certificates(), self.settings.verify_tls) {
            (true, verify) => {
                if !verify {
                    log::warn!(
                        "security: TLS peers are verified all the same, legacy certificate support demands it"
                    );
                }
                Verify::Legacy
            }
            (false, true) => Verify::Strict,
            (false, false) => {
                log::warn!("security: TLS peers are not verified");
                Verify::Off
            }
        };
        if self.tls.authority.is_none() && verify != Verify::Off {
            return Err(setup::absent(What::Ca, &self.settings).into());
        }
        let own = self.tls.key.clone().map(|key| key as Arc<dyn ResolvesClientCert>);
        let authority = self.tls.authority.clone();
        tls_settings(tls::client(&self.tls.algorithms, authority, own, verify))
    }

    /// TLS settings for a broker.
    ///
    /// # Errors
    /// When there is no certificate or key, or TLS cannot be set up.
    pub fn server_tls(&self) -> Result<Arc<ServerConfig>, SetupError> {
        let Some(own) = self.tls.key.as_ref().map(|key| key.get()) else {
            let needed = [What::Certificate, What::Key];
            let problems = needed
                .into_iter()
                .filter(|what| !matches!(setup::read(*what, &self.settings), Ok(Some(_))))
                .map(|what| setup::absent(what, &self.settings))
                .collect();
            return Err(SetupError { problems });
        };
        let authority = self.tls.authority.clone().filter(|_| self.settings.verify_tls);
        tls_settings(tls::server(&self.tls.algorithms, authority, own))
    }
}

/// What a remote signer signed has to be what it was asked to sign. It may write it down in another way, and says itself
/// who the caller is: that is what it is there for.
fn check_answer(version: Version, asked: &str, signed: &[u8]) -> Result<(), SignError> {
    let signed = Request::decode(version, signed).map_err(SignError::RemoteAnswer)?;
    let asked = Request::decode(version, asked.as_bytes())?;
    let parts = [
        ("request id", asked.id == signed.id),
        ("agent", asked.agent == signed.agent),
        ("message", asked.message == signed.message),
        ("collective", asked.collective == signed.collective),
        ("filter", asked.filter == signed.filter),
        ("time", asked.time == signed.time),
        ("time to live", asked.ttl_secs == signed.ttl_secs),
        ("sender", asked.sender == signed.sender),
    ];
    match parts.into_iter().find(|(_, is_same)| !is_same) {
        Some((what, _)) => Err(SignError::RemoteChanged { what }),
        None => Ok(()),
    }
}

fn tls_settings<T>(config: Result<T, rustls::Error>) -> Result<Arc<T>, SetupError> {
    config.map(Arc::new).map_err(|error| Problem::Tls { reason: error.to_string() }.into())
}
