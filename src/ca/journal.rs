//! What the authority did, line by line: the state after a start, and the record for those who ask later.
//!
//! A line is written and synced before what it says takes effect. A last line without its end was never acknowledged and
//! is skipped.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::names::Profile;
use crate::util::time;

/// Why a certificate was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Somebody with access to the folder wanted it.
    Sign,
    /// With the join token of this identifier.
    Token(String),
    /// In place of the certificate with this serial number.
    Renewal(String),
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::Sign => f.write_str("sign"),
            By::Token(id) => write!(f, "token {id}"),
            By::Renewal(serial) => write!(f, "renewal of {serial}"),
        }
    }
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Common name.
    pub name: String,
    /// What it is for.
    pub profile: Profile,
    /// Further names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alt_names: Vec<String>,
    /// The kind of key.
    pub key: String,
    /// SHA-256 of the SubjectPublicKeyInfo, hexadecimal.
    pub key_sha256: String,
    /// Start of its validity, seconds since 1970.
    pub not_before: i64,
    /// End of its validity, seconds since 1970.
    pub not_after: i64,
    /// Why it was issued.
    pub by: By,
    /// Whether and why it ended early.
    #[serde(skip)]
    pub revoked: Option<Revoked>,
}

/// An early end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Seconds since 1970.
    pub at: i64,
    /// The word of [`crate::crypto::crl::Reason`].
    pub reason: String,
}

impl Record {
    /// Whether it may be used at `now`.
    pub fn is_valid(&self, now: SystemTime) -> bool {
        self.revoked.is_none() && time::unix_secs(now) <= self.not_after
    }
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Line {
    Issued {
        at: String,
        #[serde(flatten)]
        record: Record,
    },
    Revoked {
        at: String,
        serial: String,
        name: String,
        reason: String,
    },
    /// A join token was made.
    Token {
        at: String,
        id: String,
        profile: Profile,
        names: Vec<String>,
        uses: u32,
        expires: String,
    },
}

/// Everything the lines say.
#[derive(Debug, Default)]
pub(super) struct State {
    records: BTreeMap<String, Record>,
    /// Serial numbers by name in small letters, oldest first: hosts are the same in any letters.
    by_name: HashMap<String, Vec<String>>,
    /// The same for further names and addresses.
    by_alt: HashMap<String, Vec<String>>,
    /// Certificates issued with a token.
    uses: HashMap<String, Vec<String>>,
}

impl State {
    /// Takes what a line says. Nobody is revoked twice.
    pub fn apply(&mut self, line: Line) {
        match line {
            Line::Issued { record, .. } => {
                let serial = record.serial.clone();
                let name = record.name.to_ascii_lowercase();
                for alt in record.alt_names.iter().map(|alt| alt.to_ascii_lowercase()) {
                    if alt != name {
                        self.by_alt.entry(alt).or_default().push(serial.clone());
                    }
                }
                self.by_name.entry(name).or_default().push(serial.clone());
                if let By::Token(id) = &record.by {
                    self.uses.entry(id.clone()).or_default().push(serial.clone());
                }
                self.records.insert(serial, record);
            }
            Line::Revoked { at, serial, reason, .. } => {
                let at = time::parse_rfc3339(&at).map_or(0, time::unix_secs);
                if let Some(record) = self.records.get_mut(&serial) {
                    record.revoked.get_or_insert(Revoked { at, reason });
                }
            }
            Line::Token { .. } => {}
        }
    }

    /// All certificates, by serial number.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// The certificate with this serial number.
    pub fn find(&self, serial: &str) -> Option<&Record> {
        self.records.get(serial)
    }

    /// The certificates of this name, in whatever letters, oldest first.
    pub fn of_name(&self, name: &str) -> impl DoubleEndedIterator<Item = &Record> + use<'_> {
        let serials = self.by_name.get(&name.to_ascii_lowercase()).into_iter().flatten();
        serials.filter_map(|serial| self.records.get(serial))
    }

    /// The certificates that are for this name, as their first one or as another.
    pub fn holders(&self, name: &str) -> impl Iterator<Item = &Record> + use<'_> {
        let serials = self.by_alt.get(&name.to_ascii_lowercase()).into_iter().flatten();
        self.of_name(name).chain(serials.filter_map(|serial| self.records.get(serial)))
    }

    /// The certificates that were issued with a token.
    pub fn of_token(&self, id: &str) -> impl Iterator<Item = &Record> {
        let serials = self.uses.get(id).into_iter().flatten();
        serials.filter_map(|serial| self.records.get(serial))
    }
}

/// Reads whole lines; gives what they say and how many bytes they have. A rest without an end is left out.
pub(super) fn read(text: &[u8]) -> Result<(Vec<Line>, usize), String> {
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let (text, _) = text.split_at(whole);
    let lines = text.split(|byte| *byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty());
    let lines: Result<_, String> = lines
        .map(|(number, line)| {
            serde_json::from_slice(line).map_err(|error| format!("line {}: {error}", number + 1))
        })
        .collect();
    Ok((lines?, whole))
}
