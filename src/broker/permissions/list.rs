//! Lists of subjects, as permissions have them: some with a queue pattern.

use std::fmt;

use crate::nats::subject::{covers, has_wildcard, matches, overlaps, valid_subscribe};

/// Entries of one list. Lists are searched one by one.
pub(super) const ENTRIES_MAX: usize = 4096;

/// Subjects with wildcards, some with a queue pattern.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::broker) struct List {
    entries: Box<[Entry]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    subject: Box<[u8]>,
    queue: Option<Box<[u8]>>,
    is_wild: bool,
}

/// Which entries of a list cover all that a subscription asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) struct Cover {
    /// One without a queue.
    pub plain: bool,
    /// One with a queue, whichever that is.
    pub any_queue: bool,
    /// One with the queue of the subscription.
    pub queue: bool,
}

/// An entry that is not a subject, or a list that is too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadEntry {
    /// Not a subject, or one and a queue pattern where only a subject may stand.
    NotASubject(String),
    /// More entries than a list may have.
    TooMany(usize),
}

impl fmt::Display for BadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadEntry::NotASubject(text) => write!(f, "{text:?} is not a subject"),
            BadEntry::TooMany(count) => {
                write!(f, "{count} subjects are more than the {ENTRIES_MAX} of a list")
            }
        }
    }
}

impl std::error::Error for BadEntry {}

impl List {
    /// Subjects alone.
    pub fn subjects(texts: &[String]) -> Result<List, BadEntry> {
        List::parse(texts, false)
    }

    /// Subjects that may have a queue pattern behind a blank.
    pub fn subscriptions(texts: &[String]) -> Result<List, BadEntry> {
        List::parse(texts, true)
    }

    fn parse(texts: &[String], with_queues: bool) -> Result<List, BadEntry> {
        if texts.len() > ENTRIES_MAX {
            return Err(BadEntry::TooMany(texts.len()));
        }
        let entries = texts.iter().map(|text| {
            let bad = || BadEntry::NotASubject(text.clone());
            let mut words = text.split_ascii_whitespace();
            let (subject, queue) = (words.next().ok_or_else(bad)?, words.next());
            let queue_is_fine = queue.is_none_or(|queue| with_queues && is_subject(queue));
            if !is_subject(subject) || !queue_is_fine || words.next().is_some() {
                return Err(bad());
            }
            Ok(Entry {
                subject: subject.as_bytes().into(),
                queue: queue.map(|queue| queue.as_bytes().into()),
                is_wild: has_wildcard(subject.as_bytes()),
            })
        });
        Ok(List { entries: entries.collect::<Result<_, _>>()? })
    }

    /// The entries as they stand in a file.
    pub fn texts(&self) -> Vec<String> {
        let text = |entry: &Entry| {
            let mut text = String::from_utf8_lossy(&entry.subject).into_owned();
            if let Some(queue) = &entry.queue {
                text.push(' ');
                text.push_str(&String::from_utf8_lossy(queue));
            }
            text
        };
        self.entries.iter().map(text).collect()
    }

    /// The entries that have no queue pattern.
    pub fn without_queues(&self) -> List {
        let plain = self.entries.iter().filter(|entry| entry.queue.is_none());
        List { entries: plain.cloned().collect() }
    }

    /// The entries that may match some message of a subscription, without their queue patterns.
    pub fn narrowed(&self, subject: &[u8], queue: Option<&[u8]>) -> List {
        let entry = |subject: &[u8]| Entry {
            subject: subject.into(),
            queue: None,
            is_wild: has_wildcard(subject),
        };
        List { entries: self.within(subject, queue).map(entry).collect() }
    }

    /// Whether a message on `subject` is on a subject of the list.
    pub fn has(&self, subject: &[u8]) -> bool {
        self.entries.iter().any(|entry| match entry.is_wild {
            true => matches(&entry.subject, subject),
            false => *entry.subject == *subject,
        })
    }

    /// What the entries say that hold every subject of a subscription.
    pub fn cover(&self, subject: &[u8], queue: Option<&[u8]>) -> Cover {
        let mut cover = Cover { plain: false, any_queue: false, queue: false };
        for entry in self.entries.iter().filter(|entry| covers(&entry.subject, subject)) {
            match &entry.queue {
                None => cover.plain = true,
                Some(pattern) => {
                    cover.any_queue = true;
                    cover.queue |= queue.is_some_and(|queue| fits(pattern, queue));
                }
            }
        }
        cover
    }

    /// The subjects of entries that may match some message of a subscription.
    pub fn within(&self, subject: &[u8], queue: Option<&[u8]>) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().filter_map(move |entry| {
            let is_meant = match (&entry.queue, queue) {
                (None, _) => true,
                (Some(pattern), Some(queue)) => fits(pattern, queue),
                (Some(_), None) => false,
            };
            (is_meant && overlaps(&entry.subject, subject)).then_some(&*entry.subject)
        })
    }
}

/// Whether a queue name fits a pattern. A name that looks like a pattern is one as well.
fn fits(pattern: &[u8], queue: &[u8]) -> bool {
    pattern == queue || covers(pattern, queue)
}

fn is_subject(text: &str) -> bool {
    valid_subscribe(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> List {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        List::subscriptions(&texts).expect("subjects")
    }

    #[test]
    fn entries_are_checked() {
        for (text, with_queues, expected) in [
            ("a.b", false, true),
            ("a.>", true, true),
            ("a q", true, true),
            ("a  q.*", true, true),
            ("a q", false, false),
            ("a q r", true, false),
            ("", true, false),
            ("a..b", true, false),
            (">.a", true, false),
            ("a q..", true, false),
        ] {
            let result = List::parse(&[text.to_owned()], with_queues);
            assert_eq!(result.is_ok(), expected, "{text:?}");
        }
        let many = vec!["a".to_owned(); ENTRIES_MAX + 1];
        assert_eq!(List::subjects(&many), Err(BadEntry::TooMany(ENTRIES_MAX + 1)));
    }

    #[test]
    fn entries_are_told_as_they_stand_in_a_file() {
        let texts = ["a.b", "*.reply.>", "jobs prod.*"];
        assert_eq!(list(&texts).texts(), texts);
    }

    #[test]
    fn what_overlaps_a_subscription() {
        let list = list(&["foo", "a.b", "*.reply.>", "jobs prod.*"]);
        for (subject, queue, expected) in [
            ("*", None, "foo"),
            (">", None, "foo a.b *.reply.>"),
            ("x.reply.1", None, "*.reply.>"),
            ("x.*.1", None, "*.reply.>"),
            ("x.*", None, ""),
            ("a.*", None, "a.b"),
            ("*", Some("prod.1"), "foo jobs"),
            ("*", Some("dev"), "foo"),
        ] {
            let found = list.within(subject.as_bytes(), queue.map(str::as_bytes));
            let found: Vec<_> = found.map(String::from_utf8_lossy).collect();
            assert_eq!(found.join(" "), expected, "{subject} {queue:?}");
        }
    }
}
