//! Protocol v2: requests are signed with the key of a token, and verified with the keys that may make tokens.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use super::login::Login;
use super::whose::Whose;
use super::{Denied, Settings, SignError, Verified};
use crate::crypto::ed25519::PublicKey;
use crate::crypto::hash;
use crate::protocol::v2::{SecureReply, SecureRequest};
use crate::protocol::{Reply, Request, Version};
use crate::tokens::{self, ClientClaims, Purpose, Trust, Unverified};

/// Signature of a request when protocol security is off, or the agent proves its callers itself.
const INSECURE: &[u8] = b"insecure";
/// Token of a request when protocol security is off. The schema wants one.
const NO_TOKEN: &str = "insecure";

/// What proves callers by tokens.
pub(super) struct Engine {
    /// Own token and key; none for brokers.
    login: Option<Arc<Login>>,
    /// Whose tokens are believed; none for clients that were not told. Servers are told anew at a reload.
    trust: RwLock<Option<Arc<Trust>>>,
    sign_replies: bool,
    /// A signer may not name another caller than the token beside the request.
    signed_caller_is_holder: bool,
}

impl Engine {
    pub(super) fn new(
        login: Option<Arc<Login>>,
        trust: Option<Trust>,
        settings: &Settings,
    ) -> Self {
        Engine {
            login,
            trust: RwLock::new(trust.map(Arc::new)),
            sign_replies: settings.sign_replies,
            signed_caller_is_holder: settings.signed_caller_is_holder,
        }
    }

    /// Believes these tokens from now on.
    pub(super) fn believe_tokens(&self, trust: Option<Trust>) {
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = trust.map(Arc::new);
    }

