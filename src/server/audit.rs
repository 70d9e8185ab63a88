//! The audit log: one line of JSON for each request that was allowed, before its action runs, and for
//! each that was refused.
//!
//! The first eight keys and their order are the reference's
//! (`go-choria providers/agent/mcorpc/audit/choria.go`); `outcome` and `reason` are ours. Start
//! reading at [`Audit::allowed`].

mod file;

use std::time::{Instant, SystemTime};

use serde::Serialize;
use serde_json::value::RawValue;

pub use file::{AuditFile, Place, Unwritten, parse_mode};

use crate::protocol::Request;
use crate::protocol::rpc::QuotedBody;
use crate::util::throttle::Throttle;
use crate::util::time::{rfc3339_micros, unix_secs};

/// Lines in ten seconds that may be caused by those who are no callers: what cannot be verified, and
/// copies of what others sent. The next line tells how many were left out.
const ANYBODYS_LINES_MAX: u32 = 100;
/// Bytes of inputs that are kept when the request is not allowed.
const REFUSED_DATA_BYTES_MAX: usize = 16 * 1024;
/// Characters of names and reasons.
const TEXT_CHARS_MAX: usize = 600;
/// The same where nobody vouches for them.
const CLAIM_CHARS_MAX: usize = 160;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its action is about to run.
    Allowed,
    /// The caller is proven, but may not do this.
    Denied,
    /// The caller is proven, but the request cannot be served: late, seen before, faulty.
    Refused,
    /// The caller is not proven: everything in the line is what the sender claims.
    Unverified,
}

impl Outcome {
    /// The word in the file.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Allowed => "allowed",
            Outcome::Denied => "denied",
            Outcome::Refused => "refused",
            Outcome::Unverified => "unverified",
        }
    }
}

/// Writes the audit log of a process. Everything here blocks.
#[derive(Debug)]
pub struct Audit {
    file: AuditFile,
    unverified: Throttle,
    copies: Throttle,
}

/// One line, in the order of its keys.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    request_id: &'a str,
    request_time: i64,
    caller: &'a str,
    sender: &'a str,
    agent: &'a str,
    action: &'a str,
    data: &'a RawValue,
    outcome: &'static str,
    reason: &'a str,
}

impl Audit {
    /// Writes to this file.
    pub fn new(file: AuditFile) -> Audit {
        let throttle = || Throttle::new(ANYBODYS_LINES_MAX);
        Audit { file, unverified: throttle(), copies: throttle() }
    }

    /// Records a request whose action runs once this returns without an error.
    ///
    /// # Errors
    /// Why it could not be recorded: the action must not run then.
    pub fn allowed(&self, request: &Request, reason: &str) -> Result<(), Unwritten> {
        self.write(request, Outcome::Allowed, reason)
    }

    /// Records a request of a proven caller that is refused, once: it cannot be sent again.
    ///
    /// # Errors
    /// Why it could not be recorded.
    pub fn refused(
        &self,
        request: &Request,
        outcome: Outcome,
        reason: &str,
    ) -> Result<(), Unwritten> {
        self.write(request, outcome, reason)
    }

    /// Records a refusal that anybody can bring about again and again with a request of somebody
    /// else. Lines beyond [`ANYBODYS_LINES_MAX`] are counted.
    ///
    /// # Errors
    /// Why it could not be recorded.
    pub fn refused_copy(&self, request: &Request, reason: &str) -> Result<(), Unwritten> {
        self.limited(&self.copies, Outcome::Refused, reason, || Some(request.clone()))
    }

    /// Records a request that could not be verified. `claims` gives what it says of itself, and is
    /// asked only when a line is written; without an answer there is none.
    ///
    /// # Errors
    /// Why it could not be recorded.
    pub fn unverified(
        &self,
        reason: &str,
        claims: impl FnOnce() -> Option<Request>,
    ) -> Result<(), Unwritten> {
        self.limited(&self.unverified, Outcome::Unverified, reason, claims)
    }

    fn limited(
        &self,
        throttle: &Throttle,
        outcome: Outcome,
        reason: &str,
        request: impl FnOnce() -> Option<Request>,
    ) -> Result<(), Unwritten> {
        let Some(left_out) = throttle.permit(Instant::now()) else { return Ok(()) };
        let Some(request) = request() else { return Ok(()) };
        match left_out {
            0 => self.write(&request, outcome, reason),
            count => {
                let reason = format!("{reason} (lines left out before this one: {count})");
                self.write(&request, outcome, &reason)
            }
        }
    }

    fn write(&self, request: &Request, outcome: Outcome, reason: &str) -> Result<(), Unwritten> {
        self.file.append(&line(request, outcome, reason, SystemTime::now()))
    }
}

/// The line for a request, with its end.
fn line(request: &Request, outcome: Outcome, reason: &str, now: SystemTime) -> Vec<u8> {
    let chars_max = match outcome {
        Outcome::Unverified => CLAIM_CHARS_MAX,
        _ => TEXT_CHARS_MAX,
    };
    let body = QuotedBody::decode(&request.payload()).unwrap_or_default();
    let data = inputs(body.data, outcome);
    let mut timestamp = rfc3339_micros(now);
    // UTC, as the reference writes it.
    timestamp.truncate(timestamp.trim_end_matches('Z').len());
    timestamp.push_str("+0000");
    let line = Line {
        timestamp,
        request_id: cut(&request.id, chars_max),
        request_time: unix_secs(request.time),
        caller: cut(&request.caller, chars_max),
        sender: cut(&request.sender, chars_max),
        agent: cut(&request.agent, chars_max),
        action: cut(&body.action, chars_max),
        data: &data,
        outcome: outcome.word(),
        reason: cut(reason, TEXT_CHARS_MAX),
    };
    // Only a map whose keys are no text could fail: there is none.
    let json = serde_json::to_string(&line).unwrap_or_default();
    let mut bytes = go_compact(&json);
    bytes.push(b'\n');
    bytes
}

/// The inputs as received when the action runs. Otherwise they are kept within bounds, and not at all
/// when nobody vouches for them.
fn inputs(data: Option<Box<RawValue>>, outcome: Outcome) -> Box<RawValue> {
    let data = data.unwrap_or_else(|| raw("{}".to_owned()));
    match outcome {
        Outcome::Allowed => data,
        Outcome::Unverified => raw("{}".to_owned()),
        Outcome::Denied | Outcome::Refused if data.get().len() > REFUSED_DATA_BYTES_MAX => {
            raw(format!("{{\"omitted_bytes\":{}}}", data.get().len()))
        }
        Outcome::Denied | Outcome::Refused => data,
    }
}

fn raw(json: String) -> Box<RawValue> {
    // Called with valid JSON only; `null` stands in for what cannot be.
    RawValue::from_string(json).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// The first characters of a text.
fn cut(text: &str, chars_max: usize) -> &str {
    text.char_indices().nth(chars_max).map_or(text, |(end, _)| &text[..end])
}

/// JSON without blanks between its parts, and with the characters escaped that Go escapes: `<`, `>`,
/// `&`, U+2028 and U+2029; also those that terminals and some readers of lines act on, U+007F to
/// U+009F. All of them stand inside texts only, so the value is the same.
fn go_compact(json: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + 64);
    let (mut in_text, mut is_escaped) = (false, false);
    for c in json.chars() {
        match c {
            ' ' | '\t' | '\r' | '\n' if !in_text => continue,
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{7f}'..='\u{9f}' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        in_text ^= c == '"' && !is_escaped;
        is_escaped = c == '\\' && in_text && !is_escaped;
    }
    out
}

#[cfg(test)]
mod tests;
