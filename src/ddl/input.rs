//! One input of an action: its type, the typing of words from a command line, and the check of a value.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use crate::util::form::null_is_default;
use crate::util::pattern::Regex;

/// The description of one input of an action.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Short question for user interfaces.
    #[serde(default, deserialize_with = "null_is_default")]
    pub prompt: String,
    /// What the value means.
    #[serde(default, deserialize_with = "null_is_default")]
    pub description: String,
    /// Name of the type, compared without regard to case.
    #[serde(rename = "type", default, deserialize_with = "null_is_default")]
    pub kind: String,
    /// Value sent when the caller gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Whether the input may be left out.
    #[serde(default, deserialize_with = "null_is_default")]
    pub optional: bool,
    /// For strings: a named validator or a regular expression.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub validation: String,
    /// For strings: most bytes allowed, 0 for any number.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    pub maxlength: usize,
    /// For lists: the words allowed.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &usize) -> bool {
    *value == 0
}

/// Why a word cannot become a value of an input's type. The texts are those users know (client notes 1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypingFault {
    /// Not a whole number.
    Integer(String),
    /// Not a number.
    Float(String),
    /// Not one of the words for true and false.
    Boolean(String),
    /// Not a JSON object.
    Hash(String),
    /// Not a JSON array.
    Array(String),
    /// The DDL names a type that does not exist.
    Unsupported(String),
}

impl fmt::Display for TypingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(word) => write!(f, "'{word}' is not a valid integer"),
            Self::Float(word) => write!(f, "'{word}' is not a valid float"),
            Self::Boolean(word) => write!(f, "'{word}' is not a valid boolean"),
            Self::Hash(word) => write!(f, "'{word}' is not a valid JSON string with a hash inside"),
            Self::Array(word) => {
                write!(f, "'{word}' is not a valid JSON string with an array inside")
            }
            Self::Unsupported(kind) => write!(f, "unsupported type '{kind}'"),
        }
    }
}

impl std::error::Error for TypingFault {}

/// Why a value does not fit an input. The texts appear in replies of servers (server notes 5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueFault {
    /// The value has another type; the text names the one wanted.
    WrongType(&'static str),
    /// The string has more bytes than `maxlength`.
    TooLong(usize),
    /// The string has a character or word a shell would act on.
    ShellUnsafe(&'static str),
    /// The string is not an address of the wanted kind.
    Address {
        /// The string.
        value: String,
        /// `an IPv4`, `an IPv6` or `an IP`.
        kind: &'static str,
    },
    /// The string does not match the regular expression.
    NoMatch(String),
    /// The regular expression of the DDL is itself wrong.
    BadRegex(String),
    /// The string is not one of the words allowed.
    NotListed(Vec<String>),
    /// The DDL has a list input without words.
    NoList,
    /// The DDL names a type that does not exist.
    Unsupported(String),
}

impl fmt::Display for ValueFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongType(text) => f.write_str(text),
            Self::TooLong(limit) => write!(f, "is longer than {limit} characters"),
            Self::ShellUnsafe(found) => write!(f, "may not contain '{found}'"),
            Self::Address { value, kind } => write!(f, "{value} is not {kind} address"),
            Self::NoMatch(regex) => write!(f, "input does not match '{regex}'"),
            Self::BadRegex(regex) => write!(f, "invalid regular expression '{regex}' in the DDL"),
            Self::NotListed(words) => write!(f, "should be one of {}", words.join(", ")),
            Self::NoList => f.write_str("input type of list without a valid list of items in DDL"),
            Self::Unsupported(kind) => write!(f, "unsupported input type '{kind}'"),
        }
    }
}

impl std::error::Error for ValueFault {}

impl Input {
    /// Whether a request without this input is incomplete.
    pub fn is_required(&self) -> bool {
        !self.optional
    }

    /// Turns a command line word into a value of the input's type; does not check it further.
    ///
    /// # Errors
    /// When the word does not have the form of the type.
    pub fn typed(&self, word: &str) -> Result<Value, TypingFault> {
        match self.kind.to_ascii_lowercase().as_str() {
            "integer" => word
                .parse::<i64>()
                .map(Value::from)
                .map_err(|_| TypingFault::Integer(word.to_owned())),
            "number" | "float" => float(word).ok_or_else(|| TypingFault::Float(word.to_owned())),
            "string" | "list" => Ok(Value::from(word)),
            "boolean" => boolean(word).ok_or_else(|| TypingFault::Boolean(word.to_owned())),
            "hash" => {
                json(word, Value::is_object).ok_or_else(|| TypingFault::Hash(word.to_owned()))
            }
            "array" => {
                json(word, Value::is_array).ok_or_else(|| TypingFault::Array(word.to_owned()))
            }
            _ => Err(TypingFault::Unsupported(self.kind.clone())),
        }
    }

