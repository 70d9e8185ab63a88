//! What is said when a request is over: how many answered, how long it took, who is missing.

use std::time::Duration;

use super::columns::across;
use super::style::Style;
use crate::rpc::Stats;
use crate::util::{duration, time};

/// Names of a list shown without `--verbose`.
const SHOWN: usize = 200;

/// The closing lines of text output.
pub fn footer(stats: &Stats, style: Style, verbose: bool) -> String {
    let mut out = if verbose { details(stats, style) } else { sentence(stats, style) };
    out.push_str(&list("No Responses from", &stats.no_responses, verbose));
    out.push_str(&list("Unexpected Responses from", &stats.unexpected, verbose));
    out
}

fn sentence(stats: &Stats, style: Style) -> String {
    let paint = |count: usize| {
        let text = count.to_string();
        match stats.responses {
            0 => style.red(&text),
            all if all == stats.discovered => style.green(&text),
            _ => style.yellow(&text),
        }
    };
    let total = rounded(stats.request + stats.discovery);
    format!(
        "Finished processing {} / {} hosts in {total}\n",
        paint(stats.responses),
        paint(stats.discovered)
    )
}

fn details(stats: &Stats, style: Style) -> String {
    let started = time::rfc3339(stats.started).replace('Z', "+0000");
    let lines = [
        ("Nodes", format!("{} / {}", stats.responses, stats.discovered)),
        ("Pass / Fail", format!("{} / {}", stats.ok, stats.failed)),
        ("No Responses", stats.no_responses.len().to_string()),
        ("Unexpected Responses", stats.unexpected.len().to_string()),
        ("Start Time", started),
        ("Discovery Time", duration::go(stats.discovery)),
        ("Publish Time", duration::go(stats.publish)),
        ("Agent Time", duration::go(stats.request.saturating_sub(stats.publish))),
        ("Total Time", duration::go(stats.request + stats.discovery)),
    ];
    let mut out = format!("{}\n", style.yellow("---- request stats ----"));
    for (label, value) in lines {
        out.push_str(&format!("{label:>20}: {value}\n"));
    }
    out
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
    use std::time::SystemTime;

    pub(crate) fn sample() -> Stats {
        Stats {
            request_id: "4df1".into(),
            agent: "rpcutil".into(),
            action: "ping".into(),
            cancelled: false,
            failure: None,
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
            footer(&sample(), Style::PLAIN, false),
            "Finished processing 2 / 3 hosts in 2.042s\n\nNo Responses from: 1\n\n    n3\n"
        );
    }

    #[test]
    fn the_verbose_footer_has_every_figure() {
        assert_eq!(
            footer(&sample(), Style::PLAIN, true),
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
            let stats = Stats { responses, no_responses: Vec::new(), ..sample() };
            footer(&stats, Style::new(true), false)
        };
        assert!(coloured(0).contains("\x1b[31m0\x1b[0m / \x1b[31m3\x1b[0m"));
        assert!(coloured(2).contains("\x1b[33m2\x1b[0m"));
        assert!(coloured(3).contains("\x1b[32m3\x1b[0m"));
    }

    #[test]
    fn long_lists_are_cut_unless_verbose() {
        let stats =
            Stats { no_responses: (0..250).map(|n| format!("n{n:03}")).collect(), ..sample() };
        let short = footer(&stats, Style::PLAIN, false);
        assert!(short.contains("No Responses from (showing first 200): 250"));
        assert!(short.contains("n199") && !short.contains("n200"));
        assert!(footer(&stats, Style::PLAIN, true).contains("n249"));
    }
}
