//! Protocol v2: the secure envelopes, and the text form of requests and replies.
//!
//! Every layer is base64 in the next one, and times are nanoseconds. Requests and secure requests must pass
//! go-choria's JSON schemas (`internal/fs/schemas/choria/protocol/v2`) in both directions; replies are read leniently.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::json::{self, base64_decode};
use super::v1::{expect_protocol, owned_filter};
use super::{Fault, Filter, Layer, Reply, Request, Version, limits};
use crate::crypto::hash;
use crate::crypto::ksuid::Ksuid;
use crate::util::form::null_is_default;

const SECURE_REQUEST: &str = "io.choria.protocol.v2.secure_request";
const SECURE_REPLY: &str = "io.choria.protocol.v2.secure_reply";
const REQUEST: &str = "io.choria.protocol.v2.request";
const REPLY: &str = "io.choria.protocol.v2.reply";

/// A fresh request id of this moment.
pub fn request_id(now: SystemTime) -> String {
    Ksuid::new(now).to_string()
}

/// A request text with the proof of who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecureRequest {
    /// The request text. The signature covers exactly these bytes: never parse and re-encode it.
    pub request: Vec<u8>,
    /// The Ed25519 signature, or the word of an unsigned request.
    pub signature: Vec<u8>,
    /// The caller's token. The signature does not cover it.
    pub caller: String,
    /// The token of who signed for the caller, when somebody did.
    pub signer: Option<String>,
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
            request: bytes(layer, "request", &wire.request)?,
            signature: bytes(layer, "signature", &wire.signature)?,
            caller: wire.caller.into_owned(),
            signer: Some(wire.signer.into_owned()).filter(|token| !token.is_empty()),
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
            request: BASE64.encode(&self.request).into(),
            signature: BASE64.encode(&self.signature).into(),
            caller: (&self.caller).into(),
            signer: self.signer.as_deref().unwrap_or_default().into(),
        }))
    }

    fn check(&self) -> Result<(), Fault> {
        let layer = Layer::SecureRequest;
        let sizes = [
            ("request", self.request.len(), limits::TRANSPORT_BYTES_MAX),
            ("signature", self.signature.len(), limits::SIGNATURE_BYTES_MAX),
            ("caller", self.caller.len(), limits::TOKEN_BYTES_MAX),
        ];
        for (field, size, limit) in sizes {
            if size == 0 {
                return Err(Fault::Empty { layer, field });
            }
            Fault::bound(layer, field, size, limit)?;
        }
        let signer = self.signer.as_ref().map_or(0, String::len);
        Fault::bound(layer, "signer", signer, limits::TOKEN_BYTES_MAX)
    }
}

/// A reply text with its hash, and usually a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecureReply {
    /// The reply text, the bytes that hash and signature cover.
    pub reply: Vec<u8>,
    /// Base64 of the SHA-256 of `reply`.
    pub hash: String,
    /// The Ed25519 signature of the replying server. Not checked here.
    pub signature: Option<Vec<u8>>,
    /// The token of the replying server.
    pub sender: Option<String>,
}

impl SecureReply {
    /// Wraps a reply text without a signature.
    pub fn seal(reply: Vec<u8>) -> Self {
        let hash = hash::sha256_base64(&reply);
        SecureReply { reply, hash, signature: None, sender: None }
    }

    /// Reads the data of a transport and checks the hash.
    ///
    /// # Errors
    /// What is wrong with it; [`Fault::Hash`] when the hash does not fit.
    pub fn decode(text: &[u8]) -> Result<Self, Fault> {
        let layer = Layer::SecureReply;
        let wire: WireSecureReply<'_> = json::decode(layer, text)?;
        expect_protocol(layer, &wire.protocol, SECURE_REPLY)?;
        let bound = |field, text: &str, limit| Fault::bound(layer, field, text.len(), limit);
        bound("signature", &wire.signature, limits::SIGNATURE_BYTES_MAX)?;
        bound("sender", &wire.sender, limits::TOKEN_BYTES_MAX)?;
        let reply = bytes(layer, "reply", &wire.reply)?;
        if hash::sha256_base64(&reply) != wire.hash {
            return Err(Fault::Hash);
        }
        let signature = bytes(layer, "signature", &wire.signature)?;
        Ok(SecureReply {
            reply,
            hash: wire.hash.into_owned(),
            signature: Some(signature).filter(|bytes| !bytes.is_empty()),
            sender: Some(wire.sender.into_owned()).filter(|token| !token.is_empty()),
        })
    }

    /// The data for a transport.
    pub fn encode(&self) -> Vec<u8> {
        let signature = self.signature.as_deref().unwrap_or_default();
        json::encode(&WireSecureReply {
            protocol: SECURE_REPLY.into(),
            reply: BASE64.encode(&self.reply).into(),
            hash: (&self.hash).into(),
            signature: BASE64.encode(signature).into(),
            sender: self.sender.as_deref().unwrap_or_default().into(),
        })
    }
}

