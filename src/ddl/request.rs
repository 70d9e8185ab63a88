//! The inputs of one request as a whole: typing on the client, checking on the server.

use std::fmt;

use serde_json::{Map, Value};

use super::{Action, TypingFault, ValueFault};
use crate::util::suggest;

/// Why the words of a command line do not make a request. The user is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputError {
    /// The action has no such input.
    Undeclared {
        /// The name, lower-cased.
        name: String,
        /// A declared name that is much like it.
        nearest: Option<String>,
    },
    /// The word does not have the form of the input's type.
    Typing {
        /// The input.
        name: String,
        /// What is wrong with the word.
        fault: TypingFault,
    },
    /// The value is of the right type and not allowed.
    Value {
        /// The input.
        name: String,
        /// What is wrong with the value.
        fault: ValueFault,
    },
    /// A required input without default is missing.
    Required {
        /// The input.
        name: String,
    },
}

impl InputError {
    /// A declared input the user may have meant.
    pub fn suggestion(&self) -> Option<&str> {
        match self {
            Self::Undeclared { nearest, .. } => nearest.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undeclared { name, .. } => write!(f, "input '{name}' has not been declared"),
            Self::Typing { name, fault } => write!(f, "invalid value for '{name}': {fault}"),
            Self::Value { name, fault } => write!(f, "invalid value for '{name}': {fault}"),
            Self::Required { name } => write!(f, "input '{name}' is required"),
        }
    }
}

impl std::error::Error for InputError {}

/// Why the data of a request that has arrived is refused. The texts are part of replies (server notes 5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestFault {
    /// A required input is missing.
    Required {
        /// The input.
        name: String,
    },
    /// A value does not fit.
    Value {
        /// The input.
        name: String,
        /// What is wrong with the value.
        fault: ValueFault,
    },
    /// The action takes no inputs and got some.
    NoneDeclared,
    /// The action has no such input.
    Undeclared {
        /// The input.
        name: String,
        /// The inputs it has.
        valid: Vec<String>,
    },
}

impl fmt::Display for RequestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required { name } => write!(f, "input '{name}' is required"),
            Self::Value { name, fault } => {
                write!(f, "validation failed for input '{name}': {fault}")
            }
            Self::NoneDeclared => {
                f.write_str("request contains inputs while none are declared in the DDL")
            }
            Self::Undeclared { name, valid } => write!(
                f,
                "request contains an input '{name}' that is not declared in the DDL. Valid inputs are: {}",
                valid.join(", ")
            ),
        }
    }
}

impl std::error::Error for RequestFault {}

/// Added to requests by the Ruby client; not an input.
const IGNORED_INPUT: &str = "process_results";

impl Action {
    /// Types and checks the words of a command line, then adds the defaults. Names are taken without regard to case;
    /// a name given twice keeps its last word.
    ///
    /// # Errors
    /// The first thing that is wrong, before anything is sent.
    pub fn typed_inputs<K, V>(
        &self,
        words: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Map<String, Value>, InputError>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let mut data = Map::new();
        for (key, word) in words {
            let name = key.as_ref().to_lowercase();
            let Some(input) = self.inputs.get(&name) else {
                let nearest = suggest::nearest(&name, self.inputs.keys().map(String::as_str))
                    .map(str::to_owned);
                return Err(InputError::Undeclared { name, nearest });
            };
            let value = match input.typed(word.as_ref()) {
                Ok(value) => value,
                Err(fault) => return Err(InputError::Typing { name, fault }),
            };
            if let Err(fault) = input.check(&value) {
                return Err(InputError::Value { name, fault });
            }
            data.insert(name, value);
        }
        self.add_input_defaults(&mut data)?;
        Ok(data)
    }

    /// Checks values that are typed already (a program's request), then adds the defaults.
    ///
    /// # Errors
    /// The first thing that is wrong, before anything is sent.
    pub fn complete_inputs(&self, data: &mut Map<String, Value>) -> Result<(), InputError> {
        for (name, value) in &*data {
            let Some(input) = self.inputs.get(name) else {
                let nearest = suggest::nearest(name, self.inputs.keys().map(String::as_str))
                    .map(str::to_owned);
                return Err(InputError::Undeclared { name: name.clone(), nearest });
            };
            input.check(value).map_err(|fault| InputError::Value { name: name.clone(), fault })?;
        }
        self.add_input_defaults(data)
    }

    fn add_input_defaults(&self, data: &mut Map<String, Value>) -> Result<(), InputError> {
        for (name, input) in &self.inputs {
            if data.contains_key(name) {
                continue;
            }
            match &input.default {
                Some(default) => {
                    data.insert(name.clone(), default.clone());
                }
                None if input.is_required() => {
                    return Err(InputError::Required { name: name.clone() });
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Checks the data of a request on the server, in the order the reference does. Defaults do not stand in for
    /// required inputs here. Returns warnings about unknown validators.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate_request(&self, data: &Map<String, Value>) -> Result<Vec<String>, RequestFault> {
        let mut warnings = Vec::new();
        for (name, input) in &self.inputs {
            match data.get(name) {
                Some(value) => warnings.extend(
                    input
                        .check(value)
                        .map_err(|fault| RequestFault::Value { name: name.clone(), fault })?,
                ),
                None if input.is_required() => {
                    return Err(RequestFault::Required { name: name.clone() });
                }
                None => {}
            }
        }
        let mut given = data.keys().filter(|name| *name != IGNORED_INPUT);
        if self.inputs.is_empty() && given.clone().next().is_some() {
            return Err(RequestFault::NoneDeclared);
        }
        match given.find(|name| !self.inputs.contains_key(*name)) {
            Some(name) => Err(RequestFault::Undeclared {
                name: name.clone(),
                valid: self.inputs.keys().cloned().collect(),
            }),
            None => Ok(warnings),
        }
    }
}
