//! What Kinesis answers.

use serde::Deserialize;

use crate::adapt::Verdict;
use crate::util::text::brief;

/// An answer to PutRecords with status 200.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    records: Vec<PutEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutEntry {
    error_code: Option<String>,
    error_message: Option<String>,
}

/// An answer to DescribeStreamSummary.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    stream_description_summary: Summary,
}

/// What a stream is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Summary {
    pub(super) stream_status: String,
    pub(super) open_shard_count: u64,
}

/// Why Kinesis did not take a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denied {
    /// Such as `ResourceNotFoundException`.
    pub(super) kind: String,
    pub(super) message: String,
}

/// A verdict for each record, in the order of the request.
///
/// Some records of a request may be stored and others not: whatever the status, each has its own answer.
pub(super) fn put(body: &[u8], count: usize) -> Result<Vec<Verdict>, String> {
    let put: Put = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if put.records.len() != count {
        return Err(format!("it speaks of {} records and {count} were sent", put.records.len()));
    }
    let verdict = |entry: PutEntry| match entry.error_code {
        None => Verdict::Delivered,
        Some(code) => Verdict::Retry(match entry.error_message {
            Some(message) => format!("{code}: {message}"),
            None => code,
        }),
    };
    Ok(put.records.into_iter().map(verdict).collect())
}

pub(super) fn summary(body: &[u8]) -> Result<Summary, String> {
    let described: Described = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(described.stream_description_summary)
}

/// Reads the answer to a request that was not taken; none for what is not of Kinesis.
pub(super) fn denied(body: &[u8]) -> Option<Denied> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = |name: &str| value.get(name).and_then(|text| text.as_str());
    let kind = text("__type")?;
    let message = text("message").or_else(|| text("Message")).unwrap_or_default();
    const CHARS_MAX: usize = 400;
    let shown = |text: &str| brief(text, CHARS_MAX);
    let kind = kind.rsplit('#').next().unwrap_or(kind);
    Some(Denied { kind: shown(kind), message: shown(message) })
}

impl Denied {
    /// The record that is at fault, when it is one: counted from zero.
    pub(super) fn record(&self) -> Option<usize> {
        let is_argument =
            matches!(self.kind.as_str(), "ValidationException" | "InvalidArgumentException");
        let (_, after) = self.message.split_once("records.").filter(|_| is_argument)?;
        let (number, _) = after.split_once(".member")?;
        number.parse::<usize>().ok()?.checked_sub(1)
    }

    /// Whether it is about keys or rights.
    pub(super) fn is_about_keys(&self) -> bool {
        matches!(
            self.kind.as_str(),
            "UnrecognizedClientException"
                | "InvalidSignatureException"
                | "IncompleteSignatureException"
                | "ExpiredTokenException"
                | "InvalidClientTokenId"
                | "MissingAuthenticationTokenException"
                | "AccessDeniedException"
        )
    }

    /// What an operator can do.
    pub(super) fn hint(&self) -> Option<&'static str> {
        Some(match self.kind.as_str() {
            "ResourceNotFoundException" => {
                "create the stream, or look at kinesis.stream and kinesis.region"
            }
            "AccessDeniedException" => {
                "allow kinesis:PutRecords and kinesis:DescribeStreamSummary on the stream"
            }
            "InvalidSignatureException" => {
                "look at the secret key, the region and the clock of this machine"
            }
            "UnrecognizedClientException" | "InvalidClientTokenId" => {
                "look at the id of the access key"
            }
            "ExpiredTokenException" => "renew the temporary credentials",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_has_its_verdict() {
        let body = br#"{"FailedRecordCount":1,"Records":[{"SequenceNumber":"1","ShardId":"s"},{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"slow"},{"ErrorCode":"InternalFailure"}]}"#;
        assert_eq!(
            put(body, 3),
            Ok(vec![
                Verdict::Delivered,
                Verdict::Retry("ProvisionedThroughputExceededException: slow".to_owned()),
                Verdict::Retry("InternalFailure".to_owned()),
            ])
        );
        for (body, count) in [(&body[..], 2), (b"{}", 0), (b"", 0), (b"[1]", 1), (b"\xff\xfe", 1)] {
            assert!(put(body, count).is_err());
        }
    }

    #[test]
    fn denials_are_read() {
        let body = br#"{"__type":"com.amazonaws.kinesis.v20131202#ResourceNotFoundException","message":"Stream x not found"}"#;
        let got = denied(body).expect("one");
        assert_eq!((got.kind.as_str(), got.record()), ("ResourceNotFoundException", None));
        assert!(got.hint().is_some() && !got.is_about_keys());
        let body = br#"{"__type":"ValidationException","message":"1 validation error detected: Value at 'records.3.member.partitionKey' failed"}"#;
        assert_eq!(denied(body).and_then(|got| got.record()), Some(2));
        for body in [&b"<html>"[..], b"{}", b"[]", br#"{"__type":7}"#] {
            assert_eq!(denied(body), None);
        }
    }
}
