//! What another broker of a cluster sends on a route (nats-server `server/parser.go`, `server/route.go`).
//!
//! Every verb names the account it is about. A message names the queue groups that its sender chose the receiver for;
//! one without such names is for plain subscriptions only.

use super::frame::{Framer, Head, Shape, Verb};
use super::{Fault, Limits};

/// One operation of a peer, borrowed from the bytes it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteOp<'b> {
    /// `INFO <json>`: the peer, or at a later time a third broker it knows.
    Info(&'b [u8]),
    /// `CONNECT <json>`, by the one who dialled.
    Connect(&'b [u8]),
    /// `RS+ <account> <subject> [<queue> <weight>]` and `LS+`, which names the leaf nodes' cluster first.
    Interested {
        /// Account.
        account: &'b [u8],
        /// Subject, possibly with wildcards; not checked.
        subject: &'b [u8],
        /// Queue group and the number of its members there.
        queue: Option<(&'b [u8], u32)>,
    },
    /// `RS- <account> <subject> [<queue>]` and `LS-`.
    Uninterested {
        /// Account.
        account: &'b [u8],
        /// Subject.
        subject: &'b [u8],
        /// Queue group.
        queue: Option<&'b [u8]>,
    },
    /// `RMSG`, `HMSG` or `LMSG`.
    Message(RouteMessage<'b>),
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK`.
    Ok,
    /// `-ERR '<text>'`: the text without its quotes.
    Err(&'b [u8]),
}

/// A message from another broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteMessage<'b> {
    /// Account.
    pub account: &'b [u8],
    /// Subject, not checked.
    pub subject: &'b [u8],
    /// Where answers are wanted.
    pub reply: Option<&'b [u8]>,
    /// Queue groups of which one member here gets it.
    pub queues: Queues<'b>,
    /// The form has a size of headers, whatever that is.
    pub has_header_size: bool,
    /// The header block with its empty line; empty without headers.
    pub headers: &'b [u8],
    /// What follows the headers.
    pub payload: &'b [u8],
    /// The bytes behind the subject, when a MSG or HMSG may carry them as they are.
    pub tail: Option<&'b [u8]>,
}

/// Names of queue groups, a blank between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queues<'b>(&'b [u8]);

impl<'b> Queues<'b> {
    /// Whether no group is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        words(self.0)
    }
}

const INFO: usize = 0;
const CONNECT: usize = 1;
const INTERESTED: usize = 2;
const UNINTERESTED: usize = 3;
const LEAF_INTERESTED: usize = 4;
const LEAF_UNINTERESTED: usize = 5;
const MESSAGE: usize = 6;
const MESSAGE_WITH_HEADERS: usize = 7;
const LEAF_MESSAGE: usize = 8;
const PING: usize = 9;
const PONG: usize = 10;
const OK: usize = 11;

/// The most frequent verbs are looked for first; the constants above are places in this list.
static VERBS: [Verb; 13] = [
    Verb { name: "INFO", shape: Shape::Json },
    Verb { name: "CONNECT", shape: Shape::Json },
    Verb { name: "RS+", shape: Shape::Words { min: 2, max: 4 } },
    Verb { name: "RS-", shape: Shape::Words { min: 2, max: 3 } },
    Verb { name: "LS+", shape: Shape::Words { min: 3, max: 5 } },
    Verb { name: "LS-", shape: Shape::Words { min: 2, max: 4 } },
    Verb { name: "RMSG", shape: Shape::Routed { lead: 2, sizes: 1 } },
    Verb { name: "HMSG", shape: Shape::Routed { lead: 2, sizes: 2 } },
    Verb { name: "LMSG", shape: Shape::Routed { lead: 3, sizes: 2 } },
    Verb { name: "PING", shape: Shape::Bare },
    Verb { name: "PONG", shape: Shape::Bare },
    Verb { name: "+OK", shape: Shape::Bare },
    Verb { name: "-ERR", shape: Shape::Text },
];

/// Reads the operations of a peer. See [`RouteDecoder::next`].
#[derive(Debug)]
pub struct RouteDecoder {
    framer: Framer,
    /// The origin stands in LS- too: both sides said that they do so.
    has_leaf_origin: bool,
}

impl Default for RouteDecoder {
    fn default() -> Self {
        RouteDecoder::new()
    }
}

impl RouteDecoder {
    /// A decoder at the start of a connection. It holds no buffer until an operation is split over two reads.
    pub fn new() -> RouteDecoder {
        RouteDecoder { framer: Framer::new(&VERBS), has_leaf_origin: false }
    }

    /// Both sides of the route put the origin into LS- as well (`lnocu` in INFO).
    pub fn expect_leaf_origin(&mut self) {
        self.has_leaf_origin = true;
    }

    /// The next operation of `input`, which moves past it. Nothing when more bytes are needed: then all of `input` was
    /// taken, and the next call gets what was read next. After a fault the decoder must not be used again.
    #[inline]
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
        limits: &Limits,
    ) -> Result<Option<RouteOp<'a>>, Fault> {
        let has_leaf_origin = self.has_leaf_origin;
        match self.framer.next(input, limits)? {
            Some((head, bytes)) => operation(&head, bytes, has_leaf_origin).map(Some),
            None => Ok(None),
        }
    }

    /// Bytes held for an operation that is not complete.
    pub fn kept_bytes(&self) -> usize {
        self.framer.kept_bytes()
    }
}

#[inline]
fn operation<'b>(
    head: &Head,
    bytes: &'b [u8],
    has_leaf_origin: bool,
) -> Result<RouteOp<'b>, Fault> {
    let is = |index: usize| std::ptr::eq(head.verb, &VERBS[index]);
    let text = head.word(0, bytes);
    Ok(match head.verb {
        _ if is(MESSAGE) || is(MESSAGE_WITH_HEADERS) => return message(head, bytes, 0),
        _ if is(LEAF_MESSAGE) => return message(head, bytes, 1),
        _ if is(INTERESTED) => return interested(head, bytes, 0),
        _ if is(LEAF_INTERESTED) => return interested(head, bytes, 1),
        _ if is(UNINTERESTED) => uninterested(head, bytes, 0),
        _ if is(LEAF_UNINTERESTED) => {
            let skipped = usize::from(has_leaf_origin);
            if usize::from(head.word_count) < 2 + skipped
                || usize::from(head.word_count) > 3 + skipped
            {
                return Err(Fault::BadArguments { verb: head.verb.name });
            }
            uninterested(head, bytes, skipped)
        }
        _ if is(PING) => RouteOp::Ping,
        _ if is(PONG) => RouteOp::Pong,
        _ if is(OK) => RouteOp::Ok,
        _ if is(INFO) => RouteOp::Info(text),
        _ if is(CONNECT) => RouteOp::Connect(text),
        _ => RouteOp::Err(unquoted(text)),
    })
}

/// The message of a line whose account comes after `skipped` words.
#[inline]
fn message<'b>(head: &Head, bytes: &'b [u8], skipped: usize) -> Result<RouteOp<'b>, Fault> {
    let between = head.word(skipped + 2, bytes);
    let (reply, queues) =
        reply_and_queues(between).ok_or(Fault::BadArguments { verb: head.verb.name })?;
    let is_whole = head.is_canonical && queues.is_empty();
    Ok(RouteOp::Message(RouteMessage {
        account: head.word(skipped, bytes),
        subject: head.word(skipped + 1, bytes),
        reply,
        queues,
        has_header_size: !std::ptr::eq(head.verb, &VERBS[MESSAGE]),
        headers: head.headers(bytes),
        payload: head.payload(bytes),
        tail: is_whole.then(|| head.since_word(skipped + 2, bytes)),
    }))
}

/// Reads `[reply]`, `+ reply queue...` or `| queue...`.
#[inline]
fn reply_and_queues(between: &[u8]) -> Option<(Option<&[u8]>, Queues<'_>)> {
    let Some(gap) = between.iter().position(|byte| is_blank(*byte)) else {
        return Some(((!between.is_empty()).then_some(between), Queues::default()));
    };
    let (first, rest) = between.split_at(gap);
    match first {
        b"|" => Some((None, Queues(rest.trim_ascii_start()))),
        b"+" => {
            let rest = rest.trim_ascii_start();
            let gap = rest.iter().position(|byte| is_blank(*byte))?;
            let (reply, queues) = rest.split_at(gap);
            Some((Some(reply), Queues(queues.trim_ascii_start())))
        }
        _ => None,
    }
}

fn interested<'b>(head: &Head, bytes: &'b [u8], skipped: usize) -> Result<RouteOp<'b>, Fault> {
    let fault = || Fault::BadArguments { verb: head.verb.name };
    let queue = match usize::from(head.word_count) - skipped {
        2 => None,
        4 => {
            let weight = weight(head.word(skipped + 3, bytes)).ok_or_else(fault)?;
            Some((head.word(skipped + 2, bytes), weight))
        }
        _ => return Err(fault()),
    };
    let (account, subject) = (head.word(skipped, bytes), head.word(skipped + 1, bytes));
    Ok(RouteOp::Interested { account, subject, queue })
}

/// A positive number of members. Larger ones than can be are cut off.
fn weight(digits: &[u8]) -> Option<u32> {
    let value = super::parse_size(digits)?;
    u32::try_from(value).ok().filter(|weight| *weight > 0)
}

fn uninterested<'b>(head: &Head, bytes: &'b [u8], skipped: usize) -> RouteOp<'b> {
    RouteOp::Uninterested {
        account: head.word(skipped, bytes),
        subject: head.word(skipped + 1, bytes),
        queue: (usize::from(head.word_count) > skipped + 2).then(|| head.word(skipped + 2, bytes)),
    }
}

fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"'").and_then(|rest| rest.strip_suffix(b"'")).unwrap_or(text)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| is_blank(*byte)).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests;
