//! Node lists from files: names one per line, JSON, YAML, or the saved results of a request (client notes 1.4).

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use serde_json::Value;

use super::identity::is_host_name;
use crate::util::gjson;

/// Longest node list accepted, in bytes.
pub const FILE_BYTES_MAX: usize = 64 << 20;

/// How a node list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One name per line; empty lines and lines that begin with `#` are skipped.
    Text,
    /// An array of names.
    Json,
    /// A sequence of names.
    Yaml,
    /// The document `rpc --json` prints: the senders of all replies, failed ones too.
    Results,
}

/// Why a node list cannot be used. Whoever wrote the file is at fault.
#[derive(Debug)]
pub enum FlatFileError {
    /// The list is longer than [`FILE_BYTES_MAX`].
    TooLong,
    /// The text is not UTF-8.
    NotText,
    /// There is a name that cannot be one.
    Identity {
        /// The name as written.
        name: String,
        /// Its line, or its place in the list, from 1.
        place: Place,
    },
    /// The document is malformed; the text names line and column.
    Malformed(String),
    /// The document is well formed and holds something else.
    Shape(&'static str),
    /// The format has no such name.
    UnknownFormat(String),
}

/// Where in a node list something stands, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On that line.
    Line(usize),
    /// At that place of the list.
    Entry(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Entry(number) => write!(f, "entry {number}"),
        }
    }
}

impl fmt::Display for FlatFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the node list has more than {FILE_BYTES_MAX} bytes"),
            Self::NotText => f.write_str("the node list is not UTF-8 text"),
            Self::Identity { name, place } => {
                write!(f, "{place}: invalid identity string {name:?}")
            }
            Self::Malformed(err) => write!(f, "cannot read the node list: {err}"),
            Self::Shape(wanted) => write!(f, "the node list is not {wanted}"),
            Self::UnknownFormat(name) => {
                write!(f, "unknown node list format '{name}', use text, json, yaml or results")
            }
        }
    }
}

impl std::error::Error for FlatFileError {}

impl Format {
    /// The format the extension of a file name stands for; text when there is none.
    pub fn of_path(path: &Path) -> Self {
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("json") => Self::Json,
            Some("yaml" | "yml") => Self::Yaml,
            _ => Self::Text,
        }
    }

    /// The format a `format` discovery option names.
    ///
    /// # Errors
    /// When there is no such format.
    pub fn named(name: &str) -> Result<Self, FlatFileError> {
        match name.to_ascii_lowercase().as_str() {
            "" | "text" | "txt" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "yaml" | "yml" => Ok(Self::Yaml),
            "choriarpc" | "results" | "rpc" | "response" => Ok(Self::Results),
            _ => Err(FlatFileError::UnknownFormat(name.to_owned())),
        }
    }

    /// What the text itself looks like, for lists that arrive on standard input.
    pub fn guess(text: &[u8]) -> Self {
        match text.trim_ascii_start().first() {
            Some(b'{') => Self::Results,
            Some(b'[') => Self::Json,
            _ => Self::Text,
        }
    }
}

/// Reads a node list. `path` names the array inside a JSON or YAML document, in the notation of facts. Names keep
/// their order; a name that comes twice is kept once.
///
/// # Errors
/// When the list is malformed or has a name that cannot be one.
pub fn parse(
    text: &[u8],
    format: Format,
    path: Option<&str>,
) -> Result<Vec<String>, FlatFileError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(FlatFileError::TooLong);
    }
    let names = match format {
        Format::Text => lines(text)?,
        Format::Json => names_in(&json(text)?, path)?,
        Format::Yaml => names_in(&yaml(text)?, path)?,
        Format::Results => senders(&json(text)?)?,
    };
    let mut seen = HashSet::with_capacity(names.len());
    let mut unique = Vec::with_capacity(names.len());
    for (place, name) in names {
        if !is_host_name(&name) {
            return Err(FlatFileError::Identity { name: name.chars().take(100).collect(), place });
        }
        if seen.insert(name.clone()) {
            unique.push(name);
        }
    }
    Ok(unique)
}

type Named = (Place, String);

fn lines(text: &[u8]) -> Result<Vec<Named>, FlatFileError> {
    let text = std::str::from_utf8(text).map_err(|_| FlatFileError::NotText)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let named = text.lines().enumerate().map(|(index, line)| (Place::Line(index + 1), line.trim()));
    let kept = named.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    Ok(kept.map(|(place, line)| (place, line.to_owned())).collect())
}

fn json(text: &[u8]) -> Result<Value, FlatFileError> {
    serde_json::from_slice(text).map_err(|err| FlatFileError::Malformed(err.to_string()))
}

