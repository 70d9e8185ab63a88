//! What a stream says about a published message.

use serde::Deserialize;

use crate::adapt::Verdict;
use crate::nats::client::Message;
use crate::protocol::Plain;

/// The stream takes no message of that size (nats-server `server/errors.json`).
const TOO_LARGE: u32 = 10054;

/// An answer to a published message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ack {
    /// The stream of this name has it, now or since an earlier attempt.
    Stored(String),
    /// It does not take it.
    Refused { code: u32, text: String },
    /// No stream takes the subject.
    Nobody(String),
    /// Somebody else has answered.
    Strange,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct WireNames {
    #[serde(default)]
    streams: Option<Vec<String>>,
    error: Option<WireError>,
}

/// The names in the answer to the question for streams.
pub(super) fn stream_names(answer: &[u8]) -> Result<Vec<String>, String> {
    let names: WireNames = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    match names.error {
        Some(error) => Err(error.description),
        None => Ok(names.streams.unwrap_or_default()),
    }
}

impl Ack {
    pub(super) fn read(message: &Message) -> Ack {
        if message.is_no_responders() {
            return Ack::Nobody(message.subject.clone());
        }
        match serde_json::from_slice::<Wire>(&message.payload) {
            Ok(Wire { error: Some(error), .. }) => {
                Ack::Refused { code: error.err_code, text: error.description }
            }
            Ok(wire) if !wire.stream.is_empty() && wire.seq > 0 => Ack::Stored(wire.stream),
            _ => Ack::Strange,
        }
    }

    /// What it means for the record; `wanted` is the stream that has to take it.
    pub(super) fn verdict(self, wanted: Option<&str>) -> Verdict {
        match self {
            Ack::Stored(stream) if wanted.is_some_and(|wanted| wanted != stream) => {
                let (stream, wanted) = (Plain(&stream), wanted.unwrap_or_default());
                Verdict::Retry(format!("the stream {stream} has it, not {wanted}"))
            }
            Ack::Stored(_) => Verdict::Delivered,
            Ack::Refused { code: TOO_LARGE, text } => {
                Verdict::Refused(format!("the stream does not take it: {}", Plain(&text)))
            }
            Ack::Refused { code, text } => {
                Verdict::Retry(format!("the stream does not take it: {} ({code})", Plain(&text)))
            }
            Ack::Nobody(_) => Verdict::Retry(
                "no stream takes the subject: make one, or set stream.acknowledge = false"
                    .to_owned(),
            ),
            Ack::Strange => Verdict::Retry("the answer is none of a stream".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats::codec::headers::Headers;

    #[test]
    fn answers_become_verdicts() {
        let verdict = |payload: &str, wanted| {
            let message = Message { payload: payload.as_bytes().to_vec(), ..Message::default() };
            Ack::read(&message).verdict(wanted)
        };
        assert_eq!(verdict(r#"{"stream":"A","seq":7}"#, None), Verdict::Delivered);
        assert_eq!(
            verdict(r#"{"stream":"A","seq":7,"duplicate":true}"#, Some("A")),
            Verdict::Delivered
        );
        for (payload, wanted, expected) in [
            (r#"{"stream":"A","seq":7}"#, Some("B"), "the stream A has it, not B"),
            (
                r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"A","seq":0}"#,
                None,
                "the stream does not take it: maximum bytes exceeded (10077)",
            ),
            ("+OK", None, "the answer is none of a stream"),
            ("{}", None, "the answer is none of a stream"),
        ] {
            assert_eq!(verdict(payload, wanted), Verdict::Retry(expected.to_owned()), "{payload}");
        }
        let large = r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}"#;
        assert!(
            matches!(verdict(large, None), Verdict::Refused(text) if text.contains("size exceeds"))
        );
        let nobody =
            Message { headers: Some(Headers::with_status(503, None)), ..Message::default() };
        assert!(
            matches!(Ack::read(&nobody).verdict(None), Verdict::Retry(text) if text.contains("no stream takes"))
        );
    }

    #[test]
    fn names_of_streams() {
        assert_eq!(
            stream_names(br#"{"streams":["A","B"]}"#),
            Ok(vec!["A".to_owned(), "B".to_owned()])
        );
        assert_eq!(stream_names(br#"{"streams":null}"#), Ok(Vec::new()));
        assert!(stream_names(br#"{"error":{"code":503,"description":"x"}}"#).is_err());
        assert!(stream_names(b"").is_err());
    }
}
