//! What a connection may publish and subscribe to (nats-server `server/client.go`).
//!
//! Connections of one role share their [`Rules`]. Those with full rights check nothing but the names that the broker
//! keeps for itself.

mod list;
mod memo;
mod replies;
mod rules;
mod violation;

use std::sync::Arc;
use std::time::Instant;

pub use list::BadEntry;
pub(super) use list::List;
pub(super) use memo::Memo;
pub(super) use replies::Replies;
pub use rules::BadRules;
pub(super) use rules::Rules;
pub(super) use violation::Violation;

use super::access::PermissionRules;
use super::terms::Terms;

/// The rights of a connection.
#[derive(Debug, Clone)]
pub(super) enum Permissions {
    /// Everything but reserved names.
    Full,
    /// Everything, some reserved names included: the system account.
    System,
    /// What the rules of its role allow.
    Limited(Arc<Rules>),
    /// The same, and answers to what it was asked.
    Answering(Arc<Replies>),
}

const RESERVED_SUBJECTS: [&[u8]; 2] = [b"_GR_.", b"$NRG."];
/// What the system account may not publish on either.
const RESERVED_SUBJECTS_OF_SYSTEM: [&[u8]; 1] = [b"_GR_."];
const RESERVED_REPLIES: [&[u8]; 3] = [b"_R_.", b"$JS.ACK.", b"_GR_."];
const RESERVED_QUEUE: &[u8] = b"_sys_";

impl Permissions {
    /// The rights that rules give; rules that limit nothing give all.
    pub fn new(source: &PermissionRules) -> Result<Permissions, BadRules> {
        if *source == PermissionRules::default() {
            return Ok(Permissions::Full);
        }
        Ok(Permissions::Limited(Arc::new(Rules::new(source)?)))
    }

    /// The same rights for one more connection, which keeps its own account of what it may answer.
    pub fn for_connection(&self) -> Permissions {
        match self.rules() {
            Some(rules) if rules.responses.is_some() => {
                Permissions::Answering(Arc::new(Replies::new(rules.clone())))
            }
            _ => self.clone(),
        }
    }

    /// Whether these are the same rights.
    pub fn is_like(&self, other: &Permissions) -> bool {
        match (self, other) {
            (Permissions::Full, Permissions::Full) => true,
            (Permissions::System, Permissions::System) => true,
            _ => match (self.rules(), other.rules()) {
                (Some(ours), Some(theirs)) => ours.is_like(theirs),
                _ => false,
            },
        }
    }

    /// The rules, when there are any.
    pub fn rules(&self) -> Option<&Arc<Rules>> {
        match self {
            Permissions::Limited(rules) => Some(rules),
            Permissions::Answering(replies) => Some(replies.rules()),
            Permissions::Full | Permissions::System => None,
        }
    }

    /// Whether a message may go to `subject` and ask for answers at `reply`. An answer to a request is used up by it.
    #[inline]
    pub fn publish<'v>(
        &self,
        subject: &'v [u8],
        reply: Option<&'v [u8]>,
        memo: &mut Memo,
    ) -> Result<(), Violation<'v>> {
        if matches!(subject.first(), Some(b'_' | b'$')) && self.is_reserved(subject) {
            return Err(Violation::Publish { subject });
        }
        let is_allowed = match self {
            Permissions::Full | Permissions::System => true,
            Permissions::Limited(rules) => memo.may_publish(rules, subject),
            Permissions::Answering(replies) => {
                memo.may_publish(replies.rules(), subject) || replies.take(subject, Instant::now())
            }
        };
        if !is_allowed {
            return Err(Violation::Publish { subject });
        }
        match reply {
            Some(reply) if starts_with_one(reply, &RESERVED_REPLIES) => {
                Err(Violation::Reply { reply })
            }
            _ => Ok(()),
        }
    }

    fn is_reserved(&self, subject: &[u8]) -> bool {
        match self {
            Permissions::System => starts_with_one(subject, &RESERVED_SUBJECTS_OF_SYSTEM),
            _ => starts_with_one(subject, &RESERVED_SUBJECTS),
        }
    }

    /// Whether `subject` may be subscribed to.
    pub fn subscribe<'v>(
        &self,
        subject: &'v [u8],
        queue: Option<&'v [u8]>,
    ) -> Result<(), Violation<'v>> {
        let is_allowed = queue.is_none_or(|queue| queue != RESERVED_QUEUE)
            && self.rules().is_none_or(|rules| rules.may_subscribe(subject, queue));
        if is_allowed { Ok(()) } else { Err(Violation::Subscribe { subject, queue }) }
    }

    /// What holds for a subscription that is allowed.
    pub fn terms(&self, subject: &[u8], queue: Option<&[u8]>) -> Option<Terms> {
        let denied = self.rules()?.filter(subject, queue);
        let replies = match self {
            Permissions::Answering(replies) => Some(replies.clone()),
            _ => None,
        };
        let has_terms = denied.is_some() || replies.is_some();
        has_terms.then(|| Terms { denied, replies, ..Terms::default() })
    }
}

#[inline]
fn starts_with_one(subject: &[u8], prefixes: &[&[u8]]) -> bool {
    matches!(subject.first(), Some(b'_' | b'$'))
        && prefixes.iter().any(|prefix| subject.starts_with(prefix))
}

#[cfg(test)]
mod tests;
