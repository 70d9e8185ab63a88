//! Subjects, topics, keys and file names made from a record: `choria.{collective}.{agent}.{sender}`.

use std::fmt;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use super::Record;

/// Words between braces.
const WORDS: &str = "sender, agent, collective, request_id, id, subject, time:FORMAT";

/// A text with places for what a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Sender,
    Agent,
    Collective,
    RequestId,
    Id,
    Subject,
    /// In UTC, in the notation of `strftime`.
    Time(String),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadTemplate {
    /// A brace without its counterpart.
    Brace,
    /// A word that means nothing.
    Word(String),
    /// A notation of times that cannot be used.
    Time {
        /// The notation.
        format: String,
        /// Why not.
        reason: String,
    },
}

impl fmt::Display for BadTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadTemplate::Brace => f.write_str("a brace has no counterpart"),
            BadTemplate::Word(word) => {
                write!(f, "{{{word}}} means nothing, it has to be one of {WORDS}")
            }
            BadTemplate::Time { format, reason } => {
                write!(f, "{{time:{format}}} is no notation of times: {reason}")
            }
        }
    }
}

impl std::error::Error for BadTemplate {}

impl Template {
    /// Reads a text. `%s` and `{sender}` are the sender.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Template, BadTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}', '%']) {
            let (before, from) = rest.split_at(at);
            push_text(&mut parts, before);
            rest = if let Some(after) = from.strip_prefix("%s") {
                parts.push(Part::Sender);
                after
            } else if let Some(after) = from.strip_prefix('%') {
                push_text(&mut parts, "%");
                after
            } else {
                let inner = from.strip_prefix('{').ok_or(BadTemplate::Brace)?;
                let (word, after) = inner.split_once('}').ok_or(BadTemplate::Brace)?;
                parts.push(part(word)?);
                after
            };
        }
        push_text(&mut parts, rest);
        Ok(Template { text: text.to_owned(), parts })
    }

    /// The text for a record. What the record says stands in it as it is: whoever uses it looks whether it fits.
    pub fn render(&self, record: &Record) -> String {
        let mut out = String::with_capacity(self.text.len() + record.sender.len() + 32);
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Sender => out.push_str(&record.sender),
                Part::Agent => out.push_str(&record.agent),
                Part::Collective => out.push_str(&record.collective),
                Part::RequestId => out.push_str(&record.request_id),
                Part::Id => out.push_str(&record.id),
                Part::Subject => out.push_str(&record.subject),
                Part::Time(format) => {
                    // The notation was tried when it was read; times out of range are nearest to it.
                    let at = Timestamp::try_from(record.time).unwrap_or(Timestamp::UNIX_EPOCH);
                    let _ = write!(out, "{}", at.to_zoned(TimeZone::UTC).strftime(format));
                }
            }
        }
        out
    }

    /// The text if it is the same for every record.
    pub fn constant(&self) -> Option<&str> {
        self.parts.iter().all(|part| matches!(part, Part::Text(_))).then_some(self.text.as_str())
    }
}

/// As it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Text(last)) => last.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

fn part(word: &str) -> Result<Part, BadTemplate> {
    Ok(match word {
        "sender" => Part::Sender,
        "agent" => Part::Agent,
        "collective" => Part::Collective,
        "request_id" => Part::RequestId,
        "id" => Part::Id,
        "subject" => Part::Subject,
        _ => match word.strip_prefix("time:") {
            Some(format) => Part::Time(time_format(format)?),
            None => return Err(BadTemplate::Word(word.to_owned())),
        },
    })
}

fn time_format(format: &str) -> Result<String, BadTemplate> {
    let refuse = |reason: String| BadTemplate::Time { format: format.to_owned(), reason };
    if format.is_empty() {
        return Err(refuse("it is empty".to_owned()));
    }
    let zoned = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    strtime::format(format, &zoned).map_err(|error| refuse(error.to_string()))?;
    Ok(format.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn record() -> Record {
        Record {
            id: "r1-n1.example.net".to_owned(),
            sender: "n1.example.net".to_owned(),
            agent: "registration".to_owned(),
            collective: "mcollective".to_owned(),
            time: UNIX_EPOCH + Duration::from_secs(1_714_558_272),
            request_id: "r1".to_owned(),
            subject: "a.b".to_owned(),
            body: Vec::new().into(),
        }
    }

    #[test]
    fn records_fill_templates() {
        for (text, expected) in [
            (
                "choria.{collective}.{agent}.{sender}",
                "choria.mcollective.registration.n1.example.net",
            ),
            ("data.%s", "data.n1.example.net"),
            ("%s%s", "n1.example.netn1.example.net"),
            ("{time:%Y-%m-%d}/{time:%H}", "2024-05-01/10"),
            ("{request_id}|{id}|{subject}", "r1|r1-n1.example.net|a.b"),
            ("100%", "100%"),
            ("%d", "%d"),
            ("plain", "plain"),
            ("", ""),
        ] {
            let template = Template::parse(text).expect(text);
            assert_eq!(template.render(&record()), expected, "{text}");
            assert_eq!(template.to_string(), text);
        }
        let constant = |text: &str| Template::parse(text).expect(text).constant().is_some();
        assert_eq!([constant("a.b"), constant("a.%s"), constant("")], [true, false, true]);
    }

    #[test]
    fn bad_templates_say_what_is_allowed() {
        for (text, expected) in [
            ("a{sender", "a brace has no counterpart"),
            ("a}b", "a brace has no counterpart"),
            ("{node}", "{node} means nothing, it has to be one of sender, agent,"),
            ("{}", "{} means nothing"),
            ("{time:}", "{time:} is no notation of times: it is empty"),
            ("{time:%Q%!}", "is no notation of times: "),
        ] {
            let error = Template::parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
