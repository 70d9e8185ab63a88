//! Paths of records. What a record says was written by whoever sent it, so none of it is believed.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::adapt::{Record, Template};

/// Where records go when there are too many files.
pub(super) const OVERFLOW: &str = "overflow.ndjson";
/// What stands between the name of a file and the time it was rotated. No name of a record has it.
pub(super) const ROTATED: char = '~';

/// Characters that are kept of one text of a record.
const VALUE_CHARS_MAX: usize = 100;
/// Bytes of one name in a path: file systems allow 255, and the time of rotation is added.
const NAME_BYTES_MAX: usize = 200;
/// Names in a path.
const NAMES_MAX: usize = 8;

/// Makes paths below the folder of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(Template);

/// Why something is no path below the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadPath {
    /// It names no file: empty, or with a slash at the start, at the end or twice.
    NoFile(String),
    /// It has `.` or `..` as a name.
    Dots(String),
    /// It has the character that marks rotated files, or a control character.
    Character(String),
    /// It, or a name in it, is too long.
    Long(String),
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadPath::NoFile(path) => write!(f, "{path:?} names no file below the folder"),
            BadPath::Dots(path) => write!(f, "{path:?} has . or .. as a name"),
            BadPath::Character(path) => {
                write!(f, "{path:?} has {ROTATED} or a control character in it")
            }
            BadPath::Long(path) => write!(
                f,
                "{path:?} has more than {NAMES_MAX} names, or one of more than {NAME_BYTES_MAX} bytes"
            ),
        }
    }
}

impl std::error::Error for BadPath {}

impl Names {
    /// Paths by a template, such as `{time:%Y-%m-%d}/{sender}.ndjson`.
    ///
    /// # Errors
    /// When what it makes of an ordinary record is no path below the folder.
    pub fn new(template: Template) -> Result<Names, BadPath> {
        let names = Names(template);
        let record = Record {
            id: "id".to_owned(),
            sender: "sender".to_owned(),
            agent: "agent".to_owned(),
            collective: "collective".to_owned(),
            time: std::time::SystemTime::UNIX_EPOCH,
            request_id: "id".to_owned(),
            subject: "subject".to_owned(),
            body: Arc::default(),
        };
        names.path(&record)?;
        Ok(names)
    }

    /// The path of a record. Slashes are those of the template: in what the record says they are replaced, as is
    /// everything but letters, digits and `._@=+-`.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn path(&self, record: &Record) -> Result<PathBuf, BadPath> {
        let text = match self.0.constant() {
            Some(text) => text.to_owned(),
            None => self.0.render(&cleaned(record)),
        };
        check(&text)?;
        Ok(PathBuf::from(text))
    }
}

/// As it was configured.
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn check(path: &str) -> Result<(), BadPath> {
    let shown = || path.chars().take(NAME_BYTES_MAX).collect::<String>();
    if path.contains(|c: char| c == ROTATED || c.is_control()) {
        return Err(BadPath::Character(shown()));
    }
    for (index, name) in path.split('/').enumerate() {
        match name {
            "" => return Err(BadPath::NoFile(shown())),
            "." | ".." => return Err(BadPath::Dots(shown())),
            _ if index >= NAMES_MAX || name.len() > NAME_BYTES_MAX => {
                return Err(BadPath::Long(shown()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The record with texts that can be part of a name.
fn cleaned(record: &Record) -> Record {
    Record {
        id: clean(&record.id),
        sender: clean(&record.sender),
        agent: clean(&record.agent),
        collective: clean(&record.collective),
        time: record.time,
        request_id: clean(&record.request_id),
        subject: clean(&record.subject),
        body: Arc::default(),
    }
}

fn clean(value: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._@=+-".contains(c);
    let mut out: String =
        value.chars().take(VALUE_CHARS_MAX).map(|c| if fits(c) { c } else { '_' }).collect();
    // Neither hidden nor a way up, and never nothing.
    if out.is_empty() || out.starts_with('.') {
        out.insert(0, '_');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn record(sender: &str) -> Record {
        Record {
            id: format!("r1-{sender}"),
            sender: sender.to_owned(),
            agent: String::new(),
            collective: "mcollective".to_owned(),
            time: UNIX_EPOCH + Duration::from_secs(1_714_558_272),
            request_id: "r1".to_owned(),
            subject: "a.b".to_owned(),
            body: Arc::default(),
        }
    }

    fn names(template: &str) -> Result<Names, BadPath> {
        Names::new(Template::parse(template).unwrap())
    }

    #[test]
    fn senders_do_not_choose_the_folder() {
        let long = "x".repeat(500);
        let kept = format!("{}.ndjson", "x".repeat(100));
        for (sender, expected) in [
            ("n1.example.net", "n1.example.net.ndjson"),
            ("../../etc/passwd", "_.._.._etc_passwd.ndjson"),
            ("..", "_...ndjson"),
            (".", "_..ndjson"),
            ("", "_.ndjson"),
            ("/", "_.ndjson"),
            (".hidden", "_.hidden.ndjson"),
            ("a\0b\nc~d", "a_b_c_d.ndjson"),
            ("käse", "k_se.ndjson"),
            ("a\\b:c*", "a_b_c_.ndjson"),
            (&long, &kept),
        ] {
            let path = names("{sender}.ndjson").unwrap().path(&record(sender)).unwrap();
            assert_eq!(path.to_str(), Some(expected), "{sender:?}");
            let deep = names("{collective}/{sender}").unwrap().path(&record(sender)).unwrap();
            assert_eq!(deep.components().count(), 2, "{sender:?}");
            assert!(deep.components().all(|part| matches!(part, std::path::Component::Normal(_))));
        }
    }

    #[test]
    fn templates_that_lead_elsewhere_are_refused() {
        for good in ["a", "a.ndjson", "{time:%Y/%m/%d}/{sender}.ndjson", ".hidden/{agent}"] {
            assert!(names(good).is_ok(), "{good}");
        }
        let many = "a/".repeat(8) + "a";
        let long = "a".repeat(201);
        for (bad, part) in [
            ("", "names no file"),
            ("/etc/{sender}", "names no file"),
            ("a//b", "names no file"),
            ("a/", "names no file"),
            ("../a", "has . or .."),
            ("a/./b", "has . or .."),
            ("a~b", "has ~ or"),
            ("a\nb", "has ~ or"),
            (&many, "has more than 8 names"),
            (&long, "more than 200 bytes"),
        ] {
            let error = names(bad).unwrap_err().to_string();
            assert!(error.contains(part), "{bad:?}: {error}");
        }
    }
}
