//! Caller ids and the patterns that admit them.

use super::Denied;
use crate::util::pattern::{PatternError, Regex};

/// The name in a caller id `<kind>=<name>`. The whole text must have that form.
///
/// The reference looks at the start of the text only, so that `choria=a b` counts as `a` there.
pub(super) fn name(caller: &str) -> Result<&str, Denied> {
    let refused = || Denied::CallerForm { caller: caller.to_owned() };
    let (kind, name) = caller.split_once('=').ok_or_else(refused)?;
    let in_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let fits = !kind.is_empty()
        && kind.bytes().all(|b| b.is_ascii_lowercase())
        && !name.is_empty()
        && name.bytes().all(in_name);
    if fits { Ok(name) } else { Err(refused()) }
}

/// A list of patterns; a pattern that does not compile never matches.
#[derive(Debug, Default)]
pub(super) struct Patterns(Vec<Regex>);

impl Patterns {
    /// Compiles the patterns and returns those that are of no use with the reason.
    pub(super) fn compile(texts: &[String]) -> (Self, Vec<PatternError>) {
        let (mut patterns, mut errors) = (Vec::new(), Vec::new());
        for text in texts {
            match Regex::new(without_slashes(text)) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => errors.push(error),
            }
        }
        (Patterns(patterns), errors)
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(name))
    }
}

/// `/pattern/` without all the slashes around it; anything else as it is.
fn without_slashes(text: &str) -> &str {
    let wrapped = text.len() > 2 && text.starts_with('/') && text.ends_with('/');
    if wrapped { text.trim_matches('/') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::Settings;

    #[test]
    fn names_of_caller_ids() {
        for (caller, expected) in [
            ("choria=alice.mcollective", Some("alice.mcollective")),
            ("up=a_b-c.D9", Some("a_b-c.D9")),
            ("choria=a b", None),
            ("choria=a\n", None),
            ("choria=", None),
            ("=a", None),
            ("choria", None),
            ("Choria=a", None),
            ("choria=a=b", None),
            ("choria=email:a@b", None),
            ("choria=ü", None),
            ("", None),
        ] {
            assert_eq!(name(caller).ok(), expected, "{caller:?}");
        }
    }

    #[test]
    fn default_and_odd_patterns() {
        let list = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            Patterns::compile(&texts)
        };
        let allowed = list(&Settings::ALLOW_LIST).0;
        let privileged = list(&Settings::PRIVILEGED_USERS).0;
        for (name, is_allowed, is_privileged) in [
            ("alice.mcollective", true, false),
            ("alice.choria", true, false),
            ("bob.privileged.mcollective", true, true),
            ("node1.example.net", false, false),
            ("alicemcollective", false, false),
        ] {
            assert_eq!(allowed.matches(name), is_allowed, "{name}");
            assert_eq!(privileged.matches(name), is_privileged, "{name}");
        }
        let (odd, errors) = list(&["(", "///x$//", "/"]);
        assert_eq!(errors.len(), 1);
        assert!(odd.matches("ax") && !odd.matches("xa") && odd.matches("a/b"));
        assert!(!list(&[]).0.matches("anything"));
    }
}
