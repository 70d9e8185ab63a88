//! Kinesis Data Streams: records are put with PutRecords, signed with version 4, and each has its own answer.
//!
//! Of a request some records may be stored and others not. Those are tried again; Kinesis keeps no order across attempts,
//! and stores a record twice when its answer was lost.

mod answer;
mod credentials;
mod sigv4;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use data_encoding::BASE64;
use rustls::ClientConfig;

use credentials::Credentials;
pub use credentials::{CONTAINER_ENDPOINT, INSTANCE_ENDPOINT, Keys, Source};
use sigv4::{Scope, Signed};

use crate::adapt::{BatchLimits, BoxFuture, Record, Sink, SinkError, Template, Verdict};
use crate::http::fetch::{Answered, Ask, Bounds, Fetcher, Verb};

const SERVICE: &str = "kinesis";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
/// Longest partition key.
const KEY_CHARS_MAX: usize = 256;
/// What an answer may be: a line for each of 500 records, and then some.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Which stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stream {
    /// By name, of this account.
    Name(String),
    /// By its ARN, of any.
    Arn(String),
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stream::Name(text) | Stream::Arn(text) => f.write_str(text),
        }
    }
}

/// Settings of one Kinesis sink.
#[derive(Clone)]
pub struct Settings {
    /// Such as `eu-west-1`.
    pub region: String,
    /// Scheme, host and port, without a path.
    pub endpoint: String,
    /// Where records go.
    pub stream: Stream,
    /// Chooses the shard of a record, by its MD5. Where it is empty, the id of the record does.
    pub key: Template,
    /// Keys for AWS.
    pub credentials: Source,
    /// Whom the endpoint must be vouched for by.
    pub tls: Arc<ClientConfig>,
    /// Whether the endpoint may be spoken to in clear.
    pub is_clear: bool,
    /// What is delivered at once: AWS takes 500 records and 5 MiB.
    pub batch: BatchLimits,
    /// Most bytes of a record and its key: AWS takes 1 MiB.
    pub record_bytes_max: usize,
    /// How long a request may take.
    pub timeout: Duration,
}

impl Settings {
    /// The endpoint of a region.
    pub fn endpoint_of(region: &str) -> String {
        let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
        format!("https://{SERVICE}.{region}.amazonaws.com{suffix}")
    }
}

/// Puts records into a stream of Kinesis.
pub struct KinesisSink {
    settings: Settings,
    fetcher: Fetcher,
    credentials: Credentials,
}

impl KinesisSink {
    /// A sink that has asked for nothing yet.
    pub fn new(settings: Settings) -> Self {
        let bounds = Bounds {
            time: settings.timeout,
            body_bytes_max: ANSWER_BYTES_MAX,
            ..Bounds::default()
        };
        let tls = settings.tls.clone();
        let fetcher = if settings.is_clear {
            Fetcher::with_clear_text(tls.clone(), bounds)
        } else {
            Fetcher::new(tls.clone(), bounds)
        };
        let source = settings.credentials.clone();
        let credentials = Credentials::new(source, Fetcher::with_clear_text(tls, bounds));
        Self { settings, fetcher, credentials }
    }

    /// The partition key of a record that Kinesis would take.
    fn key(&self, record: &Record) -> Result<String, String> {
        let mut key = self.settings.key.render(record);
        if key.is_empty() {
            key.clone_from(&record.id);
        }
        let chars = key.chars().count();
        if !(1..=KEY_CHARS_MAX).contains(&chars) {
            return Err(format!(
                "its partition key has {chars} characters, 1 to {KEY_CHARS_MAX} are taken"
            ));
        }
        let (bytes, limit) = (record.body.len() + key.len(), self.settings.record_bytes_max);
        if bytes > limit {
            return Err(format!("it has {bytes} bytes, at most {limit} are taken"));
        }
        Ok(key)
    }

    /// The fields that say which stream.
    fn stream(&self) -> (&'static str, &str) {
        match &self.settings.stream {
            Stream::Name(name) => ("StreamName", name),
            Stream::Arn(arn) => ("StreamARN", arn),
        }
    }

