//! A build without Rego.

use std::process::ExitCode;

use serde_json::Value;

use super::RegoFault;
use crate::protocol::filter::Filter;

/// A policy; there is none in this build.
#[derive(Debug)]
pub enum Rego {}

impl Rego {
    /// Always refused.
    ///
    /// # Errors
    /// [`RegoFault::NotBuilt`].
    pub fn parse(_text: &str, _package: &str) -> Result<Rego, RegoFault> {
        Err(RegoFault::NotBuilt)
    }

    /// Never called, as there is no policy.
    ///
    /// # Errors
    /// None.
    pub fn allows(&self, _input: Value, _filter: Option<&Filter>) -> Result<bool, RegoFault> {
        match *self {}
    }
}

/// Nothing can be evaluated here.
pub fn evaluate_for_parent() -> ExitCode {
    ExitCode::FAILURE
}
