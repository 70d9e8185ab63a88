//! What a process proves itself with: tokens, their seeds, and who signs in its place.

use std::path::PathBuf;

use crate::config::store::Store;

/// Keys about the own token and the `choria` provider.
#[derive(Debug, Clone)]
pub struct Logins {
    /// The `choria` provider's certificate; optional.
    pub certificate: Option<PathBuf>,
    /// The `choria` provider's key; optional.
    pub key: Option<PathBuf>,
    /// The `choria` provider's CA.
    pub ca: Option<PathBuf>,
    /// The `choria` provider's token.
    pub token: Option<PathBuf>,
    /// The seed of that token's key.
    pub seed: Option<PathBuf>,
    /// Sign replies.
    pub sign_replies: bool,
    /// Requests that a signer signed name the caller of the token beside them.
    pub signed_caller_is_holder: bool,
    /// Servers connect without a certificate, with a token.
    pub server_anonymous: bool,
    /// The token for that.
    pub server_token: Option<PathBuf>,
    /// The seed of that token's key.
    pub server_seed: Option<PathBuf>,
    /// Clients connect without a certificate, with a token.
    pub client_anonymous: bool,
    /// The token for that, and for remote signers.
    pub signer_token: Option<PathBuf>,
    /// The seed of that token's key.
    pub signer_seed: Option<PathBuf>,
    /// The web service that signs requests.
    pub signer_url: String,
    /// The authorities of the web services, when they are others.
    pub signer_ca: Option<PathBuf>,
    /// Where a person logs in.
    pub login_urls: Vec<String>,
    /// A Choria service signs requests.
    pub signer_service: bool,
}

impl Logins {
    pub(super) fn from(store: &Store) -> Self {
        let provider = |key: &str| store.path(&format!("plugin.security.choria.{key}"));
        let choria = |key: &str| store.path(&format!("plugin.choria.security.{key}"));
        Self {
            certificate: provider("certificate"),
            key: provider("key"),
            ca: provider("ca"),
            token: provider("token_file"),
            seed: provider("seed_file"),
            sign_replies: store.flag("plugin.security.choria.sign_replies"),
            signed_caller_is_holder: store.flag("plugin.security.choria.signed_caller_is_holder"),
            server_anonymous: store.flag("plugin.security.server_anon_tls"),
            server_token: choria("server.token_file"),
            server_seed: choria("server.seed_file"),
            client_anonymous: store.flag("plugin.security.client_anon_tls"),
            signer_token: choria("request_signer.token_file"),
            signer_seed: choria("request_signer.seed_file"),
            signer_ca: choria("request_signer.ca"),
            login_urls: store.list("plugin.login.aaasvc.login.url"),
            signer_url: store.text("plugin.choria.security.request_signer.url"),
            signer_service: store.flag("plugin.choria.security.request_signer.service"),
        }
    }

    /// The seed of the signer's token: the configured one, else the token's path with the extension `key`.
    pub fn signer_seed_or_default(&self) -> Option<PathBuf> {
        let beside = || self.signer_token.as_ref().map(|token| token.with_extension("key"));
        self.signer_seed.clone().or_else(beside)
    }
}