fn yaml(text: &[u8]) -> Result<Value, FlatFileError> {
    crate::util::yaml::from_slice(text).map_err(|err| FlatFileError::Malformed(err.to_string()))
}

fn names_in(document: &Value, path: Option<&str>) -> Result<Vec<Named>, FlatFileError> {
    const WANTED: &str = "an array of names";
    let found = match path {
        Some(path) => gjson::lookup(document, path)
            .map(Cow::into_owned)
            .ok_or(FlatFileError::Shape("a document with that path"))?,
        None => document.clone(),
    };
    let Value::Array(entries) = found else { return Err(FlatFileError::Shape(WANTED)) };
    let name = |(index, entry): (usize, Value)| match entry {
        Value::String(name) => Ok((Place::Entry(index + 1), name)),
        _ => Err(FlatFileError::Shape(WANTED)),
    };
    entries.into_iter().enumerate().map(name).collect()
}

fn senders(document: &Value) -> Result<Vec<Named>, FlatFileError> {
    const WANTED: &str = "a document of request results";
    let replies =
        document.get("replies").and_then(Value::as_array).ok_or(FlatFileError::Shape(WANTED))?;
    let sender = |(index, reply): (usize, &Value)| {
        let name =
            reply.get("sender").and_then(Value::as_str).ok_or(FlatFileError::Shape(WANTED))?;
        Ok((Place::Entry(index + 1), name.to_owned()))
    };
    replies.iter().enumerate().map(sender).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, format: Format, path: Option<&str>, expected: Result<&[&str], &str>) {
        let found = parse(text.as_bytes(), format, path).map_err(|err| err.to_string());
        let expected = expected
            .map(|names| names.iter().map(|n| (*n).to_owned()).collect())
            .map_err(str::to_owned);
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn text() {
        check(
            "n1\n n2.example.net \r\n\n# n3\nn1\n",
            Format::Text,
            None,
            Ok(&["n1", "n2.example.net"]),
        );
        check("", Format::Text, None, Ok(&[]));
        check("\u{feff}n1", Format::Text, None, Ok(&["n1"]));
        check("n1\nn 2", Format::Text, None, Err("line 2: invalid identity string \"n 2\""));
        check("n1\n>\n", Format::Text, None, Err("line 2: invalid identity string \">\""));
        assert!(matches!(parse(b"\xff", Format::Text, None), Err(FlatFileError::NotText)));
    }

    #[test]
    fn json_and_yaml() {
        check("[\"n1\",\"n2\"]", Format::Json, None, Ok(&["n1", "n2"]));
        check("[\"n1\",2]", Format::Json, None, Err("the node list is not an array of names"));
        check("{\"a\":{\"b\":[\"n1\"]}}", Format::Json, Some("a.b"), Ok(&["n1"]));
        check(
            "{\"a\":1}",
            Format::Json,
            Some("a.b"),
            Err("the node list is not a document with that path"),
        );
        check("{}", Format::Json, None, Err("the node list is not an array of names"));
        check("[\"n1\",\"\"]", Format::Json, None, Err("entry 2: invalid identity string \"\""));
        check("- n1\n- n2\n", Format::Yaml, None, Ok(&["n1", "n2"]));
        check("web:\n  - n1\n", Format::Yaml, Some("web"), Ok(&["n1"]));
        let text = parse(b"[\n1,\n", Format::Json, None).unwrap_err().to_string();
        assert!(text.contains("line 3"), "{text}");
    }

    #[test]
    fn results() {
        let saved = "{\"replies\":[{\"sender\":\"n1\",\"statuscode\":1},{\"sender\":\"n2\"}]}";
        check(saved, Format::Results, None, Ok(&["n1", "n2"]));
        check(
            "{\"replies\":[{}]}",
            Format::Results,
            None,
            Err("the node list is not a document of request results"),
        );
        check(
            "[]",
            Format::Results,
            None,
            Err("the node list is not a document of request results"),
        );
    }

    #[test]
    fn formats() {
        for (name, expected) in
            [("RPC", Some(Format::Results)), ("yml", Some(Format::Yaml)), ("toml", None)]
        {
            assert_eq!(Format::named(name).ok(), expected);
        }
        assert_eq!(Format::of_path(Path::new("a/b.YAML")), Format::Yaml);
        assert_eq!(Format::of_path(Path::new("nodes")), Format::Text);
        assert_eq!(Format::guess(b" \n{"), Format::Results);
        assert_eq!(Format::guess(b"[\"a\"]"), Format::Json);
        assert_eq!(Format::guess(b"n1\n"), Format::Text);
    }
}
