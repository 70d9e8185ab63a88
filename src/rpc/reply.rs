//! One node's reply, checked and typed.

use std::fmt;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::identity::is_addressable;
use crate::protocol::rpc::{ReplyBody, StatusCode};
use crate::protocol::{Fault, Reply, Transport};
use crate::security::{Denied, Provider};
use crate::util::time;

/// What one node answered.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeReply {
    /// The node.
    pub sender: String,
    /// The agent that answered.
    pub agent: String,
    /// The action that was run.
    pub action: String,
    /// How it went.
    pub status: StatusCode,
    /// What the node says about that; `OK` when it went well.
    pub message: String,
    /// The outputs.
    pub data: Value,
    /// When the node replied, by its own clock.
    pub time: SystemTime,
    /// The message the above was read from.
    pub envelope: Reply,
}

impl NodeReply {
    /// Reads the body of a checked reply. A body that cannot be read becomes a failed reply that says so.
    pub(super) fn read(envelope: Reply) -> Self {
        let body = ReplyBody::decode(&envelope.message).unwrap_or_else(|fault| {
            let text = format!("could not read the reply: {fault}");
            ReplyBody::failed("", StatusCode::UnknownError, text)
        });
        Self {
            sender: envelope.sender.clone(),
            agent: envelope.agent.clone(),
            action: body.action,
            status: body.statuscode,
            message: body.statusmsg,
            data: body.data,
            time: envelope.time,
            envelope,
        }
    }

    /// Whether the action went well.
    pub fn is_ok(&self) -> bool {
        self.status.is_ok()
    }

    /// The outputs as a type of the caller's.
    ///
    /// # Errors
    /// When they do not have that form.
    pub fn data_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.data)
    }

    /// The machine form: an element of `replies` in JSON output, `rr` in JSON lines (client notes 1.12).
    pub fn json(&self) -> Value {
        json!({
            "sender": self.sender,
            "action": self.action,
            "statuscode": self.status.number(),
            "statusmsg": self.message,
            "data": self.data,
            "time_utc": time::rfc3339(self.time),
        })
    }

    /// The message as it is on the wire: `pr` in JSON lines.
    pub fn envelope_json(&self) -> Value {
        let text = self.envelope.encode().unwrap_or_default();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }
}

/// Why a message on the reply subject is not a reply to the request.
#[derive(Debug)]
pub(super) enum ReplyFault {
    /// It is malformed.
    Wire(Fault),
    /// It does not pass the security checks.
    Denied(Denied),
    /// It replies to another request.
    OtherRequest(String),
    /// Its sender cannot be the name of a node.
    Sender(String),
}

impl fmt::Display for ReplyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wire(fault) => write!(f, "{fault}"),
            Self::Denied(denied) => write!(f, "{denied}"),
            Self::OtherRequest(id) => write!(f, "it answers request {id:?}"),
            Self::Sender(name) => write!(f, "its sender {name:?} cannot be a node"),
        }
    }
}

/// Unpacks and checks a message that arrived on the reply subject of `request_id`.
pub(super) fn open(
    security: &Provider,
    payload: &[u8],
    request_id: &str,
) -> Result<Reply, ReplyFault> {
    let transport = Transport::decode(payload).map_err(ReplyFault::Wire)?;
    let reply = security.decode_reply(&transport, SystemTime::now()).map_err(ReplyFault::Denied)?;
    if reply.request_id != request_id {
        return Err(ReplyFault::OtherRequest(reply.request_id.chars().take(64).collect()));
    }
    if !is_addressable(&reply.sender) {
        return Err(ReplyFault::Sender(reply.sender.chars().take(64).collect()));
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Version;

    fn reply(message: &str) -> NodeReply {
        NodeReply::read(Reply {
            version: Version::V1,
            request_id: "a36cb9ba0e1c4b5a8f4d2c6e7f809112".into(),
            sender: "n1".into(),
            agent: "rpcutil".into(),
            time: time::from_unix(1_767_348_000),
            message: message.as_bytes().to_vec(),
            federation: None,
            hops: Vec::new(),
        })
    }

    #[test]
    fn a_reply_has_a_machine_form() {
        let reply = reply(r#"{"action":"ping","statuscode":0,"statusmsg":"OK","data":{"pong":5}}"#);
        assert!(reply.is_ok());
        assert_eq!(
            reply.json(),
            json!({"sender": "n1", "action": "ping", "statuscode": 0, "statusmsg": "OK", "data": {"pong": 5},
                "time_utc": "2026-01-02T10:00:00Z"})
        );
        assert_eq!(reply.envelope_json()["envelope"]["senderid"], "n1");
        #[derive(serde::Deserialize)]
        struct Pong {
            pong: i64,
        }
        assert_eq!(reply.data_as::<Pong>().unwrap().pong, 5);
    }

    #[test]
    fn an_unreadable_body_is_a_failed_reply() {
        let reply = reply("pong");
        assert_eq!((reply.status, reply.is_ok()), (StatusCode::UnknownError, false));
        assert!(reply.message.starts_with("could not read the reply: "), "{}", reply.message);
    }
}
