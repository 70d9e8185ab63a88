//! From bytes to lines and from lines to statements.

use super::fault::{Unread, UnreadLine};
use super::rule::{Patterns, Rule};
use super::{LINE_BYTES_MAX, LINES_MAX, PATTERNS_MAX, Policy, Statement, StatementKind, plain};

impl Policy {
    /// Reads a policy. Always gives one; what cannot be read is kept as a fault, and a policy with
    /// faults denies everything.
    pub fn parse(bytes: &[u8]) -> Policy {
        Policy::parse_within(bytes, PATTERNS_MAX)
    }

    /// The same with at most so many regular expressions.
    pub fn parse_within(bytes: &[u8], patterns_max: usize) -> Policy {
        let mut policy = Policy::default();
        let mut patterns = Patterns::new(patterns_max);
        for (line, text) in lines(bytes) {
            let kind = match text {
                Ok(text) if is_comment(text) => continue,
                Ok(text) => read(text, &mut patterns),
                Err(why) => Err(why),
            };
            let text = plain(text.unwrap_or_default());
            match kind {
                Ok(kind) => policy.statements.push(Statement { line, text, kind }),
                Err(why) => policy.faults.push(UnreadLine { line, text, why }),
            }
            if patterns.is_spent {
                let why = Unread::TooManyPatterns;
                policy.faults.push(UnreadLine { line, text: String::new(), why });
                break;
            }
        }
        policy
    }

    /// The lines that cannot be read.
    pub fn faults(&self) -> &[UnreadLine] {
        &self.faults
    }
}

/// The lines of a file with their numbers, counted from 1. The last one of too many is a fault.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, Result<&str, Unread>)> {
    let without_end = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let is_empty = bytes.is_empty();
    without_end
        .split(|byte| *byte == b'\n')
        .take(if is_empty { 0 } else { LINES_MAX + 1 })
        .enumerate()
        .map(|(index, line)| (index + 1, text(index, line)))
}

fn text(index: usize, line: &[u8]) -> Result<&str, Unread> {
    if index >= LINES_MAX {
        return Err(Unread::TooManyLines);
    }
    if line.len() > LINE_BYTES_MAX {
        return Err(Unread::TooLong);
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    std::str::from_utf8(line).map_err(|_| Unread::NotText)
}

/// Blank, or with `#` as its very first character.
pub(super) fn is_comment(line: &str) -> bool {
    line.starts_with('#') || line.chars().all(is_space)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\u{c}')
}

fn read(line: &str, patterns: &mut Patterns) -> Result<StatementKind, Unread> {
    if let Some(allow) = read_default(line) {
        return Ok(StatementKind::Default { allow });
    }
    let mut columns = line.split('\t');
    let allow = match columns.next() {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Err(guess(line)),
    };
    if line.ends_with('\t') {
        return Err(Unread::TrailingTab);
    }
    let columns: Vec<&str> = columns.filter(|column| !column.is_empty()).collect();
    if columns.len() < 3 {
        return Err(if line.contains(' ') { Unread::NoTabs } else { Unread::FewColumns });
    }
    Ok(StatementKind::Rule(Box::new(Rule::new(allow, &columns, patterns))))
}

/// `policy default WORD`: every word but `allow` denies. What follows the word does not count.
fn read_default(line: &str) -> Option<bool> {
    let rest = line.strip_prefix("policy")?;
    let rest = after_space(rest)?.strip_prefix("default")?;
    let rest = after_space(rest)?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end] == "allow")
}

fn after_space(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(is_space);
    (rest.len() < text.len()).then_some(rest)
}

/// What was probably meant by a line that is none.
fn guess(line: &str) -> Unread {
    let start = line.trim_start_matches(is_space);
    if start.len() < line.len() {
        return Unread::Indented;
    }
    let first = line.split(is_space).next().unwrap_or_default();
    if matches!(first, "allow" | "deny") { Unread::NoTabs } else { Unread::Unknown }
}
