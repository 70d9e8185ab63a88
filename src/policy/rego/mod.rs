//! Rego policies: text that is asked for one boolean.
//!
//! The language is that of OPA 1, interpreted by the crate `regorus`, which the feature `rego` brings in. Without the
//! feature nothing can be read, so whatever asks a Rego policy is denied.

use std::fmt;

#[cfg(feature = "rego")]
mod engine;
#[cfg(feature = "rego")]
mod functions;

#[cfg(not(feature = "rego"))]
mod absent;

#[cfg(not(feature = "rego"))]
pub use absent::Rego;
#[cfg(feature = "rego")]
pub use engine::Rego;

/// Whether Rego policies can be read by this build.
pub const IS_BUILT_IN: bool = cfg!(feature = "rego");

/// The package of policy files.
pub const FILE_PACKAGE: &str = "io.choria.mcorpc.authpolicy";
/// The package of policies in tokens.
pub const TOKEN_PACKAGE: &str = "io.choria.aaasvc";
/// The rule that is asked for.
pub const RULE: &str = "allow";

/// Why a Rego policy gives no decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegoFault {
    /// This build has no Rego.
    NotBuilt,
    /// The text is no policy, or evaluating it failed.
    Policy {
        /// The line that is at fault, counted from 1.
        line: Option<usize>,
        /// What is wrong.
        text: String,
    },
    /// The policy is of another package.
    Package(String),
    /// `allow` has no value.
    NoResult,
    /// `allow` has a value that is neither true nor false.
    NotBoolean,
    /// The evaluation took too long.
    TooSlow,
}

impl RegoFault {
    /// The line that is at fault, counted from 1.
    pub fn line(&self) -> Option<usize> {
        match self {
            RegoFault::Policy { line, .. } => *line,
            _ => None,
        }
    }
}

impl fmt::Display for RegoFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegoFault::NotBuilt => f.write_str("this program was built without the feature rego"),
            RegoFault::Policy { text, .. } => f.write_str(text),
            RegoFault::Package(package) => write!(f, "the policy is not of the package {package}"),
            RegoFault::NoResult => f.write_str("allow has no value"),
            RegoFault::NotBoolean => f.write_str("allow is neither true nor false"),
            RegoFault::TooSlow => f.write_str("the evaluation takes too long"),
        }
    }
}

impl std::error::Error for RegoFault {}

#[cfg(all(test, feature = "rego"))]
mod tests;