    async fn put(&mut self, batch: &[Record]) -> Result<Vec<Verdict>, SinkError> {
        let mut verdicts: Vec<Option<Verdict>> = vec![None; batch.len()];
        let mut sent = Vec::new();
        let mut entries = String::new();
        for (index, record) in batch.iter().enumerate() {
            match self.key(record) {
                Err(reason) => {
                    if let Some(verdict) = verdicts.get_mut(index) {
                        *verdict = Some(Verdict::Refused(reason));
                    }
                }
                Ok(key) => {
                    push_entry(&mut entries, &record.body, &key);
                    sent.push(index);
                }
            }
        }
        if !sent.is_empty() {
            let (name, stream) = self.stream();
            let stream = serde_json::Value::from(stream);
            let body = format!("{{\"{name}\":{stream},\"Records\":[{entries}]}}");
            let answer = self.ask("PutRecords", body.into_bytes()).await?;
            for (index, verdict) in sent.iter().zip(self.judge(&answer, sent.len())?) {
                if let Some(slot) = verdicts.get_mut(*index) {
                    *slot = Some(verdict);
                }
            }
        }
        let without = || Verdict::Retry("it was not sent".to_owned());
        Ok(verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(without)).collect())
    }

    /// The verdicts in an answer to PutRecords.
    fn judge(&mut self, answer: &Answered, count: usize) -> Result<Vec<Verdict>, SinkError> {
        if answer.status == 200 {
            return answer::put(&answer.body, count).map_err(|reason| {
                SinkError::new(format!("the answer of Kinesis cannot be read: {reason}"))
            });
        }
        let denied = answer::denied(&answer.body);
        let bad = denied.as_ref().and_then(answer::Denied::record).filter(|index| *index < count);
        let (Some(index), Some(denied)) = (bad, denied) else { return Err(self.error(answer)) };
        // The whole request was refused for one record: the others are tried without it.
        let verdict = |at: usize| {
            if at == index {
                Verdict::Refused(denied.message.clone())
            } else {
                Verdict::Retry("it was sent with one that Kinesis refuses".to_owned())
            }
        };
        Ok((0..count).map(verdict).collect())
    }

    /// What an answer with another status than 200 says.
    fn error(&mut self, answer: &Answered) -> SinkError {
        let Some(denied) = answer::denied(&answer.body) else {
            let line = answer.first_line();
            return SinkError::new(format!("Kinesis answers with status {} {line}", answer.status));
        };
        if denied.is_about_keys() {
            self.credentials.doubt();
        }
        let mut error =
            SinkError::new(format!("Kinesis refuses: {}: {}", denied.kind, denied.message));
        error.hint = denied.hint().map(str::to_owned);
        error
    }

    /// Sends one signed request.
    async fn ask(&mut self, action: &str, body: Vec<u8>) -> Result<Answered, SinkError> {
        let now = SystemTime::now();
        let keys = self.credentials.keys(now).await;
        let keys = keys.map_err(|error| SinkError::new(error.to_string()))?;
        let ask = self.signed(action, body, &keys, now);
        let answer = self.fetcher.send(ask).await;
        answer.map_err(|error| SinkError::new(format!("{}: {error}", self.settings.endpoint)))
    }

    fn signed(&self, action: &str, body: Vec<u8>, keys: &Keys, now: SystemTime) -> Ask {
        let endpoint = &self.settings.endpoint;
        let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, host)| host);
        let stamp = sigv4::stamp(now);
        let mut headers = vec![
            ("content-type", CONTENT_TYPE.to_owned()),
            ("host", host.to_owned()),
            ("x-amz-date", stamp.clone()),
        ];
        if let Some(token) = &keys.token {
            headers.push(("x-amz-security-token", token.expose().clone()));
        }
        headers.push(("x-amz-target", format!("Kinesis_20131202.{action}")));
        let request =
            Signed { method: "POST", path: "/", query: "", headers: &headers, body: &body };
        let scope = Scope { region: &self.settings.region, service: SERVICE };
        let authorization = sigv4::authorization(&request, scope, &stamp, keys);
        let ask =
            Ask::new(Verb::Post, format!("{endpoint}/")).header("authorization", authorization);
        headers.into_iter().fold(ask, |ask, (name, value)| ask.header(name, value)).body(body)
    }

    async fn look(&mut self) -> Result<String, SinkError> {
        let (name, stream) = self.stream();
        let body = serde_json::to_vec(&HashMap::from([(name, stream)])).unwrap_or_default();
        let answer = self.ask("DescribeStreamSummary", body).await?;
        if answer.status != 200 {
            return Err(self.error(&answer));
        }
        let summary = answer::summary(&answer.body).map_err(|reason| {
            SinkError::new(format!("the answer of Kinesis cannot be read: {reason}"))
        })?;
        let (status, shards) = (summary.stream_status, summary.open_shard_count);
        if !matches!(status.as_str(), "ACTIVE" | "UPDATING") {
            return Err(SinkError::new(format!("the stream {} is {status}", self.settings.stream)));
        }
        Ok(format!("stream {} is {status} and has {shards} shards", self.settings.stream))
    }
}

impl Sink for KinesisSink {
    fn describe(&self) -> String {
        format!("kinesis {} {}", self.settings.endpoint, self.settings.stream)
    }

    fn batch(&self) -> BatchLimits {
        self.settings.batch
    }

    fn deliver<'a>(
        &'a mut self,
        batch: &'a [Record],
    ) -> BoxFuture<'a, Result<Vec<Verdict>, SinkError>> {
        Box::pin(self.put(batch))
    }

    fn check<'a>(&'a mut self, _: &'a Record) -> BoxFuture<'a, Result<String, SinkError>> {
        Box::pin(self.look())
    }

    fn place(&self, record: &Record) -> Result<String, String> {
        Ok(format!("stream {} partition key {}", self.settings.stream, self.key(record)?))
    }

    fn close<'a>(&'a mut self) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn push_entry(entries: &mut String, body: &[u8], key: &str) {
    if !entries.is_empty() {
        entries.push(',');
    }
    entries.push_str("{\"Data\":\"");
    BASE64.encode_append(body, entries);
    // A text as JSON.
    entries.push_str("\",\"PartitionKey\":");
    entries.push_str(&serde_json::Value::from(key).to_string());
    entries.push('}');
}
