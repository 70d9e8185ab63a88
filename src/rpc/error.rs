//! Why a discovery or a request could not be made.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::flatfile::FlatFileError;
use super::limit::LimitError;
use crate::nats;
use crate::protocol::Fault;
use crate::security::SignError;

/// Why a discovery or a request could not be made. What single nodes do wrong is in their replies, not here.
#[derive(Debug)]
pub enum Error {
    /// The broker could not be reached, or has refused something.
    Network(nats::client::Error),
    /// The request could not be signed.
    Sign(SignError),
    /// The request breaks a limit of the protocol.
    Request(Fault),
    /// The collective is not among the configured ones.
    UnknownCollective(String),
    /// A broadcast without filter, which the configuration forbids.
    FilterRequired,
    /// There is nobody to ask.
    NoTargets,
    /// A name that cannot be part of a node's subject.
    Identity(String),
    /// The limit leaves nobody, or is malformed.
    Limit(LimitError),
    /// The agent has no such action.
    UnknownAction {
        /// The agent.
        agent: String,
        /// The action asked for.
        action: String,
        /// An action it has that is much like it.
        nearest: Option<String>,
    },
    /// Options that do not go together.
    Options(&'static str),
    /// The node list cannot be read.
    NodeFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        err: io::Error,
    },
    /// The node list cannot be used.
    NodeList {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        err: FlatFileError,
    },
    /// A filter that cannot be applied to a list of names.
    FilterUnsupported {
        /// The discovery method.
        method: &'static str,
    },
    /// An identity filter is not a valid regular expression.
    BadPattern(String),
}

impl Error {
    /// A known name the user may have meant.
    pub fn suggestion(&self) -> Option<&str> {
        match self {
            Self::UnknownAction { nearest, .. } => nearest.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(err) => write!(f, "{err}"),
            Self::Sign(err) => write!(f, "cannot sign the request: {err}"),
            Self::Request(fault) => write!(f, "cannot make the request: {fault}"),
            Self::UnknownCollective(name) => {
                write!(f, "'{name}' is not on the list of known collectives")
            }
            Self::FilterRequired => f.write_str("requests without filters have been disabled"),
            Self::NoTargets => f.write_str("did not discover any nodes"),
            Self::Identity(name) => write!(f, "{name:?} cannot be the name of a node"),
            Self::Limit(err) => write!(f, "could not limit targets: {err}"),
            Self::UnknownAction { agent, action, .. } => {
                write!(f, "unknown action {agent}#{action}")
            }
            Self::Options(text) => f.write_str(text),
            Self::NodeFile { path, err } => write!(f, "cannot read {}: {err}", path.display()),
            Self::NodeList { path, err } => write!(f, "{}: {err}", path.display()),
            Self::FilterUnsupported { method } => write!(
                f,
                "the {method} discovery method can only filter by identity, not by class, fact or expression"
            ),
            Self::BadPattern(pattern) => write!(f, "invalid regular expression '{pattern}'"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Network(err) => Some(err),
            Self::Sign(err) => Some(err),
            Self::Request(fault) => Some(fault),
            Self::Limit(err) => Some(err),
            Self::NodeFile { err, .. } => Some(err),
            Self::NodeList { err, .. } => Some(err),
            _ => None,
        }
    }
}

impl From<nats::client::Error> for Error {
    fn from(err: nats::client::Error) -> Self {
        Self::Network(err)
    }
}

impl From<LimitError> for Error {
    fn from(err: LimitError) -> Self {
        Self::Limit(err)
    }
}
