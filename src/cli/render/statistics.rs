//! What is said when a request is over: how many answered, how long it took, who is missing.

use std::time::{Duration, SystemTime};

use super::columns::across;
use super::style::Style;
use crate::util::{duration, time};

/// Names of a list shown without `--verbose`.
const SHOWN: usize = 200;

/// The figures of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Id of the request, 32 hexadecimal digits.
    pub request_id: String,
    /// Nodes asked, after limits.
    pub discovered: usize,
    /// Replies received.
    pub responses: usize,
    /// Replies with status 0.
    pub ok: usize,
    /// Other replies.
    pub failed: usize,
    /// Nodes that did not answer.
    pub no_responses: Vec<String>,
    /// Senders that were not asked, or answered twice.
    pub unexpected: Vec<String>,
    /// Time spent publishing.
    pub publish: Duration,
    /// From the first publish to the end.
    pub request: Duration,
    /// Time spent on discovery.
    pub discovery: Duration,
    /// When the request started.
    pub started: SystemTime,
}

impl Statistics {
    /// The closing lines of text output.
    pub fn footer(&self, style: Style, verbose: bool) -> String {
        let mut out = if verbose { self.details(style) } else { self.sentence(style) };
        out.push_str(&list("No Responses from", &self.no_responses, verbose));
        out.push_str(&list("Unexpected Responses from", &self.unexpected, verbose));
        out
    }

    fn sentence(&self, style: Style) -> String {
        let paint = |count: usize| {
            let text = count.to_string();
            match self.responses {
                0 => style.red(&text),
                all if all == self.discovered => style.green(&text),
                _ => style.yellow(&text),
            }
        };
        let total = rounded(self.request + self.discovery);
        format!(
            "Finished processing {} / {} hosts in {total}\n",
            paint(self.responses),
            paint(self.discovered)
        )
    }

    fn details(&self, style: Style) -> String {
        let started = time::rfc3339(self.started).replace('Z', "+0000");
        let lines = [
            ("Nodes", format!("{} / {}", self.responses, self.discovered)),
            ("Pass / Fail", format!("{} / {}", self.ok, self.failed)),
            ("No Responses", self.no_responses.len().to_string()),
            ("Unexpected Responses", self.unexpected.len().to_string()),
            ("Start Time", started),
            ("Discovery Time", duration::go(self.discovery)),
            ("Publish Time", duration::go(self.publish)),
            ("Agent Time", duration::go(self.request.saturating_sub(self.publish))),
            ("Total Time", duration::go(self.request + self.discovery)),
        ];
        let mut out = format!("{}\n", style.yellow("---- request stats ----"));
        for (label, value) in lines {
            out.push_str(&format!("{label:>20}: {value}\n"));
        }
        out
    }
}

/// A span to the millisecond, as text.
pub fn rounded(span: Duration) -> String {
    let millis = (span.as_micros() + 500) / 1000;
    duration::go(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
}

fn list(title: &str, names: &[String], verbose: bool) -> String {
    if names.is_empty() {
        return String::new();
    }
    let mut sorted = names.to_vec();
    sorted.sort();
    let cut = !verbose && sorted.len() > SHOWN;
    let note = if cut { format!(" (showing first {SHOWN})") } else { String::new() };
    if cut {
        sorted.truncate(SHOWN);
    }
    format!("\n{title}{note}: {}\n\n{}", names.len(), across(&sorted, 3))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> Statistics {
        Statistics {
            request_id: "4df1".into(),
            discovered: 3,
            responses: 2,
            ok: 2,
            failed: 0,
            no_responses: vec!["n3".into()],
            unexpected: Vec::new(),
            publish: Duration::from_micros(300),
            request: Duration::from_micros(41_300),
            discovery: Duration::from_millis(2001),
            started: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_348_000),
        }
    }

    #[test]
    fn the_short_footer_names_who_is_missing() {
        assert_eq!(
            sample().footer(Style::PLAIN, false),
            "Finished processing 2 / 3 hosts in 2.042s\n\nNo Responses from: 1\n\n    n3\n"
        );
    }

    #[test]
    fn the_verbose_footer_has_every_figure() {
        assert_eq!(
            sample().footer(Style::PLAIN, true),
            "---- request stats ----\n\
             \x20              Nodes: 2 / 3\n\
             \x20        Pass / Fail: 2 / 0\n\
             \x20       No Responses: 1\n\
             Unexpected Responses: 0\n\
             \x20         Start Time: 2026-01-02T10:00:00+0000\n\
             \x20     Discovery Time: 2.001s\n\
             \x20       Publish Time: 300µs\n\
             \x20         Agent Time: 41ms\n\
             \x20         Total Time: 2.0423s\n\
             \nNo Responses from: 1\n\n    n3\n"
        );
    }

    #[test]
    fn colours_tell_how_it_went() {
        let coloured = |responses| {
            let statistics = Statistics { responses, no_responses: Vec::new(), ..sample() };
            statistics.footer(Style::new(true), false)
        };
        assert!(coloured(0).contains("\x1b[31m0\x1b[0m / \x1b[31m3\x1b[0m"));
        assert!(coloured(2).contains("\x1b[33m2\x1b[0m"));
        assert!(coloured(3).contains("\x1b[32m3\x1b[0m"));
    }

    #[test]
    fn long_lists_are_cut_unless_verbose() {
        let statistics =
            Statistics { no_responses: (0..250).map(|n| format!("n{n:03}")).collect(), ..sample() };
        let short = statistics.footer(Style::PLAIN, false);
        assert!(short.contains("No Responses from (showing first 200): 250"));
        assert!(short.contains("n199") && !short.contains("n200"));
        assert!(statistics.footer(Style::PLAIN, true).contains("n249"));
    }
}
