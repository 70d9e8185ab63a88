//! Whom a connection to a broker trusts and how it logs in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::crypto::mac::Hash;
use crate::util::secret::Secret;

/// How a user proves who he is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// `PLAIN`: the password itself, inside TLS.
    Plain,
    /// `SCRAM-SHA-256` or `SCRAM-SHA-512`: neither side shows the password, and the broker proves that it knows it.
    Scram(Hash),
}

impl Mechanism {
    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Scram(Hash::Sha256) => "SCRAM-SHA-256",
            Mechanism::Scram(Hash::Sha512) => "SCRAM-SHA-512",
        }
    }
}

/// A login.
#[derive(Debug, Clone)]
pub struct Sasl {
    /// How.
    pub mechanism: Mechanism,
    /// Who.
    pub user: String,
    /// The password.
    pub password: Secret<String>,
}

/// How every broker of a cluster is spoken to.
#[derive(Clone)]
pub struct Access {
    /// TLS; none sends everything in clear.
    pub tls: Option<Arc<ClientConfig>>,
    /// The login; none for brokers that ask for none, or for the certificate only.
    pub sasl: Option<Sasl>,
    /// What this client calls itself in the logs of brokers.
    pub client_id: String,
    /// How long anything may take.
    pub timeout: Duration,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("tls", &self.tls.is_some())
            .field("sasl", &self.sasl)
            .field("client_id", &self.client_id)
            .field("timeout", &self.timeout)
            .finish()
    }
}
