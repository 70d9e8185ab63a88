//! Rego policies: text that is asked for one boolean.
//!
//! The language is that of OPA 1, interpreted by the crate `regorus`, which the feature `rego` brings in. Without the
//! feature nothing can be read, so whatever asks a Rego policy is denied.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::protocol::filter::Filter;

#[cfg(feature = "rego")]
mod apart;
#[cfg(feature = "rego")]
mod engine;
#[cfg(feature = "rego")]
mod functions;
#[cfg(feature = "rego")]
mod watch;

#[cfg(not(feature = "rego"))]
mod absent;

#[cfg(not(feature = "rego"))]
pub use absent::{Rego, evaluate_for_parent};
#[cfg(feature = "rego")]
pub use apart::evaluate_for_parent;
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

/// The only word of a process that evaluates one policy for another process and ends; see [`evaluate_for_parent`].
pub const EVALUATE: &str = "--evaluate-policy";

/// Asks policies that somebody else wrote: those in tokens, and those that are only tried.
#[derive(Debug, Clone, Default)]
pub struct Foreign {
    /// This program, which is started for each question. Nothing: questions are answered in this process, where a single
    /// function of a policy can ask for more memory than there is.
    pub program: Option<PathBuf>,
}

impl Foreign {
    /// What `allow` of a policy of this package is for an input, and for the filter of a request if there is one.
    ///
    /// # Errors
    /// Why there is no answer.
    #[cfg(feature = "rego")]
    pub fn ask(
        &self,
        policy: &str,
        package: &str,
        input: Value,
        filter: Option<&Filter>,
    ) -> Result<bool, RegoFault> {
        let (policy, package) = (policy.to_owned(), package.to_owned());
        let question = apart::Question { policy, package, input, filter: filter.cloned() };
        match &self.program {
            Some(program) => question.ask(program),
            None => question.answer(),
        }
    }

    /// There is no answer in a build without Rego.
    ///
    /// # Errors
    /// [`RegoFault::NotBuilt`].
    #[cfg(not(feature = "rego"))]
    pub fn ask(
        &self,
        _policy: &str,
        _package: &str,
        _input: Value,
        _filter: Option<&Filter>,
    ) -> Result<bool, RegoFault> {
        Err(RegoFault::NotBuilt)
    }
}

/// Why a Rego policy gives no decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The evaluation took too much memory.
    TooLarge,
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
            RegoFault::TooLarge => f.write_str("the evaluation takes too much memory"),
        }
    }
}

impl std::error::Error for RegoFault {}

#[cfg(all(test, feature = "rego"))]
mod tests;
