//! Times in the record of a message's way, for `choria federate trace`.
//!
//! A client that wants them marks the first hop; whoever knows the mark adds when a message came in and how long it
//! stayed. Both stand in the middle text of a hop, which everybody else copies without looking into it, so they come
//! back through federation brokers and servers that know nothing of them. Messages without the mark carry no times.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Hop;

/// What the entry with the times begins with.
const WORD: &str = "choria_trace:";

/// When a message came somewhere, by the clock there, and how long it stayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// When it came in; whole microseconds.
    pub at: SystemTime,
    /// How long it stayed; whole microseconds.
    pub took: Duration,
}

impl Passage {
    /// The entry of a hop that says so.
    pub fn entry(self) -> String {
        let at = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("{WORD}{}+{}", at.as_micros(), self.took.as_micros())
    }

    fn of_entry(entry: &str) -> Option<Passage> {
        let (at, took) = entry.strip_prefix(WORD)?.split_once('+')?;
        let micros = |text: &str| text.parse().ok().map(Duration::from_micros);
        Some(Passage { at: UNIX_EPOCH.checked_add(micros(at)?)?, took: micros(took)? })
    }
}

/// Whether the one who sent this message wants to know times.
pub fn is_wanted(hops: &[Hop]) -> bool {
    hops.first().is_some_and(|[_, processor, _]| Processor::read(processor).passage.is_some())
}

/// The middle text of a hop: who, and what the message went through there.
pub fn processor(name: &str, entries: &[String]) -> String {
    if entries.is_empty() { name.to_owned() } else { format!("{name} ({})", entries.join(", ")) }
}

/// The middle text of a hop, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processor<'a> {
    /// Who processed the message.
    pub name: &'a str,
    /// What it went through there.
    pub entries: Vec<&'a str>,
    /// The times, when they were recorded.
    pub passage: Option<Passage>,
}

impl<'a> Processor<'a> {
    /// Takes a text apart; one of another form is a name.
    pub fn read(text: &'a str) -> Self {
        let split = text.strip_suffix(')').and_then(|text| text.split_once(" ("));
        let Some((name, list)) = split else {
            return Self { name: text, entries: Vec::new(), passage: None };
        };
        let (times, entries): (Vec<_>, Vec<_>) =
            list.split(", ").partition(|entry| entry.starts_with(WORD));
        Self { name, entries, passage: times.into_iter().find_map(Passage::of_entry) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let at = UNIX_EPOCH + Duration::from_micros(1_795_367_024_123_456);
        let passage = Passage { at, took: Duration::from_micros(231) };
        assert_eq!(passage.entry(), "choria_trace:1795367024123456+231");
        let entries = ["choria_nats_ingest:0".to_owned(), passage.entry()];
        let text = processor("fed.example.net", &entries);
        assert_eq!(
            text,
            "fed.example.net (choria_nats_ingest:0, choria_trace:1795367024123456+231)"
        );
        let read = Processor::read(&text);
        assert_eq!((read.name, read.passage), ("fed.example.net", Some(passage)));
        assert_eq!(read.entries, ["choria_nats_ingest:0"]);
        assert_eq!(processor("node1", &[]), "node1");
    }

    #[test]
    fn other_texts_are_names_or_have_no_times() {
        for (text, name, entries) in [
            ("node1", "node1", 0),
            ("", "", 0),
            ("a (b", "a (b", 0),
            ("a (b, c)", "a", 2),
            ("a (choria_trace:x+1)", "a", 0),
            ("a (choria_trace:1)", "a", 0),
            ("a (choria_trace:99999999999999999999999999+1)", "a", 0),
            ("a (choria_trace:18446744073709551615+18446744073709551615)", "a", 0),
        ] {
            let read = Processor::read(text);
            assert_eq!((read.name, read.entries.len()), (name, entries), "{text}");
            let is_time = text.contains("18446744073709551615");
            assert!(read.passage.is_none() || is_time, "{text}");
        }
    }

    #[test]
    fn only_the_first_hop_asks_for_times() {
        let hop = |processor: &str| ["a".to_owned(), processor.to_owned(), "b".to_owned()];
        let (plain, marked) = (hop("shell"), hop("shell (choria_trace:1+0)"));
        assert!(!is_wanted(&[]));
        assert!(!is_wanted(&[plain.clone(), marked.clone()]));
        assert!(is_wanted(&[marked, plain]));
    }
}
