//! What a connection may publish and subscribe to.
//!
//! Every connection is in one account and may use all of it, except for the names the broker keeps for itself
//! (nats-server `server/client.go`).

use std::fmt;

/// The rights of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permissions {
    /// Everything but reserved names.
    Full,
}

/// An attempt to use what the connection has no right to. Displayed as the text that clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation<'v> {
    Publish { subject: &'v [u8] },
    Reply { reply: &'v [u8] },
    Subscribe { subject: &'v [u8], queue: &'v [u8] },
}

impl fmt::Display for Violation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Publish { subject } => {
                write!(f, "Permissions Violation for Publish to {}", quoted(subject))
            }
            Violation::Reply { reply } => {
                write!(f, "Permissions Violation for Publish with Reply of {}", quoted(reply))
            }
            Violation::Subscribe { subject, queue } => write!(
                f,
                "Permissions Violation for Subscription to {} using queue {}",
                quoted(subject),
                quoted(queue)
            ),
        }
    }
}

/// In double quotes, with what cannot be printed escaped.
fn quoted(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}

const RESERVED_SUBJECTS: [&[u8]; 2] = [b"_GR_.", b"$NRG."];
const RESERVED_REPLIES: [&[u8]; 3] = [b"_R_.", b"$JS.ACK.", b"_GR_."];
const RESERVED_QUEUE: &[u8] = b"_sys_";

impl Permissions {
    /// Whether a message may go to `subject` and ask for answers at `reply`.
    #[inline]
    pub fn publish<'v>(
        self,
        subject: &'v [u8],
        reply: Option<&'v [u8]>,
    ) -> Result<(), Violation<'v>> {
        let Permissions::Full = self;
        if starts_with_one(subject, &RESERVED_SUBJECTS) {
            return Err(Violation::Publish { subject });
        }
        match reply {
            Some(reply) if starts_with_one(reply, &RESERVED_REPLIES) => {
                Err(Violation::Reply { reply })
            }
            _ => Ok(()),
        }
    }

    /// Whether `subject` may be subscribed to.
    pub fn subscribe<'v>(
        self,
        subject: &'v [u8],
        queue: Option<&'v [u8]>,
    ) -> Result<(), Violation<'v>> {
        let Permissions::Full = self;
        match queue {
            Some(queue) if queue == RESERVED_QUEUE => Err(Violation::Subscribe { subject, queue }),
            _ => Ok(()),
        }
    }
}

#[inline]
fn starts_with_one(subject: &[u8], prefixes: &[&[u8]]) -> bool {
    matches!(subject.first(), Some(b'_' | b'$'))
        && prefixes.iter().any(|prefix| subject.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names() {
        let publish = |subject: &str, reply: Option<&str>| {
            let result = Permissions::Full.publish(subject.as_bytes(), reply.map(str::as_bytes));
            result.map_err(|violation| violation.to_string())
        };
        assert_eq!(publish("foo", Some("_INBOX.1")), Ok(()));
        assert_eq!(publish("$JS.API.INFO", None), Ok(()));
        let text = "Permissions Violation for Publish to \"_GR_.a\"".to_owned();
        assert_eq!(publish("_GR_.a", None), Err(text));
        let text = "Permissions Violation for Publish with Reply of \"_R_.a\"".to_owned();
        assert_eq!(publish("foo", Some("_R_.a")), Err(text));
        let result = Permissions::Full.subscribe(b"a\"b", Some(b"_sys_"));
        assert_eq!(
            result.map_err(|violation| violation.to_string()),
            Err("Permissions Violation for Subscription to \"a\\\"b\" using queue \"_sys_\""
                .to_owned())
        );
    }
}
