//! Why a peer's message is not believed. The text is what an operator reads in the log.

use std::fmt;
use std::time::SystemTime;

use crate::crypto::rsa;
use crate::protocol::{Fault, Plain};
use crate::tokens;
use crate::util::time::rfc3339;

/// Why a request or reply is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// It is not a message of this protocol.
    Malformed(Fault),
    /// The request carries no proof and protocol security is on.
    Unsigned {
        /// Who it claims to be from.
        caller: String,
    },
    /// The caller id is not `<kind>=<name>` with a name of letters, digits, `_`, `.` and `-`.
    CallerForm {
        /// The caller id.
        caller: String,
    },
    /// The request holds no PEM certificate, or one that cannot be read.
    Certificate {
        /// Who it claims to be from.
        caller: String,
        /// What is wrong.
        reason: String,
    },
    /// The request brings more certificates than a chain may have.
    ChainTooLong {
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// No trusted authority is known, so nothing can be verified.
    NoAuthority,
    /// No trusted authority has issued the certificate.
    UnknownIssuer {
        /// Name in the certificate.
        subject: String,
        /// Issuer it names.
        issuer: String,
    },
    /// The certificate ended before now.
    Expired {
        /// Name in the certificate.
        subject: String,
        /// When it ended.
        not_after: SystemTime,
    },
    /// The certificate begins after now.
    NotYetValid {
        /// Name in the certificate.
        subject: String,
        /// When it begins.
        not_before: SystemTime,
    },
    /// The certificate may not be used as a client.
    Usage {
        /// Name in the certificate.
        subject: String,
    },
    /// The certificate, or one that vouches for it, was revoked.
    Revoked {
        /// Name in the certificate.
        subject: String,
    },
    /// The list of revoked certificates is too old to vouch for anybody.
    RevocationExpired {
        /// Name in the certificate.
        subject: String,
        /// When there should have been another one.
        next_update: SystemTime,
    },
    /// There are lists of revoked certificates, but none of the issuer.
    RevocationUnknown {
        /// Name in the certificate.
        subject: String,
        /// Issuer it names.
        issuer: String,
    },
    /// The chain is refused for another reason.
    Chain {
        /// Name in the certificate.
        subject: String,
        /// What the verifier said.
        reason: String,
    },
    /// The certificate does not name the caller.
    CallerMismatch {
        /// The name in the caller id.
        claimed: String,
        /// The names in the certificate.
        proven: Vec<String>,
    },
    /// The caller is on no allow list.
    NotAllowed {
        /// The name in the caller id.
        name: String,
    },
    /// The certificate's key cannot be used with protocol v1.
    Key {
        /// Name in the certificate.
        subject: String,
        /// Why.
        reason: rsa::Error,
    },
    /// The signature is not base64.
    SignatureEncoding {
        /// The name in the caller id.
        name: String,
    },
    /// The signature does not fit the request.
    Signature {
        /// The name in the caller id.
        name: String,
    },
    /// It is not known whose tokens to believe, so nothing can be verified.
    NoTrust,
    /// The caller's token is refused.
    Token {
        /// Whom it says it is for.
        caller: String,
        /// Why.
        reason: tokens::Denied,
    },
    /// The tokens of a request that somebody signed for the caller are refused.
    Delegation {
        /// Whom the caller's token says it is for.
        caller: String,
        /// Whom the signer's token says it is for.
        signer: String,
        /// Why.
        reason: tokens::Denied,
    },
    /// The caller's requests have to be signed by somebody else.
    NeedsSigner {
        /// The caller.
        caller: String,
    },
    /// The caller's token does not allow requests.
    NoFleetManagement {
        /// The caller.
        caller: String,
    },
    /// The token is that of a server, which makes no requests.
    ServerCaller {
        /// Who it claims to be from.
        caller: String,
    },
    /// The token is for another caller.
    TokenMismatch {
        /// The caller id in the request.
        claimed: String,
        /// The caller id in the token.
        proven: String,
    },
    /// A node says something about another one.
    NodeMismatch {
        /// The sender in the request.
        claimed: String,
        /// The name in its certificate or token.
        proven: String,
    },
    /// A reply has a signature without a token, or the other way round.
    ReplyHalfSigned {
        /// Who it claims to be from.
        sender: String,
    },
    /// The token of the replying server is refused.
    ReplyToken {
        /// Who it claims to be from.
        sender: String,
        /// Why.
        reason: tokens::Denied,
    },
    /// The token is for another server than the one that the reply claims to be from.
    ReplySender {
        /// Who it claims to be from.
        claimed: String,
        /// Whom the token is for.
        proven: String,
    },
    /// The signature does not fit the reply.
    ReplySignature {
        /// Who it claims to be from.
        sender: String,
    },
    /// The same request was handled before.
    Replayed {
        /// Caller id.
        caller: String,
        /// Request id.
        id: String,
    },
    /// The request cannot be remembered, so it could be replayed later.
    ReplayUnguarded {
        /// Caller id.
        caller: String,
        /// Which limit was met.
        reason: ReplayLimit,
    },
}