    fn trust(&self) -> Option<Arc<Trust>> {
        self.trust.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A request without a signature; the own token goes along when there is one.
    pub(super) fn unsigned(&self, message: String) -> SecureRequest {
        let own = self.login.as_ref().map(|login| login.token().into_inner());
        SecureRequest {
            request: message.into_bytes(),
            signature: INSECURE.to_vec(),
            caller: own.unwrap_or_else(|| NO_TOKEN.to_owned()),
            signer: None,
        }
    }

    pub(super) fn secure(&self, message: String) -> Result<SecureRequest, SignError> {
        let login = self.login.as_ref().ok_or(SignError::NoToken)?;
        let (token, signature) = login.sign(message.as_bytes());
        Ok(SecureRequest {
            request: message.into_bytes(),
            signature: signature.to_vec(),
            caller: token.into_inner(),
            signer: None,
        })
    }

    /// Completes what a remote signer gave: it must say who signed, and gets the own token as that of the caller, which
    /// no signature covers.
    pub(super) fn adopt(&self, mut secure: SecureRequest) -> Result<SecureRequest, SignError> {
        if secure.signer.is_none() {
            return Err(SignError::RemoteUnnamed);
        }
        let login = self.login.as_ref().ok_or(SignError::NoToken)?;
        secure.caller = login.token().into_inner();
        Ok(secure)
    }

    /// Reads a request without verifying it: protocol security is off.
    pub(super) fn believe(secure: SecureRequest) -> Result<Verified, Denied> {
        Ok(Verified {
            request: Request::decode(Version::V2, &secure.request)?,
            privileged: false,
            signature: secure.signature,
            fingerprint: hash::sha256(b""),
            certificate_pem: String::new(),
            token: None,
        })
    }

    /// Verifies a request: the signature over the bytes as received first, then the caller (protocol notes 9.5).
    pub(super) fn verify(
        &self,
        secure: SecureRequest,
        whose: Whose,
        now: SystemTime,
    ) -> Result<Verified, Denied> {
        let trust = &*self.trust().ok_or(Denied::NoTrust)?;
        if secure.signature == INSECURE {
            return Err(Denied::Unsigned { caller: claimed(&secure.caller) });
        }
        let token = match &secure.signer {
            Some(signer) => delegated(trust, &secure, signer, now)?,
            None => direct(trust, &secure, now)?,
        };
        let request = Request::decode(Version::V2, &secure.request)?;
        let privileged = secure.signer.is_some();
        let token = match token {
            Signed::Client(token) => token,
            Signed::Server(identity) => return node(secure, request, &identity, whose),
        };
        // Whoever signs for others may say any caller: it knows more about them than their tokens. Its signature does
        // not cover the token, though, so that another one may have been put beside the request.
        let is_free = privileged && !self.signed_caller_is_holder;
        let is_holder = token.caller == request.caller
            || (privileged && as_signed(&token.caller) == request.caller);
        if !is_free && !is_holder {
            let (claimed, proven) = (request.caller, token.caller.clone());
            return Err(Denied::TokenMismatch { claimed, proven });
        }
        Ok(Verified {
            request,
            privileged,
            signature: secure.signature,
            fingerprint: hash::sha256(token.caller.as_bytes()),
            certificate_pem: String::new(),
            token: Some(token),
        })
    }

    /// Seals a reply, with a signature when the settings ask for one.
    pub(super) fn seal(&self, reply: String) -> SecureReply {
        let mut secure = SecureReply::seal(reply.into_bytes());
        if let Some(login) = self.login.as_ref().filter(|_| self.sign_replies) {
            let (token, signature) = login.sign(&secure.reply);
            secure.signature = Some(signature.to_vec());
            secure.sender = Some(token.into_inner());
        }
        secure
    }

    /// Reads a reply. A signature that is there has to be good; the token of the sender is verified when it is known
    /// whose tokens are believed, and has to be for the sender in any case.
    pub(super) fn open(&self, secure: &SecureReply, now: SystemTime) -> Result<Reply, Denied> {
        let reply = Reply::decode(Version::V2, &secure.reply)?;
        let sender = || reply.sender.clone();
        let (signature, token) = match (&secure.signature, &secure.sender) {
            (None, None) => return Ok(reply),
            (Some(signature), Some(token)) => (signature, token),
            _ => return Err(Denied::ReplyHalfSigned { sender: sender() }),
        };
        let refused = |reason| Denied::ReplyToken { sender: sender(), reason };
        let (identity, key) = match self.trust() {
            Some(trust) => {
                let claims = trust.server(token, now).map_err(refused)?;
                (claims.identity.clone(), claims.common.holder_key())
            }
            None => unproven_server(token).map_err(refused)?,
        };
        if identity != reply.sender {
            return Err(Denied::ReplySender { claimed: sender(), proven: identity });
        }
        let key = key.map_err(refused)?;
        key.verify(&secure.reply, signature)
            .map_err(|_| Denied::ReplySignature { sender: sender() })?;
        Ok(reply)
    }
}

/// Who has proven to have signed.
enum Signed {
    Client(Arc<ClientClaims>),
    /// The server of this identity, which may sign but not ask.
    Server(String),
}

/// What a server may say: only about itself, and only where nodes are listened to.
fn node(
    secure: SecureRequest,
    request: Request,
    identity: &str,
    whose: Whose,
) -> Result<Verified, Denied> {
    if !whose.includes(&request, identity)? {
        return Err(Denied::ServerCaller { caller: request.caller });
    }
    if request.caller != identity {
        let (claimed, proven) = (request.caller, identity.to_owned());
        return Err(Denied::TokenMismatch { claimed, proven });
    }
    Ok(Verified {
        request,
        privileged: false,
        signature: secure.signature,
        fingerprint: hash::sha256(identity.as_bytes()),
        certificate_pem: String::new(),
        token: None,
    })
}

/// The signature of who makes the request.
fn direct(trust: &Trust, secure: &SecureRequest, now: SystemTime) -> Result<Signed, Denied> {
    let caller = || claimed(&secure.caller);
    let refused = |reason| Denied::Token { caller: caller(), reason };
    let purpose =
        Unverified::parse(&secure.caller).map_err(|fault| refused(fault.into()))?.purpose();
    if purpose == Some(Purpose::Server) {
        let claims = trust.server(&secure.caller, now).map_err(refused)?;
        let key = claims.common.holder_key().map_err(refused)?;
        check_signature(&key, secure)?;
        return Ok(Signed::Server(claims.identity.clone()));
    }
    let claims = trust.client(&secure.caller, now).map_err(refused)?;
    if claims.permissions.signed_fleet_management {
        return Err(Denied::NeedsSigner { caller: caller() });
    }
    if !claims.permissions.fleet_management {
        return Err(Denied::NoFleetManagement { caller: caller() });
    }
    let key = claims.common.holder_key().map_err(refused)?;
    check_signature(&key, secure)?;
    Ok(Signed::Client(Arc::new(claims.into_claims())))
}

/// The signature of somebody who may sign for others.
fn delegated(
    trust: &Trust,
    secure: &SecureRequest,
    signer: &str,
    now: SystemTime,
) -> Result<Signed, Denied> {
    let caller = || claimed(&secure.caller);
    let refused = |reason| Denied::Delegation { caller: caller(), signer: claimed(signer), reason };
    let both = trust.delegated(&secure.caller, signer, now).map_err(refused)?;
    let permissions = &both.caller.permissions;
    if !permissions.fleet_management && !permissions.signed_fleet_management {
        return Err(Denied::NoFleetManagement { caller: caller() });
    }
    let key = both.signer.common.holder_key().map_err(refused)?;
    check_signature(&key, secure)?;
    log::debug!("security: request of {} signed by {}", caller(), claimed(signer));
    Ok(Signed::Client(Arc::new(both.caller.into_claims())))
}

fn check_signature(key: &PublicKey, secure: &SecureRequest) -> Result<(), Denied> {
    key.verify(&secure.request, &secure.signature)
        .map_err(|_| Denied::Signature { name: claimed(&secure.caller) })
}

/// The caller that the AAA service signs for the holder of a token (aaasvc, `signers/basicjwt`).
fn as_signed(caller: &str) -> String {
    caller.replace(['@', '.'], "_")
}

/// Whom a token says it is for, as it may stand in a log; not proven.
fn claimed(token: &str) -> String {
    let name = match Unverified::parse(token).as_ref().map(Unverified::claims) {
        Ok(tokens::Claims::Client(claims)) => claims.caller.clone(),
        Ok(tokens::Claims::Server(claims)) => claims.identity.clone(),
        _ => String::new(),
    };
    if name.is_empty() { "nobody".to_owned() } else { name }
}

/// Whom a server token says it is for, and the key it names. It is not verified: nobody said whom to believe.
fn unproven_server(
    token: &str,
) -> Result<(String, Result<PublicKey, tokens::Denied>), tokens::Denied> {
    let parsed = Unverified::parse(token)?;
    match parsed.claims() {
        tokens::Claims::Server(claims) => Ok((claims.identity.clone(), claims.common.holder_key())),
        other => Err(tokens::Denied::Purpose { expected: Purpose::Server, found: other.purpose() }),
    }
}

#[cfg(test)]
mod tests;
