//! One message on its way out, and the JSON it is written as.

use std::sync::Arc;
use std::time::SystemTime;

use crate::protocol::escape;
use crate::util::time;

/// The protocol that every output names, whatever the type of the adapter (go-choria `broker/adapter/transformer`).
pub const OUTPUT_PROTOCOL: &str = "choria:adapters:choria_streams:output:1";

/// One message on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The same for every attempt to deliver it: request id, `-`, sender.
    pub id: String,
    /// Identity of who made it; proven only where signatures are verified.
    pub sender: String,
    /// The agent it is for or from; empty for what has none.
    pub agent: String,
    /// The collective it is for; empty for what has none.
    pub collective: String,
    /// When it was made.
    pub time: SystemTime,
    /// Id of the request it is, or answers.
    pub request_id: String,
    /// The subject it came on.
    pub subject: String,
    /// The output: a JSON object in the form of the reference.
    pub body: Arc<[u8]>,
}

impl Record {
    /// Bytes it is counted with while it waits.
    pub fn weight(&self) -> usize {
        /// What the record itself and its allocations take.
        const OVERHEAD_BYTES: usize = 256;
        let texts = [&self.id, &self.sender, &self.agent, &self.collective, &self.request_id];
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        OVERHEAD_BYTES + texts + self.subject.len() + self.body.len()
    }
}

/// The data of an output.
#[derive(Debug, Clone, Copy)]
pub(super) enum Data<'d> {
    /// Taken as text: bytes that are not UTF-8 become U+FFFD.
    Plain(&'d [u8]),
    /// The inside of a JSON text with the escapes of Go.
    Escaped(&'d [u8]),
}

/// Appends the output JSON, byte for byte as Go's encoder writes it.
pub(super) fn output(
    out: &mut Vec<u8>,
    data: Data<'_>,
    sender: &str,
    at: SystemTime,
    request_id: &str,
) {
    out.extend_from_slice(b"{\"protocol\":\"");
    out.extend_from_slice(OUTPUT_PROTOCOL.as_bytes());
    out.extend_from_slice(b"\",\"data\":\"");
    match data {
        Data::Plain(bytes) => escape(out, bytes),
        Data::Escaped(text) => out.extend_from_slice(text),
    }
    out.extend_from_slice(b"\",\"sender\":\"");
    escape(out, sender.as_bytes());
    out.extend_from_slice(b"\",\"time\":\"");
    out.extend_from_slice(time::rfc3339_nano(at).as_bytes());
    out.extend_from_slice(b"\",\"requestid\":\"");
    escape(out, request_id.as_bytes());
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn output(data: &[u8], sender: &str, at: SystemTime, request_id: &str) -> Vec<u8> {
        let mut out = Vec::new();
        super::output(&mut out, Data::Plain(data), sender, at, request_id);
        out
    }

    #[test]
    fn the_output_is_that_of_the_reference() {
        let at = UNIX_EPOCH + Duration::from_secs(1_714_558_272);
        let text = output(br#"{"x":1}"#, "n1.example.net", at, "b9c1");
        assert_eq!(
            String::from_utf8(text).expect("text"),
            r#"{"protocol":"choria:adapters:choria_streams:output:1","data":"{\"x\":1}","sender":"n1.example.net","time":"2024-05-01T10:11:12Z","requestid":"b9c1"}"#
        );
        let text = output(b"", "n", at + Duration::from_nanos(120_000_000), "");
        assert!(
            String::from_utf8(text).expect("text").contains("\"time\":\"2024-05-01T10:11:12.12Z\"")
        );
    }

    #[test]
    fn what_is_written_can_be_read() {
        let every: Vec<u8> = (0..=127).collect();
        let text = output(&every, "a\"b", UNIX_EPOCH, "\\");
        let read: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(read["data"].as_str().map(str::as_bytes), Some(every.as_slice()));
        assert_eq!(
            (read["sender"].as_str(), read["requestid"].as_str()),
            (Some("a\"b"), Some("\\"))
        );
    }
}
