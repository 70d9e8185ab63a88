//! The last publish permission that was found: a publisher often stays with a subject.

use super::rules::Rules;

/// What one event loop remembers.
#[derive(Debug, Default)]
pub(in crate::broker) struct Memo {
    /// Id of the rules; 0 for none.
    rules: u32,
    subject: Vec<u8>,
}

impl Memo {
    /// Whether rules allow to publish on a subject. Only what is allowed is remembered.
    #[inline]
    pub fn may_publish(&mut self, rules: &Rules, subject: &[u8]) -> bool {
        (self.rules == rules.id && *self.subject == *subject) || self.look_up(rules, subject)
    }

    fn look_up(&mut self, rules: &Rules, subject: &[u8]) -> bool {
        let is_allowed = rules.may_publish(subject);
        if is_allowed {
            self.rules = rules.id;
            self.subject.clear();
            self.subject.extend_from_slice(subject);
        }
        is_allowed
    }
}
