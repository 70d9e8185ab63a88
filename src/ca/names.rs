//! Which names certificates are issued for, and what they may then be used for.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::security::Settings;
use crate::util::pattern::Regex;

/// Bytes of a name.
const NAME_BYTES_MAX: usize = 128;

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A managed node: connects to brokers, and makes no requests.
    Server,
    /// A person or a program that makes requests.
    Client,
    /// A broker: is connected to, and connects to other brokers.
    Broker,
}

impl Profile {
    /// Whether others may connect to it. A server that could be taken for a broker would be an invitation.
    pub fn is_server_auth(self) -> bool {
        self == Profile::Broker
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Profile::Server => "server",
            Profile::Client => "client",
            Profile::Broker => "broker",
        })
    }
}

/// A name that no certificate is issued for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadName {
    /// It is empty, too long, or has other characters than letters, digits, dots, dashes and underscores.
    Form(String),
    /// Whoever has it may speak for everybody, and that was not asked for.
    Privileged(String),
    /// It is that of a client, and the certificate is for something else.
    OfClient {
        /// The name.
        name: String,
        /// What the certificate is for.
        profile: Profile,
    },
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadName::Form(name) => write!(
                f,
                "{name:?} cannot be the name in a certificate: letters, digits, '.', '-' and '_' make one"
            ),
            BadName::Privileged(name) => {
                write!(f, "{name} may make requests as anybody, which has to be asked for")
            }
            BadName::OfClient { name, profile } => {
                write!(f, "{name} is the name of a client, the certificate is for a {profile}")
            }
        }
    }
}

impl std::error::Error for BadName {}

/// Whether a name can stand in a certificate, a subject and a file name without meaning anything else there.
pub fn is_well_formed(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let ends_well = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    ends_well && name.len() <= NAME_BYTES_MAX && name.chars().all(fine) && !name.contains("..")
}

/// Checks a name for a certificate of this kind.
///
/// # Errors
/// Why it is none.
pub fn check(name: &str, profile: Profile, may_be_privileged: bool) -> Result<(), BadName> {
    if !is_well_formed(name) {
        return Err(BadName::Form(name.chars().take(NAME_BYTES_MAX).collect()));
    }
    if !may_be_privileged && matches(&Settings::PRIVILEGED_USERS, name) {
        return Err(BadName::Privileged(name.to_owned()));
    }
    if profile != Profile::Client && is_of_client(name) {
        return Err(BadName::OfClient { name: name.to_owned(), profile });
    }
    Ok(())
}

/// Whether servers take requests of somebody of this name, unless they are configured otherwise.
pub fn is_of_client(name: &str) -> bool {
    matches(&Settings::ALLOW_LIST, name) || matches(&Settings::PRIVILEGED_USERS, name)
}

fn matches(patterns: &[&str], name: &str) -> bool {
    // The patterns of the defaults are valid; one that were not had better match everything.
    patterns.iter().any(|text| Regex::new(text).is_ok_and(|p| p.is_match(name)))
}

/// Whether `pattern`, in which `*` stands for any part of one label, is for this name.
pub fn glob(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut labels) = (pattern.split('.'), name.split('.'));
    loop {
        match (patterns.next(), labels.next()) {
            (None, None) => return true,
            (Some(pattern), Some(label)) if glob_label(pattern, label) => {}
            _ => return false,
        }
    }
}

fn glob_label(pattern: &str, label: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern.eq_ignore_ascii_case(label),
        Some((start, end)) => {
            let label = label.to_ascii_lowercase();
            let rest = label.strip_prefix(&start.to_ascii_lowercase());
            rest.is_some_and(|rest| {
                rest.ends_with(&end.to_ascii_lowercase()) && rest.len() > end.len()
            })
        }
    }
}

/// Whether a pattern for names is one: a name in which each label may have one `*`.
pub fn is_pattern(pattern: &str) -> bool {
    let labels_fine = pattern.split('.').all(|label| label.matches('*').count() <= 1);
    labels_fine && is_well_formed(&pattern.replace('*', "x"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_nothing_else() {
        for name in ["n1", "n1.example.net", "ann.mcollective", "a_b-c.D", &"x".repeat(128)] {
            assert!(is_well_formed(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "a..b",
            "../x",
            "a/b",
            "-a",
            ".a",
            "a.",
            "a b",
            "a\n",
            "é",
            "a*",
            &"x".repeat(129),
        ] {
            assert!(!is_well_formed(name), "{name}");
        }
    }

    #[test]
    fn rights_come_by_name_only_when_they_are_asked_for() {
        use Profile::{Broker, Client, Server};
        let denied = |name: &str, profile, privileged| {
            check(name, profile, privileged).err().map(|bad| bad.to_string())
        };
        assert_eq!(denied("n1.example.net", Server, false), None);
        assert_eq!(denied("ann.mcollective", Client, false), None);
        assert_eq!(denied("deploy", Client, false), None);
        let of_client = "ann.mcollective is the name of a client, the certificate is for a server";
        assert_eq!(denied("ann.mcollective", Server, false).as_deref(), Some(of_client));
        assert!(denied("x.choria", Broker, false).is_some());
        let all =
            "ann.privileged.mcollective may make requests as anybody, which has to be asked for";
        assert_eq!(denied("ann.privileged.mcollective", Client, false).as_deref(), Some(all));
        assert_eq!(denied("ann.privileged.mcollective", Client, true), None);
        assert!(denied("ann.privilegedxmcollective", Client, false).is_some());
        assert!(denied("ann.privileged.mcollective", Server, true).is_some());
    }

    #[test]
    fn patterns_stay_within_a_label() {
        for (pattern, name, expected) in [
            ("n1.example.net", "N1.example.net", true),
            ("*.example.net", "n1.example.net", true),
            ("web*.example.net", "web12.example.net", true),
            ("web*.example.net", "web.example.net", false),
            ("web*a.example.net", "webxa.example.net", true),
            ("*.example.net", "a.b.example.net", false),
            ("*.example.net", "example.net", false),
            ("*", "n1", true),
            ("*", "n1.example.net", false),
        ] {
            assert_eq!(glob(pattern, name), expected, "{pattern} {name}");
        }
        assert!(is_pattern("*.example.net") && is_pattern("n*1.a") && is_pattern("*"));
        assert!(!is_pattern("**.a") && !is_pattern("") && !is_pattern("a/*"));
    }
}
