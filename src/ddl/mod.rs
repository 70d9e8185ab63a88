//! Agent descriptions (DDL): parse, validate inputs, defaults, aggregates.
//!
//! A DDL is a JSON document that says which actions an agent has, what each takes and what it answers. Clients use
//! it to type command line words, to know how long to wait and how to show replies; servers use it to check requests.
//! This module is pure: it never reads files (`rpc::ddl_files` does) and knows no network. Start at [`Agent::parse`].

pub mod aggregate;
pub mod builtin;
mod input;
mod request;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::util::form::null_is_default;
use crate::util::suggest;

pub use input::{Input, TypingFault, ValueFault};
pub use request::{InputError, RequestFault};

/// Longest DDL document accepted, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// Most actions one agent may declare.
pub const ACTIONS_MAX: usize = 512;
/// Longest accepted agent or action name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Seconds an action may take when the DDL says 0.
pub const TIMEOUT_SECS_DEFAULT: u64 = 10;

/// The description of one agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Name of the JSON schema the document follows.
    #[serde(
        rename = "$schema",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub schema: String,
    /// Who and what the agent is.
    pub metadata: Metadata,
    /// What it can do, in the order of the document.
    #[serde(default, deserialize_with = "null_is_default")]
    pub actions: Vec<Action>,
}

/// Facts about an agent as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The name requests use.
    pub name: String,
    /// One sentence for people.
    #[serde(default, deserialize_with = "null_is_default")]
    pub description: String,
    /// Name and address of the author.
    #[serde(default, deserialize_with = "null_is_default")]
    pub author: String,
    /// Licence identifier.
    #[serde(default, deserialize_with = "null_is_default")]
    pub license: String,
    /// Version of the agent.
    #[serde(default, deserialize_with = "null_is_default")]
    pub version: String,
    /// Where to read more.
    #[serde(default, deserialize_with = "null_is_default")]
    pub url: String,
    /// Longest time one action may take, in seconds; 0 means [`TIMEOUT_SECS_DEFAULT`].
    #[serde(default, deserialize_with = "null_is_default")]
    pub timeout: u64,
    /// What hosts the agent on the server: `ruby`, `external`, `golang`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Whether one of several equal instances answers each request.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub service: bool,
}

/// The description of one action of an agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// The name requests use.
    #[serde(rename = "action")]
    pub name: String,
    /// One sentence for people.
    #[serde(default, deserialize_with = "null_is_default")]
    pub description: String,
    /// Which replies are worth showing.
    #[serde(default, deserialize_with = "null_is_default")]
    pub display: Display,
    /// What the action takes, by name.
    #[serde(rename = "input", default, deserialize_with = "null_is_default")]
    pub inputs: BTreeMap<String, Input>,
    /// What the action answers, by name.
    #[serde(rename = "output", default, deserialize_with = "null_is_default")]
    pub outputs: BTreeMap<String, Output>,
    /// How the replies of many nodes are condensed.
    #[serde(
        rename = "aggregate",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub aggregates: Vec<Aggregate>,
}

/// Which replies a client shows when the user does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Display {
    /// Only replies with status 0.
    Ok,
    /// Only replies with another status; also what a missing or unknown word means.
    #[default]
    Failed,
    /// Every reply.
    Always,
}

impl<'de> Deserialize<'de> for Display {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match String::deserialize(deserializer)?.as_str() {
            "ok" => Self::Ok,
            "always" => Self::Always,
            _ => Self::Failed,
        })
    }
}

/// The description of one output of an action.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// What the value means.
    #[serde(default, deserialize_with = "null_is_default")]
    pub description: String,
    /// Label shown instead of the raw key.
    #[serde(default, deserialize_with = "null_is_default")]
    pub display_as: String,
    /// Type of the value; empty means any.
    #[serde(
        rename = "type",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub kind: String,
    /// Value assumed when a reply does not have this output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// One entry of an action's `aggregate` list; see [`aggregate::Summaries`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// Name of the function.
    #[serde(default, deserialize_with = "null_is_default")]
    pub function: String,
    /// First the output's name, then an optional object of settings.
    #[serde(default)]
    pub args: Value,
}

