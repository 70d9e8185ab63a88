//! Requests and replies without their wrapping, in a form that no version owns.

use std::time::{Duration, SystemTime};

use super::json::base64_decode;
use super::{Fault, Federation, Filter, Hop, Version, v1, v2};
use crate::crypto::random;

/// A request to an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Version it came in, or goes out, as.
    pub version: Version,
    /// Id, copied into each reply; 32 characters in v1, a KSUID by convention in v2.
    pub id: String,
    /// Identity of the host it was made on. Not proven.
    pub sender: String,
    /// Caller id such as `choria=alice.mcollective`; proven once security has verified it.
    pub caller: String,
    /// Sub-collective it is meant for.
    pub collective: String,
    /// Agent it is meant for.
    pub agent: String,
    /// Seconds around `time` in which it is valid.
    pub ttl_secs: u64,
    /// When it was made.
    pub time: SystemTime,
    /// Which servers should act on it.
    pub filter: Filter,
    /// Payload for the agent, as in the envelope; see [`Request::payload`].
    pub message: Vec<u8>,
    /// Federation headers of the transport it came in; not part of the encoded request.
    pub federation: Option<Federation>,
    /// Hops of the transport it came in; not part of the encoded request.
    pub hops: Vec<Hop>,
}

impl Request {
    /// A v1 request with a new id, 60 seconds to live and a filter for the agent's servers.
    pub fn new(agent: &str, collective: &str, sender: &str, caller: &str, now: SystemTime) -> Self {
        Request {
            version: Version::V1,
            id: random::request_id(),
            sender: sender.to_owned(),
            caller: caller.to_owned(),
            collective: collective.to_owned(),
            agent: agent.to_owned(),
            ttl_secs: 60,
            time: now,
            filter: Filter::default(),
            message: Vec::new(),
            federation: None,
            hops: Vec::new(),
        }
    }

    /// The same request in another version, with a new id in the form of that version.
    pub fn in_version(self, version: Version) -> Self {
        let id = match version {
            Version::V1 => random::request_id(),
            Version::V2 => v2::request_id(self.time),
        };
        Request { version, id, ..self }
    }

    /// Reads the request text of a secure request and checks it against the published schema.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(version: Version, text: &[u8]) -> Result<Self, Fault> {
        match version {
            Version::V1 => v1::decode_request(text),
            Version::V2 => v2::decode_request(text),
        }
    }

    /// The text to sign.
    ///
    /// # Errors
    /// When a server would refuse it by the published schema.
    pub fn encode(&self) -> Result<String, Fault> {
        match self.version {
            Version::V1 => v1::encode_request(self),
            Version::V2 => v2::encode_request(self),
        }
    }

    /// Whether `now` is outside the time to live around the request's time, on either side.
    /// The exact boundaries count as expired.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        let distance = match now.duration_since(self.time) {
            Ok(age) => age,
            Err(ahead) => ahead.duration(),
        };
        distance >= Duration::from_secs(self.ttl_secs)
    }

    /// The payload as an agent sees it: base64 is tried first, raw text is the fall-back.
    ///
    /// Old clients send base64 payloads, and `discovery` pings are always sent so; a JSON body
    /// starts with `{`, which base64 never does.
    pub fn payload(&self) -> Vec<u8> {
        base64_decode(&self.message).unwrap_or_else(|| self.message.clone())
    }

    /// A reply to this request with its version, and its hops when it is federated.
    pub fn reply(&self, sender: &str, message: Vec<u8>, now: SystemTime) -> Reply {
        Reply {
            version: self.version,
            request_id: self.id.clone(),
            sender: sender.to_owned(),
            agent: self.agent.clone(),
            time: now,
            message,
            federation: self.federation.clone(),
            hops: if self.federation.is_some() { self.hops.clone() } else { Vec::new() },
        }
    }
}

/// An agent's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The version of the request.
    pub version: Version,
    /// Id of the request.
    pub request_id: String,
    /// Identity of the replying server.
    pub sender: String,
    /// Agent that replied.
    pub agent: String,
    /// When it was made.
    pub time: SystemTime,
    /// Payload for the client.
    pub message: Vec<u8>,
    /// Federation headers for the transport; not part of the encoded reply.
    pub federation: Option<Federation>,
    /// Hops for the transport; not part of the encoded reply.
    pub hops: Vec<Hop>,
}

impl Reply {
    /// Reads the reply text of a secure reply.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(version: Version, text: &[u8]) -> Result<Self, Fault> {
        match version {
            Version::V1 => v1::decode_reply(text),
            Version::V2 => v2::decode_reply(text),
        }
    }

    /// The text to hash.
    ///
    /// # Errors
    /// [`Fault::Payload`] when the payload is not text.
    pub fn encode(&self) -> Result<String, Fault> {
        match self.version {
            Version::V1 => v1::encode_reply(self),
            Version::V2 => Ok(v2::encode_reply(self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn expiry_boundaries_are_refused() {
        let mut request = Request::new("rpcutil", "mcollective", "shell", "choria=a", at(1_000));
        request.ttl_secs = 60;
        for (now, expired) in [(1_000, false), (1_059, false), (1_060, true), (2_000, true)] {
            assert_eq!(request.is_expired(at(now)), expired, "late {now}");
        }
        for (now, expired) in [(941, false), (940, true), (0, true)] {
            assert_eq!(request.is_expired(at(now)), expired, "early {now}");
        }
        assert!(!request.is_expired(at(941) - Duration::from_nanos(999_999_999)));
        request.ttl_secs = u64::MAX;
        assert!(!request.is_expired(at(5_000_000_000)));
    }

    #[test]
    fn payload_is_base64_first() {
        let mut request = Request::new("discovery", "mcollective", "shell", "choria=a", at(0));
        for (message, payload) in [
            ("cGluZw==", &b"ping"[..]),
            ("cGlu\nZw==\n", b"ping"),
            (r#"{"agent":"x"}"#, br#"{"agent":"x"}"#),
            // What a bare word becomes, as at go-choria servers: clients must encode it.
            ("ping", &[0xa6, 0x29, 0xe0]),
            ("pong!", b"pong!"),
        ] {
            request.message = message.as_bytes().to_vec();
            assert_eq!(request.payload(), payload, "{message}");
        }
    }

    #[test]
    fn replies_copy_federation_and_only_then_hops() {
        let mut request = Request::new("a", "c", "s", "choria=a", at(0));
        request.hops = vec![["x".to_owned(), "y".to_owned(), "z".to_owned()]];
        assert!(request.reply("n", Vec::new(), at(1)).hops.is_empty());
        request.federation = Some(Federation { reply_to: "r".to_owned(), ..Federation::default() });
        let reply = request.reply("n", Vec::new(), at(1));
        assert_eq!((reply.hops, reply.federation), (request.hops, request.federation));
        assert_eq!((reply.request_id, reply.agent.as_str()), (request.id, "a"));
    }
}
