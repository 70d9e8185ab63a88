//! Streams: every record is published with an inbox, and is delivered when the stream has acknowledged it.
//!
//! Many records are on their way at once, each with a number as the last token of its inbox. `Nats-Msg-Id` names the record,
//! so that a stream drops what comes twice within its window. A record that nobody acknowledges in time is tried again by the
//! engine.

mod ack;

use std::time::Duration;

use async_io::Timer;
use smol::future::FutureExt as _;

use self::ack::Ack;
use super::link::{Link, is_hopeless, subject};
use crate::adapt::{BatchLimits, BoxFuture, Record, Sink, SinkError, Template, Verdict};
use crate::nats::client::{Client, ErrorKind, Event, Message, Options, Subscription};
use crate::nats::codec::encode::number;

/// Records of a batch for each that may be on its way: the window is kept full while a batch lasts.
const BATCH_WINDOWS: usize = 4;
/// Bytes of a batch.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Who tells which streams there are.
const STREAM_NAMES: &str = "$JS.API.STREAM.NAMES";

/// Where records are published, and how.
#[derive(Debug, Clone)]
pub struct JetStreamSettings {
    /// The connection.
    pub connection: Options,
    /// Where it goes to, for people.
    pub servers: String,
    /// The subject of a record.
    pub subject: Template,
    /// The stream that has to take them; any when it is not said.
    pub stream: Option<String>,
    /// Records that may wait for their acknowledgement.
    pub in_flight_max: usize,
    /// Time without any acknowledgement after which those that wait are tried again.
    pub timeout: Duration,
}

/// Publishes records and waits for acknowledgements.
pub struct JetStream {
    settings: JetStreamSettings,
    link: Link,
    inbox: Option<Inbox>,
    /// The number of the next record, never used twice.
    next: u64,
}

/// Where acknowledgements come.
struct Inbox {
    /// With a full stop at its end.
    prefix: String,
    subscription: Subscription,
}

impl JetStream {
    /// A sink that is not connected yet.
    pub fn new(settings: JetStreamSettings) -> JetStream {
        let link = Link::new(settings.connection.clone());
        JetStream { settings, link, inbox: None, next: 0 }
    }

    /// The client, with an inbox.
    async fn connected(&mut self) -> Result<Client, SinkError> {
        let (client, is_new) = self.link.client().await?;
        let client = client.clone();
        if is_new || self.inbox.is_none() {
            let prefix = format!("{}.", client.new_inbox());
            let subscription = client
                .subscribe(&format!("{prefix}*"), None)
                .map_err(|error| SinkError::new(error.to_string()))?;
            self.inbox = Some(Inbox { prefix, subscription });
        }
        Ok(client)
    }

    async fn publish(&mut self, batch: &[Record]) -> Result<Vec<Verdict>, SinkError> {
        let client = self.connected().await?;
        let events = self.link.events().filter(|events| {
            events.drain().for_each(drop);
            true
        });
        let (Some(inbox), Some(events)) = (self.inbox.as_mut(), events) else {
            return Err(SinkError::new("there is no connection"));
        };
        let mut flight = Flight::new(&self.settings, &client, &inbox.prefix, batch, self.next);
        self.next += batch.len() as u64;
        let reason = loop {
            flight.fill().await;
            if flight.is_done() {
                break String::new();
            }
            if let Some(message) = inbox.subscription.try_next() {
                flight.land(&message);
                while let Some(message) = inbox.subscription.try_next() {
                    flight.land(&message);
                }
                continue;
            }
            let answer = async { Came::Answer(inbox.subscription.next().await) };
            let late = async {
                Timer::after(self.settings.timeout).await;
                Came::Nothing
            };
            match answer.or(lost(&events)).or(late).await {
                Came::Answer(Some(message)) => flight.land(&message),
                Came::Answer(None) => break "the connection was closed".to_owned(),
                Came::Lost(reason) => break reason,
                Came::Nothing => {
                    break format!("no acknowledgement within {:?}", self.settings.timeout);
                }
            }
        };
        flight.verdicts(&reason)
    }

