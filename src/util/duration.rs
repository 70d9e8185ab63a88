//! Durations as people and Go programs write them: `30`, `1h30m`, `2.5s`, `1d12h`, `2w`.

use std::fmt;
use std::time::Duration;

/// The longest duration that Go can hold, in nanoseconds (about 292 years).
const NANOS_MAX: u128 = i64::MAX as u128;

/// Units with their length in nanoseconds. A unit that begins with another one stands before it.
const UNITS: &[(&str, u128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("D", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
    ("W", 604_800_000_000_000),
    ("M", 2_592_000_000_000_000),
    ("y", 31_536_000_000_000_000),
    ("Y", 31_536_000_000_000_000),
];

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DurationError {
    /// Nothing but white space.
    Empty,
    /// A number was expected where this text stands.
    NotANumber(String),
    /// A number is followed by something that is no unit.
    UnknownUnit(String),
    /// Durations count forward.
    Negative,
    /// More than 292 years.
    TooLong,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a duration is missing"),
            Self::NotANumber(text) => write!(f, "a number was expected instead of '{text}'"),
            Self::UnknownUnit(unit) => {
                write!(f, "'{unit}' is not a unit of time, use ns, us, ms, s, m, h, d, w, M or y")
            }
            Self::Negative => f.write_str("a duration cannot be negative"),
            Self::TooLong => f.write_str("the duration is longer than 292 years"),
        }
    }
}

impl std::error::Error for DurationError {}

/// Reads a duration: digits alone are seconds; otherwise numbers with units, added up.
/// Days are 24 hours, months 30 days, years 365 days.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if text.starts_with('-') {
        return Err(DurationError::Negative);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return nanos(scale(text, "", 1_000_000_000)?);
    }
    let mut total = 0_u128;
    let mut rest = text;
    while !rest.is_empty() {
        let (part, after) = step(rest)?;
        total = total.checked_add(part).ok_or(DurationError::TooLong)?;
        rest = after;
    }
    nanos(total)
}

/// Takes one number with its unit off the front; answers its nanoseconds and what follows.
fn step(text: &str) -> Result<(u128, &str), DurationError> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::NotANumber(text.chars().take(16).collect()));
    }
    for (unit, length) in UNITS {
        if let Some(after) = rest.strip_prefix(unit)
            && after.chars().next().is_none_or(|c| c.is_ascii_digit() || c == '.')
        {
            return Ok((scale(whole, fraction, *length)?, after));
        }
    }
    let unit: String =
        rest.chars().take_while(|c| !c.is_ascii_digit() && *c != '.').take(16).collect();
    Err(DurationError::UnknownUnit(unit))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// `whole.fraction` times `length`; digits of a fraction below a nanosecond are dropped.
fn scale(whole: &str, fraction: &str, length: u128) -> Result<u128, DurationError> {
    let mut value = 0_u128;
    for digit in whole.bytes() {
        value = value
            .checked_mul(10)
            .and_then(|v| v.checked_add(u128::from(digit - b'0')))
            .filter(|v| *v <= NANOS_MAX)
            .ok_or(DurationError::TooLong)?;
    }
    let mut total = value.checked_mul(length).ok_or(DurationError::TooLong)?;
    let mut place = length;
    for digit in fraction.bytes() {
        place /= 10;
        total += u128::from(digit - b'0') * place;
    }
    Ok(total)
}

fn nanos(total: u128) -> Result<Duration, DurationError> {
    if total > NANOS_MAX {
        return Err(DurationError::TooLong);
    }
    let total = u64::try_from(total).map_err(|_| DurationError::TooLong)?;
    Ok(Duration::from_nanos(total))
}

/// Writes a duration as Go does: `0s`, `1.5\u{b5}s`, `780ms`, `2.456s`, `1m3.2s`, `24h0m0s`.
pub fn go(duration: Duration) -> String {
    let total = duration.as_nanos();
    match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{total}ns"),
        1_000..1_000_000 => format!("{}\u{b5}s", decimal(total, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(total, 1_000_000)),
        _ => {
            let seconds = decimal(total % 60_000_000_000, 1_000_000_000);
            let minutes = total / 60_000_000_000;
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, m) => format!("{m}m{seconds}s"),
                (h, m) => format!("{h}h{m}m{seconds}s"),
            }
        }
    }
}

/// `value / unit` with as many decimals as it needs; `unit` is a power of ten.
fn decimal(value: u128, unit: u128) -> String {
    let width = unit.ilog10() as usize;
    let text = format!("{}.{:0width$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let cases = [
            ("0", 0),
            ("30", 30_000),
            (" 30 ", 30_000),
            ("1h30m", 5_400_000),
            ("2.5s", 2_500),
            (".5s", 500),
            ("1.s", 1_000),
            ("780ms", 780),
            ("1d12h", 129_600_000),
            ("2W", 1_209_600_000),
            ("1M", 2_592_000_000),
            ("1m", 60_000),
            ("1y", 31_536_000_000),
            ("0.5d", 43_200_000),
            ("+5s", 5_000),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("1us1ns"), Ok(Duration::from_nanos(1_001)));
        assert_eq!(parse("3\u{b5}s"), Ok(Duration::from_micros(3)));
    }

    #[test]
    fn texts_that_are_no_duration_are_refused() {
        let unit = |u: &str| DurationError::UnknownUnit(u.to_owned());
        let cases = [
            ("", DurationError::Empty),
            ("-1s", DurationError::Negative),
            ("s", DurationError::NotANumber("s".into())),
            ("5S", unit("S")),
            ("5H", unit("H")),
            ("1.5", unit("")),
            ("10x", unit("x")),
            ("1h 5m", unit("h ")),
            ("300y", DurationError::TooLong),
            ("99999999999999999999", DurationError::TooLong),
        ];
        for (text, error) in cases {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_go_does() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5\u{b5}s"),
            (780_000_000, "780ms"),
            (2_456_000_000, "2.456s"),
            (60_000_000_000, "1m0s"),
            (63_200_000_000, "1m3.2s"),
            (86_400_000_000_000, "24h0m0s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(go(Duration::from_nanos(nanos)), text);
        }
    }
}
