//! The rules of one role: what connections that share them may publish and subscribe to.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::list::{BadEntry, List};
use crate::broker::access::{AllowResponses, PermissionRules, SubjectRules};
use crate::util::duration::{self, DurationError};

/// What limits a role. Shared by all its connections.
#[derive(Debug)]
pub(in crate::broker) struct Rules {
    /// Unique since the process started, so that results of checks can be kept by it.
    pub id: u32,
    publish: Subjects,
    subscribe: Subjects,
    /// Denied subjects without a queue, for subscriptions that are broader than some of them.
    denied: Arc<List>,
    /// Subscriptions in a queue may be denied more than others.
    denies_queues: bool,
    /// Requests may be answered.
    pub responses: Option<Responses>,
}

/// What is allowed and what is not.
#[derive(Debug, PartialEq, Eq)]
struct Subjects {
    /// Everything, when there is no list.
    allow: Option<List>,
    deny: List,
}

/// How often and how long a request may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) struct Responses {
    /// Any number without it.
    pub max: Option<u64>,
    /// At any time without it.
    pub expires: Option<Duration>,
}

/// Permissions that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadRules {
    /// An entry that is not a subject.
    Entry(BadEntry),
    /// `allow_responses.max` is 0.
    NoResponses,
    /// `allow_responses.expires` is neither a duration nor `never`.
    Expires {
        /// What it is.
        text: String,
        /// Why it is no duration.
        source: DurationError,
    },
}

impl fmt::Display for BadRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadRules::Entry(entry) => write!(f, "{entry}"),
            BadRules::NoResponses => f.write_str("allow_responses.max has to be 1 or more, or -1"),
            BadRules::Expires { text, source } => {
                write!(f, "allow_responses.expires {text:?}: {source}")
            }
        }
    }
}

impl std::error::Error for BadRules {}

impl From<BadEntry> for BadRules {
    fn from(entry: BadEntry) -> Self {
        BadRules::Entry(entry)
    }
}

impl Subjects {
    fn publish(rules: &SubjectRules, may_answer: bool) -> Result<Subjects, BadEntry> {
        let allow = rules.allow.as_deref().map(List::subjects).transpose()?;
        // Whoever may answer may do nothing else unless that is said.
        let allow = allow.or_else(|| may_answer.then(List::default));
        Ok(Subjects { allow, deny: List::subjects(&rules.deny)? })
    }

    fn subscribe(rules: &SubjectRules) -> Result<Subjects, BadEntry> {
        let allow = rules.allow.as_deref().map(List::subscriptions).transpose()?;
        Ok(Subjects { allow, deny: List::subscriptions(&rules.deny)? })
    }

    fn rules(&self) -> SubjectRules {
        SubjectRules { allow: self.allow.as_ref().map(List::texts), deny: self.deny.texts() }
    }
}

impl Responses {
    fn from(source: &AllowResponses) -> Result<Responses, BadRules> {
        if source.max == 0 {
            return Err(BadRules::NoResponses);
        }
        let text = &source.expires;
        let expires = match text.as_str() {
            "never" => None,
            text => Some(
                duration::parse(text)
                    .map_err(|source| BadRules::Expires { text: text.to_owned(), source })?,
            ),
        };
        Ok(Responses { max: u64::try_from(source.max).ok(), expires })
    }
}

impl Rules {
    pub fn new(source: &PermissionRules) -> Result<Rules, BadRules> {
        static LAST_ID: AtomicU32 = AtomicU32::new(0);
        let responses = source.allow_responses.as_ref().map(Responses::from).transpose()?;
        let subscribe = Subjects::subscribe(&source.subscribe)?;
        let denied = subscribe.deny.without_queues();
        Ok(Rules {
            id: LAST_ID.fetch_add(1, Ordering::Relaxed) + 1,
            publish: Subjects::publish(&source.publish, responses.is_some())?,
            denies_queues: denied != subscribe.deny,
            denied: Arc::new(denied),
            subscribe,
            responses,
        })
    }

    /// Whether the same is allowed.
    pub fn is_like(&self, other: &Rules) -> bool {
        self.publish == other.publish
            && self.subscribe == other.subscribe
            && self.responses == other.responses
    }

    /// What may be published on, in the form of a file. Made when asked for: many connections have rules of their own.
    pub fn publish(&self) -> SubjectRules {
        self.publish.rules()
    }

    /// What may be subscribed to, in the form of a file.
    pub fn subscribe(&self) -> SubjectRules {
        self.subscribe.rules()
    }

    /// Whether messages may be published on a subject.
    pub fn may_publish(&self, subject: &[u8]) -> bool {
        let Subjects { allow, deny } = &self.publish;
        allow.as_ref().is_none_or(|allow| allow.has(subject)) && !deny.has(subject)
    }

    /// Whether a subject may be subscribed to. One that is broader than what is denied may, see [`Rules::filter`].
    pub fn may_subscribe(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        let Subjects { allow, deny } = &self.subscribe;
        let is_allowed = allow.as_ref().is_none_or(|allow| {
            let cover = allow.cover(subject, queue);
            match queue {
                // An entry with a queue says which ones are allowed; without any all are.
                Some(_) if cover.any_queue => cover.queue,
                _ => cover.plain,
            }
        });
        let denied = deny.cover(subject, queue);
        is_allowed && !denied.plain && !denied.queue
    }

    /// What must not be delivered to a subscription although its subject matches; nothing when all of it may be.
    pub fn filter(&self, subject: &[u8], queue: Option<&[u8]>) -> Option<Arc<List>> {
        self.subscribe.deny.within(subject, queue).next()?;
        if queue.is_none() || !self.denies_queues {
            return Some(self.denied.clone());
        }
        Some(Arc::new(self.subscribe.deny.narrowed(subject, queue)))
    }
}
