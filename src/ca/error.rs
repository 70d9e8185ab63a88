//! Why the authority does not do what it was asked to.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use super::names::BadName;
use crate::crypto::issue;
use crate::util::time::rfc3339;

/// Something about the folder, or a refusal.
#[derive(Debug)]
pub enum Error {
    /// There is an authority in the folder already.
    Exists(PathBuf),
    /// There is no authority in the folder.
    Absent(PathBuf),
    /// A file cannot be read or written.
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others can read or change what is secret.
    Open {
        /// What.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file does not hold what it should.
    Damaged {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A key or a certificate failed.
    Crypto(issue::Error),
    /// What was asked for is against the rules.
    Refused(Refused),
}

/// What is against the rules. The text is for those who asked, and says nothing about others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It is not a name that certificates are issued for.
    Name(BadName),
    /// The name has a certificate for another key.
    Taken {
        /// The name.
        name: String,
        /// Until when.
        not_after: SystemTime,
    },
    /// There is no such certificate.
    Unknown(String),
    /// It was revoked before.
    Revoked(String),
    /// It is too long valid still.
    TooEarly {
        /// From when on.
        from: SystemTime,
    },
    /// The request cannot be read, or nobody proves to have its key.
    Request(String),
    /// The token proves nothing.
    Token(String),
    /// The token does not allow the name.
    NotAllowed {
        /// The name.
        name: String,
    },
    /// The token was used as often as it may be.
    UsedUp,
    /// Too many ask at once.
    Busy,
    /// The fault is here.
    Internal,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Exists(path) => {
                write!(f, "there is a certificate authority in {} already", path.display())
            }
            Error::Absent(path) => {
                write!(f, "there is no certificate authority in {}", path.display())
            }
            Error::File { path, source } => write!(f, "cannot use {}: {source}", path.display()),
            Error::Open { path, mode } => write!(
                f,
                "others may read or change {}: its permissions are {mode:o}",
                path.display()
            ),
            Error::Damaged { path, reason } => write!(f, "cannot use {}: {reason}", path.display()),
            Error::Crypto(error) => write!(f, "{error}"),
            Error::Refused(refused) => write!(f, "{refused}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Error::Refused(refused)
    }
}

impl From<BadName> for Error {
    fn from(name: BadName) -> Self {
        Error::Refused(Refused::Name(name))
    }
}

impl From<issue::Error> for Error {
    fn from(error: issue::Error) -> Self {
        Error::Crypto(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Name(name) => write!(f, "{name}"),
            Refused::Taken { name, not_after } => write!(
                f,
                "{name} has a certificate for another key, valid until {}: it must be revoked first",
                rfc3339(*not_after)
            ),
            Refused::Unknown(what) => write!(f, "no certificate is known as {what:?}"),
            Refused::Revoked(what) => write!(f, "the certificate of {what} is revoked already"),
            Refused::TooEarly { from } => {
                write!(f, "the certificate can be renewed from {} on", rfc3339(*from))
            }
            Refused::Request(reason) => write!(f, "{reason}"),
            Refused::Token(reason) => write!(f, "the token is not accepted: {reason}"),
            Refused::NotAllowed { name } => write!(f, "the token does not allow the name {name}"),
            Refused::UsedUp => f.write_str("the token was used as often as it may be"),
            Refused::Busy => f.write_str("too many ask for certificates, try again later"),
            Refused::Internal => {
                f.write_str("the certificate authority has a problem, its log says more")
            }
        }
    }
}

impl std::error::Error for Refused {}
