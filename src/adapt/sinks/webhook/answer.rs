//! What the answer of a service means for the records that were posted.

use std::time::{Duration, SystemTime};

use jiff::fmt::rfc2822::DateTimeParser;

use crate::http::fetch::Answered;

/// The longest pause that a service may ask for: a mistake of its own must not stop everything.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// What becomes of the records of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The service has them.
    Delivered,
    /// Not now.
    Later {
        /// What it said.
        reason: String,
        /// How long it wants to be left alone.
        pause: Option<Duration>,
    },
    /// Something about the content: some of them may be good.
    Content(String),
    /// Never.
    Refused(String),
}

/// Reads an answer that came at this time.
pub(super) fn meaning(answered: &Answered, now: SystemTime) -> Meaning {
    let reason = said(answered);
    match answered.status {
        200..=299 => Meaning::Delivered,
        408 | 425 | 429 | 500.. => {
            let pause = answered.retry_after.as_deref().and_then(|text| pause(text, now));
            Meaning::Later { reason, pause }
        }
        // Nothing is followed to another place: the address is wrong, the records are not.
        300..=399 => Meaning::Later { reason: format!("{reason}, not followed"), pause: None },
        400 | 413 | 422 => Meaning::Content(reason),
        _ => Meaning::Refused(reason),
    }
}

/// Status and first line, for a person.
pub(super) fn said(answered: &Answered) -> String {
    match answered.first_line().as_str() {
        "" => format!("status {}", answered.status),
        line => format!("status {}: {line}", answered.status),
    }
}

/// The pause of a header `Retry-After` (RFC 9110 section 10.2.3).
fn pause(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let pause = match text.parse::<u64>() {
        Ok(secs) => Duration::from_secs(secs),
        Err(_) => {
            let date = DateTimeParser::new().parse_timestamp(text).ok()?;
            SystemTime::from(date).duration_since(now).ok()?
        }
    };
    Some(pause.min(PAUSE_MAX)).filter(|pause| !pause.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::time;

    #[test]
    fn answers_are_told_apart() {
        let later = |pause: Option<u64>| (1, pause.map(Duration::from_secs));
        // 1 is later, 0 delivered, 2 content, 3 refused.
        for (status, retry_after, expected) in [
            (200, None, (0, None)),
            (202, None, (0, None)),
            (204, Some("5"), (0, None)),
            (301, None, later(None)),
            (400, None, (2, None)),
            (413, None, (2, None)),
            (401, None, (3, None)),
            (404, Some("5"), (3, None)),
            (408, None, later(None)),
            (429, None, later(None)),
            (429, Some("7"), later(Some(7))),
            (429, Some(" 7 "), later(Some(7))),
            (429, Some("0"), later(None)),
            (429, Some("soon"), later(None)),
            (429, Some("-1"), later(None)),
            (503, Some("999999999"), later(Some(3600))),
            (503, Some("Tue, 14 Nov 2023 22:13:50 GMT"), later(Some(30))),
            (503, Some("Tue, 14 Nov 2023 22:13:10 GMT"), later(None)),
            (500, None, later(None)),
            (999, None, later(None)),
        ] {
            let retry_after = retry_after.map(str::to_owned);
            let answered = Answered { status, body: b"why\nmore".to_vec(), retry_after };
            let got = match meaning(&answered, time::from_unix(1_700_000_000)) {
                Meaning::Delivered => (0, None),
                Meaning::Later { reason, pause } => {
                    assert!(reason.starts_with(&format!("status {status}: why")), "{reason}");
                    (1, pause)
                }
                Meaning::Content(reason) => {
                    assert_eq!(reason, format!("status {status}: why"));
                    (2, None)
                }
                Meaning::Refused(_) => (3, None),
            };
            assert_eq!(got, expected, "{answered:?}");
        }
    }
}
