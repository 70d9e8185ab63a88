//! Lifecycle events: what a component says about its own life.
//!
//! The usual form is a CloudEvent around the event; `plugin.choria.legacy_lifecycle_format` asks for
//! the bare event. Readers accept both, and the protocol names of old releases.

use serde::{Deserialize, Serialize};

use super::fault::short;
use super::json;
use super::{Fault, Layer, subject};
use crate::util::form::null_is_default;

const SOURCE: &str = "io.choria.lifecycle";
const LAYER: Layer = Layer::Event;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The component started.
    Startup,
    /// The component stops.
    Shutdown,
    /// A server got its configuration.
    Provisioned,
    /// The component still lives.
    Alive,
    /// The component was replaced by another version.
    Upgraded,
}

impl Kind {
    const ALL: [Kind; 5] =
        [Kind::Startup, Kind::Shutdown, Kind::Provisioned, Kind::Alive, Kind::Upgraded];

    /// The word in protocol names and subjects.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Startup => "startup",
            Kind::Shutdown => "shutdown",
            Kind::Provisioned => "provisioned",
            Kind::Alive => "alive",
            Kind::Upgraded => "upgraded",
        }
    }

    fn has_version(self) -> bool {
        matches!(self, Kind::Startup | Kind::Alive | Kind::Upgraded)
    }

    fn protocol(self) -> String {
        format!("io.choria.lifecycle.v1.{}", self.name())
    }

    fn from_protocol(protocol: &str) -> Option<Self> {
        let old = protocol.strip_prefix("choria:lifecycle:").and_then(|p| p.strip_suffix(":1"));
        let word = protocol.strip_prefix("io.choria.lifecycle.v1.").or(old)?;
        Kind::ALL.into_iter().find(|kind| kind.name() == word)
    }
}

/// One lifecycle event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// Unique id, a UUID; fresh for each event.
    pub id: String,
    /// Identity of the component's host.
    pub identity: String,
    /// Such as `server`.
    pub component: String,
    /// When, seconds since 1970.
    pub timestamp: i64,
    /// Version of the component: startup, alive, upgraded.
    pub version: String,
    /// Version after an upgrade: upgraded only.
    pub new_version: String,
}

impl Event {
    /// The subject to publish on.
    pub fn subject(&self) -> String {
        subject::lifecycle_event(self.kind.name(), &self.component)
    }

    /// The event as CloudEvents 1.0 JSON. `time` is the timestamp as RFC 3339 text.
    pub fn encode(&self, time: &str) -> Vec<u8> {
        json::encode(&WireCloudEvent {
            specversion: "1.0".to_owned(),
            id: self.id.clone(),
            source: SOURCE.to_owned(),
            kind: self.kind.protocol(),
            subject: self.identity.clone(),
            datacontenttype: "application/json".to_owned(),
            time: time.to_owned(),
            data: self.wire(),
        })
    }

    /// The bare event of old releases.
    pub fn encode_bare(&self) -> Vec<u8> {
        json::encode(&self.wire())
    }

    /// Reads either form.
    ///
    /// # Errors
    /// What is wrong with it; [`Fault::EventKind`] for kinds not in [`Kind`].
    pub fn decode(text: &[u8]) -> Result<Self, Fault> {
        Fault::bound(LAYER, "message", text.len(), super::limits::TRANSPORT_BYTES_MAX)?;
        let probe: Probe = json::decode(LAYER, text)?;
        let bare = probe.protocol.starts_with("io.choria.lifecycle")
            || probe.protocol.starts_with("choria:lifecycle:");
        if bare {
            return Self::from_wire(json::decode(LAYER, text)?);
        }
        if probe.specversion != "1.0" || probe.source != SOURCE {
            return Err(Fault::Protocol { layer: LAYER, found: short(&probe.source) });
        }
        let event: WireCloudEvent = json::decode(LAYER, text)?;
        Self::from_wire(event.data)
    }

