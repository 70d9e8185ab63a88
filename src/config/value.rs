//! One value of a key: read from text by the key's kind, given back typed or as JSON.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value as Json;

use crate::config::keys::Kind;
use crate::util::duration;

/// A value that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text, titles, choices and single paths.
    Text(String),
    /// A number.
    Integer(i64),
    /// Yes or no.
    Boolean(bool),
    /// A length of time.
    Duration(Duration),
    /// Any list.
    List(Vec<String>),
}

impl Value {
    /// Reads `text` as a value of this kind; the error says what is allowed instead.
    /// `home` takes the place of a leading `~` of a path.
    pub fn read(kind: Kind, text: &str, home: Option<&Path>) -> Result<Self, String> {
        Ok(match kind {
            Kind::Text => Self::Text(text.to_owned()),
            Kind::Title => Self::Text(title(text)),
            Kind::Path => Self::Text(expand(text, home)?),
            Kind::Choice(words) => Self::Text(choice(words, text)?),
            Kind::Integer(from, to) => Self::Integer(integer(text, from, to)?),
            Kind::Boolean => Self::Boolean(boolean(text)?),
            Kind::Duration(limit) => Self::Duration(length(text, limit)?),
            Kind::CommaList if text.is_empty() => Self::List(Vec::new()),
            Kind::CommaList => Self::List(
                text.split(',')
                    .map(str::trim)
                    .filter(|p| !p.is_empty())
                    .map(str::to_owned)
                    .collect(),
            ),
            Kind::PathList => Self::List(
                text.split(':')
                    .filter(|part| !part.is_empty())
                    .map(|part| expand(part, home))
                    .collect::<Result<_, _>>()?,
            ),
            Kind::TextList if text.is_empty() => Self::List(Vec::new()),
            Kind::TextList => Self::List(vec![text.to_owned()]),
        })
    }

    /// Adds the elements of another list.
    pub fn extend(&mut self, other: Self) {
        match (self, other) {
            (Self::List(mine), Self::List(more)) => mine.extend(more),
            (mine, other) => *mine = other,
        }
    }

    /// Whether this is what a key has when nothing is set: no text, zero, no, no elements.
    pub fn is_off(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Integer(number) => *number == 0,
            Self::Boolean(yes) => !yes,
            Self::Duration(length) => length.is_zero(),
            Self::List(elements) => elements.is_empty(),
        }
    }

    /// The value in its native JSON type; lengths of time are nanoseconds, as Go holds them.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Text(text) => Json::from(text.as_str()),
            Self::Integer(number) => Json::from(*number),
            Self::Boolean(yes) => Json::from(*yes),
            Self::Duration(length) => {
                // The longest length that can be read fits: see util::duration.
                Json::from(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX))
            }
            Self::List(elements) => Json::from(elements.as_slice()),
        }
    }

    /// The value as a person would write it.
    pub fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Boolean(yes) => yes.to_string(),
            Self::Duration(length) => duration::go(*length),
            Self::List(elements) => elements.join(", "),
        }
    }
}

fn title(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn expand(text: &str, home: Option<&Path>) -> Result<String, String> {
    let Some(rest) = text.strip_prefix('~') else {
        return Ok(text.to_owned());
    };
    let home = home.ok_or("a path without ~, because HOME is not set")?;
    let path = if rest.is_empty() {
        PathBuf::from(home)
    } else if let Some(rest) = rest.strip_prefix('/') {
        home.join(rest)
    } else {
        return Ok(text.to_owned());
    };
    path.into_os_string().into_string().map_err(|_| "a path in UTF-8".to_owned())
}

fn choice(words: &[&str], text: &str) -> Result<String, String> {
    words
        .iter()
        .find(|word| word.eq_ignore_ascii_case(text))
        .map(|word| (*word).to_owned())
        .ok_or_else(|| format!("one of {}", words.join(", ")))
}

fn integer(text: &str, from: i64, to: i64) -> Result<i64, String> {
    text.parse().ok().filter(|number| (from..=to).contains(number)).ok_or_else(|| {
        if to == i64::MAX {
            format!("a number of at least {from}")
        } else {
            format!("a number from {from} to {to}")
        }
    })
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "y" | "t" => Ok(true),
        "0" | "no" | "false" | "n" | "f" => Ok(false),
        _ => Err("yes or no (or true, false, y, n, t, f, 1, 0)".to_owned()),
    }
}

