//! Bodies of RPC requests and replies: what an agent reads and writes inside the envelope.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::json;
use super::{Fault, Layer};
use crate::util::form::null_is_default;

/// A discovery ping as it must be sent: servers decode base64 first, and the bare word is base64.
pub const DISCOVERY_PING: &[u8] = b"cGluZw==";
/// What a discovery request has to contain once decoded.
pub const DISCOVERY_WORD: &[u8] = b"ping";
/// The answer to a discovery ping, sent bare.
pub const DISCOVERY_PONG: &[u8] = b"pong";

/// One call of an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestBody {
    /// The agent; authorization requires that it equals the envelope's.
    #[serde(default, deserialize_with = "null_is_default")]
    pub agent: String,
    /// The action.
    #[serde(default, deserialize_with = "null_is_default")]
    pub action: String,
    /// Inputs, normally an object; missing and `null` become `{}`.
    #[serde(default = "empty_object", deserialize_with = "object_for_null")]
    pub data: Value,
}

impl RequestBody {
    /// Reads a payload ([`super::Request::payload`]). Fields that repeat the envelope are ignored.
    ///
    /// # Errors
    /// When it is not a JSON object with these fields.
    pub fn decode(payload: &[u8]) -> Result<Self, Fault> {
        json::decode(Layer::RequestBody, payload)
    }

    /// The payload of a request.
    pub fn encode(&self) -> Vec<u8> {
        json::encode(self)
    }
}

/// What a payload says is to be done, with the inputs as they stand there: for records of it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct QuotedBody {
    /// The action, empty when none is named.
    #[serde(default, deserialize_with = "null_is_default")]
    pub action: String,
    /// The text of the inputs; none when there are none.
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
}

impl QuotedBody {
    /// Reads a payload ([`super::Request::payload`]).
    ///
    /// # Errors
    /// When it is not a JSON object with these fields.
    pub fn decode(payload: &[u8]) -> Result<Self, Fault> {
        json::decode(Layer::RequestBody, payload)
    }
}

/// One server's result of an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplyBody {
    /// The action; empty when the request could not be read.
    #[serde(default, deserialize_with = "null_is_default")]
    pub action: String,
    /// How it went.
    pub statuscode: StatusCode,
    /// `OK`, or what went wrong.
    #[serde(default, deserialize_with = "null_is_default")]
    pub statusmsg: String,
    /// Outputs, normally an object.
    #[serde(default = "empty_object", deserialize_with = "object_for_null")]
    pub data: Value,
}

impl ReplyBody {
    /// A successful result.
    pub fn ok(action: &str, data: Value) -> Self {
        let data = if data.is_null() { empty_object() } else { data };
        ReplyBody {
            action: action.to_owned(),
            statuscode: StatusCode::Ok,
            statusmsg: "OK".to_owned(),
            data,
        }
    }

    /// A failed result without data.
    pub fn failed(action: &str, statuscode: StatusCode, statusmsg: impl Into<String>) -> Self {
        ReplyBody {
            action: action.to_owned(),
            statuscode,
            statusmsg: statusmsg.into(),
            data: empty_object(),
        }
    }

    /// Reads the message of a reply.
    ///
    /// # Errors
    /// When it is not a JSON object with these fields.
    pub fn decode(message: &[u8]) -> Result<Self, Fault> {
        json::decode(Layer::ReplyBody, message)
    }

    /// The message of a reply.
    pub fn encode(&self) -> Vec<u8> {
        json::encode(self)
    }
}

/// Outcome of an action. Zero counts as passed, everything else as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusCode {
    /// 0: success.
    Ok,
    /// 1: the action failed or was not allowed.
    Aborted,
    /// 2: the agent has no such action.
    UnknownAction,
    /// 3: a required input is missing.
    MissingData,
    /// 4: an input or the body is not valid.
    InvalidData,
    /// 5: any other failure.
    UnknownError,
    /// A code the protocol does not define; agents in the field use them.
    Other(i64),
}

impl StatusCode {
    /// The number on the wire.
    pub fn number(self) -> i64 {
        match self {
            StatusCode::Ok => 0,
            StatusCode::Aborted => 1,
            StatusCode::UnknownAction => 2,
            StatusCode::MissingData => 3,
            StatusCode::InvalidData => 4,
            StatusCode::UnknownError => 5,
            StatusCode::Other(number) => number,
        }
    }

    /// The code for a number from the wire.
    pub fn from_number(number: i64) -> Self {
        match number {
            0 => StatusCode::Ok,
            1 => StatusCode::Aborted,
            2 => StatusCode::UnknownAction,
            3 => StatusCode::MissingData,
            4 => StatusCode::InvalidData,
            5 => StatusCode::UnknownError,
            other => StatusCode::Other(other),
        }
    }

    /// Whether the action succeeded.
    pub fn is_ok(self) -> bool {
        self == StatusCode::Ok
    }
}

impl Serialize for StatusCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.number())
    }
}

impl<'de> Deserialize<'de> for StatusCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(StatusCode::from_number)
    }
}

fn empty_object() -> Value {
    Value::Object(Map::new())
}

/// `null` becomes `{}`, and so does the text `"{}"` that go-choria sends for an agent without data.
fn object_for_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let none = value.is_null() || value.as_str() == Some("{}");
    Ok(if none { empty_object() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn request_bodies() {
        let body =
            RequestBody { agent: "rpcutil".into(), action: "ping".into(), data: json!({"a": "<"}) };
        let text = body.encode();
        assert_eq!(
            String::from_utf8_lossy(&text),
            r#"{"agent":"rpcutil","action":"ping","data":{"a":"\u003c"}}"#
        );
        assert_eq!(RequestBody::decode(&text), Ok(body));
        for text in [
            r#"{"agent":"a","action":"b"}"#,
            r#"{"agent":"a","action":"b","data":null,"callerid":"choria=root","time":5}"#,
        ] {
            let body = RequestBody::decode(text.as_bytes()).unwrap();
            assert_eq!((body.action.as_str(), body.data), ("b", json!({})), "{text}");
        }
        for text in ["", "[]", "pong", r#"{"agent":5}"#] {
            assert!(RequestBody::decode(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn reply_bodies() {
        let body = ReplyBody::ok("ping", json!({"pong": 1}));
        let text = body.encode();
        assert_eq!(
            String::from_utf8_lossy(&text),
            r#"{"action":"ping","statuscode":0,"statusmsg":"OK","data":{"pong":1}}"#
        );
        assert_eq!(ReplyBody::decode(&text), Ok(body));
        let odd = br#"{"action":"x","statuscode":77,"statusmsg":"bad","data":"{}"}"#;
        let odd = ReplyBody::decode(odd).unwrap();
        assert_eq!((odd.statuscode, odd.data), (StatusCode::Other(77), json!({})));
        assert_eq!(ReplyBody::ok("x", Value::Null).data, json!({}));
        assert!(!ReplyBody::failed("x", StatusCode::Aborted, "no").statuscode.is_ok());
        for number in -1..8 {
            assert_eq!(StatusCode::from_number(number).number(), number);
        }
        assert!(ReplyBody::decode(br#"{"action":"x"}"#).is_err());
    }
}
