//! The outermost envelope: opaque data with routing headers.

use std::borrow::Cow;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::json::{self, base64_decode, null_is_default};
use super::{Fault, Layer, Version, limits};

const PROTOCOL_V1: &str = "choria:transport:1";
const PROTOCOL_V2: &str = "io.choria.protocol.v2.transport";
const LAYER: Layer = Layer::Transport;

/// One step of a message's way: where it came in, who processed it, where it went out.
pub type Hop = [String; 3];

/// What a message carries while it passes between collectives. Present means federated, even when
/// every field is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Federation {
    /// Id of the request for the federation brokers.
    #[serde(
        rename = "req",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub request_id: String,
    /// The reply subject that a federation broker saved.
    #[serde(
        rename = "reply-to",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub reply_to: String,
    /// Subjects the federation broker publishes to.
    #[serde(
        rename = "target",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub targets: Vec<String>,
}

/// The outermost envelope (v1: `choria:transport:1`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// Version of this and all inner layers.
    pub version: Version,
    /// The secure request or secure reply, exactly as received: signatures cover these bytes.
    pub data: Vec<u8>,
    /// Subject replies go to; requests only.
    pub reply_to: Option<String>,
    /// Identity of the sending process. Not proven.
    pub sender: Option<String>,
    /// The way so far, informational.
    pub hops: Vec<Hop>,
    /// Federation headers, present when the message is federated.
    pub federation: Option<Federation>,
}

impl Transport {
    /// A v1 transport for `data` from `sender`.
    pub fn new(data: Vec<u8>, sender: &str) -> Self {
        Transport {
            version: Version::V1,
            data,
            reply_to: None,
            sender: (!sender.is_empty()).then(|| sender.to_owned()),
            hops: Vec::new(),
            federation: None,
        }
    }

    /// Reads a message as it came from the network.
    ///
    /// # Errors
    /// [`Fault::VersionTwo`] for a v2 message, else what is wrong with it.
    pub fn decode(text: &[u8]) -> Result<Self, Fault> {
        Fault::bound(LAYER, "message", text.len(), limits::TRANSPORT_BYTES_MAX)?;
        let wire: WireTransport<'_> = json::decode(LAYER, text)?;
        match &*wire.protocol {
            PROTOCOL_V1 => {}
            PROTOCOL_V2 => return Err(Fault::VersionTwo),
            other => {
                return Err(Fault::Protocol { layer: LAYER, found: super::fault::short(other) });
            }
        }
        let headers = wire.headers;
        headers.check()?;
        let data = base64_decode(wire.data.as_bytes())
            .ok_or(Fault::Base64 { layer: LAYER, field: "data" })?;
        Ok(Transport {
            version: Version::V1,
            data,
            reply_to: Some(headers.reply_to.into_owned()).filter(|text| !text.is_empty()),
            sender: Some(headers.sender.into_owned()).filter(|text| !text.is_empty()),
            hops: headers.hops.into_owned(),
            federation: headers.federation.map(Cow::into_owned),
        })
    }

    /// The bytes to publish.
    pub fn encode(&self) -> Vec<u8> {
        json::encode(&WireTransport {
            protocol: Cow::Borrowed(match self.version {
                Version::V1 => PROTOCOL_V1,
                Version::V2 => PROTOCOL_V2,
            }),
            data: Cow::Owned(BASE64.encode(&self.data)),
            headers: Headers {
                reply_to: Cow::Borrowed(self.reply_to.as_deref().unwrap_or_default()),
                sender: Cow::Borrowed(self.sender.as_deref().unwrap_or_default()),
                hops: Cow::Borrowed(&self.hops),
                federation: self.federation.as_ref().map(Cow::Borrowed),
            },
        })
    }

    /// Records one step of the way; beyond [`limits::HOPS_MAX`] nothing is recorded.
    pub fn append_hop(&mut self, incoming: &str, processor: &str, outgoing: &str) {
        if self.hops.len() < limits::HOPS_MAX {
            self.hops.push([incoming.to_owned(), processor.to_owned(), outgoing.to_owned()]);
        }
    }
}

#[derive(Serialize, Deserialize)]
struct WireTransport<'a> {
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    headers: Headers<'a>,
}

#[derive(Default, Serialize, Deserialize)]
struct Headers<'a> {
    #[serde(
        rename = "reply-to",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "str::is_empty"
    )]
    reply_to: Cow<'a, str>,
    #[serde(
        rename = "mc_sender",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "str::is_empty"
    )]
    sender: Cow<'a, str>,
    #[serde(
        rename = "seen-by",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "<[Hop]>::is_empty"
    )]
    hops: Cow<'a, [Hop]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    federation: Option<Cow<'a, Federation>>,
}