/// Why a DDL document cannot be used. The author of the document is at fault.
#[derive(Debug)]
pub enum Fault {
    /// The document is longer than [`DOCUMENT_BYTES_MAX`].
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The document is not JSON, or not of the form of a DDL.
    Malformed(serde_json::Error),
    /// A name is empty, too long or has a character that cannot be part of a subject.
    Name {
        /// What carries the name: `agent` or `action`.
        what: &'static str,
        /// The name as written.
        name: String,
    },
    /// There are more than [`ACTIONS_MAX`] actions.
    TooManyActions {
        /// How many there are.
        count: usize,
    },
    /// Two actions have the same name.
    DuplicateAction {
        /// That name.
        name: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => {
                write!(f, "the document has {bytes} bytes, more than {DOCUMENT_BYTES_MAX}")
            }
            Self::Malformed(err) => {
                write!(f, "the document is not a valid agent description: {err}")
            }
            Self::Name { what, name } => write!(f, "invalid {what} name '{name}'"),
            Self::TooManyActions { count } => {
                write!(f, "the document declares {count} actions, more than {ACTIONS_MAX}")
            }
            Self::DuplicateAction { name } => write!(f, "action '{name}' is declared twice"),
        }
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Malformed(err) => Some(err),
            _ => None,
        }
    }
}

impl Agent {
    /// Reads a JSON document. Unknown fields are ignored, `null` counts as missing.
    ///
    /// # Errors
    /// When the document is too long, malformed, or has an unusable name.
    pub fn parse(document: &[u8]) -> Result<Self, Fault> {
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(Fault::TooLong { bytes: document.len() });
        }
        let agent: Self = serde_json::from_slice(document).map_err(Fault::Malformed)?;
        check_name("agent", &agent.metadata.name)?;
        if agent.actions.len() > ACTIONS_MAX {
            return Err(Fault::TooManyActions { count: agent.actions.len() });
        }
        for (index, action) in agent.actions.iter().enumerate() {
            check_name("action", &action.name)?;
            if agent.actions[..index].iter().any(|other| other.name == action.name) {
                return Err(Fault::DuplicateAction { name: action.name.clone() });
            }
        }
        Ok(agent)
    }

    /// The action of that name.
    pub fn action(&self, name: &str) -> Option<&Action> {
        self.actions.iter().find(|action| action.name == name)
    }

    /// The names of all actions, in the order of the document.
    pub fn action_names(&self) -> impl Iterator<Item = &str> {
        self.actions.iter().map(|action| action.name.as_str())
    }

    /// The action whose name is most like a mistyped one.
    pub fn nearest_action(&self, name: &str) -> Option<&str> {
        suggest::nearest(name, self.action_names())
    }

    /// How long one action may take.
    pub fn timeout(&self) -> std::time::Duration {
        let secs =
            if self.metadata.timeout == 0 { TIMEOUT_SECS_DEFAULT } else { self.metadata.timeout };
        std::time::Duration::from_secs(secs)
    }
}

impl Action {
    /// Adds every declared output that has a default and is missing from a reply's data.
    pub fn apply_output_defaults(&self, data: &mut Map<String, Value>) {
        for (name, output) in &self.outputs {
            if let Some(default) = &output.default
                && !data.contains_key(name)
            {
                data.insert(name.clone(), default.clone());
            }
        }
    }

    /// The label a client shows for an output: `display_as`, else the raw key.
    pub fn label<'a>(&'a self, output: &'a str) -> &'a str {
        match self.outputs.get(output) {
            Some(declared) if !declared.display_as.is_empty() => &declared.display_as,
            _ => output,
        }
    }
}

fn check_name(what: &'static str, name: &str) -> Result<(), Fault> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) {
        let name = name.chars().take(NAME_BYTES_MAX).collect();
        return Err(Fault::Name { what, name });
    }
    Ok(())
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests;
