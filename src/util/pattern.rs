//! Regular expressions as the fleet writes them: Go's RE2 syntax, unanchored.
//!
//! `\d`, `\w`, `\s`, `\b` and case folding are ASCII, as in Go; `.` matches one byte of a character
//! outside ASCII. Matching takes time linear in the text, so a pattern from a peer cannot hang us.

use std::fmt;

use regex::bytes::RegexBuilder;

/// Bytes a compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 1024 * 1024;
/// Nesting of groups in a pattern.
const NESTING_MAX: u32 = 64;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Regex(regex::bytes::Regex);

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
    /// What the compiler said, on one line.
    pub reason: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use the pattern {:?}: {}", self.pattern, self.reason)
    }
}

impl std::error::Error for PatternError {}

impl Regex {
    /// Compiles a pattern that regards case.
    ///
    /// # Errors
    /// When it is not valid, or too large once compiled.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        Self::build(pattern, false)
    }

    /// Compiles a pattern that does not regard the case of ASCII letters.
    ///
    /// # Errors
    /// When it is not valid, or too large once compiled.
    pub fn new_case_insensitive(pattern: &str) -> Result<Self, PatternError> {
        Self::build(pattern, true)
    }

    /// Whether the pattern occurs anywhere in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }

    fn build(pattern: &str, case_insensitive: bool) -> Result<Self, PatternError> {
        RegexBuilder::new(pattern)
            .unicode(false)
            .case_insensitive(case_insensitive)
            .size_limit(COMPILED_BYTES_MAX)
            .nest_limit(NESTING_MAX)
            .build()
            .map(Regex)
            .map_err(|error| PatternError {
                pattern: pattern.to_owned(),
                reason: error
                    .to_string()
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned(),
            })
    }
}

/// The pattern in `/pattern/`: exactly one slash is taken from each side. A single `/` is the empty
/// pattern, which matches everything.
pub fn slashed(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('/')?;
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_suffix('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes() {
        for (text, expected) in [
            ("/web/", Some("web")),
            ("//web//", Some("/web/")),
            ("/", Some("")),
            ("//", Some("")),
            ("web", None),
            ("/web", None),
            ("web/", None),
            ("", None),
        ] {
            assert_eq!(slashed(text), expected, "{text}");
        }
    }

    #[test]
    fn matching() {
        for (pattern, text, expected) in [
            (r"web\d+", "x-web12-y", true),
            (r"^web\d+$", "web12 ", false),
            (r"\bweb\b", "a web b", true),
            ("WEB", "web", false),
            ("(?i)WEB", "web", true),
            ("", "anything", true),
            ("gr..e", "große", false),
            ("ü", "Grüße", true),
        ] {
            assert_eq!(Regex::new(pattern).unwrap().is_match(text), expected, "{pattern} {text}");
        }
        assert!(Regex::new_case_insensitive("WEB").unwrap().is_match("a web"));
    }

    #[test]
    fn bad_and_greedy_patterns_are_refused() {
        for pattern in ["(", "a{1000}{1000}{1000}", "(?=x)", r"\1", &"(".repeat(500)] {
            let error = Regex::new(pattern).unwrap_err();
            assert!(!error.reason.contains('\n'), "{error}");
        }
        assert!(Regex::new("(").unwrap_err().to_string().contains("unclosed group"));
    }
}
