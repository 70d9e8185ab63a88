//! Protocol v1: the secure envelopes, and the text form of requests and replies.
//!
//! Requests and secure requests must pass go-choria's JSON schemas
//! (`internal/fs/schemas/choria/protocol/v1`) in both directions; replies are read leniently.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize};

use super::json;
use super::{Fault, Filter, Layer, Reply, Request, Version, limits};
use crate::crypto::hash;
use crate::util::form::{null_is_default, only_object};

const SECURE_REQUEST: &str = "choria:secure:request:1";
const SECURE_REPLY: &str = "choria:secure:reply:1";
const REQUEST: &str = "choria:request:1";
const REPLY: &str = "choria:reply:1";

/// A request text with the proof of who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecureRequest {
    /// The request text. The signature covers exactly these bytes: never parse and re-encode it.
    pub message: String,
    /// Base64 of the RSA signature, or one of the words of an unsigned request.
    pub signature: String,
    /// PEM certificates, the caller's first, or one of the words of an unsigned request.
    pub pubcert: String,
}

impl SecureRequest {
    /// Reads the data of a transport.
    ///
    /// # Errors
    /// What is wrong with it, by schema or limit.
    pub fn decode(text: &[u8]) -> Result<Self, Fault> {
        let layer = Layer::SecureRequest;
        let wire: WireSecureRequest<'_> = json::decode(layer, text)?;
        expect_protocol(layer, &wire.protocol, SECURE_REQUEST)?;
        let secure = SecureRequest {
            message: wire.message.into_owned(),
            signature: wire.signature.into_owned(),
            pubcert: wire.pubcert.into_owned(),
        };
        secure.check()?;
        Ok(secure)
    }

    /// The data for a transport.
    ///
    /// # Errors
    /// When a server would refuse it by schema or limit.
    pub fn encode(&self) -> Result<Vec<u8>, Fault> {
        self.check()?;
        Ok(json::encode(&WireSecureRequest {
            protocol: SECURE_REQUEST.into(),
            message: (&self.message).into(),
            signature: (&self.signature).into(),
            pubcert: (&self.pubcert).into(),
        }))
    }

    fn check(&self) -> Result<(), Fault> {
        let filled = |field, text, limit| Fault::filled(Layer::SecureRequest, field, text, limit);
        filled("message", &self.message, limits::TRANSPORT_BYTES_MAX)?;
        check_proof(&self.signature, &self.pubcert)
    }
}

/// The limits of what proves a request.
pub(super) fn check_proof(signature: &str, pubcert: &str) -> Result<(), Fault> {
    let filled = |field, text, limit| Fault::filled(Layer::SecureRequest, field, text, limit);
    filled("signature", signature, limits::SIGNATURE_BYTES_MAX)?;
    filled("pubcert", pubcert, limits::PUBCERT_BYTES_MAX)
}

/// A reply text with its hash. It is not signed: the hash shows damage, not forgery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecureReply {
    /// The reply text, the bytes the hash covers.
    pub message: String,
    /// Base64 of the SHA-256 of `message`.
    pub hash: String,
}

impl SecureReply {
    /// Wraps a reply text.
    pub fn seal(message: String) -> Self {
        let hash = hash::sha256_base64(message.as_bytes());
        SecureReply { message, hash }
    }

    /// Reads the data of a transport and checks the hash.
    ///
    /// # Errors
    /// What is wrong with it; [`Fault::Hash`] when the hash does not fit.
    pub fn decode(text: &[u8]) -> Result<Self, Fault> {
        let layer = Layer::SecureReply;
        let wire: WireSecureReply<'_> = json::decode(layer, text)?;
        expect_protocol(layer, &wire.protocol, SECURE_REPLY)?;
        if hash::sha256_base64(wire.message.as_bytes()) != wire.hash {
            return Err(Fault::Hash);
        }
        Ok(SecureReply { message: wire.message.into_owned(), hash: wire.hash.into_owned() })
    }

    /// The data for a transport.
    pub fn encode(&self) -> Vec<u8> {
        json::encode(&WireSecureReply {
            protocol: SECURE_REPLY.into(),
            message: (&self.message).into(),
            hash: (&self.hash).into(),
        })
    }
}

pub(super) fn decode_request(text: &[u8]) -> Result<Request, Fault> {
    let layer = Layer::Request;
    let wire: WireRequest<'_> = json::decode(layer, text)?;
    expect_protocol(layer, &wire.protocol, REQUEST)?;
    let request = Request {
        message: wire.message.into_owned().into_bytes(),
        ..without_message(wire.envelope)?
    };
    check_request(&request)?;
    Ok(request)
}

/// A request by its envelope, without its message.
fn without_message(envelope: WireRequestEnvelope<'_>) -> Result<Request, Fault> {
    Ok(Request {
        version: Version::V1,
        id: envelope.requestid.into_owned(),
        sender: envelope.senderid.into_owned(),
        caller: envelope.callerid.into_owned(),
        collective: envelope.collective.into_owned(),
        agent: envelope.agent.into_owned(),
        ttl_secs: envelope.ttl,
        time: from_unix(Layer::Request, envelope.time)?,
        filter: envelope.filter.into_owned(),
        message: Vec::new(),
        federation: None,
        hops: Vec::new(),
    })
}

/// [`without_message`] of an envelope within its limits.
pub(super) fn believed(envelope: WireRequestEnvelope<'_>) -> Option<Request> {
    let request = without_message(envelope).ok()?;
    check_envelope(&request).is_ok().then_some(request)
}