    fn wire(&self) -> WireEvent {
        let versioned = |text: &str, has: bool| has.then(|| text.to_owned());
        WireEvent {
            protocol: self.kind.protocol(),
            id: self.id.clone(),
            identity: self.identity.clone(),
            component: self.component.clone(),
            timestamp: self.timestamp,
            version: versioned(&self.version, self.kind.has_version()),
            new_version: versioned(&self.new_version, self.kind == Kind::Upgraded),
        }
    }

    fn from_wire(wire: WireEvent) -> Result<Self, Fault> {
        let Some(kind) = Kind::from_protocol(&wire.protocol) else {
            return Err(Fault::EventKind { found: short(&wire.protocol) });
        };
        Ok(Event {
            kind,
            id: wire.id,
            identity: wire.identity,
            component: wire.component,
            timestamp: wire.timestamp,
            version: wire.version.unwrap_or_default(),
            new_version: wire.new_version.unwrap_or_default(),
        })
    }
}

/// The fields that tell the forms apart.
#[derive(Deserialize)]
struct Probe {
    #[serde(default, deserialize_with = "null_is_default")]
    protocol: String,
    #[serde(default, deserialize_with = "null_is_default")]
    specversion: String,
    #[serde(default, deserialize_with = "null_is_default")]
    source: String,
}

#[derive(Serialize, Deserialize)]
struct WireCloudEvent {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    datacontenttype: String,
    #[serde(default)]
    time: String,
    data: WireEvent,
}

#[derive(Serialize, Deserialize)]
struct WireEvent {
    protocol: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    identity: String,
    #[serde(default)]
    component: String,
    #[serde(default)]
    timestamp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    new_version: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALIVE: &str = r#"{"specversion":"1.0","id":"c7","source":"io.choria.lifecycle","type":"io.choria.lifecycle.v1.alive","subject":"node1.example.net","datacontenttype":"application/json","time":"2026-11-22T16:59:36Z","data":{"protocol":"io.choria.lifecycle.v1.alive","id":"c7","identity":"node1.example.net","component":"server","timestamp":1795366776,"version":"0.29.4"}}"#;

    #[test]
    fn cloud_events_round_trip() {
        let event = Event::decode(ALIVE.as_bytes()).unwrap();
        assert_eq!((event.kind, event.version.as_str()), (Kind::Alive, "0.29.4"));
        assert_eq!(event.subject(), "choria.lifecycle.event.alive.server");
        assert_eq!(String::from_utf8_lossy(&event.encode("2026-11-22T16:59:36Z")), ALIVE);
    }

    #[test]
    fn bare_events_of_each_kind() {
        for kind in Kind::ALL {
            let event = Event {
                kind,
                id: "i".into(),
                identity: "n".into(),
                component: "server".into(),
                timestamp: 5,
                version: if kind.has_version() { "1".into() } else { String::new() },
                new_version: if kind == Kind::Upgraded { "2".into() } else { String::new() },
            };
            let text = String::from_utf8(event.encode_bare()).unwrap();
            assert_eq!(Event::decode(text.as_bytes()).as_ref(), Ok(&event));
            let old =
                text.replace(&kind.protocol(), &format!("choria:lifecycle:{}:1", kind.name()));
            assert_ne!(old, text);
            assert_eq!(Event::decode(old.as_bytes()), Ok(event));
        }
    }

    #[test]
    fn others_are_refused() {
        for text in [
            "",
            "[]",
            r#"{"specversion":"1.0","source":"io.choria.machine","data":{}}"#,
            r#"{"specversion":"0.3","source":"io.choria.lifecycle"}"#,
            r#"{"protocol":"io.choria.lifecycle.v1.governor"}"#,
            r#"{"protocol":"io.choria.lifecycle.v2.alive"}"#,
            r#"{"protocol":"choria:lifecycle:alive:2"}"#,
        ] {
            assert!(Event::decode(text.as_bytes()).is_err(), "{text}");
        }
    }
}