pub(super) fn decode_request(text: &[u8]) -> Result<Request, Fault> {
    let layer = Layer::Request;
    let wire: WireRequest<'_> = json::decode(layer, text)?;
    expect_protocol(layer, &wire.protocol, REQUEST)?;
    if wire.time < 1 {
        return Err(Fault::Time { layer, value: wire.time });
    }
    let request = Request {
        version: Version::V2,
        id: wire.id.into_owned(),
        sender: wire.sender.into_owned(),
        caller: wire.caller.into_owned(),
        collective: wire.collective.into_owned(),
        agent: wire.agent.into_owned(),
        ttl_secs: wire.ttl,
        time: from_nanos(wire.time),
        filter: wire.filter.into_owned(),
        message: bytes(layer, "message", &wire.message)?,
        federation: None,
        hops: Vec::new(),
    };
    check_request(&request)?;
    Ok(request)
}

pub(super) fn encode_request(request: &Request) -> Result<String, Fault> {
    let time = nanos(request.time);
    if time < 1 {
        return Err(Fault::Time { layer: Layer::Request, value: time });
    }
    check_request(request)?;
    Ok(json::encode_string(&WireRequest {
        protocol: REQUEST.into(),
        message: BASE64.encode(&request.message).into(),
        id: (&request.id).into(),
        sender: (&request.sender).into(),
        caller: (&request.caller).into(),
        collective: (&request.collective).into(),
        agent: (&request.agent).into(),
        ttl: request.ttl_secs,
        time,
        filter: Cow::Borrowed(&request.filter),
    }))
}

pub(super) fn decode_reply(text: &[u8]) -> Result<Reply, Fault> {
    let layer = Layer::Reply;
    let wire: WireReply<'_> = json::decode(layer, text)?;
    expect_protocol(layer, &wire.protocol, REPLY)?;
    for (field, text) in
        [("request", &wire.request), ("sender", &wire.sender), ("agent", &wire.agent)]
    {
        Fault::bound(layer, field, text.len(), limits::NAME_BYTES_MAX)?;
    }
    Ok(Reply {
        version: Version::V2,
        request_id: wire.request.into_owned(),
        sender: wire.sender.into_owned(),
        agent: wire.agent.into_owned(),
        time: from_nanos(wire.time),
        message: bytes(layer, "message", &wire.message)?,
        federation: None,
        hops: Vec::new(),
    })
}

pub(super) fn encode_reply(reply: &Reply) -> String {
    json::encode_string(&WireReply {
        protocol: REPLY.into(),
        message: BASE64.encode(&reply.message).into(),
        request: (&reply.request_id).into(),
        sender: (&reply.sender).into(),
        agent: (&reply.agent).into(),
        time: nanos(reply.time),
    })
}

/// The limits of the published request schema, and ours.
fn check_request(request: &Request) -> Result<(), Fault> {
    let layer = Layer::Request;
    if request.message.is_empty() {
        return Err(Fault::Empty { layer, field: "message" });
    }
    for (field, text) in [
        ("id", &request.id),
        ("sender", &request.sender),
        ("caller", &request.caller),
        ("collective", &request.collective),
        ("agent", &request.agent),
    ] {
        Fault::filled(layer, field, text, limits::NAME_BYTES_MAX)?;
    }
    if request.ttl_secs < limits::TTL_SECS_MIN_V2 {
        return Err(Fault::Ttl { secs: request.ttl_secs, least: limits::TTL_SECS_MIN_V2 });
    }
    request.filter.check()
}

fn bytes(layer: Layer, field: &'static str, text: &str) -> Result<Vec<u8>, Fault> {
    base64_decode(text.as_bytes()).ok_or(Fault::Base64 { layer, field })
}

/// Nanoseconds since 1970; what does not fit becomes the first or last moment that does.
fn nanos(time: SystemTime) -> i64 {
    let clamp = |distance: Duration| i64::try_from(distance.as_nanos()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => clamp(after),
        Err(before) => -clamp(before.duration()),
    }
}

/// Every number of nanoseconds lies within 300 years of 1970, which every clock can show.
fn from_nanos(nanos: i64) -> SystemTime {
    // The first number has no counterpart and becomes the second.
    let distance = Duration::from_nanos(nanos.max(-i64::MAX).unsigned_abs());
    if nanos < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance }
}

#[derive(Serialize, Deserialize)]
struct WireSecureRequest<'a> {
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    #[serde(borrow)]
    request: Cow<'a, str>,
    #[serde(borrow)]
    signature: Cow<'a, str>,
    #[serde(borrow)]
    caller: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    signer: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct WireSecureReply<'a> {
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    #[serde(borrow)]
    reply: Cow<'a, str>,
    #[serde(borrow)]
    hash: Cow<'a, str>,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "str::is_empty")]
    signature: Cow<'a, str>,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "str::is_empty")]
    sender: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct WireRequest<'a> {
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow)]
    caller: Cow<'a, str>,
    #[serde(borrow)]
    collective: Cow<'a, str>,
    #[serde(borrow)]
    agent: Cow<'a, str>,
    ttl: u64,
    time: i64,
    #[serde(default = "no_filter", deserialize_with = "owned_filter")]
    filter: Cow<'a, Filter>,
}

fn no_filter() -> Cow<'static, Filter> {
    Cow::Owned(Filter::default())
}

#[derive(Serialize, Deserialize)]
struct WireReply<'a> {
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    #[serde(default, deserialize_with = "null_is_default")]
    message: Cow<'a, str>,
    #[serde(borrow)]
    request: Cow<'a, str>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(default, deserialize_with = "null_is_default")]
    agent: Cow<'a, str>,
    #[serde(default, deserialize_with = "null_is_default")]
    time: i64,
}

#[cfg(test)]
mod tests;
