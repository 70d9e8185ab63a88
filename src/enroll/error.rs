//! Why an enrolment did not come to its end.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Fingerprint;
use crate::http::fetch::FetchError;
use crate::protocol::{Plain, Saying};
use crate::security::Denied;
use crate::util::{duration, time::rfc3339};

/// Why there is no certificate (yet).
#[derive(Debug)]
pub enum Error {
    /// There is nothing to do.
    Enrolled {
        /// The certificate that is there.
        certificate: PathBuf,
        /// The end of its validity.
        expires: SystemTime,
    },
    /// There is a certificate that cannot be used, and is not ours to remove.
    Leftover {
        /// The certificate that is there.
        certificate: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process does the same.
    Busy {
        /// The folder it works on.
        folder: PathBuf,
    },
    /// A file cannot be read or written.
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key or the request cannot be made or used.
    Key {
        /// Where the key is, or should be.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The CA that is known, or was fetched, is of no use.
    Authority {
        /// What is wrong with it.
        reason: String,
    },
    /// The CA is not the expected one.
    OtherAuthority {
        /// What was expected.
        expected: Fingerprint,
        /// What is there.
        found: Vec<Fingerprint>,
    },
    /// The service cannot be asked.
    Unreachable {
        /// Where it is.
        url: String,
        /// Why not.
        source: FetchError,
    },
    /// The service said no.
    Refused {
        /// To what.
        what: &'static str,
        /// The status code.
        status: u16,
        /// What it said.
        text: String,
    },
    /// The request was looked at and not granted.
    Denied {
        /// What was said.
        text: String,
    },
    /// The CA holds a request for this name that was made with another key.
    OtherRequest {
        /// The name.
        identity: String,
    },
    /// The CA has issued a certificate for this name that does not fit our key.
    OtherCertificate {
        /// The name.
        identity: String,
    },
    /// The certificate that came is not used.
    Certificate {
        /// Why not.
        reason: Unfit,
    },
    /// The answer of the service is not what it should be.
    Answer {
        /// What is wrong.
        reason: String,
    },
    /// Nobody has signed the request in time.
    NotSigned {
        /// The name.
        identity: String,
        /// How long was waited.
        waited: Duration,
    },
}

/// What keeps a certificate from being installed.
#[derive(Debug)]
pub enum Unfit {
    /// It cannot be read.
    Unreadable(String),
    /// It is for another key.
    OtherKey,
    /// The CA does not vouch for it, or not for this name.
    Denied(Denied),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Unreadable(reason) => f.write_str(reason),
            Unfit::OtherKey => f.write_str("it does not belong to the private key"),
            Unfit::Denied(denied) => write!(f, "{denied}"),
        }
    }
}

impl Error {
    pub(super) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Error::File { action, path: path.to_owned(), source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Enrolled { certificate, expires } => write!(
                f,
                "enrolled already: the certificate {} is valid until {}",
                certificate.display(),
                rfc3339(*expires)
            ),
            Error::Leftover { certificate, reason } => {
                write!(f, "the certificate {} is in the way: {reason}", certificate.display())
            }
            Error::Busy { folder } => {
                write!(f, "another enrolment is under way in {}", folder.display())
            }
            Error::File { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
            Error::Key { path, reason } => {
                write!(f, "cannot use the private key {}: {reason}", path.display())
            }
            Error::Authority { reason } => {
                write!(f, "the CA certificate cannot be used: {}", Saying(reason))
            }
            Error::OtherAuthority { expected, found } => {
                let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                write!(f, "the CA is not {expected} but {}", found.join(", "))
            }
            Error::Unreachable { url, source } => {
                write!(f, "cannot ask {}: {}", Plain(url), Saying(&source.to_string()))
            }
            Error::Refused { what, status, text } if text.is_empty() => {
                write!(f, "the CA refuses {what} with status {status}")
            }
            Error::Refused { what, status, text } => {
                write!(f, "the CA refuses {what} with status {status}: {}", Saying(text))
            }
            Error::Denied { text } => {
                write!(f, "the certificate request was not granted: {}", Saying(text))
            }
            Error::OtherRequest { identity } => write!(
                f,
                "the CA holds a request for {identity} that was made with another private key"
            ),
            Error::OtherCertificate { identity } => write!(
                f,
                "the CA has issued a certificate for {identity} that does not belong to our private key"
            ),
            Error::Certificate { reason } => {
                write!(f, "the certificate is not used: {}", Saying(&reason.to_string()))
            }
            Error::Answer { reason } => {
                write!(f, "the CA gave a wrong answer: {}", Saying(reason))
            }
            Error::NotSigned { identity, waited } => write!(
                f,
                "no certificate for {identity} was issued within {}",
                duration::go(*waited)
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::File { source, .. } => Some(source),
            Error::Unreachable { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_ca_do_not_steer_the_terminal() {
        let text = || format!("\u{1b}[2J\nno{}", "!".repeat(2_000));
        for error in [
            Error::Refused { what: "x", status: 403, text: text() },
            Error::Denied { text: text() },
            Error::Answer { reason: text() },
            Error::Authority { reason: text() },
            Error::Certificate { reason: Unfit::Unreadable(text()) },
        ] {
            let shown = error.to_string();
            assert!(shown.contains("\\u{1b}[2J\\nno!!!") && shown.ends_with("!..."), "{shown}");
            assert!(shown.len() < 700 && !shown.chars().any(char::is_control), "{shown}");
        }
    }
}
