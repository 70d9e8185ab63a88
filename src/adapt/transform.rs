//! From the bytes of a message to a record.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::record::{Data, output};
use super::{Input, Record};
use crate::crypto::random;
use crate::protocol::event::Event;
use crate::protocol::limits::{NAME_BYTES_MAX, TRANSPORT_BYTES_MAX};
use crate::protocol::{Fault, Plain, Reply, Request, Skimmer, Transport, Version, v1, v2};
use crate::security::{Denied, Provider};
use crate::util::time;

/// What is read from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Requests in transports, registration data among them.
    Request,
    /// Replies in transports.
    Reply,
    /// Lifecycle events, in the present and the old form.
    Lifecycle,
    /// Anything: the whole message is the data.
    Raw,
}

impl Form {
    /// The words for them in a configuration.
    pub const WORDS: &[(&str, Form)] = &[
        ("request", Form::Request),
        ("reply", Form::Reply),
        ("lifecycle", Form::Lifecycle),
        ("raw", Form::Raw),
    ];
}

/// Why a message gives no record.
#[derive(Debug, Clone, PartialEq)]
pub enum BadMessage {
    /// It is not what it should be.
    Malformed(Fault),
    /// It is larger than any message of the network.
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
    /// Its sender could not be verified.
    Denied(Denied),
    /// It is verified, and older or newer than it may be.
    Expired {
        /// Who made it.
        sender: String,
    },
}

impl fmt::Display for BadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadMessage::Malformed(fault) => write!(f, "{fault}"),
            BadMessage::TooLarge { bytes } => {
                write!(
                    f,
                    "refused a message of {bytes} bytes, at most {TRANSPORT_BYTES_MAX} are read"
                )
            }
            BadMessage::Denied(denied) => write!(f, "{denied}"),
            BadMessage::Expired { sender } => {
                write!(f, "refused the request: its time to live is over, sender {}", Plain(sender))
            }
        }
    }
}

impl std::error::Error for BadMessage {}

impl From<Fault> for BadMessage {
    fn from(fault: Fault) -> Self {
        BadMessage::Malformed(fault)
    }
}

/// Makes records.
#[derive(Debug, Clone)]
pub struct Transformer {
    form: Form,
    /// Who this is: the sender of what names none.
    identity: String,
    /// Verifies senders; without it they are believed, as the reference does.
    verifier: Option<Arc<Provider>>,
    skimmer: Skimmer,
    /// The output of the last message: its memory is used again.
    body: Vec<u8>,
}

/// Memory that is kept for the next output.
const BODY_BYTES_KEPT: usize = 256 * 1024;

impl Transformer {
    /// For messages of one form.
    pub fn new(form: Form, identity: &str, verifier: Option<Arc<Provider>>) -> Transformer {
        Transformer {
            form,
            identity: identity.to_owned(),
            verifier,
            skimmer: Skimmer::default(),
            body: Vec::new(),
        }
    }

    /// What it reads.
    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// The same, believing every sender.
    pub(super) fn unverified(&self) -> Transformer {
        Transformer { verifier: None, ..self.clone() }
    }

    /// The record of a message.
    ///
    /// # Errors
    /// Why there is none.
    pub fn record(&mut self, input: &Input<'_>, now: SystemTime) -> Result<Record, BadMessage> {
        if input.payload.len() > TRANSPORT_BYTES_MAX {
            return Err(BadMessage::TooLarge { bytes: input.payload.len() });
        }
        match self.form {
            Form::Request => self.request(input, now),
            Form::Reply => self.reply(input, now),
            Form::Lifecycle => lifecycle(input, &mut self.body),
            Form::Raw => Ok(self.raw(input, now)),
        }
    }

    fn request(&mut self, input: &Input<'_>, now: SystemTime) -> Result<Record, BadMessage> {
        if self.verifier.is_none()
            && let Some(skimmed) = self.skimmer.request(input.payload)
        {
            let parts = Parts::of(skimmed.request);
            return Ok(parts.record(Data::Escaped(skimmed.message), input, &mut self.body));
        }
        let transport = Transport::decode(input.payload)?;
        let mut request = match &self.verifier {
            None => believed_request(&transport)?,
            Some(verifier) => {
                let verified = verifier.decode_registration(&transport, now);
                let request = verified.map_err(BadMessage::Denied)?.request;
                if request.is_expired(now) {
                    return Err(BadMessage::Expired { sender: request.sender });
                }
                request
            }
        };
        let message = std::mem::take(&mut request.message);
        Ok(Parts::of(request).record(Data::Plain(&message), input, &mut self.body))
    }

