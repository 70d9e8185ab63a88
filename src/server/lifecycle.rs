//! What a server says about its own life on the network (server notes 11).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use smol::Timer;

use super::agents::VERSION;
use super::node::Node;
use crate::crypto::random;
use crate::protocol::event::{Event, Kind};
use crate::util::time;

/// The first alive event comes after some whole minutes below this.
const FIRST_ALIVE_MINUTES: u64 = 30;

const ALIVE_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// Publishes the events of one server.
#[derive(Clone)]
pub struct Lifecycle {
    /// The server.
    pub node: Arc<Node>,
    /// What kind of process it is, such as `server`.
    pub component: &'static str,
    /// Publish events without their CloudEvents wrapping.
    pub legacy_format: bool,
}

impl Lifecycle {
    /// Publishes one event with its own id and time; failure is logged.
    pub async fn publish(&self, kind: Kind) {
        let event = self.event(kind, SystemTime::now());
        let payload = if self.legacy_format {
            event.encode_bare()
        } else {
            event.encode(&time::rfc3339(time::from_unix(event.timestamp)))
        };
        match self.node.link.publish(&event.subject(), &payload).await {
            Ok(()) => self.node.counters.events.increment(),
            Err(error) => {
                log::error!("server: event not published kind={} err={error}", kind.name());
            }
        }
    }

    /// Publishes alive events for ever; servers started together do not send them together.
    pub async fn publish_alive(self) {
        let minutes = fastrand::u64(..FIRST_ALIVE_MINUTES);
        Timer::after(Duration::from_secs(minutes * 60)).await;
        loop {
            self.publish(Kind::Alive).await;
            Timer::after(ALIVE_INTERVAL).await;
        }
    }

    fn event(&self, kind: Kind, now: SystemTime) -> Event {
        Event {
            kind,
            id: random::uuid4(),
            identity: self.node.identity.clone(),
            component: self.component.to_owned(),
            timestamp: time::unix_secs(now),
            version: VERSION.to_owned(),
            new_version: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::{self, Recorder};

    #[test]
    fn each_event_has_its_own_id_and_is_counted() {
        let link = Arc::new(Recorder::default());
        let node = Arc::new(testing::node(link.clone()));
        let lifecycle = Lifecycle { node: node.clone(), component: "server", legacy_format: false };
        let bare = Lifecycle { legacy_format: true, ..lifecycle.clone() };
        smol::block_on(async {
            lifecycle.publish(Kind::Startup).await;
            lifecycle.publish(Kind::Alive).await;
            bare.publish(Kind::Shutdown).await;
        });
        let sent = std::mem::take(&mut *link.published.lock().unwrap());
        let subjects: Vec<_> = sent.iter().map(|(subject, _)| subject.as_str()).collect();
        assert_eq!(
            subjects,
            [
                "choria.lifecycle.event.startup.server",
                "choria.lifecycle.event.alive.server",
                "choria.lifecycle.event.shutdown.server",
            ]
        );
        let events: Vec<_> = sent.iter().map(|(_, text)| Event::decode(text).unwrap()).collect();
        assert_ne!(events[0].id, events[1].id);
        assert_eq!(
            (events[0].version.as_str(), events[0].identity.as_str()),
            (VERSION, "node1.example.net")
        );
        assert!(sent[0].1.starts_with(br#"{"specversion":"1.0""#));
        assert!(sent[2].1.starts_with(br#"{"protocol":"io.choria.lifecycle.v1.shutdown""#));
        assert_eq!(node.counters.events.value(), 3);
    }
}
