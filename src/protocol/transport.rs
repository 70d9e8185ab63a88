//! The outermost envelope: opaque data with routing headers.

use std::borrow::Cow;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::json::{self, base64_decode};
use super::{Fault, Layer, Version, limits};
use crate::util::form::null_is_default;

const PROTOCOL_V1: &str = "choria:transport:1";
const PROTOCOL_V2: &str = "io.choria.protocol.v2.transport";
/// What a transport of the first version usually begins with.
const START_V1: &[u8] = br#"{"protocol":"choria:transport:1","#;
const LAYER: Layer = Layer::Transport;

/// One step of a message's way: where it came in, who processed it, where it went out.
pub type Hop = [String; 3];

/// What a message carries while it passes between collectives. Present means federated, even when
/// every field is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Federation {
    /// Id of the request for the federation brokers.
    pub request_id: String,
    /// The reply subject that a federation broker saved.
    pub reply_to: String,
    /// Subjects the federation broker publishes to.
    pub targets: Vec<String>,
}

/// The outermost envelope.
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
    /// A transport for `data` from `sender`.
    pub fn new(version: Version, data: Vec<u8>, sender: &str) -> Self {
        Transport {
            version,
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
    /// What is wrong with it.
    pub fn decode(text: &[u8]) -> Result<Self, Fault> {
        Fault::bound(LAYER, "message", text.len(), limits::TRANSPORT_BYTES_MAX)?;
        // Nearly everybody writes it first; a second one would be an error below.
        if text.starts_with(START_V1) {
            return Self::from_wire(Version::V1, json::decode::<Wire<'_, V1>>(LAYER, text)?);
        }
        let probe: Probe<'_> = json::decode(LAYER, text)?;
        match &*probe.protocol {
            PROTOCOL_V1 => Self::from_wire(Version::V1, json::decode::<Wire<'_, V1>>(LAYER, text)?),
            PROTOCOL_V2 => Self::from_wire(Version::V2, json::decode::<Wire<'_, V2>>(LAYER, text)?),
            other => Err(Fault::Protocol { layer: LAYER, found: super::fault::short(other) }),
        }
    }

    fn from_wire<'a, H: Headers<'a>>(version: Version, wire: Wire<'a, H>) -> Result<Self, Fault> {
        let mut transport = Transport::new(version, Vec::new(), "");
        wire.headers.move_into(&mut transport);
        H::check(&transport)?;
        transport.data = base64_decode(wire.data.as_bytes())
            .ok_or(Fault::Base64 { layer: LAYER, field: "data" })?;
        Ok(transport)
    }

    /// The bytes to publish.
    pub fn encode(&self) -> Vec<u8> {
        let data = Cow::Owned(BASE64.encode(&self.data));
        match self.version {
            Version::V1 => {
                let (protocol, headers) = (Cow::Borrowed(PROTOCOL_V1), V1::of(self));
                json::encode(&Wire { protocol, data, headers })
            }
            Version::V2 => {
                let (protocol, headers) = (Cow::Borrowed(PROTOCOL_V2), V2::of(self));
                json::encode(&Wire { protocol, data, headers })
            }
        }
    }

    /// Records one step of the way; beyond [`limits::HOPS_MAX`] nothing is recorded.
    pub fn append_hop(&mut self, incoming: &str, processor: &str, outgoing: &str) {
        if self.hops.len() < limits::HOPS_MAX {
            self.hops.push([incoming.to_owned(), processor.to_owned(), outgoing.to_owned()]);
        }
    }
}

/// The data of a v1 transport that has its fields in the usual order and no others. Its headers pass the same checks as in
/// [`Transport::decode`], the data is not looked at.
pub(super) fn usual_v1_data(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(START_V1)?.strip_prefix(br#""data":""#)?;
    let (data, rest) = rest.split_at(memchr::memchr(b'"', rest)?);
    let headers = rest.strip_prefix(br#"","headers":"#)?.strip_suffix(b"}")?;
    let headers: V1<'_> = json::decode(LAYER, headers).ok()?;
    let mut transport = Transport::new(Version::V1, Vec::new(), "");
    headers.move_into(&mut transport);
    V1::check(&transport).is_ok().then_some(data)
}

/// What tells the versions apart.
#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(borrow)]
    protocol: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "H: Default + Deserialize<'de>"))]
struct Wire<'a, H> {
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(default, deserialize_with = "null_is_default")]
    headers: H,
}

/// The headers of one version.
trait Headers<'a> {
    /// Those of a transport.
    fn of(transport: &'a Transport) -> Self;
    /// Puts them where they belong.
    fn move_into(self, transport: &mut Transport);
    /// Our limits, under the names of the version.
    fn check(transport: &Transport) -> Result<(), Fault>;
}

/// The headers of a version: always the same fields, each time under other names.
macro_rules! headers {
    ($name:ident, $federation:ident, $reply_to:literal, $sender:literal, $hops:literal,
     $request_id:literal, $saved:literal, $targets:literal) => {
        #[derive(Default, Serialize, Deserialize)]
        struct $name<'a> {
            #[serde(rename = $reply_to, default, deserialize_with = "null_is_default")]
            #[serde(skip_serializing_if = "str::is_empty")]
            reply_to: Cow<'a, str>,
            #[serde(rename = $sender, default, deserialize_with = "null_is_default")]
            #[serde(skip_serializing_if = "str::is_empty")]
            sender: Cow<'a, str>,
            #[serde(rename = $hops, default, deserialize_with = "null_is_default")]
            #[serde(skip_serializing_if = "<[Hop]>::is_empty")]
            hops: Cow<'a, [Hop]>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            federation: Option<$federation<'a>>,
        }

        #[derive(Serialize, Deserialize)]
        struct $federation<'a> {
            #[serde(rename = $request_id, default, deserialize_with = "null_is_default")]
            #[serde(skip_serializing_if = "str::is_empty")]
            request_id: Cow<'a, str>,
            #[serde(rename = $saved, default, deserialize_with = "null_is_default")]
            #[serde(skip_serializing_if = "str::is_empty")]
            reply_to: Cow<'a, str>,
            #[serde(rename = $targets, default, deserialize_with = "null_is_default")]
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            targets: Cow<'a, [String]>,
        }

        impl<'a> Headers<'a> for $name<'a> {
            fn of(transport: &'a Transport) -> Self {
                $name {
                    reply_to: Cow::Borrowed(transport.reply_to.as_deref().unwrap_or_default()),
                    sender: Cow::Borrowed(transport.sender.as_deref().unwrap_or_default()),
                    hops: Cow::Borrowed(&transport.hops),
                    federation: transport.federation.as_ref().map(|federation| $federation {
                        request_id: Cow::Borrowed(&federation.request_id),
                        reply_to: Cow::Borrowed(&federation.reply_to),
                        targets: Cow::Borrowed(&federation.targets),
                    }),
                }
            }

            fn move_into(self, transport: &mut Transport) {
                let filled = |text: Cow<'_, str>| (!text.is_empty()).then(|| text.into_owned());
                transport.reply_to = filled(self.reply_to);
                transport.sender = filled(self.sender);
                transport.hops = self.hops.into_owned();
                transport.federation = self.federation.map(|federation| Federation {
                    request_id: federation.request_id.into_owned(),
                    reply_to: federation.reply_to.into_owned(),
                    targets: federation.targets.into_owned(),
                });
            }

            fn check(transport: &Transport) -> Result<(), Fault> {
                let bound = |field, size, limit| Fault::bound(LAYER, field, size, limit);
                let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
                bound($reply_to, length(&transport.reply_to), limits::SUBJECT_BYTES_MAX)?;
                bound($sender, length(&transport.sender), limits::NAME_BYTES_MAX)?;
                bound($hops, transport.hops.len(), limits::HOPS_MAX)?;
                for text in transport.hops.iter().flatten() {
                    bound($hops, text.len(), limits::HOP_BYTES_MAX)?;
                }
                let Some(federation) = &transport.federation else { return Ok(()) };
                let field = concat!("federation.", $request_id);
                bound(field, federation.request_id.len(), limits::NAME_BYTES_MAX)?;
                let field = concat!("federation.", $saved);
                bound(field, federation.reply_to.len(), limits::SUBJECT_BYTES_MAX)?;
                let field = concat!("federation.", $targets);
                bound(field, federation.targets.len(), limits::FEDERATION_TARGETS_MAX)?;
                for text in &federation.targets {
                    bound(field, text.len(), limits::SUBJECT_BYTES_MAX)?;
                }
                Ok(())
            }
        }
    };
}

