//! Results for programs: the JSON document and the JSON lines of `rpc`. Field names are part of the interface
//! that other tools read and are the same as in go-choria (`providers/agent/mcorpc/replyfmt`).

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;

use super::value::indented;
use crate::rpc::Stats;
use crate::util::time;

/// One reply in a document.
#[derive(Debug, Clone, Serialize)]
pub struct ReplyEntry {
    /// Identity of the node.
    pub sender: String,
    /// Action that was answered.
    pub action: String,
    /// Status, 0 is good.
    pub statuscode: i64,
    /// Status message.
    pub statusmsg: String,
    /// Reply data.
    pub data: Value,
    /// When the node answered, RFC 3339 in UTC.
    pub time_utc: String,
}

/// `request_stats`: durations are whole nanoseconds.
#[derive(Debug, Clone, Serialize)]
pub struct StatisticsEntry {
    requestid: String,
    no_responses: Vec<String>,
    unexpected_responses: Vec<String>,
    discovered: usize,
    failed: usize,
    ok: usize,
    responses: usize,
    publish_time: u64,
    request_time: u64,
    discover_time: u64,
    start_time_utc: String,
}

impl From<&Stats> for StatisticsEntry {
    fn from(statistics: &Stats) -> StatisticsEntry {
        StatisticsEntry {
            requestid: statistics.request_id.clone(),
            no_responses: statistics.no_responses.clone(),
            unexpected_responses: statistics.unexpected.clone(),
            discovered: statistics.discovered,
            failed: statistics.failed,
            ok: statistics.ok,
            responses: statistics.responses,
            publish_time: nanos(statistics.publish),
            request_time: nanos(statistics.request),
            discover_time: nanos(statistics.discovery),
            start_time_utc: time::rfc3339_micros(statistics.started),
        }
    }
}

/// A whole request as one document.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    /// Agent that was asked.
    pub agent: &'a str,
    /// Action that was asked for.
    pub action: &'a str,
    /// Every reply.
    pub replies: &'a [ReplyEntry],
    /// How it went.
    pub request_stats: StatisticsEntry,
    /// Aggregates by output name.
    pub summaries: &'a Value,
}

impl Document<'_> {
    /// The document as text, without a line break at the end.
    pub fn render(&self) -> String {
        indented(self, 3)
    }
}

/// One line of `--jsonl`.
#[derive(Debug, Serialize)]
#[serde(tag = "k", rename_all = "lowercase")]
pub enum Line<'a> {
    /// Discovery starts (method only) or has ended.
    Discovery {
        /// Nodes found.
        #[serde(skip_serializing_if = "Option::is_none")]
        count: Option<usize>,
        /// Seconds it took.
        #[serde(skip_serializing_if = "Option::is_none")]
        dt: Option<f64>,
        /// Discovery method.
        dm: &'a str,
    },
    /// One reply.
    Result {
        /// The reply as it came from the node, without its payload.
        pr: &'a Value,
        /// The answer in it.
        rr: &'a ReplyEntry,
    },
    /// Aggregates by output name.
    Summaries {
        /// Output name to result.
        agg: &'a Value,
    },
    /// How it went.
    Stats {
        /// Same as `request_stats`.
        stat: StatisticsEntry,
    },
    /// The request could not be made.
    Error {
        /// Why.
        err: &'a str,
    },
}

impl Line<'_> {
    /// The line as text, without a line break at the end.
    pub fn render(&self) -> String {
        // Every variant has text keys: it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// RFC 3339 in UTC.
pub fn utc(moment: SystemTime) -> String {
    time::rfc3339(moment)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::statistics::tests::sample;
    use serde_json::json;

    fn entry() -> ReplyEntry {
        ReplyEntry {
            sender: "n1".into(),
            action: "ping".into(),
            statuscode: 0,
            statusmsg: "OK".into(),
            data: json!({"pong": 1}),
            time_utc: "2026-01-02T10:00:00Z".into(),
        }
    }

    #[test]
    fn the_document_has_the_fields_other_tools_read() {
        let document = Document {
            agent: "rpcutil",
            action: "ping",
            replies: &[entry()],
            request_stats: (&sample()).into(),
            summaries: &json!({}),
        };
        let expected = json!({
            "agent": "rpcutil", "action": "ping",
            "replies": [{"sender": "n1", "action": "ping", "statuscode": 0, "statusmsg": "OK",
                         "data": {"pong": 1}, "time_utc": "2026-01-02T10:00:00Z"}],
            "request_stats": {
                "requestid": "4df1", "no_responses": ["n3"], "unexpected_responses": [], "discovered": 3,
                "failed": 0, "ok": 2, "responses": 2, "publish_time": 300_000, "request_time": 41_300_000,
                "discover_time": 2_001_000_000_u64, "start_time_utc": "2026-01-02T10:00:00.000000Z"},
            "summaries": {}});
        let text = document.render();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap_or_default(), expected);
        assert!(text.starts_with(
            "{\n   \"agent\": \"rpcutil\",\n   \"action\": \"ping\",\n   \"replies\": [\n"
        ));
    }

    #[test]
    fn each_kind_of_line() {
        let check = |line: Line<'_>, expected: &str| assert_eq!(line.render(), expected);
        check(
            Line::Discovery { count: None, dt: None, dm: "mc" },
            r#"{"k":"discovery","dm":"mc"}"#,
        );
        check(
            Line::Discovery { count: Some(2), dt: Some(0.5), dm: "mc" },
            r#"{"k":"discovery","count":2,"dt":0.5,"dm":"mc"}"#,
        );
        check(Line::Error { err: "no" }, r#"{"k":"error","err":"no"}"#);
        check(
            Line::Summaries { agg: &json!({"v": {"a": 1}}) },
            r#"{"k":"summaries","agg":{"v":{"a":1}}}"#,
        );
        let line = Line::Result { pr: &json!({"senderid": "n1"}), rr: &entry() }.render();
        assert!(
            line.starts_with(
                r#"{"k":"result","pr":{"senderid":"n1"},"rr":{"sender":"n1","action":"ping""#
            ),
            "{line}"
        );
    }
}
