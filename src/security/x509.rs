//! Protocol v1: requests are signed with the RSA key of a certificate, and verified against a CA.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use data_encoding::BASE64;

use super::authority::{Authority, Presented};
use super::caller::{self, Patterns};
use super::setup::{self, What};
use super::whose::{REGISTRATION_AGENT, Whose};
use super::{Denied, Settings, SignError, Verified};
use crate::crypto::{hash, rsa};
use crate::protocol::v1::SecureRequest;
use crate::protocol::{Request, Version, base64_decode};

/// Certificate and signature of a request when protocol security is off.
const INSECURE: &str = "insecure";
/// The same for registration data of a server that cannot sign.
const INSECURE_REGISTRATION: &str = "insecure registration";

/// What proves callers by certificates.
pub(super) struct Engine {
    own: RwLock<Arc<Pair>>,
    authority: Option<Arc<Authority>>,
    allowed: Patterns,
    privileged: Patterns,
}

/// The own certificate and its key.
struct Pair {
    certificate_pem: Option<String>,
    signing_key: Option<Result<rsa::SigningKey, rsa::Error>>,
}

impl Pair {
    fn new(certificate_pem: Option<String>, key: Option<&[u8]>) -> Pair {
        Pair { certificate_pem, signing_key: key.map(rsa::SigningKey::from_pem) }
    }

    fn sign(&self, message: &[u8], settings: &Settings) -> Result<Vec<u8>, SignError> {
        let unusable = |reason| SignError::Key { path: settings.key.clone(), reason };
        match &self.signing_key {
            Some(Ok(key)) => key.sign_pkcs1_sha256(message).map_err(unusable),
            Some(Err(reason)) => Err(unusable(reason.clone())),
            None => Err(SignError::Absent(setup::absent(What::Key, settings))),
        }
    }
}

impl Engine {
    pub(super) fn new(
        certificate_pem: Option<String>,
        key: Option<&[u8]>,
        authority: Option<Arc<Authority>>,
        settings: &Settings,
    ) -> Self {
        Engine {
            own: RwLock::new(Arc::new(Pair::new(certificate_pem, key))),
            authority,
            allowed: patterns("plugin.choria.security.certname_whitelist", &settings.allow_list),
            privileged: patterns(
                "plugin.choria.security.privileged_users",
                &settings.privileged_users,
            ),
        }
    }

    /// Signs with these from now on.
    pub(super) fn renew(&self, certificate_pem: Option<String>, key: Option<&[u8]>) {
        let own = Arc::new(Pair::new(certificate_pem, key));
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = own;
    }

    /// A request that nobody signs.
    pub(super) fn unsigned(message: String) -> SecureRequest {
        let insecure = || INSECURE.to_owned();
        SecureRequest { message, signature: insecure(), pubcert: insecure() }
    }

    /// Signs a request for `agent`.
    pub(super) fn secure(
        &self,
        message: String,
        agent: &str,
        settings: &Settings,
    ) -> Result<SecureRequest, SignError> {
        let may_fail = agent == REGISTRATION_AGENT;
        // One pair for both: it may be exchanged at any moment.
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner).clone();
        let pubcert = match &own.certificate_pem {
            Some(pem) => pem.clone(),
            None if may_fail => INSECURE_REGISTRATION.to_owned(),
            None => return Err(SignError::Absent(setup::absent(What::Certificate, settings))),
        };
        let signature = match own.sign(message.as_bytes(), settings) {
            Ok(signature) => signature,
            Err(_) if may_fail => INSECURE_REGISTRATION.as_bytes().to_vec(),
            Err(error) => return Err(error),
        };
        Ok(SecureRequest { message, signature: BASE64.encode(&signature), pubcert })
    }

    /// Reads a request without verifying it: protocol security is off.
    pub(super) fn believe(secure: &SecureRequest) -> Result<Verified, Denied> {
        Ok(Verified {
            request: Request::decode(Version::V1, secure.message.as_bytes())?,
            privileged: false,
            signature: secure.signature.clone().into_bytes(),
            fingerprint: hash::sha256(b""),
            certificate_pem: String::new(),
            token: None,
        })
    }

    /// Verifies a request: the caller first, then the signature over the bytes as received.
    pub(super) fn verify(
        &self,
        secure: &SecureRequest,
        whose: Whose,
        now: SystemTime,
    ) -> Result<Verified, Denied> {
        let request = Request::decode(Version::V1, secure.message.as_bytes())?;
        if matches!(secure.pubcert.as_str(), INSECURE | INSECURE_REGISTRATION) {
            return Err(Denied::Unsigned { caller: request.caller });
        }
        let name = caller::name(&request.caller)?;
        let presented = Presented::from_pem(secure.pubcert.as_bytes(), &request.caller)?;
        let privileged = self.check_caller((name, &request), whose, &presented, now)?;
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
            token: None,
        })
    }

    /// Whether the certificate may make requests as `name`; says whether it is privileged to.
    fn check_caller(
        &self,
        (name, request): (&str, &Request),
        whose: Whose,
        presented: &Presented,
        now: SystemTime,
    ) -> Result<bool, Denied> {
        let names = presented.names();
        if names.iter().any(|name| self.privileged.matches(name)) {
            verify_presented(self.authority.as_deref(), presented, None, now)?;
            return Ok(true);
        }
        verify_presented(self.authority.as_deref(), presented, Some(name), now)?;
        if !self.allowed.matches(name) && !whose.includes(request, name)? {
            return Err(Denied::NotAllowed { name: name.to_owned() });
        }
        Ok(false)
    }
}

/// Whether the certificate leads to the authority and, when a name is given, is for it.
pub(super) fn verify_presented(
    authority: Option<&Authority>,
    presented: &Presented,
    name: Option<&str>,
    now: SystemTime,
) -> Result<(), Denied> {
    authority.ok_or(Denied::NoAuthority)?.verify(presented, now)?;
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

fn patterns(key: &str, texts: &[String]) -> Patterns {
    let (patterns, errors) = Patterns::compile(texts);
    errors.iter().for_each(|error| log::warn!("security: {key}: {error}; it never matches"));
    patterns
}
