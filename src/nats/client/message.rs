//! A message as a subscriber gets it.

use crate::nats::codec::Delivery;
use crate::nats::codec::headers::Headers;

/// What memory a queued message is counted with beside its texts and payload.
const OVERHEAD_BYTES: usize = 128;
/// Status of the answer to a request that nobody hears.
const STATUS_NO_RESPONDERS: u16 = 503;

/// One received message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// What it was published on.
    pub subject: String,
    /// Where answers are wanted.
    pub reply: Option<String>,
    /// Headers, when it has any that can be read.
    pub headers: Option<Headers>,
    /// The content.
    pub payload: Vec<u8>,
}

impl Message {
    pub(super) fn from_wire(delivery: &Delivery<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = match delivery.headers {
            [] => None,
            block => Headers::parse(block)
                .inspect_err(|fault| log::debug!("nats: unreadable headers err={fault}"))
                .ok(),
        };
        Self {
            subject: text(delivery.subject),
            reply: delivery.reply.map(text),
            headers,
            payload: delivery.payload.to_vec(),
        }
    }

    /// The broker's way to say that nobody listens.
    pub fn is_no_responders(&self) -> bool {
        self.payload.is_empty()
            && self.headers.as_ref().and_then(Headers::status) == Some(STATUS_NO_RESPONDERS)
    }

    /// Bytes it is counted with while it waits.
    pub(super) fn weight(&self) -> usize {
        let headers = self.headers.as_ref().map_or(0, |headers| {
            headers.iter().map(|(name, value)| name.len() + value.len() + 64).sum()
        });
        let reply = self.reply.as_ref().map_or(0, String::len);
        OVERHEAD_BYTES + self.subject.len() + reply + headers + self.payload.len()
    }
}
