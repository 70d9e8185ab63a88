//! The figures of one request (client notes 5.3) and their machine form (client notes 1.12).

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::util::time;

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// Id of the request, 32 hexadecimal digits.
    pub request_id: String,
    /// The agent asked.
    pub agent: String,
    /// The action asked for.
    pub action: String,
    /// Nodes asked, after limits. For requests without targets: the nodes that answered.
    pub discovered: usize,
    /// Nodes that answered.
    pub responses: usize,
    /// Answers with status 0.
    pub ok: usize,
    /// Answers with another status, and messages that could not be read.
    pub failed: usize,
    /// Nodes that did not answer, sorted.
    pub no_responses: Vec<String>,
    /// Senders that were not asked or had answered already, sorted, each once; see [`UNEXPECTED_NAMES_MAX`].
    pub unexpected: Vec<String>,
    /// Time spent publishing, over all batches.
    pub publish: Duration,
    /// From the start to the end, with the pauses between batches.
    pub request: Duration,
    /// Time spent on discovery.
    pub discovery: Duration,
    /// When the request started.
    pub started: SystemTime,
    /// Whether it was ended before every node had answered or its time was over.
    pub cancelled: bool,
    /// What ended it early when it was neither: the connection or the signing of a later batch.
    pub failure: Option<String>,
}

/// Names of unexpected senders that are kept; later ones are only logged.
pub const UNEXPECTED_NAMES_MAX: usize = 10_000;

impl Stats {
    /// Figures of a request that has not begun.
    pub fn new(request_id: &str, agent: &str, action: &str, started: SystemTime) -> Self {
        Self {
            request_id: request_id.to_owned(),
            agent: agent.to_owned(),
            action: action.to_owned(),
            discovered: 0,
            responses: 0,
            ok: 0,
            failed: 0,
            no_responses: Vec::new(),
            unexpected: Vec::new(),
            publish: Duration::ZERO,
            request: Duration::ZERO,
            discovery: Duration::ZERO,
            started,
            cancelled: false,
            failure: None,
        }
    }

    /// Whether every node asked has answered.
    pub fn is_complete(&self) -> bool {
        self.no_responses.is_empty()
    }

    /// The `request_stats` object of machine output. Durations are whole nanoseconds.
    pub fn json(&self) -> Value {
        json!({
            "requestid": self.request_id,
            "no_responses": self.no_responses,
            "unexpected_responses": self.unexpected,
            "discovered": self.discovered,
            "failed": self.failed,
            "ok": self.ok,
            "responses": self.responses,
            "publish_time": nanos(self.publish),
            "request_time": nanos(self.request),
            "discover_time": nanos(self.discovery),
            "start_time_utc": time::rfc3339_micros(self.started),
        })
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_form_has_the_known_names() {
        let mut stats = Stats::new("4df1", "rpcutil", "ping", time::from_unix(1_767_348_000));
        stats.discovered = 2;
        stats.responses = 1;
        stats.ok = 1;
        stats.no_responses = vec!["n2".into()];
        stats.publish = Duration::from_nanos(264_426);
        stats.request = Duration::from_secs(3);
        let expected = json!({
            "requestid": "4df1", "no_responses": ["n2"], "unexpected_responses": [], "discovered": 2, "failed": 0,
            "ok": 1, "responses": 1, "publish_time": 264_426, "request_time": 3_000_000_000_u64, "discover_time": 0,
            "start_time_utc": "2026-01-02T10:00:00.000000Z",
        });
        assert_eq!(stats.json(), expected);
        assert!(!stats.is_complete());
    }
}
