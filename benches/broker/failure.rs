//! Why a run has no figure.

use std::fmt;
use std::io;

/// What ended a run early.
#[derive(Debug)]
pub enum Failure {
    /// An operation of ours failed.
    Io(&'static str, io::Error),
    /// The broker said or did something a broker must not.
    Broker(String),
    /// Messages did not arrive before the deadline.
    Lost {
        /// How many are missing, over all receivers.
        missing: u64,
        /// How many were expected.
        expected: u64,
    },
    /// Nothing to compare with, or options that make no sense.
    Usage(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Io(doing, error) => write!(out, "cannot {doing}: {error}"),
            Failure::Broker(what) => write!(out, "the broker failed: {what}"),
            Failure::Lost { missing, expected } => {
                write!(out, "{missing} of {expected} messages did not arrive")
            }
            Failure::Usage(what) => out.write_str(what),
        }
    }
}

impl std::error::Error for Failure {}

/// Names what was being done when an I/O operation failed.
pub trait Doing<T> {
    /// The value, or a failure that says what could not be done.
    fn doing(self, what: &'static str) -> Result<T, Failure>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: &'static str) -> Result<T, Failure> {
        self.map_err(|error| Failure::Io(what, error))
    }
}

impl<T> Doing<T> for rustix::io::Result<T> {
    fn doing(self, what: &'static str) -> Result<T, Failure> {
        self.map_err(|error| Failure::Io(what, error.into()))
    }
}