fn length(text: &str, limit: Option<Duration>) -> Result<Duration, String> {
    let length = duration::parse(text)
        .map_err(|error| format!("a duration such as 30s, 5m or 1h30m: {error}"))?;
    match limit {
        Some(limit) if length > limit => {
            Err(format!("a duration of at most {}", duration::go(limit)))
        }
        _ => Ok(length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    fn list(elements: &[&str]) -> Value {
        Value::List(elements.iter().map(|e| (*e).to_owned()).collect())
    }

    fn read(kind: Kind, text: &str) -> Result<Value, String> {
        Value::read(kind, text, Some(Path::new("/home/ann")))
    }

    #[test]
    fn values_are_read_by_their_kind() {
        let text = |t: &str| Value::Text(t.to_owned());
        let cases = [
            (Kind::Text, "a = b # c", text("a = b # c")),
            (Kind::Title, "action_policy", text("Action_policy")),
            (Kind::Path, "~/x", text("/home/ann/x")),
            (Kind::Path, "~", text("/home/ann")),
            (Kind::Path, "/a~b", text("/a~b")),
            (Kind::Path, "~other/x", text("~other/x")),
            (Kind::Choice(&["info", "warn"]), "WARN", text("warn")),
            (Kind::Integer(0, 10), "10", Value::Integer(10)),
            (Kind::Integer(-1, 5), "-1", Value::Integer(-1)),
            (Kind::Boolean, "YES", Value::Boolean(true)),
            (Kind::Boolean, "t", Value::Boolean(true)),
            (Kind::Boolean, "0", Value::Boolean(false)),
            (Kind::Boolean, "N", Value::Boolean(false)),
            (Kind::Duration(None), "90", Value::Duration(Duration::from_secs(90))),
            (Kind::Duration(None), "1d", Value::Duration(Duration::from_secs(86_400))),
            (Kind::CommaList, " a, b ,,c", list(&["a", "b", "c"])),
            (Kind::CommaList, "", list(&[])),
            (Kind::PathList, "/a:~/b", list(&["/a", "/home/ann/b"])),
            (Kind::TextList, "a,b", list(&["a,b"])),
        ];
        for (kind, text, expected) in cases {
            assert_eq!(read(kind, text), Ok(expected), "{kind:?} {text:?}");
        }
    }

    #[test]
    fn bad_values_say_what_is_allowed() {
        let minute = Kind::Duration(Some(Duration::from_secs(60)));
        let cases = [
            (Kind::Integer(0, 65_535), "70000", "a number from 0 to 65535"),
            (Kind::Integer(0, i64::MAX), "-1", "a number of at least 0"),
            (Kind::Integer(0, i64::MAX), "1.5", "a number of at least 0"),
            (Kind::Boolean, "on", "yes or no (or true, false, y, n, t, f, 1, 0)"),
            (Kind::Choice(&["a", "b"]), "c", "one of a, b"),
            (minute, "61s", "a duration of at most 1m0s"),
        ];
        for (kind, text, expected) in cases {
            assert_eq!(read(kind, text), Err(expected.to_owned()), "{kind:?} {text:?}");
        }
        assert!(read(minute, "soon").unwrap_err().starts_with("a duration such as 30s"));
        assert!(Value::read(Kind::Path, "~/x", None).is_err());
    }

    #[test]
    fn every_default_of_the_table_can_be_read() {
        for key in keys::all().filter(|key| !key.default.is_empty()) {
            assert!(read(key.kind, key.default).is_ok(), "{} = {}", key.name, key.default);
        }
    }

    #[test]
    fn values_go_to_json_in_their_native_types() {
        let cases = [
            (Value::Text("a".into()), r#""a""#),
            (Value::Integer(-1), "-1"),
            (Value::Boolean(true), "true"),
            (Value::Duration(Duration::from_secs(2)), "2000000000"),
            (list(&["a", "b"]), r#"["a","b"]"#),
        ];
        for (value, json) in cases {
            assert_eq!(value.to_json().to_string(), json);
        }
    }
}
