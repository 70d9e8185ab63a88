//! Message headers: `NATS/1.0[ <status>[ <text>]]`, `Name: value` lines, an empty line (NATS ADR-4).
//!
//! Names keep their case and are compared with it; a name may have several values.

use std::fmt;

/// First bytes of a header block.
pub const VERSION: &str = "NATS/1.0";
/// Lines a block may have.
pub const LINES_MAX: usize = 1024;
/// Bytes a block may have.
pub const BYTES_MAX: usize = 64 * 1024;

/// The headers of one message, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    status: Option<u16>,
    description: Option<String>,
    entries: Vec<(String, String)>,
}

/// Why a header block cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderFault {
    /// It does not start with `NATS/1.0`, or does not end with an empty line.
    NotHeaders,
    /// A line without colon or with an unusable name.
    BadLine,
    /// The status is not three digits.
    BadStatus,
    /// More lines or bytes than [`LINES_MAX`] and [`BYTES_MAX`].
    TooLarge,
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeaderFault::NotHeaders => "not a header block",
            HeaderFault::BadLine => "bad header line",
            HeaderFault::BadStatus => "bad status in headers",
            HeaderFault::TooLarge => "header block is too large",
        })
    }
}

impl std::error::Error for HeaderFault {}

impl Headers {
    /// No headers and no status.
    pub fn new() -> Headers {
        Headers::default()
    }

    /// Headers that carry only a status, like the 503 of a request nobody hears.
    pub fn with_status(status: u16, description: Option<&str>) -> Headers {
        Headers {
            status: Some(status),
            description: description.map(clean_value),
            entries: Vec::new(),
        }
    }

    /// Reads a block. Values that are not UTF-8 are repaired, blanks around them are dropped.
    pub fn parse(block: &[u8]) -> Result<Headers, HeaderFault> {
        if block.len() > BYTES_MAX {
            return Err(HeaderFault::TooLarge);
        }
        let rest = block.strip_prefix(VERSION.as_bytes()).ok_or(HeaderFault::NotHeaders)?;
        let rest = rest.strip_suffix(b"\r\n").ok_or(HeaderFault::NotHeaders)?;
        let mut lines = rest.split(|byte| *byte == b'\n');
        let mut headers = Headers::new();
        headers.read_status(lines.next().unwrap_or_default())?;
        let mut count = 0;
        for line in lines {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            count += 1;
            if count > LINES_MAX {
                return Err(HeaderFault::TooLarge);
            }
            headers.read_line(line)?;
        }
        Ok(headers)
    }

