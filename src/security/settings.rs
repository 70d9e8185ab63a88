//! What a provider is made from.

use std::path::PathBuf;

use super::login::{Holder, TokenFiles};
use super::setup::What;
use crate::tokens::Trust;

/// Where the files of a provider come from; decides the words of set-up errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Under the Puppet SSL directory, `plugin.choria.ssldir`.
    Puppet,
    /// Named one by one, `plugin.security.file.*`.
    File,
    /// Tokens instead of certificates, `plugin.security.choria.*`: protocol v2. Certificate and key are for TLS only,
    /// and nobody but a broker needs them.
    Choria,
    /// Made at the start by cert-manager, under `plugin.choria.ssldir`.
    CertManager,
}

/// Settings of a [`super::Provider`], resolved from the configuration and the environment.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The kind of provider.
    pub kind: Kind,
    /// Name of this process: the `<name>` of its caller id `choria=<name>`.
    pub identity: String,
    /// PEM certificate, the own one first, intermediates after it.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
    /// PEM certificates of the trusted authorities.
    pub ca: PathBuf,
    /// PEM lists of revoked certificates; empty when nobody looks at such lists.
    pub crl: PathBuf,
    /// Patterns of callers that may make requests; empty means nobody but privileged ones.
    pub allow_list: Vec<String>,
    /// Patterns of certificate names that may make requests as any caller.
    pub privileged_users: Vec<String>,
    /// Go names of TLS 1.2 cipher suites; empty means all secure ones.
    pub cipher_suites: Vec<String>,
    /// Go names of curves in order of preference; empty means all.
    pub ecc_curves: Vec<String>,
    /// Accept server certificates that have a common name only. Always so for [`Kind::Puppet`].
    pub support_legacy_certificates: bool,
    /// Verify TLS peers.
    pub verify_tls: bool,
    /// Sign and verify requests. When off, requests carry the word `insecure` and are believed.
    pub security_on: bool,
    /// Connections use TLS: certificate, key and CA must be there.
    pub tls: bool,
    /// Connect over TLS without showing a certificate and without verifying the broker's; log in with the token.
    /// Requests are verified all the same.
    pub anonymous_tls: bool,
    /// The token of this process, and the key that belongs to it.
    pub token: Option<TokenFiles>,
    /// Whose tokens are believed. None for clients that were not told; nothing is verified with it but replies then.
    pub trust: Option<Trust>,
    /// Sign replies, in protocol v2.
    pub sign_replies: bool,
    /// Refuse requests that a signer signed for another caller than that of the token beside them, in protocol v2.
    pub signed_caller_is_holder: bool,
}

impl Settings {
    /// Callers that may make requests by default.
    pub const ALLOW_LIST: [&str; 2] = [r"\.mcollective$", r"\.choria$"];
    /// Privileged certificate names by default. The second dot of each is a wildcard, as at the
    /// reference.
    pub const PRIVILEGED_USERS: [&str; 2] = [r"\.privileged.mcollective$", r"\.privileged.choria$"];

    /// Settings with everything secure, the default patterns and no files.
    pub fn new(kind: Kind, identity: &str) -> Self {
        let owned = |list: [&str; 2]| list.map(str::to_owned).to_vec();
        Settings {
            kind,
            identity: identity.to_owned(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            ca: PathBuf::new(),
            crl: PathBuf::new(),
            allow_list: owned(Self::ALLOW_LIST),
            privileged_users: owned(Self::PRIVILEGED_USERS),
            cipher_suites: Vec::new(),
            ecc_curves: Vec::new(),
            support_legacy_certificates: false,
            verify_tls: true,
            security_on: true,
            tls: true,
            anonymous_tls: false,
            token: None,
            trust: None,
            sign_replies: true,
            signed_caller_is_holder: false,
        }
    }

    /// Whether a file has to be there at the start.
    pub(super) fn needs(&self, what: What) -> bool {
        let is_named = !what.path(self).as_os_str().is_empty();
        match (self.kind, what) {
            (Kind::Choria, What::Certificate | What::Key) => {
                // One is of no use without the other.
                let both = [&self.certificate, &self.key];
                both.iter().any(|path| !path.as_os_str().is_empty())
            }
            // Who connects needs a CA, brokers do not: see `Provider::client_tls`.
            (Kind::Choria, _) => is_named,
            // Requests are verified with it.
            (_, What::Ca) if self.anonymous_tls => !self.is_client(),
            _ if self.anonymous_tls => false,
            _ => self.tls,
        }
    }

    fn is_client(&self) -> bool {
        self.token.as_ref().is_some_and(|files| files.holder == Holder::Client)
    }

    pub(super) fn allows_legacy_certificates(&self) -> bool {
        self.support_legacy_certificates || self.kind == Kind::Puppet
    }
}