/// Why a request cannot be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayLimit {
    /// This caller has used up its share of the memory.
    Caller {
        /// Requests remembered for it.
        limit: usize,
    },
    /// All memory is used.
    Total {
        /// Requests remembered.
        limit: usize,
    },
    /// The request would have to be remembered for too long.
    Ttl {
        /// The longest time to live, seconds.
        limit_secs: u64,
    },
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denied::Malformed(fault) => write!(f, "{fault}"),
            Denied::Unsigned { caller } => {
                write!(
                    f,
                    "refused an unsigned request of {}: protocol security is on",
                    Plain(caller)
                )
            }
            Denied::CallerForm { caller } => write!(
                f,
                "refused caller id {caller:?}: it is not kind=name with letters, digits, '_', '.' and '-'"
            ),
            Denied::Certificate { caller, reason } => {
                write!(
                    f,
                    "refused a request of {}: its certificate is unusable: {}",
                    Plain(caller),
                    Plain(reason)
                )
            }
            Denied::ChainTooLong { count, limit } => {
                write!(
                    f,
                    "refused a request with {count} certificates, at most {limit} are allowed"
                )
            }
            Denied::NoAuthority => f.write_str(
                "refused a request: no CA certificate is loaded, so nothing can be verified",
            ),
            Denied::UnknownIssuer { subject, issuer } => write!(
                f,
                "refused certificate {}: its issuer {} leads to no trusted CA",
                Plain(subject),
                Plain(issuer)
            ),
            Denied::Expired { subject, not_after } => {
                write!(
                    f,
                    "refused certificate {}: it expired on {}",
                    Plain(subject),
                    rfc3339(*not_after)
                )
            }
            Denied::NotYetValid { subject, not_before } => write!(
                f,
                "refused certificate {}: it is valid from {} on only",
                Plain(subject),
                rfc3339(*not_before)
            ),
            Denied::Usage { subject } => write!(
                f,
                "refused certificate {}: its extended key usage does not allow client authentication",
                Plain(subject)
            ),
            Denied::Revoked { subject } => {
                write!(f, "refused certificate {}: it was revoked", Plain(subject))
            }
            Denied::RevocationExpired { subject, next_update } => write!(
                f,
                "refused certificate {}: the revocation list expired on {}",
                Plain(subject),
                rfc3339(*next_update)
            ),
            Denied::RevocationUnknown { subject, issuer } => write!(
                f,
                "refused certificate {}: there is no revocation list of its issuer {}",
                Plain(subject),
                Plain(issuer)
            ),
            Denied::Chain { subject, reason } => {
                write!(f, "refused certificate {}: {reason}", Plain(subject))
            }
            Denied::CallerMismatch { claimed, proven } => write!(
                f,
                "refused caller {}: the certificate is for {}",
                Plain(claimed),
                if proven.is_empty() { "no name".to_owned() } else { plain_list(proven) }
            ),
            Denied::NotAllowed { name } => {
                write!(f, "refused caller {name}: it fits no pattern of the allow list")
            }
            Denied::Key { subject, reason } => {
                write!(f, "refused the key of certificate {}: {reason}", Plain(subject))
            }
            Denied::SignatureEncoding { name } => {
                write!(f, "refused a request of {name}: its signature is not valid base64")
            }
            Denied::Signature { name } => {
                let name = Plain(name);
                write!(f, "refused a request of {name}: the signature does not fit the request")
            }
            Denied::NoTrust => f.write_str(
                "refused a request: no issuer and no signer of tokens is trusted, so nothing can be verified",
            ),
            Denied::Token { caller, reason } => {
                write!(f, "refused a request of {}: {reason}", Plain(caller))
            }
            Denied::Delegation { caller, signer, reason } => write!(
                f,
                "refused a request of {} signed by {}: {reason}",
                Plain(caller),
                Plain(signer)
            ),
            Denied::NeedsSigner { caller } => write!(
                f,
                "refused a request of {}: its token demands that a signer signs it",
                Plain(caller)
            ),
            Denied::NoFleetManagement { caller } => write!(
                f,
                "refused a request of {}: its token does not allow fleet management",
                Plain(caller)
            ),
            Denied::ServerCaller { caller } => {
                write!(f, "refused a request of {}: servers make no requests", Plain(caller))
            }
            Denied::TokenMismatch { claimed, proven } => {
                write!(f, "refused caller {}: the token is for {}", Plain(claimed), Plain(proven))
            }
            Denied::NodeMismatch { claimed, proven } => write!(
                f,
                "refused registration data of {}: it was signed by {}",
                Plain(claimed),
                Plain(proven)
            ),
            Denied::ReplyHalfSigned { sender } => write!(
                f,
                "refused a reply of {}: of signature and token it has only one",
                Plain(sender)
            ),
            Denied::ReplyToken { sender, reason } => {
                write!(f, "refused a reply of {}: {reason}", Plain(sender))
            }
            Denied::ReplySender { claimed, proven } => write!(
                f,
                "refused a reply of {}: its token is for {}",
                Plain(claimed),
                Plain(proven)
            ),
            Denied::ReplySignature { sender } => {
                write!(f, "refused a reply of {}: the signature does not fit it", Plain(sender))
            }
            Denied::Replayed { caller, id } => {
                write!(
                    f,
                    "refused request {} of {}: it was handled before",
                    Plain(id),
                    Plain(caller)
                )
            }
            Denied::ReplayUnguarded { caller, reason } => {
                write!(f, "refused a request of {}: {reason}", Plain(caller))
            }
        }
    }
}

fn plain_list(names: &[String]) -> String {
    const NAMES_MAX: usize = 5;
    let shown: Vec<_> = names.iter().take(NAMES_MAX).map(|name| Plain(name).to_string()).collect();
    let more = if names.len() > NAMES_MAX { ", ..." } else { "" };
    shown.join(", ") + more
}

impl fmt::Display for ReplayLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayLimit::Caller { limit } => {
                write!(
                    f,
                    "{limit} of its requests are still valid, no more can be guarded against replay"
                )
            }
            ReplayLimit::Total { limit } => {
                write!(f, "{limit} requests are still valid, no more can be guarded against replay")
            }
            ReplayLimit::Ttl { limit_secs } => {
                write!(
                    f,
                    "its time to live is above {limit_secs} seconds, too long to guard against replay"
                )
            }
        }
    }
}

impl std::error::Error for Denied {}

impl From<Fault> for Denied {
    fn from(fault: Fault) -> Self {
        Denied::Malformed(fault)
    }
}
