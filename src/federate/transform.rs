//! What happens to the headers of a message on its way through. Pure; the signed data inside is not looked at.
//!
//! Headers, their names and the order of the checks are those of go-choria (`broker/federation`).

use std::fmt;

use super::target;
use crate::protocol::{Fault, Federation, Plain, Transport};

/// Why a message, or one copy of it, goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dropped {
    /// It is no transport.
    Unreadable(Fault),
    /// It carries no federation headers.
    NotFederated,
    /// A request that is to go nowhere.
    NoTargets,
    /// A request without a subject for replies, or a reply without the one a federation broker saved.
    NoReply,
    /// A request that is to go where none belongs.
    Target(String),
    /// Replies are to go where none belong.
    Reply(String),
    /// It came faster than it could be passed on.
    Overflow,
    /// The other side did not take it.
    Unsent(String),
    /// A fault of ours.
    Panic,
}

impl Dropped {
    /// Every kind, as labels of metrics.
    pub const REASONS: [&'static str; 9] = [
        "unreadable",
        "not_federated",
        "no_targets",
        "no_reply",
        "target",
        "reply",
        "overflow",
        "unsent",
        "fault",
    ];

    /// Which of [`Dropped::REASONS`] it is.
    pub fn index(&self) -> usize {
        match self {
            Dropped::Unreadable(_) => 0,
            Dropped::NotFederated => 1,
            Dropped::NoTargets => 2,
            Dropped::NoReply => 3,
            Dropped::Target(_) => 4,
            Dropped::Reply(_) => 5,
            Dropped::Overflow => 6,
            Dropped::Unsent(_) => 7,
            Dropped::Panic => 8,
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dropped::Unreadable(fault) => write!(f, "{fault}"),
            Dropped::NotFederated => f.write_str("it is not federated"),
            Dropped::NoTargets => f.write_str("it has no targets"),
            Dropped::NoReply => f.write_str("it has no subject for replies"),
            Dropped::Target(target) => write!(f, "no request may go to '{}'", Plain(target)),
            Dropped::Reply(target) => write!(f, "no reply may go to '{}'", Plain(target)),
            Dropped::Overflow => f.write_str("too many wait"),
            Dropped::Unsent(reason) => f.write_str(reason),
            Dropped::Panic => f.write_str("a fault of this program"),
        }
    }
}

/// A message that goes on.
#[derive(Debug, PartialEq, Eq)]
pub struct Onward {
    /// Where to.
    pub targets: Vec<String>,
    /// Targets that it may not go to.
    pub refused: Vec<Dropped>,
}

/// Reads what came in.
///
/// # Errors
/// When it is not a federated message.
pub fn ingest(payload: &[u8]) -> Result<Transport, Dropped> {
    let transport = Transport::decode(payload).map_err(Dropped::Unreadable)?;
    if transport.federation.is_none() {
        return Err(Dropped::NotFederated);
    }
    Ok(transport)
}

/// Turns a request of a client into one whose replies come back through `replies`, the subject of this cluster.
///
/// # Errors
/// When it has nowhere to go, or its replies have.
pub fn request(transport: &mut Transport, replies: &str) -> Result<Onward, Dropped> {
    let federation = transport.federation.as_mut().ok_or(Dropped::NotFederated)?;
    if federation.targets.is_empty() {
        return Err(Dropped::NoTargets);
    }
    let reply_to = transport.reply_to.take().unwrap_or_default();
    if reply_to.is_empty() {
        return Err(Dropped::NoReply);
    }
    if !target::is_reply(&reply_to) {
        return Err(Dropped::Reply(reply_to));
    }
    let (targets, refused): (Vec<_>, Vec<_>) =
        std::mem::take(&mut federation.targets).into_iter().partition(|to| target::is_fleet(to));
    federation.reply_to = reply_to;
    transport.reply_to = Some(replies.to_owned());
    Ok(Onward { targets, refused: refused.into_iter().map(Dropped::Target).collect() })
}

/// Turns a reply of a server into an ordinary one to the subject that the client waits on.
///
/// # Errors
/// When that is not known, or cannot be one.
pub fn reply(transport: &mut Transport) -> Result<Onward, Dropped> {
    let Federation { reply_to, .. } = transport.federation.take().ok_or(Dropped::NotFederated)?;
    if reply_to.is_empty() {
        return Err(Dropped::NoReply);
    }
    if !target::is_reply(&reply_to) {
        return Err(Dropped::Reply(reply_to));
    }
    Ok(Onward { targets: vec![reply_to], refused: Vec::new() })
}

#[cfg(test)]
mod tests;
