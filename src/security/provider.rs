//! The security of one identity: signs, verifies, seals, opens, and makes TLS settings.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use data_encoding::BASE64;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::authority::{Authority, Presented};
use super::caller::{self, Patterns};
use super::doubt::{self, Doubt, Use};
use super::setup::{self, Problem, SetupError, What};
use super::tls::{self, Verify};
use super::{Denied, Settings};
use crate::crypto::x509::Certificate;
use crate::crypto::{hash, rsa};
use crate::protocol::v1::{SecureReply, SecureRequest};
use crate::protocol::{Fault, Reply, Request, Transport, Version, base64_decode};

/// Certificate and signature of a request when protocol security is off.
const INSECURE: &str = "insecure";
/// The same for registration data of a server that cannot sign.
const INSECURE_REGISTRATION: &str = "insecure registration";
/// Requests to this agent are proven by what they hold, not by a signature.
const SIGNER_AGENT: &str = "aaa_signer";
const REGISTRATION_AGENT: &str = "registration";

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
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignError::Request(fault) => write!(f, "cannot make the request: {fault}"),
            SignError::Absent(problem) => write!(f, "cannot sign the request: {problem}"),
            SignError::Key { path, reason } => {
                write!(f, "cannot sign the request with {}: {reason}", path.display())
            }
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
    /// Whether a privileged certificate vouched for a caller it does not name.
    pub privileged: bool,
    /// The decoded signature.
    pub signature: Vec<u8>,
    /// SHA-256 of the certificate that signed; of nothing when there was none.
    pub fingerprint: [u8; 32],
    /// The certificates of the caller as received, for authorizers.
    pub certificate_pem: String,
}

/// The security of one identity.
pub struct Provider {
    settings: Settings,
    certificate_pem: Option<String>,
    certificate: Option<Certificate>,
    signing_key: Option<Result<rsa::SigningKey, rsa::Error>>,
    tls_key: Option<Arc<CertifiedKey>>,
    authority: Option<Arc<Authority>>,
    allowed: Patterns,
    privileged: Patterns,
    algorithms: Arc<CryptoProvider>,
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
        let mut load = |what: What| match setup::read(what, &settings) {
            Ok(None) if settings.tls => {
                problems.push(setup::absent(what, &settings));
                None
            }
            Ok(contents) => contents,
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        let (certificate, key, ca) = (load(What::Certificate), load(What::Key), load(What::Ca));
        let (algorithms, notes) = tls::algorithms(&settings.cipher_suites, &settings.ecc_curves);
        let algorithms = Arc::new(algorithms);
        notes.iter().for_each(|note| log::warn!("security: {note}"));
        let unusable = |what: What, reason: String| Problem::Unusable {
            what,
            key: what.key(settings.kind),
            path: what.path(&settings).to_owned(),
            reason,
        };
        let mut keep = |problem| problems.push(problem);
        let own = certificate.and_then(|pem| {
            own_certificate(pem).map_err(|reason| keep(unusable(What::Certificate, reason))).ok()
        });
        let authority = ca.and_then(|pem| {
            Authority::from_pem(&pem).map_err(|reason| keep(unusable(What::Ca, reason))).ok()
        });
        let authority = authority.and_then(|authority| match settings.crl.as_os_str().is_empty() {
            true => Some(authority),
            false => authority
                .with_revocation(&settings.crl)
                .map_err(|reason| keep(unusable(What::Crl, reason)))
                .ok(),
        });
        let tls_key = match (&own, &key) {
            (Some(own), Some(key)) => certified(&own.chain, key, &algorithms)
                .map_err(|reason| keep(unusable(What::Key, reason)))
                .ok(),
            _ => None,
        };
        if !problems.is_empty() {
            return Err(SetupError { problems });
        }
        let (certificate_pem, certificate) = own.map(|own| (own.pem, own.leaf)).unzip();
        Ok(Provider {
            certificate_pem,
            certificate,
            signing_key: key.map(|key| rsa::SigningKey::from_pem(&key)),
            tls_key,
            authority: authority.map(Arc::new),
            allowed: patterns("plugin.choria.security.certname_whitelist", &settings.allow_list),
            privileged: patterns(
                "plugin.choria.security.privileged_users",
                &settings.privileged_users,
            ),
            algorithms,
            settings,
        })
    }

    /// The caller id of requests made here.
    pub fn caller(&self) -> String {
        format!("choria={}", self.settings.identity)
    }

    /// The name in [`Provider::caller`].
    pub fn certname(&self) -> &str {
        &self.settings.identity
    }

