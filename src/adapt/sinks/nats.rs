//! NATS without acknowledgement, as the reference publishes: the broker has it, whoever listens gets it.
//!
//! Every batch ends with a flush, so that what is called delivered has reached the broker.

use std::time::Duration;

use super::link::{Link, is_hopeless, subject};
use crate::adapt::{BatchLimits, BoxFuture, Record, Sink, SinkError, Template, Verdict};
use crate::nats::client::{Event, Operation, Options};

/// Where records are published.
#[derive(Debug, Clone)]
pub struct NatsSettings {
    /// The connection.
    pub connection: Options,
    /// Where it goes to, for people.
    pub servers: String,
    /// The subject of a record.
    pub subject: Template,
    /// How long the broker may take to confirm a batch.
    pub timeout: Duration,
}

/// Publishes records.
pub struct Nats {
    settings: NatsSettings,
    link: Link,
}

impl Nats {
    /// A sink that is not connected yet.
    pub fn new(settings: NatsSettings) -> Nats {
        Nats { link: Link::new(settings.connection.clone()), settings }
    }

    async fn publish(&mut self, batch: &[Record]) -> Result<Vec<Verdict>, SinkError> {
        let timeout = self.settings.timeout;
        let (client, _) = self.link.client().await?;
        let client = client.clone();
        let events = self.link.events();
        if let Some(events) = &events {
            events.drain().for_each(drop);
        }
        let mut verdicts = Vec::with_capacity(batch.len());
        let mut subjects = Vec::with_capacity(batch.len());
        for record in batch {
            let subject = subject(&self.settings.subject, record);
            verdicts.push(match &subject {
                Err(reason) => Verdict::Refused(reason.clone()),
                Ok(subject) => match client.publish(subject, &record.body).await {
                    Ok(()) => Verdict::Delivered,
                    Err(error) if is_hopeless(error.kind()) => Verdict::Refused(error.to_string()),
                    Err(error) => Verdict::Retry(error.to_string()),
                },
            });
            subjects.push(subject.unwrap_or_default());
        }
        client.flush(timeout).await.map_err(|error| SinkError::new(error.to_string()))?;
        for event in events.iter().flat_map(|events| events.drain()) {
            match event {
                Event::PermissionViolation { operation: Operation::Publish, subject, text } => {
                    let refused = verdicts.iter_mut().zip(&subjects);
                    refused
                        .filter(|(_, published)| **published == subject)
                        .for_each(|(verdict, _)| *verdict = Verdict::Retry(text.clone()));
                }
                Event::Disconnected { reason } => return Err(SinkError::new(reason)),
                _ => {}
            }
        }
        Ok(verdicts)
    }
}

impl Sink for Nats {
    fn describe(&self) -> String {
        format!("nats {} {}", self.settings.servers, self.settings.subject)
    }

    fn batch(&self) -> BatchLimits {
        BatchLimits { records_max: 1000, bytes_max: 4 * 1024 * 1024, age_max: Duration::ZERO }
    }

    fn deliver<'a>(
        &'a mut self,
        batch: &'a [Record],
    ) -> BoxFuture<'a, Result<Vec<Verdict>, SinkError>> {
        Box::pin(self.publish(batch))
    }

    fn check<'a>(&'a mut self, sample: &'a Record) -> BoxFuture<'a, Result<String, SinkError>> {
        Box::pin(async move {
            subject(&self.settings.subject, sample).map_err(SinkError::new)?;
            let (client, _) = self.link.client().await?;
            Ok(format!("connected to {}", client.connected_url().unwrap_or_default()))
        })
    }

    fn place(&self, record: &Record) -> Result<String, String> {
        subject(&self.settings.subject, record).map(|subject| format!("subject {subject}"))
    }

    fn close<'a>(&'a mut self) -> BoxFuture<'a, ()> {
        Box::pin(self.link.close())
    }
}