    /// Which streams take a subject.
    async fn streams(&self, client: &Client, subject: &str) -> Result<Vec<String>, SinkError> {
        let question = serde_json::json!({ "subject": subject }).to_string();
        let asked = client.request(STREAM_NAMES, question.as_bytes(), self.settings.timeout).await;
        let answer = asked.map_err(|error| match error.kind() {
            ErrorKind::NoResponders => SinkError::new("there are no streams in this account")
                .hint("enable JetStream there, or set stream.acknowledge = false"),
            _ => SinkError::new(format!("cannot ask for streams: {error}")),
        })?;
        ack::stream_names(&answer.payload)
            .map_err(|reason| SinkError::new(format!("cannot ask for streams: {reason}")))
    }

    async fn look(&mut self, sample: &Record) -> Result<String, SinkError> {
        let subject = subject(&self.settings.subject, sample).map_err(SinkError::new)?;
        let client = self.connected().await?;
        let url = client.connected_url().unwrap_or_default();
        let names = self.streams(&client, &subject).await?;
        match &self.settings.stream {
            _ if names.is_empty() => Err(SinkError::new(format!("no stream takes {subject}"))
                .hint(format!(
                    "make one that does, such as: nats stream add DATA --subjects '{}'",
                    widest(&self.settings.subject)
                ))),
            Some(wanted) if !names.contains(wanted) => Err(SinkError::new(format!(
                "{subject} is taken by the stream {}, not by {wanted}",
                names.join(", ")
            ))),
            _ => Ok(format!("connected to {url}, the stream {} takes {subject}", names.join(", "))),
        }
    }
}

/// A subscription that takes every subject of a template.
fn widest(template: &Template) -> String {
    let text = template.to_string();
    let fixed = text.split(['{', '%']).next().unwrap_or_default();
    match fixed.rsplit_once('.') {
        _ if fixed.len() == text.len() => text,
        Some((start, _)) => format!("{start}.>"),
        None => ">".to_owned(),
    }
}

/// Why the sink goes on.
enum Came {
    Answer(Option<Message>),
    Lost(String),
    Nothing,
}

/// Done when the connection is lost.
async fn lost(events: &flume::Receiver<Event>) -> Came {
    loop {
        match events.recv_async().await {
            Ok(Event::Disconnected { reason } | Event::Closed { reason }) => {
                return Came::Lost(reason);
            }
            Ok(Event::PermissionViolation { text, .. }) => return Came::Lost(text),
            Ok(_) => {}
            Err(_) => return Came::Lost("the connection was closed".to_owned()),
        }
    }
}

/// One batch on its way.
struct Flight<'a> {
    settings: &'a JetStreamSettings,
    client: &'a Client,
    batch: &'a [Record],
    verdicts: Vec<Option<Verdict>>,
    /// The number of the first record.
    base: u64,
    published: usize,
    waiting: usize,
    /// The inbox of the next record, and how much of it is the same for all.
    reply: String,
    prefix_len: usize,
    /// The header block of the next record.
    block: Vec<u8>,
}