    /// What peers may hold against the own certificate when it is used in this way by a process of
    /// this name. None of it keeps the process from working.
    pub fn doubts(&self, usage: Use, identity: &str, now: SystemTime) -> Vec<Doubt> {
        let pem = self.certificate_pem.as_deref().unwrap_or_default();
        let Ok(own) = Presented::from_pem(pem.as_bytes(), identity) else { return Vec::new() };
        doubt::of(&own, self.authority.as_deref(), usage, identity, now)
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// End of the own certificate's validity, when there is a certificate.
    pub fn certificate_expires(&self) -> Option<SystemTime> {
        self.certificate.as_ref().map(Certificate::not_after)
    }

    /// Signs a request.
    ///
    /// # Errors
    /// When the request is not valid, or there is no key that can sign.
    pub fn secure_request(&self, request: &Request) -> Result<SecureRequest, SignError> {
        let message = request.encode()?;
        if !self.settings.security_on || request.agent == SIGNER_AGENT {
            return Ok(SecureRequest {
                message,
                signature: INSECURE.to_owned(),
                pubcert: INSECURE.to_owned(),
            });
        }
        let may_fail = request.agent == REGISTRATION_AGENT;
        let pubcert = match &self.certificate_pem {
            Some(pem) => pem.clone(),
            None if may_fail => INSECURE_REGISTRATION.to_owned(),
            None => {
                return Err(SignError::Absent(setup::absent(What::Certificate, &self.settings)));
            }
        };
        let signature = match self.sign(message.as_bytes()) {
            Ok(signature) => signature,
            Err(_) if may_fail => INSECURE_REGISTRATION.as_bytes().to_vec(),
            Err(error) => return Err(error),
        };
        Ok(SecureRequest { message, signature: BASE64.encode(&signature), pubcert })
    }

    /// Verifies a request as protocol v1 demands: the caller first, then the signature over the
    /// bytes as received. It does not look at the time to live, nor whether it was handled before.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(&self, secure: &SecureRequest, now: SystemTime) -> Result<Verified, Denied> {
        let request = Request::decode(Version::V1, secure.message.as_bytes())?;
        if !self.settings.security_on {
            return Ok(Verified {
                request,
                privileged: false,
                signature: secure.signature.clone().into_bytes(),
                fingerprint: hash::sha256(b""),
                certificate_pem: String::new(),
            });
        }
        if matches!(secure.pubcert.as_str(), INSECURE | INSECURE_REGISTRATION) {
            return Err(Denied::Unsigned { caller: request.caller });
        }
        let name = caller::name(&request.caller)?;
        let presented = Presented::from_pem(secure.pubcert.as_bytes(), &request.caller)?;
        let privileged = self.check_caller(name, &presented, now)?;
        let signature = base64_decode(secure.signature.as_bytes())
            .ok_or_else(|| Denied::SignatureEncoding { name: name.to_owned() })?;
        let public_key = presented.leaf.public_key_der();
        match rsa::verify_pkcs1_sha256(public_key, secure.message.as_bytes(), &signature) {
            Ok(()) => {}
            Err(rsa::Error::BadSignature) => {
                return Err(Denied::Signature { name: name.to_owned() });
            }
            Err(reason) => return Err(Denied::Key { subject: presented.subject(), reason }),
        }
        Ok(Verified {
            request,
            privileged,
            signature,
            fingerprint: hash::sha256(&presented.chain[0]),
            certificate_pem: secure.pubcert.clone(),
        })
    }

