//! What can be wrong with a configuration, and what is only worth a word.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a configuration cannot be used. Every one is the operator's to mend.
#[derive(Debug)]
pub enum Error {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than any configuration is.
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The largest size in bytes.
        limit: u64,
    },
    /// A line is not UTF-8.
    NotText {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A line is longer than any setting is.
    LongLine {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The longest length in bytes.
        limit: usize,
    },
    /// A key has a value that is not allowed.
    BadValue {
        /// `file:line` or the environment variable.
        place: String,
        /// The key.
        key: String,
        /// What stands there; masked when it is a secret.
        value: String,
        /// What may stand there.
        allowed: String,
    },
    /// No configuration file was named for a role that needs one.
    FileNeeded,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => {
                write!(f, "cannot read configuration file {}: {source}", path.display())
            }
            Self::TooLarge { path, limit } => {
                write!(f, "configuration file {} is larger than {limit} bytes", path.display())
            }
            Self::NotText { path, line } => {
                write!(f, "{}:{line}: the line is not UTF-8 text", path.display())
            }
            Self::LongLine { path, line, limit } => {
                write!(f, "{}:{line}: the line is longer than {limit} bytes", path.display())
            }
            Self::BadValue { place, key, value, allowed } => {
                write!(f, "{place}: {key} = {value} is not allowed, it has to be {allowed}")
            }
            Self::FileNeeded => f.write_str("a configuration file is needed"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Something in a configuration that has no effect although somebody wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// No key has this name.
    UnknownKey {
        /// `file:line`
        place: String,
        /// What stands there.
        key: String,
        /// The key that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// A line that is neither a setting nor a comment.
    NoSetting {
        /// `file:line`
        place: String,
    },
    /// A file in `plugin.d` sets a key that is only read from the main file.
    WrongFile {
        /// `file:line`
        place: String,
        /// The full key.
        key: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { place, key, nearest: Some(near) } => {
                write!(f, "{place}: unknown key {key}, did you mean {near}?")
            }
            Self::UnknownKey { place, key, nearest: None } => {
                write!(f, "{place}: unknown key {key}")
            }
            Self::NoSetting { place } => {
                write!(f, "{place}: the line is ignored, a setting has the form key = value")
            }
            Self::WrongFile { place, key } => write!(
                f,
                "{place}: {key} is ignored here, it is read from the main file or plugin.d/choria.cfg"
            ),
        }
    }
}
