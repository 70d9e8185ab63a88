//! The token that let a connection in, as far as it matters later.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Attempt, PROVISIONER};
use crate::broker::access::Login;
use crate::broker::permissions::Permissions;
use crate::tokens::{Common, Key};
use crate::util::secret::Secret;
use crate::util::time;

/// An accepted token. Its text is not kept, for tens of thousands of connections have one.
#[derive(Debug)]
pub(in crate::broker) struct Pass {
    /// Caller id or identity.
    name: Box<str>,
    pub role: Role,
    /// When the connection ends, in milliseconds of the broker.
    pub expires_ms: Option<u64>,
    pub organization: Box<str>,
    /// The key that it was verified with.
    pub anchor: Key,
    /// What it may be revoked by.
    pub common: Box<Common>,
    /// What its claims grant.
    pub rights: Permissions,
}

/// What a token was accepted as.
#[derive(Debug, Clone)]
pub(in crate::broker) enum Role {
    Client,
    Server,
    /// A server that waits for its identity.
    Unprovisioned,
    /// Together with the password of the system user.
    System(Arc<Login>),
    /// Together with the password of the provisioner.
    Provisioner(Arc<Secret<String>>),
}

/// What is known of a token that was verified.
pub(in crate::broker) struct Proven<'p> {
    pub name: &'p str,
    pub organization: &'p str,
    pub anchor: &'p Key,
    pub common: &'p Common,
}

impl Pass {
    pub fn new(
        proven: &Proven<'_>,
        role: Role,
        rights: Permissions,
        attempt: &Attempt<'_>,
    ) -> Pass {
        let end = proven.common.effective_expiry();
        let mut common = Box::new(proven.common.clone());
        // The chain was verified, and is long.
        common.trust_chain = String::new();
        common.purpose = String::new();
        Pass {
            name: proven.name.into(),
            role,
            expires_ms: end.map(|end| attempt.now_ms.saturating_add(until(end, attempt.now))),
            organization: proven.organization.into(),
            anchor: proven.anchor.clone(),
            common,
            rights,
        }
    }

    /// The name of the user, as reports have it.
    pub fn user(&self) -> &str {
        match &self.role {
            Role::System(login) => &login.user,
            Role::Provisioner(_) => PROVISIONER,
            Role::Client | Role::Server | Role::Unprovisioned => &self.name,
        }
    }
}

/// Milliseconds from now to a second since 1970.
fn until(end: i64, now: SystemTime) -> u64 {
    let wait = time::from_unix(end).duration_since(now).unwrap_or(Duration::ZERO);
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}