impl Headers<'_> {
    fn check(&self) -> Result<(), Fault> {
        let bound = |field, size, limit| Fault::bound(LAYER, field, size, limit);
        bound("reply-to", self.reply_to.len(), limits::SUBJECT_BYTES_MAX)?;
        bound("mc_sender", self.sender.len(), limits::NAME_BYTES_MAX)?;
        bound("seen-by", self.hops.len(), limits::HOPS_MAX)?;
        for text in self.hops.iter().flatten() {
            bound("seen-by", text.len(), limits::HOP_BYTES_MAX)?;
        }
        let Some(federation) = &self.federation else { return Ok(()) };
        bound("federation.req", federation.request_id.len(), limits::NAME_BYTES_MAX)?;
        bound("federation.reply-to", federation.reply_to.len(), limits::SUBJECT_BYTES_MAX)?;
        bound("federation.target", federation.targets.len(), limits::FEDERATION_TARGETS_MAX)?;
        for text in &federation.targets {
            bound("federation.target", text.len(), limits::SUBJECT_BYTES_MAX)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_order_of_fields() {
        let mut transport = Transport::new(b"{}".to_vec(), "shell.example.net");
        assert_eq!(
            String::from_utf8_lossy(&transport.encode()),
            r#"{"protocol":"choria:transport:1","data":"e30=","headers":{"mc_sender":"shell.example.net"}}"#
        );
        transport.reply_to = Some("mcollective.reply.x.y".to_owned());
        transport.append_hop("in", "me", "out");
        transport.federation = Some(Federation {
            request_id: "r".to_owned(),
            reply_to: String::new(),
            targets: vec!["t.1".to_owned(), "t.2".to_owned()],
        });
        let text = transport.encode();
        assert_eq!(
            String::from_utf8_lossy(&text),
            r#"{"protocol":"choria:transport:1","data":"e30=","headers":{"reply-to":"mcollective.reply.x.y","mc_sender":"shell.example.net","seen-by":[["in","me","out"]],"federation":{"req":"r","target":["t.1","t.2"]}}}"#
        );
        assert_eq!(Transport::decode(&text), Ok(transport));
    }

    #[test]
    fn what_is_read_and_what_is_refused() {
        let decode = |text: &str| Transport::decode(text.as_bytes());
        let json = |text: &str| matches!(decode(text), Err(Fault::Json { layer: LAYER, .. }));
        let bare = decode(r#"{"x":[{}],"data":"e30=","protocol":"choria:transport:1"}"#).unwrap();
        assert_eq!(bare, Transport { sender: None, ..Transport::new(b"{}".to_vec(), "") });
        let nulls = r#"{"protocol":"choria:transport:1","data":"","headers":{"reply-to":null,"seen-by":null,"federation":{"target":null}}}"#;
        assert_eq!(decode(nulls).unwrap().federation, Some(Federation::default()));
        assert_eq!(
            decode(
                r#"{"protocol":"io.choria.protocol.v2.transport","data":"e30=","headers":{"trace":[["a","b","c"]]}}"#
            ),
            Err(Fault::VersionTwo)
        );
        assert!(matches!(
            decode(r#"{"protocol":"choria:transport:3","data":""}"#),
            Err(Fault::Protocol { .. })
        ));
        for data in ["e30", "e3_=", "e 0="] {
            let text = format!(r#"{{"protocol":"choria:transport:1","data":"{data}"}}"#);
            assert_eq!(decode(&text), Err(Fault::Base64 { layer: LAYER, field: "data" }), "{data}");
        }
        assert!(json(""));
        assert!(json("[]"));
        assert!(json(r#"{"protocol":"choria:transport:1","data":"e3"#));
        assert!(json(r#"{"protocol":"choria:transport:1","data":"","data":""}"#));
        assert!(json(
            r#"{"protocol":"choria:transport:1","data":"","headers":{"seen-by":[["a","b"]]}}"#
        ));
        assert!(json(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))));
        assert!(Transport::decode(b"{\"protocol\":\"\xff\",\"data\":\"\"}").is_err());
        let long = format!(
            r#"{{"protocol":"choria:transport:1","data":"","headers":{{"mc_sender":"{}"}}}}"#,
            "x".repeat(limits::NAME_BYTES_MAX + 1)
        );
        assert!(matches!(decode(&long), Err(Fault::TooLarge { field: "mc_sender", .. })));
        assert!(matches!(
            Transport::decode(&vec![b' '; limits::TRANSPORT_BYTES_MAX + 1]),
            Err(Fault::TooLarge { field: "message", .. })
        ));
    }

    #[test]
    fn hops_stop_at_the_limit() {
        let mut transport = Transport::new(Vec::new(), "x");
        for _ in 0..limits::HOPS_MAX + 5 {
            transport.append_hop("a", "b", "c");
        }
        assert_eq!(transport.hops.len(), limits::HOPS_MAX);
        assert!(Transport::decode(&transport.encode()).is_ok());
    }
}