    /// Checks a value that has its JSON type already. Returns a warning when the DDL names an unknown validator.
    ///
    /// # Errors
    /// When the value does not fit.
    pub fn check(&self, value: &Value) -> Result<Option<String>, ValueFault> {
        let fits = match self.kind.to_ascii_lowercase().as_str() {
            "integer" | "int" => (is_whole(value), "is not an integer"),
            "number" => (value.is_number(), "is not a number"),
            "float" => (value.is_number(), "is not a float"),
            "boolean" => (value.is_boolean(), "is not a boolean"),
            "hash" => (value.is_object(), "is not a hash map"),
            "array" => (value.is_array(), "is not an array"),
            "string" => {
                let text = value.as_str().ok_or(ValueFault::WrongType("is not a string"))?;
                return self.check_string(text);
            }
            "list" => return self.check_listed(value).map(|()| None),
            _ => return Err(ValueFault::Unsupported(self.kind.clone())),
        };
        match fits {
            (true, _) => Ok(None),
            (false, text) => Err(ValueFault::WrongType(text)),
        }
    }

    /// `maxlength` 0 means no length limit, and the validation rule still applies: that is what the DDL says,
    /// although the reference skips the rule in that case.
    fn check_string(&self, text: &str) -> Result<Option<String>, ValueFault> {
        if self.maxlength > 0 && text.len() > self.maxlength {
            return Err(ValueFault::TooLong(self.maxlength));
        }
        let address = |kind| Err(ValueFault::Address { value: text.to_owned(), kind });
        match self.validation.as_str() {
            "" => Ok(None),
            "shellsafe" => shell_safe(text).map(|()| None),
            "ipv4address" => {
                if as_ipv4(text).is_some() {
                    Ok(None)
                } else {
                    address("an IPv4")
                }
            }
            "ipv6address" => {
                if is_ipv6(text) {
                    Ok(None)
                } else {
                    address("an IPv6")
                }
            }
            "ipaddress" => {
                if text.parse::<IpAddr>().is_ok() {
                    Ok(None)
                } else {
                    address("an IP")
                }
            }
            named if named.starts_with(|c: char| c.is_ascii_lowercase()) => {
                Ok(Some(format!("Unsupported validator '{named}'")))
            }
            pattern => matches_regex(pattern, text).map(|()| None),
        }
    }

    fn check_listed(&self, value: &Value) -> Result<(), ValueFault> {
        if self.list.is_empty() {
            return Err(ValueFault::NoList);
        }
        let text = value.as_str().ok_or(ValueFault::WrongType("should be a string"))?;
        if self.list.iter().any(|word| word == text) {
            return Ok(());
        }
        Err(ValueFault::NotListed(self.list.clone()))
    }
}

fn matches_regex(pattern: &str, text: &str) -> Result<(), ValueFault> {
    let regex = Regex::new(pattern).map_err(|_| ValueFault::BadRegex(pattern.to_owned()))?;
    if regex.is_match(text) { Ok(()) } else { Err(ValueFault::NoMatch(pattern.to_owned())) }
}

fn shell_safe(text: &str) -> Result<(), ValueFault> {
    const UNSAFE: [&str; 7] = ["`", "$", ";", "|", "&&", ">", "<"];
    match UNSAFE.into_iter().find(|found| text.contains(found)) {
        Some(found) => Err(ValueFault::ShellUnsafe(found)),
        None => Ok(()),
    }
}

fn as_ipv4(text: &str) -> Option<Ipv4Addr> {
    match text.parse().ok()? {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(address) => address.to_ipv4_mapped(),
    }
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() && as_ipv4(text).is_none()
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// Whole numbers are sent without a fraction, as the reference does.
fn float(word: &str) -> Option<Value> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let number: f64 = word.parse().ok()?;
    if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
        #[allow(clippy::cast_possible_truncation)]
        return Some(Value::from(number as i64));
    }
    Number::from_f64(number).map(Value::Number)
}

fn boolean(word: &str) -> Option<Value> {
    match word {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(Value::Bool(true)),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(Value::Bool(false)),
        _ => None,
    }
}

fn json(word: &str, fits: impl Fn(&Value) -> bool) -> Option<Value> {
    serde_json::from_str(word).ok().filter(fits)
}
