//! The connection of a sink to NATS: made when it is first needed, found again by the client itself.

use std::time::Duration;

use crate::adapt::{Record, SinkError, Template};
use crate::nats::client::{Client, ErrorKind, Event, Initial, Options};
use crate::nats::subject;

/// How long the first connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A connection that may not be there.
pub(super) struct Link {
    options: Options,
    client: Option<(Client, flume::Receiver<Event>)>,
}

impl Link {
    pub(super) fn new(options: Options) -> Link {
        let options = Options { initial: Initial::Once, once_limit: CONNECT_LIMIT, ..options };
        Link { options, client: None }
    }

    /// The client, connected. The second value is whether it is a new one.
    pub(super) async fn client(&mut self) -> Result<(&Client, bool), SinkError> {
        let is_gone = self.client.as_ref().is_some_and(|(_, events)| is_closed(events));
        if is_gone {
            self.client = None;
        }
        let is_new = self.client.is_none();
        if is_new {
            let client = Client::connect(self.options.clone()).await;
            let client = client.map_err(|error| SinkError::new(error.to_string()))?;
            let events = client.events();
            self.client = Some((client, events));
        }
        match &self.client {
            Some((client, _)) if client.is_connected() => Ok((client, is_new)),
            _ => Err(SinkError::new("there is no connection to the broker of the target")),
        }
    }

    /// What happened to the connection since this was asked last.
    pub(super) fn events(&self) -> Option<flume::Receiver<Event>> {
        self.client.as_ref().map(|(_, events)| events.clone())
    }

    pub(super) async fn close(&mut self) {
        if let Some((client, _)) = self.client.take() {
            client.close().await;
        }
    }
}

fn is_closed(events: &flume::Receiver<Event>) -> bool {
    events.is_disconnected() && events.is_empty()
}

/// The subject of a record.
///
/// # Errors
/// When what the record says makes none that can be published on.
pub(super) fn subject(template: &Template, record: &Record) -> Result<String, String> {
    let subject = template.render(record);
    match subject::valid_publish(subject.as_bytes()) {
        true => Ok(subject),
        false => Err(format!("{subject:?} is no subject that can be published on")),
    }
}

/// Whether a record that could not be published for this reason never can be.
pub(super) fn is_hopeless(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::PayloadTooLarge | ErrorKind::InvalidSubject)
}