    fn reply(&mut self, input: &Input<'_>, now: SystemTime) -> Result<Record, BadMessage> {
        let transport = Transport::decode(input.payload)?;
        let reply = match &self.verifier {
            None => believed_reply(&transport)?,
            Some(verifier) => verifier.decode_reply(&transport, now).map_err(BadMessage::Denied)?,
        };
        // A reply does not name its collective; the subject it goes to begins with it.
        let collective = input.subject.split('.').next().unwrap_or_default().to_owned();
        let parts = Parts {
            sender: reply.sender,
            agent: reply.agent,
            collective,
            request_id: reply.request_id,
            time: reply.time,
        };
        Ok(parts.record(Data::Plain(&reply.message), input, &mut self.body))
    }

    fn raw(&mut self, input: &Input<'_>, now: SystemTime) -> Record {
        let id = input.message_id.filter(|id| !id.is_empty() && id.len() <= NAME_BYTES_MAX);
        let parts = Parts {
            sender: self.identity.clone(),
            agent: String::new(),
            collective: String::new(),
            request_id: id.map_or_else(random::request_id, str::to_owned),
            time: now,
        };
        parts.record(Data::Plain(input.payload), input, &mut self.body)
    }
}

fn lifecycle(input: &Input<'_>, body: &mut Vec<u8>) -> Result<Record, BadMessage> {
    let event = Event::decode(input.payload)?;
    for (field, text) in
        [("id", &event.id), ("identity", &event.identity), ("component", &event.component)]
    {
        if text.len() > NAME_BYTES_MAX {
            let (layer, size, limit) = (crate::protocol::Layer::Event, text.len(), NAME_BYTES_MAX);
            return Err(Fault::TooLarge { layer, field, size, limit }.into());
        }
    }
    let parts = Parts {
        sender: event.identity,
        agent: event.component,
        collective: String::new(),
        request_id: event.id,
        time: time::from_unix(event.timestamp),
    };
    Ok(parts.record(Data::Plain(input.payload), input, body))
}

/// Reads a request whose signature is not looked at.
fn believed_request(transport: &Transport) -> Result<Request, Fault> {
    match transport.version {
        Version::V1 => {
            let secure = v1::SecureRequest::decode(&transport.data)?;
            Request::decode(Version::V1, secure.message.as_bytes())
        }
        Version::V2 => {
            let secure = v2::SecureRequest::decode(&transport.data)?;
            Request::decode(Version::V2, &secure.request)
        }
    }
}

/// Reads a reply whose signature is not looked at; its hash is.
fn believed_reply(transport: &Transport) -> Result<Reply, Fault> {
    match transport.version {
        Version::V1 => {
            let secure = v1::SecureReply::decode(&transport.data)?;
            Reply::decode(Version::V1, secure.message.as_bytes())
        }
        Version::V2 => {
            let secure = v2::SecureReply::decode(&transport.data)?;
            Reply::decode(Version::V2, &secure.reply)
        }
    }
}

/// What a message says of itself.
struct Parts {
    sender: String,
    agent: String,
    collective: String,
    request_id: String,
    time: SystemTime,
}

impl Parts {
    fn of(request: Request) -> Parts {
        Parts {
            sender: request.sender,
            agent: request.agent,
            collective: request.collective,
            request_id: request.id,
            time: request.time,
        }
    }

    /// The record, whose output is written into `body` first.
    fn record(self, data: Data<'_>, input: &Input<'_>, body: &mut Vec<u8>) -> Record {
        body.clear();
        body.shrink_to(BODY_BYTES_KEPT);
        output(body, data, &self.sender, self.time, &self.request_id);
        Record {
            id: message_id(&self.request_id, &self.sender),
            sender: self.sender,
            agent: self.agent,
            collective: self.collective,
            time: self.time,
            request_id: self.request_id,
            subject: input.subject.to_owned(),
            body: body.as_slice().into(),
        }
    }
}

/// Request id, `-`, sender; as it may stand in a header: what is not visible ASCII becomes `_`.
fn message_id(request_id: &str, sender: &str) -> String {
    let id = [request_id, "-", sender].concat();
    if id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return id;
    }
    id.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests;