headers!(V1, FederationV1, "reply-to", "mc_sender", "seen-by", "req", "reply-to", "target");
headers!(V2, FederationV2, "reply", "sender", "trace", "request", "reply", "targets");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_order_of_fields() {
        let mut transport = Transport::new(Version::V1, b"{}".to_vec(), "shell.example.net");
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
    fn the_second_version_has_other_names() {
        let mut transport = Transport::new(Version::V2, b"{}".to_vec(), "shell.example.net");
        assert_eq!(
            String::from_utf8_lossy(&transport.encode()),
            r#"{"protocol":"io.choria.protocol.v2.transport","data":"e30=","headers":{"sender":"shell.example.net"}}"#
        );
        transport.reply_to = Some("choria.reply.x.y".to_owned());
        transport.append_hop("in", "me", "out");
        transport.federation = Some(Federation {
            request_id: "r".to_owned(),
            reply_to: "saved".to_owned(),
            targets: vec!["t.1".to_owned(), "t.2".to_owned()],
        });
        let text = transport.encode();
        assert_eq!(
            String::from_utf8_lossy(&text),
            r#"{"protocol":"io.choria.protocol.v2.transport","data":"e30=","headers":{"reply":"choria.reply.x.y","sender":"shell.example.net","trace":[["in","me","out"]],"federation":{"request":"r","reply":"saved","targets":["t.1","t.2"]}}}"#
        );
        assert_eq!(Transport::decode(&text), Ok(transport.clone()));
        // Names of the other version are unknown, whatever they hold.
        let mixed =
            String::from_utf8(text).unwrap().replace("{\"reply\"", "{\"reply-to\":5,\"reply\"");
        assert_eq!(Transport::decode(mixed.as_bytes()), Ok(transport));
        let bare = br#"{"data":"","protocol":"io.choria.protocol.v2.transport"}"#;
        assert_eq!(Transport::decode(bare), Ok(Transport::new(Version::V2, Vec::new(), "")));
        let long = r#"{"protocol":"io.choria.protocol.v2.transport","data":"","headers":{"trace":[["a","b"]]}}"#;
        assert!(matches!(Transport::decode(long.as_bytes()), Err(Fault::Json { .. })));
    }

    #[test]
    fn what_is_read_and_what_is_refused() {
        let decode = |text: &str| Transport::decode(text.as_bytes());
        let json = |text: &str| matches!(decode(text), Err(Fault::Json { layer: LAYER, .. }));
        let bare = decode(r#"{"x":[{}],"data":"e30=","protocol":"choria:transport:1"}"#).unwrap();
        assert_eq!(bare, Transport::new(Version::V1, b"{}".to_vec(), ""));
        let nulls = r#"{"protocol":"choria:transport:1","data":"","headers":{"reply-to":null,"seen-by":null,"federation":{"target":null}}}"#;
        assert_eq!(decode(nulls).unwrap().federation, Some(Federation::default()));
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
        let mut transport = Transport::new(Version::V2, Vec::new(), "x");
        for _ in 0..limits::HOPS_MAX + 5 {
            transport.append_hop("a", "b", "c");
        }
        assert_eq!(transport.hops.len(), limits::HOPS_MAX);
        assert!(Transport::decode(&transport.encode()).is_ok());
    }
}
