//! Whose tokens let connections in, as an operator says it.

use std::sync::Arc;

use super::Network;
use crate::tokens::{Key, Revoked, Trust};

/// What holds for connections that log in with a token. By default none does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenAccess {
    /// Who signs them.
    pub trust: TokenTrust,
    /// Servers stay connected and can do nothing.
    pub mutes_servers: bool,
    /// Where clients are; elsewhere their tokens make no requests. Empty is everywhere.
    pub client_hosts: Vec<Network>,
    /// Who signs the tokens of servers that wait for an identity, beside issuers.
    pub provisioning_signer: Option<Key>,
    /// The password is enough for the provisioner where issuers are trusted.
    pub provisioner_without_token: bool,
    /// Those that are not accepted any more.
    pub revoked: Arc<Revoked>,
}

/// Who signs tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TokenTrust {
    /// Nobody.
    #[default]
    Nobody,
    /// Organizations, which tokens name.
    Issuers(Trust),
    /// Keys for each kind of token.
    Signers {
        /// Of clients.
        clients: Trust,
        /// Of servers.
        servers: Trust,
    },
}
