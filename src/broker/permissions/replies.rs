//! Answers that a connection may publish because it was asked.
//!
//! Whoever delivers a request notes its reply subject here, on whatever event loop that is; the connection that answers
//! uses it up. What is allowed by rules anyway is never noted.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::rules::Rules;

/// Reply subjects of one connection; with one more the oldest is forgotten.
const REPLIES_MAX: usize = 4096;
/// Bytes of the reply subjects of one connection; a peer chooses how long they are.
const REPLIES_BYTES_MAX: usize = 1024 * 1024;

/// The reply subjects that one connection may publish on.
#[derive(Debug)]
pub(in crate::broker) struct Replies {
    rules: Arc<Rules>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_subject: HashMap<Arc<[u8]>, Grant>,
    /// In the order they were noted, some of them used up since.
    order: VecDeque<(u64, Arc<[u8]>)>,
    /// Bytes of the subjects in `order`.
    bytes: usize,
    last: u64,
}

#[derive(Debug)]
struct Grant {
    number: u64,
    left: Option<u64>,
    until: Option<Instant>,
}

impl Replies {
    /// For a connection with these rules. Unless they allow answers, nothing is ever noted.
    pub fn new(rules: Arc<Rules>) -> Replies {
        Replies { rules, open: Mutex::default() }
    }

    /// The rules of the connection.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request was delivered that asks for answers at `reply`.
    pub fn note(&self, reply: &[u8], now: Instant) {
        let Some(limits) = self.rules.responses else { return };
        if self.rules.may_publish(reply) {
            return;
        }
        let mut open = self.open();
        let open = &mut *open;
        open.last += 1;
        let reply: Arc<[u8]> = reply.into();
        let until = limits.expires.and_then(|time| now.checked_add(time));
        let grant = Grant { number: open.last, left: limits.max, until };
        open.by_subject.insert(reply.clone(), grant);
        open.bytes += reply.len();
        open.order.push_back((open.last, reply));
        open.trim(now);
    }

    /// Uses up one answer at a subject; false when none is allowed.
    pub fn take(&self, subject: &[u8], now: Instant) -> bool {
        let mut open = self.open();
        let Some(grant) = open.by_subject.get_mut(subject) else { return false };
        let is_allowed = grant.until.is_none_or(|until| now < until);
        if let Some(left) = &mut grant.left {
            *left -= 1;
        }
        if !is_allowed || grant.left == Some(0) {
            open.by_subject.remove(subject);
        }
        is_allowed
    }
}

impl Open {
    /// Forgets the oldest while they are used up, too late, or too many.
    fn trim(&mut self, now: Instant) {
        while let Some((number, subject)) = self.order.front() {
            let is_over = match self.by_subject.get(subject) {
                Some(grant) if grant.number == *number => {
                    let is_late = grant.until.is_some_and(|until| until <= now);
                    let is_much = self.by_subject.len() > REPLIES_MAX;
                    let is_over = is_late || is_much || self.bytes > REPLIES_BYTES_MAX;
                    if is_over {
                        self.by_subject.remove(subject);
                    }
                    is_over
                }
                _ => true,
            };
            // Used up ones in the middle are kept for a while, but not without end.
            if !is_over && self.order.len() <= 2 * REPLIES_MAX {
                return;
            }
            if !is_over {
                self.compact();
                return;
            }
            self.bytes -= subject.len();
            self.order.pop_front();
        }
    }

    fn compact(&mut self) {
        let by_subject = &self.by_subject;
        self.order.retain(|(number, subject)| {
            by_subject.get(subject).is_some_and(|grant| grant.number == *number)
        });
        self.bytes = self.order.iter().map(|(_, subject)| subject.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::broker::access::{AllowResponses, PermissionRules, SubjectRules};

    fn replies(max: i64, expires: &str) -> Replies {
        let rules = PermissionRules {
            publish: SubjectRules { allow: Some(vec!["free.>".to_owned()]), deny: Vec::new() },
            allow_responses: Some(AllowResponses { max, expires: expires.to_owned() }),
            ..PermissionRules::default()
        };
        Replies::new(Arc::new(Rules::new(&rules).expect("rules")))
    }

    #[test]
    fn answers_are_counted_and_timed() {
        let now = Instant::now();
        let later = now + Duration::from_secs(61);
        let replies = replies(2, "1m");
        replies.note(b"r.1", now);
        assert!(!replies.take(b"r.2", now));
        assert!(
            replies.take(b"r.1", now) && replies.take(b"r.1", now) && !replies.take(b"r.1", now)
        );
        replies.note(b"r.1", now);
        assert!(!replies.take(b"r.1", later));
        replies.note(b"r.1", now);
        replies.note(b"r.1", later);
        assert!(replies.take(b"r.1", later));
        replies.note(b"free.1", now);
        assert_eq!(replies.open().by_subject.len(), 1);
    }

    #[test]
    fn without_limits() {
        let now = Instant::now();
        let replies = replies(-1, "never");
        replies.note(b"r", now);
        assert!((0..100).all(|_| replies.take(b"r", now + Duration::from_secs(1 << 30))));
    }

    #[test]
    fn memory_is_bounded() {
        let now = Instant::now();
        let replies = replies(1, "never");
        for index in 0..REPLIES_MAX * 3 {
            replies.note(format!("r.{index}").as_bytes(), now);
        }
        assert_eq!(replies.open().by_subject.len(), REPLIES_MAX);
        assert!(!replies.take(b"r.0", now));
        // One that stays open does not keep those that are used up.
        for index in 0..REPLIES_MAX * 3 {
            let reply = format!("s.{index}");
            replies.note(reply.as_bytes(), now);
            assert!(replies.take(reply.as_bytes(), now));
            assert!(replies.open().order.len() <= 2 * REPLIES_MAX + 1);
        }
        assert!(replies.open().by_subject.len() <= REPLIES_MAX);
        for _ in 0..REPLIES_MAX * 5 {
            replies.note(b"same", now);
        }
        assert!(replies.open().order.len() <= 2 * REPLIES_MAX + 1);
        let long = "x".repeat(REPLIES_BYTES_MAX / 100);
        for index in 0..1000 {
            replies.note(format!("{long}.{index}").as_bytes(), now);
            let open = replies.open();
            let sum: usize = open.order.iter().map(|(_, subject)| subject.len()).sum();
            assert!(open.bytes == sum && sum <= REPLIES_BYTES_MAX);
        }
    }
}