impl<'a> Flight<'a> {
    fn new(
        settings: &'a JetStreamSettings,
        client: &'a Client,
        prefix: &str,
        batch: &'a [Record],
        base: u64,
    ) -> Flight<'a> {
        Flight {
            settings,
            client,
            batch,
            verdicts: vec![None; batch.len()],
            base,
            published: 0,
            waiting: 0,
            reply: prefix.to_owned(),
            prefix_len: prefix.len(),
            block: Vec::new(),
        }
    }

    fn is_done(&self) -> bool {
        self.published == self.batch.len() && self.waiting == 0
    }

    /// Publishes records until as many wait as may.
    async fn fill(&mut self) {
        while self.waiting < self.settings.in_flight_max
            && let Some(record) = self.batch.get(self.published)
        {
            let outcome = self.send(record, self.base + self.published as u64).await;
            match outcome {
                None => self.waiting += 1,
                Some(verdict) => {
                    if let Some(place) = self.verdicts.get_mut(self.published) {
                        *place = Some(verdict);
                    }
                }
            }
            self.published += 1;
        }
    }

    /// Publishes one; a verdict when it could not be.
    async fn send(&mut self, record: &Record, its_number: u64) -> Option<Verdict> {
        let subject = match subject(&self.settings.subject, record) {
            Ok(subject) => subject,
            Err(reason) => return Some(Verdict::Refused(reason)),
        };
        self.reply.truncate(self.prefix_len);
        let mut digits = Vec::with_capacity(20);
        number(&mut digits, its_number);
        self.reply.extend(digits.into_iter().map(char::from));
        self.block.clear();
        // Ids have nothing but visible ASCII.
        self.block.extend_from_slice(b"NATS/1.0\r\nNats-Msg-Id: ");
        self.block.extend_from_slice(record.id.as_bytes());
        if let Some(stream) = &self.settings.stream {
            self.block.extend_from_slice(b"\r\nNats-Expected-Stream: ");
            self.block.extend_from_slice(stream.as_bytes());
        }
        self.block.extend_from_slice(b"\r\n\r\n");
        let sent = self
            .client
            .publish_encoded(&subject, Some(&self.reply), Some(&self.block), &record.body)
            .await;
        match sent {
            Ok(()) => None,
            Err(error) if is_hopeless(error.kind()) => Some(Verdict::Refused(error.to_string())),
            Err(error) => Some(Verdict::Retry(error.to_string())),
        }
    }

    /// Takes an answer. Those to earlier batches come late and mean nothing any more.
    fn land(&mut self, message: &Message) {
        let token = message.subject.get(self.prefix_len..).unwrap_or_default();
        let index = token.parse::<u64>().ok().and_then(|number| number.checked_sub(self.base));
        let index = index.and_then(|index| usize::try_from(index).ok());
        let Some(index) = index.filter(|index| *index < self.published) else { return };
        if let Some(place @ None) = self.verdicts.get_mut(index) {
            *place = Some(Ack::read(message).verdict(self.settings.stream.as_deref()));
            self.waiting -= 1;
        }
    }

    /// What became of each; those without an answer are tried again for this reason.
    fn verdicts(self, reason: &str) -> Result<Vec<Verdict>, SinkError> {
        if self.verdicts.iter().all(Option::is_none) {
            return Err(SinkError::new(reason));
        }
        let given =
            |verdict: Option<Verdict>| verdict.unwrap_or_else(|| Verdict::Retry(reason.to_owned()));
        Ok(self.verdicts.into_iter().map(given).collect())
    }
}

impl Sink for JetStream {
    fn describe(&self) -> String {
        format!("jetstream {} {}", self.settings.servers, self.settings.subject)
    }

    fn batch(&self) -> BatchLimits {
        BatchLimits {
            records_max: self.settings.in_flight_max.saturating_mul(BATCH_WINDOWS),
            bytes_max: BATCH_BYTES_MAX,
            age_max: Duration::ZERO,
        }
    }

    fn deliver<'a>(
        &'a mut self,
        batch: &'a [Record],
    ) -> BoxFuture<'a, Result<Vec<Verdict>, SinkError>> {
        Box::pin(self.publish(batch))
    }

    fn check<'a>(&'a mut self, sample: &'a Record) -> BoxFuture<'a, Result<String, SinkError>> {
        Box::pin(self.look(sample))
    }

    fn place(&self, record: &Record) -> Result<String, String> {
        subject(&self.settings.subject, record).map(|subject| format!("subject {subject}"))
    }

    fn close<'a>(&'a mut self) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.inbox = None;
            self.link.close().await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_subject_of_a_template() {
        for (text, expected) in [
            ("choria.data.%s", "choria.data.>"),
            ("a.b", "a.b"),
            ("{sender}", ">"),
            ("a.x{agent}.b", "a.>"),
        ] {
            assert_eq!(widest(&Template::parse(text).expect("good")), expected, "{text}");
        }
    }
}
