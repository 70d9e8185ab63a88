//! What is questionable about the own certificate. A daemon says so at its start, because otherwise
//! only its peers notice, and their logs are elsewhere.

use std::fmt;
use std::time::SystemTime;

use super::Denied;
use super::authority::{Authority, Presented};
use crate::util::time::rfc3339;

/// What a certificate is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Connecting to a broker.
    Client,
    /// Being connected to, under the name of this process.
    Server,
}

/// Something that peers may hold against the own certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The CA that is configured here would refuse it.
    Refused(Denied),
    /// It is for other names than that of the process.
    Name {
        /// The name of the process.
        identity: String,
        /// The names in the certificate.
        names: Vec<String>,
    },
    /// It has no alternative names, and TLS looks at nothing else.
    NoAlternativeNames,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Refused(Denied::UnknownIssuer { issuer, .. }) => {
                write!(f, "it was issued by {issuer:?}, not by the configured CA, so peers with the configured CA will refuse it")
            }
            Doubt::Refused(Denied::Expired { not_after, .. }) => {
                write!(f, "it expired on {}, peers will refuse it", rfc3339(*not_after))
            }
            Doubt::Refused(Denied::NotYetValid { not_before, .. }) => {
                write!(f, "it is valid from {} on only, peers will refuse it", rfc3339(*not_before))
            }
            Doubt::Refused(denied) => write!(f, "peers will refuse it: {denied}"),
            Doubt::Name { identity, names } => write!(
                f,
                "it is for {}, not for the identity {identity}",
                names.join(", ")
            ),
            Doubt::NoAlternativeNames => f.write_str(
                "it has no subject alternative names; clients will refuse it, whatever name they connect to",
            ),
        }
    }
}

/// The doubts about this certificate of a process of this name.
pub(super) fn of(
    own: &Presented,
    authority: Option<&Authority>,
    usage: Use,
    identity: &str,
    now: SystemTime,
) -> Vec<Doubt> {
    let key_usage = match usage {
        Use::Client => webpki::KeyUsage::client_auth(),
        Use::Server => webpki::KeyUsage::server_auth(),
    };
    let refused = authority.and_then(|authority| authority.verify_for(own, key_usage, now).err());
    let named = match usage {
        Use::Client => own
            .names()
            .iter()
            .any(|name| name == identity)
            .then_some(())
            .ok_or_else(|| Doubt::Name { identity: identity.to_owned(), names: own.names() }),
        Use::Server => server_name(own, identity),
    };
    refused.map(Doubt::Refused).into_iter().chain(named.err()).collect()
}

/// Whether clients that connect to `identity` find it in the certificate. IP addresses are not
/// looked at: who names a process by its address knows what to put into the certificate.
fn server_name(own: &Presented, identity: &str) -> Result<(), Doubt> {
    if !own.leaf.has_alternative_names() {
        return Err(Doubt::NoAlternativeNames);
    }
    let fits = |name: &String| match name.strip_prefix("*.") {
        Some(domain) => {
            identity.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain))
        }
        None => name.eq_ignore_ascii_case(identity),
    };
    let names = own.leaf.dns_names();
    if names.is_empty() || names.iter().any(fits) {
        return Ok(());
    }
    Err(Doubt::Name { identity: identity.to_owned(), names: names.to_vec() })
}
