//! Webhooks: records are posted over HTTPS, in batches of lines or as CloudEvents.
//!
//! `body` writes what is posted, `login` proves who posts it, `answer` says what an answer means for the records. A service
//! that asks for a pause gets it: until then deliveries end at once without a request. A batch that is refused for its
//! content is divided until the records at fault are alone.

mod answer;
mod body;
mod login;

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::ClientConfig;
use smol::Task;

use crate::adapt::{BatchLimits, BoxFuture, Record, Sink, SinkError, Verdict};
use crate::http::fetch::{Answered, Ask, Bounds, FetchError, Fetcher, Verb};
use answer::{Meaning, meaning};
pub use body::Format;
pub use login::{Login, Signature};

/// Requests of one delivery that are under way at a time.
const REQUESTS_MAX: usize = 8;
/// Bytes of an answer that are read: its first line is shown.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// What receivers know repeated deliveries by (draft of the IETF on the header field of this name).
const IDEMPOTENCY: &str = "Idempotency-Key";

/// Settings of one webhook sink.
#[derive(Clone)]
pub struct Settings {
    /// Where to post.
    pub url: String,
    /// What is posted.
    pub format: Format,
    /// The source that events name.
    pub source: String,
    /// TLS: whom it trusts, and the certificate it shows.
    pub tls: Arc<ClientConfig>,
    /// Post to `http` addresses.
    pub is_clear: bool,
    /// Who posts.
    pub login: Login,
    /// A signature over what is posted.
    pub signature: Option<Signature>,
    /// How records are put together. Events that are posted one by one share a delivery as well.
    pub batch: BatchLimits,
    /// How long one request may take, and after how long a delivery begins no more of them.
    pub timeout: Duration,
}

/// Posts records.
pub struct WebhookSink {
    settings: Settings,
    fetcher: Fetcher,
    /// The service wants no request before.
    not_before: Option<Instant>,
}

/// Records that share a request.
type Part = Range<usize>;

impl WebhookSink {
    /// A sink that has no connection yet.
    pub fn new(settings: Settings) -> Self {
        let bounds = Bounds {
            time: settings.timeout,
            head_bytes_max: HEAD_BYTES_MAX,
            body_bytes_max: ANSWER_BYTES_MAX,
        };
        let tls = settings.tls.clone();
        let fetcher = Fetcher::keeping(tls, bounds, REQUESTS_MAX, settings.is_clear);
        Self { settings, fetcher, not_before: None }
    }

    /// A request of this kind with whatever proves who makes it.
    async fn proven(&self, verb: Verb, body: Vec<u8>) -> Result<Ask, SinkError> {
        let (login, signature) = (self.settings.login.clone(), self.settings.signature.clone());
        let url = self.settings.url.clone();
        smol::unblock(move || {
            let mut ask = Ask::new(verb, url).header("User-Agent", login::PROGRAM);
            if let Some(header) = login.header()? {
                ask = ask.header("Authorization", header);
            }
            if let Some(signature) = signature.filter(|_| verb == Verb::Post) {
                ask = ask.header(signature.header, signature.of(&body)?);
            }
            Ok(ask.body(body))
        })
        .await
        .map_err(|error: login::Unreadable| SinkError::new(error.to_string()))
    }

    async fn post(
        &self,
        records: &[Record],
    ) -> Result<Task<Result<Answered, FetchError>>, SinkError> {
        let format = self.settings.format;
        let body = format.body(&self.settings.source, records);
        let ask = self
            .proven(Verb::Post, body)
            .await?
            .header("Content-Type", format.content_type())
            .header(IDEMPOTENCY, body::key(records));
        let fetcher = self.fetcher.clone();
        Ok(smol::unblock(move || fetcher.send_now(ask)))
    }

    /// How a batch is divided at first.
    fn parts(&self, count: usize) -> Vec<Part> {
        match self.settings.format {
            // Taken from the end.
            Format::CloudEvent => (0..count).rev().map(|index| index..index + 1).collect(),
            _ => std::iter::once(0..count).collect(),
        }
    }

    async fn deliver_all(&mut self, batch: &[Record]) -> Result<Vec<Verdict>, SinkError> {
        self.wait_is_over()?;
        let deadline = Instant::now() + self.settings.timeout;
        let mut verdicts = vec![Verdict::Retry("its turn did not come".to_owned()); batch.len()];
        let mut waiting = self.parts(batch.len());
        while !waiting.is_empty() && Instant::now() < deadline && self.not_before.is_none() {
            let mut under_way = Vec::new();
            while let Some(part) = waiting.pop_if(|_| under_way.len() < REQUESTS_MAX) {
                let records = batch.get(part.clone()).unwrap_or_default();
                under_way.push((part, self.post(records).await?));
            }
            for (part, task) in under_way {
                self.judge(part, task.await, &mut verdicts, &mut waiting);
            }
        }
        Ok(verdicts)
    }

    /// Notes what an answer means for the records of its request.
    fn judge(
        &mut self,
        part: Part,
        answered: Result<Answered, FetchError>,
        verdicts: &mut [Verdict],
        waiting: &mut Vec<Part>,
    ) {
        let verdict = match answered.map(|answered| meaning(&answered, SystemTime::now())) {
            Ok(Meaning::Delivered) => Verdict::Delivered,
            Ok(Meaning::Later { reason, pause }) => {
                // The longest pause that one of several answers asks for.
                let until = pause.map(|pause| Instant::now() + pause);
                self.not_before = self.not_before.max(until);
                Verdict::Retry(reason)
            }
            Ok(Meaning::Content(_)) if part.len() > 1 => {
                let middle = part.start + part.len() / 2;
                waiting.extend([middle..part.end, part.start..middle]);
                return;
            }
            Ok(Meaning::Content(reason) | Meaning::Refused(reason)) => Verdict::Refused(reason),
            Err(error) => Verdict::Retry(error.to_string()),
        };
        verdicts.get_mut(part).unwrap_or_default().fill(verdict);
    }

    /// Whether the service may be asked again.
    fn wait_is_over(&mut self) -> Result<(), SinkError> {
        let Some(until) = self.not_before else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.not_before = None;
            return Ok(());
        }
        let secs = left.as_secs() + 1;
        Err(SinkError::new(format!("the service wants no request for another {secs} s")))
    }
}

impl Sink for WebhookSink {
    fn describe(&self) -> String {
        format!("webhook {}", shown(&self.settings.url))
    }

    fn batch(&self) -> BatchLimits {
        self.settings.batch
    }

    fn deliver<'a>(
        &'a mut self,
        batch: &'a [Record],
    ) -> BoxFuture<'a, Result<Vec<Verdict>, SinkError>> {
        Box::pin(self.deliver_all(batch))
    }

    fn check<'a>(&'a mut self, _: &'a Record) -> BoxFuture<'a, Result<String, SinkError>> {
        Box::pin(async move {
            let ask = self.proven(Verb::Options, Vec::new()).await?;
            let answered = self.fetcher.send(ask).await;
            let answered = answered.map_err(|error| SinkError::new(error.to_string()))?;
            match answered.status {
                401 | 403 | 407 | 500.. => {
                    let text = format!("the service answers with {}", answer::said(&answered));
                    Err(SinkError::new(text))
                }
                status => Ok(format!("the service answers OPTIONS with status {status}")),
            }
        })
    }

    fn place(&self, _: &Record) -> Result<String, String> {
        Ok(format!("POST {} {}", shown(&self.settings.url), self.settings.format.content_type()))
    }

    fn close<'a>(&'a mut self) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// An address without its query, which may hold a secret.
fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}