    /// [`Provider::verify`] for those who need the request only.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify_request(
        &self,
        secure: &SecureRequest,
        now: SystemTime,
    ) -> Result<Request, Denied> {
        self.verify(secure, now).map(|verified| verified.request)
    }

    /// Signs a request and wraps it for publishing.
    ///
    /// # Errors
    /// As [`Provider::secure_request`].
    pub fn encode_request(
        &self,
        request: &Request,
        reply_to: &str,
    ) -> Result<Transport, SignError> {
        let data = self.secure_request(request)?.encode()?;
        let mut transport = Transport::new(data, &request.sender);
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
        let mut verified = self.verify(&SecureRequest::decode(&transport.data)?, now)?;
        verified.request.federation.clone_from(&transport.federation);
        verified.request.hops.clone_from(&transport.hops);
        Ok(verified)
    }

    /// Hashes a reply.
    ///
    /// # Errors
    /// When the reply's payload is not text.
    pub fn seal_reply(&self, reply: &Reply) -> Result<SecureReply, Fault> {
        Ok(SecureReply::seal(reply.encode()?))
    }

    /// Hashes a reply and wraps it for publishing, with its federation headers and hops.
    ///
    /// # Errors
    /// When the reply's payload is not text.
    pub fn encode_reply(&self, reply: &Reply) -> Result<Transport, Fault> {
        let mut transport = Transport::new(self.seal_reply(reply)?.encode(), &reply.sender);
        transport.federation.clone_from(&reply.federation);
        transport.hops.clone_from(&reply.hops);
        Ok(transport)
    }

    /// Reads the reply in an envelope whose hash was checked when it was decoded.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn open_reply(&self, secure: &SecureReply) -> Result<Reply, Denied> {
        Ok(Reply::decode(Version::V1, secure.message.as_bytes())?)
    }

    /// Checks the hash of the reply in a transport and reads it, with federation headers and hops.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn decode_reply(&self, transport: &Transport) -> Result<Reply, Denied> {
        let mut reply = self.open_reply(&SecureReply::decode(&transport.data)?)?;
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
        self.verify_presented(&presented, name, now)
    }

    /// TLS settings for connecting. Certificate and key are presented when they are there.
    ///
    /// # Errors
    /// When there is no CA to verify the broker with, or TLS cannot be set up.
    pub fn client_tls(&self) -> Result<Arc<ClientConfig>, SetupError> {
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
        if self.authority.is_none() && verify != Verify::Off {
            return Err(setup::absent(What::Ca, &self.settings).into());
        }
        let (authority, own) = (self.authority.clone(), self.tls_key.clone());
        let config = tls::client(&self.algorithms, authority, own, verify);
        config.map(Arc::new).map_err(|error| Problem::Tls { reason: error.to_string() }.into())
    }

    /// TLS settings for a broker.
    ///
    /// # Errors
    /// When there is no certificate or key, or TLS cannot be set up.
    pub fn server_tls(&self) -> Result<Arc<ServerConfig>, SetupError> {
        let Some(own) = self.tls_key.clone() else {
            let needed = [What::Certificate, What::Key];
            let problems = needed
                .into_iter()
                .filter(|what| !matches!(setup::read(*what, &self.settings), Ok(Some(_))))
                .map(|what| setup::absent(what, &self.settings))
                .collect();
            return Err(SetupError { problems });
        };
        let authority = self.authority.clone().filter(|_| self.settings.verify_tls);
        let config = tls::server(&self.algorithms, authority, own);
        config.map(Arc::new).map_err(|error| Problem::Tls { reason: error.to_string() }.into())
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let unusable = |reason| SignError::Key { path: self.settings.key.clone(), reason };
        match &self.signing_key {
            Some(Ok(key)) => key.sign_pkcs1_sha256(message).map_err(unusable),
            Some(Err(reason)) => Err(unusable(reason.clone())),
            None => Err(SignError::Absent(setup::absent(What::Key, &self.settings))),
        }
    }

    /// Whether the certificate may make requests as `name`; says whether it is privileged to.
    fn check_caller(
        &self,
        name: &str,
        presented: &Presented,
        now: SystemTime,
    ) -> Result<bool, Denied> {
        let names = presented.names();
        if names.iter().any(|name| self.privileged.matches(name)) {
            self.verify_presented(presented, None, now)?;
            return Ok(true);
        }
        self.verify_presented(presented, Some(name), now)?;
        if !self.allowed.matches(name) {
            return Err(Denied::NotAllowed { name: name.to_owned() });
        }
        Ok(false)
    }

    fn verify_presented(
        &self,
        presented: &Presented,
        name: Option<&str>,
        now: SystemTime,
    ) -> Result<(), Denied> {
        let authority = self.authority.as_ref().ok_or(Denied::NoAuthority)?;
        authority.verify(presented, now)?;
        let Some(name) = name else { return Ok(()) };
        let emails = presented.leaf.email_names();
        let (proven, wanted) = match name.strip_prefix("email:") {
            Some(address) if !emails.is_empty() => (emails.to_vec(), address),
            _ => (presented.names(), name),
        };
        if proven.iter().any(|known| known == wanted) {
            return Ok(());
        }
        Err(Denied::CallerMismatch { claimed: name.to_owned(), proven })
    }
}

struct Own {
    pem: String,
    leaf: Certificate,
    chain: Vec<CertificateDer<'static>>,
}

fn own_certificate(pem: Vec<u8>) -> Result<Own, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("it is not valid PEM: {error}"))?;
    let first = chain.first().ok_or("it holds no PEM certificate")?;
    let leaf = Certificate::from_der(first).map_err(|error| error.to_string())?;
    // What `openssl x509 -req` makes when it is given no extensions.
    if let Err(webpki::Error::UnsupportedCertVersion) = webpki::EndEntityCert::try_from(first) {
        return Err("it is of X.509 version 1, which TLS does not take: issue it with subject alternative names"
            .to_owned());
    }
    let pem = String::from_utf8(pem).map_err(|_| "it is not text".to_owned())?;
    Ok(Own { pem, leaf, chain })
}

fn certified(
    chain: &[CertificateDer<'static>],
    key: &[u8],
    algorithms: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, String> {
    let encrypted = matches!(rsa::SigningKey::from_pem(key), Err(rsa::Error::Encrypted));
    if encrypted {
        return Err(rsa::Error::Encrypted.to_string());
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| rsa::Error::NoKey.to_string())?;
    match CertifiedKey::from_der(chain.to_vec(), key, algorithms) {
        Ok(own) => Ok(Arc::new(own)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err("it does not belong to the certificate".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn patterns(key: &str, texts: &[String]) -> Patterns {
    let (patterns, errors) = Patterns::compile(texts);
    errors.iter().for_each(|error| log::warn!("security: {key}: {error}; it never matches"));
    patterns
}