    fn read_status(&mut self, line: &[u8]) -> Result<(), HeaderFault> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(());
        }
        let text = line.strip_prefix(b" ").ok_or(HeaderFault::NotHeaders)?.trim_ascii();
        let Some((digits, description)) = text.split_at_checked(3) else {
            return Err(HeaderFault::BadStatus);
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(HeaderFault::BadStatus);
        }
        self.status = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
        let description = String::from_utf8_lossy(description.trim_ascii()).into_owned();
        self.description = (!description.is_empty()).then_some(description);
        Ok(())
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), HeaderFault> {
        let colon = memchr::memchr(b':', line).ok_or(HeaderFault::BadLine)?;
        let (name, value) = line.split_at(colon);
        let name = std::str::from_utf8(name).ok().filter(|name| is_name(name));
        let name = name.ok_or(HeaderFault::BadLine)?;
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        self.entries.push((name.to_owned(), String::from_utf8_lossy(value).into_owned()));
        Ok(())
    }

    /// The block, with its empty line.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = VERSION.to_owned();
        if let Some(status) = self.status {
            out.push_str(&format!(" {status:03}"));
            if let Some(description) = &self.description {
                out.push(' ');
                out.push_str(description);
            }
        }
        out.push_str("\r\n");
        for (name, value) in &self.entries {
            out.push_str(name);
            out.push_str(": ");
            out.push_str(value);
            out.push_str("\r\n");
        }
        out.push_str("\r\n");
        out.into_bytes()
    }

    /// Three-digit status of the first line.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Text behind the status.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// First value of a name.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a name, in order.
    pub fn all<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h str> {
        self.entries.iter().filter(move |(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// Adds a value, keeping those that are there. A name with a colon, blank or control byte is refused with
    /// `false`; line ends in the value become blanks.
    pub fn append(&mut self, name: &str, value: &str) -> bool {
        let fine = is_name(name);
        if fine {
            self.entries.push((name.to_owned(), clean_value(value)));
        }
        fine
    }

    /// Replaces every value of a name; see [`Headers::append`].
    pub fn insert(&mut self, name: &str, value: &str) -> bool {
        self.remove(name);
        self.append(name, value)
    }

    /// Drops every value of a name.
    pub fn remove(&mut self, name: &str) {
        self.entries.retain(|(have, _)| have != name);
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is neither a value nor a status.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.status.is_none()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}

fn clean_value(value: &str) -> String {
    value.trim().replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(block: &str) -> Result<Headers, HeaderFault> {
        Headers::parse(block.as_bytes())
    }

    #[test]
    fn blocks_survive_a_round_trip() {
        for block in [
            "NATS/1.0\r\n\r\n",
            "NATS/1.0 503\r\n\r\n",
            "NATS/1.0 503\r\nNats-Subject: foo\r\n\r\n",
            "NATS/1.0 100 Idle Heartbeat\r\n\r\n",
            "NATS/1.0\r\nA: 1\r\na: 2\r\nA: 3\r\n\r\n",
        ] {
            let headers = parse(block).expect(block);
            assert_eq!(String::from_utf8_lossy(&headers.encode()), block);
        }
    }

    #[test]
    fn values_by_name() {
        let mut headers = parse("NATS/1.0\r\nA:1\r\na:  2 \r\nA: x: y\r\n\r\n").expect("block");
        assert_eq!(headers.all("A").collect::<Vec<_>>(), ["1", "x: y"]);
        assert_eq!(headers.first("a"), Some("2"));
        assert_eq!(headers.first("b"), None);
        assert!(headers.insert("A", "new\r\nB: injected"));
        assert_eq!(headers.all("A").collect::<Vec<_>>(), ["new  B: injected"]);
        assert!(!headers.append("bad name", "x"));
        headers.remove("a");
        assert_eq!(headers.iter().count(), 1);
        assert!(!headers.is_empty());
    }

    #[test]
    fn status_lines() {
        let headers = parse("NATS/1.0 404 No Messages\r\n\r\n").expect("block");
        assert_eq!((headers.status(), headers.description()), (Some(404), Some("No Messages")));
        assert_eq!(Headers::with_status(503, None).encode(), b"NATS/1.0 503\r\n\r\n");
    }

    #[test]
    fn refused_blocks() {
        let many = format!("NATS/1.0\r\n{}\r\n", "A: b\r\n".repeat(LINES_MAX + 1));
        let large = format!("NATS/1.0\r\nA: {}\r\n\r\n", "x".repeat(BYTES_MAX));
        for (block, fault) in [
            ("", HeaderFault::NotHeaders),
            ("HTTP/1.0\r\n\r\n", HeaderFault::NotHeaders),
            ("NATS/1.0", HeaderFault::NotHeaders),
            ("NATS/1.0x\r\n\r\n", HeaderFault::NotHeaders),
            ("NATS/1.0 5x3\r\n\r\n", HeaderFault::BadStatus),
            ("NATS/1.0 50\r\n\r\n", HeaderFault::BadStatus),
            ("NATS/1.0\r\nnocolon\r\n\r\n", HeaderFault::BadLine),
            ("NATS/1.0\r\n: x\r\n\r\n", HeaderFault::BadLine),
            (many.as_str(), HeaderFault::TooLarge),
            (large.as_str(), HeaderFault::TooLarge),
        ] {
            assert_eq!(
                parse(block),
                Err(fault),
                "{}",
                block.get(..20.min(block.len())).unwrap_or_default()
            );
        }
    }
}