pub(super) fn encode_request(request: &Request) -> Result<String, Fault> {
    check_request(request)?;
    Ok(json::encode_string(&WireRequest {
        protocol: REQUEST.into(),
        message: payload_text(Layer::Request, &request.message)?.into(),
        envelope: WireRequestEnvelope {
            requestid: (&request.id).into(),
            senderid: (&request.sender).into(),
            callerid: (&request.caller).into(),
            collective: (&request.collective).into(),
            agent: (&request.agent).into(),
            ttl: request.ttl_secs,
            time: unix_secs(request.time),
            filter: Cow::Borrowed(&request.filter),
        },
    }))
}

pub(super) fn decode_reply(text: &[u8]) -> Result<Reply, Fault> {
    let layer = Layer::Reply;
    let wire: WireReply<'_> = json::decode(layer, text)?;
    expect_protocol(layer, &wire.protocol, REPLY)?;
    let envelope = wire.envelope;
    for (field, text) in [
        ("requestid", &envelope.requestid),
        ("senderid", &envelope.senderid),
        ("agent", &envelope.agent),
    ] {
        Fault::bound(layer, field, text.len(), limits::NAME_BYTES_MAX)?;
    }
    Ok(Reply {
        version: Version::V1,
        request_id: envelope.requestid.into_owned(),
        sender: envelope.senderid.into_owned(),
        agent: envelope.agent.into_owned(),
        time: from_unix(layer, envelope.time)?,
        message: wire.message.into_owned().into_bytes(),
        federation: None,
        hops: Vec::new(),
    })
}

pub(super) fn encode_reply(reply: &Reply) -> Result<String, Fault> {
    Ok(json::encode_string(&WireReply {
        protocol: REPLY.into(),
        message: payload_text(Layer::Reply, &reply.message)?.into(),
        envelope: WireReplyEnvelope {
            requestid: (&reply.request_id).into(),
            senderid: (&reply.sender).into(),
            agent: (&reply.agent).into(),
            time: unix_secs(reply.time),
        },
    }))
}

/// The limits of the published request schema, and ours.
fn check_request(request: &Request) -> Result<(), Fault> {
    let layer = Layer::Request;
    if request.message.is_empty() {
        return Err(Fault::Empty { layer, field: "message" });
    }
    check_envelope(request)
}

fn check_envelope(request: &Request) -> Result<(), Fault> {
    let layer = Layer::Request;
    let chars = request.id.chars().count();
    if chars != limits::REQUEST_ID_CHARS {
        return Err(Fault::RequestId { chars });
    }
    Fault::bound(layer, "senderid", request.sender.len(), limits::NAME_BYTES_MAX)?;
    Fault::filled(layer, "callerid", &request.caller, limits::NAME_BYTES_MAX)?;
    Fault::filled(layer, "collective", &request.collective, limits::NAME_BYTES_MAX)?;
    Fault::filled(layer, "agent", &request.agent, limits::NAME_BYTES_MAX)?;
    if request.ttl_secs < limits::TTL_SECS_MIN {
        return Err(Fault::Ttl { secs: request.ttl_secs, least: limits::TTL_SECS_MIN });
    }
    request.filter.check()
}

fn payload_text(layer: Layer, payload: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(payload).map_err(|_| Fault::Payload { layer })
}

pub(super) fn expect_protocol(layer: Layer, found: &str, expected: &str) -> Result<(), Fault> {
    if found == expected {
        return Ok(());
    }
    Err(Fault::Protocol { layer, found: super::fault::short(found) })
}

/// Whole seconds since 1970, rounded down.
fn unix_secs(time: SystemTime) -> i64 {
    let clamp = |secs: u64| i64::try_from(secs).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => clamp(after.as_secs()),
        Err(before) => {
            let before = before.duration();
            -clamp(before.as_secs() + u64::from(before.subsec_nanos() > 0))
        }
    }
}

fn from_unix(layer: Layer, secs: i64) -> Result<SystemTime, Fault> {
    let distance = Duration::from_secs(secs.unsigned_abs());
    let time = if secs < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    time.ok_or(Fault::Time { layer, value: secs })
}

#[derive(Serialize, Deserialize)]
struct WireSecureRequest<'a> {
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    signature: Cow<'a, str>,
    #[serde(borrow)]
    pubcert: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct WireSecureReply<'a> {
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    hash: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct WireRequest<'a> {
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "only_object")]
    envelope: WireRequestEnvelope<'a>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireRequestEnvelope<'a> {
    #[serde(borrow)]
    requestid: Cow<'a, str>,
    #[serde(borrow)]
    senderid: Cow<'a, str>,
    #[serde(borrow)]
    callerid: Cow<'a, str>,
    #[serde(borrow)]
    collective: Cow<'a, str>,
    #[serde(borrow)]
    agent: Cow<'a, str>,
    ttl: u64,
    time: i64,
    #[serde(deserialize_with = "owned_filter")]
    filter: Cow<'a, Filter>,
}

/// A filter, which is an object in both versions.
pub(super) fn owned_filter<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Cow<'static, Filter>, D::Error> {
    only_object(deserializer).map(Cow::Owned)
}

#[derive(Serialize, Deserialize)]
struct WireReply<'a> {
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    #[serde(default, deserialize_with = "null_is_default")]
    message: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "only_object")]
    envelope: WireReplyEnvelope<'a>,
}

#[derive(Serialize, Deserialize)]
struct WireReplyEnvelope<'a> {
    #[serde(borrow)]
    requestid: Cow<'a, str>,
    #[serde(borrow)]
    senderid: Cow<'a, str>,
    #[serde(default, deserialize_with = "null_is_default")]
    agent: Cow<'a, str>,
    #[serde(default, deserialize_with = "null_is_default")]
    time: i64,
}

#[cfg(test)]
mod tests;
