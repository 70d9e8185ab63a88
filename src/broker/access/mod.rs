//! Who comes in and what they may do, as an operator says it.
//!
//! This is configuration: what stands in keys and files, checked. [`super::login`] decides by it.

mod choria;
mod network;
mod rules;
mod tokens;
mod users;

pub(super) use choria::REQUESTS;
pub use network::{BadNetwork, Network};
pub use rules::{AllowResponses, PermissionRules, SubjectRules};
pub use tokens::{TokenAccess, TokenTrust};
pub use users::{
    AccountEntry, BadUsers, CertificateRule, ConnectionType, UserEntry, UserList, Violations,
};

pub use super::permissions::{BadEntry, BadRules};
use crate::crypto::ed25519::PublicKey;
use crate::util::secret::Secret;

/// Who may come in. By default everybody with a verified certificate, without limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Name of the account that the broker speaks about itself in.
    pub system_account: String,
    /// The user of that account.
    pub system_user: Option<Login>,
    /// Servers without an identity are kept apart, and somebody gives them one.
    pub provisioning: Option<Provisioning>,
    /// Those who come for a certificate reach the authority that issues it.
    pub enrollment: Option<Enrollment>,
    /// What everybody gets who shows a verified certificate and nothing else.
    pub certificates: Certificates,
    /// Users that are known by name or token.
    pub users: UserList,
    /// Whose signed tokens let connections in.
    pub tokens: TokenAccess,
}

/// A user name with its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Name in CONNECT.
    pub user: String,
    /// Password in CONNECT.
    pub password: Secret<String>,
}

/// The account of servers that wait for an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioning {
    /// Its name.
    pub account: String,
    /// Password of the user `provisioner`, who gives servers their identity.
    pub password: Secret<String>,
}

/// The account of connections that come for their first certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrollment {
    /// Its name.
    pub account: String,
    /// The key that join tokens are verified with.
    pub key: PublicKey,
}

/// What a verified certificate gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Certificates {
    /// Everything.
    #[default]
    Unlimited,
    /// Everything at some addresses, the rights of a server at all others.
    ByAddress {
        /// Where clients are.
        clients: Vec<Network>,
        /// What servers may do.
        servers: PermissionRules,
    },
    /// The same rules for everybody.
    Limited(PermissionRules),
    /// Nothing: a token is needed.
    Refused,
}

impl Default for Access {
    fn default() -> Self {
        Access {
            system_account: "system".to_owned(),
            system_user: None,
            provisioning: None,
            enrollment: None,
            certificates: Certificates::default(),
            users: UserList::default(),
            tokens: TokenAccess::default(),
        }
    }
}
