//! What a broker sends to a client.

use super::frame::{Framer, Head, Shape, Verb};
use super::{Fault, Limits};

/// One operation of a broker, borrowed from the bytes it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerOp<'b> {
    /// `INFO <json>`: the JSON text, for [`super::info::ServerInfo::decode`].
    Info(&'b [u8]),
    /// `MSG` or `HMSG`.
    Message(Delivery<'b>),
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK`.
    Ok,
    /// `-ERR '<text>'`: the text without its quotes.
    Err(&'b [u8]),
}

/// A message a broker delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<'b> {
    /// Subject it was published on.
    pub subject: &'b [u8],
    /// The subscription it is for.
    pub sid: &'b [u8],
    /// Where answers are wanted.
    pub reply: Option<&'b [u8]>,
    /// The header block, for [`super::headers::Headers::parse`]; empty without headers.
    pub headers: &'b [u8],
    /// What follows the headers.
    pub payload: &'b [u8],
}

const MSG: usize = 0;
const HMSG: usize = 1;
const PING: usize = 2;
const PONG: usize = 3;
const OK: usize = 4;
const ERR: usize = 5;

static VERBS: [Verb; 7] = [
    Verb { name: "MSG", shape: Shape::Message { min: 3, max: 4, sizes: 1 } },
    Verb { name: "HMSG", shape: Shape::Message { min: 4, max: 5, sizes: 2 } },
    Verb { name: "PING", shape: Shape::Bare },
    Verb { name: "PONG", shape: Shape::Bare },
    Verb { name: "+OK", shape: Shape::Bare },
    Verb { name: "-ERR", shape: Shape::Text },
    Verb { name: "INFO", shape: Shape::Json },
];

/// Reads the operations of a broker. See [`ServerDecoder::next`].
#[derive(Debug)]
pub struct ServerDecoder {
    framer: Framer,
}

impl Default for ServerDecoder {
    fn default() -> Self {
        ServerDecoder::new()
    }
}

impl ServerDecoder {
    /// A decoder at the start of a connection.
    pub fn new() -> ServerDecoder {
        ServerDecoder { framer: Framer::new(&VERBS) }
    }

    /// The next operation of `input`, which moves past it. Nothing when more bytes are needed: then all of `input` was
    /// taken, and the next call gets what was read next. After a fault the decoder must not be used again.
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
        limits: &Limits,
    ) -> Result<Option<ServerOp<'a>>, Fault> {
        Ok(self.framer.next(input, limits)?.map(|(head, bytes)| operation(&head, bytes)))
    }

    /// Bytes held for an operation that is not complete.
    pub fn kept_bytes(&self) -> usize {
        self.framer.kept_bytes()
    }
}

fn operation<'b>(head: &Head, bytes: &'b [u8]) -> ServerOp<'b> {
    let is = |index: usize| std::ptr::eq(head.verb, &VERBS[index]);
    match head.verb {
        _ if is(MSG) || is(HMSG) => ServerOp::Message(Delivery {
            subject: head.word(0, bytes),
            sid: head.word(1, bytes),
            reply: (head.word_count == 3).then(|| head.word(2, bytes)),
            headers: head.headers(bytes),
            payload: head.payload(bytes),
        }),
        _ if is(PING) => ServerOp::Ping,
        _ if is(PONG) => ServerOp::Pong,
        _ if is(OK) => ServerOp::Ok,
        _ if is(ERR) => ServerOp::Err(unquoted(head.word(0, bytes))),
        _ => ServerOp::Info(head.word(0, bytes)),
    }
}

fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"'").and_then(|rest| rest.strip_suffix(b"'")).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"INFO {\"a\":1} \r\n+OK\r\nPING\r\nMSG foo 1 5\r\nhello\r\n\
        MSG foo 1 reply 0\r\n\r\nHMSG foo 2 r 12 14\r\nNATS/1.0\r\n\r\nok\r\n\
        HMSG a 22 12 12\r\nNATS/1.0\r\n\r\n\r\n-ERR 'Stale Connection'\r\nPONG\r\n";

    fn message<'b>(
        words: [&'b str; 2],
        reply: Option<&'b str>,
        headers: &'b str,
        payload: &'b str,
    ) -> ServerOp<'b> {
        ServerOp::Message(Delivery {
            subject: words[0].as_bytes(),
            sid: words[1].as_bytes(),
            reply: reply.map(str::as_bytes),
            headers: headers.as_bytes(),
            payload: payload.as_bytes(),
        })
    }

    fn expected() -> Vec<ServerOp<'static>> {
        vec![
            ServerOp::Info(b"{\"a\":1}"),
            ServerOp::Ok,
            ServerOp::Ping,
            message(["foo", "1"], None, "", "hello"),
            message(["foo", "1"], Some("reply"), "", ""),
            message(["foo", "2"], Some("r"), "NATS/1.0\r\n\r\n", "ok"),
            message(["a", "22"], None, "NATS/1.0\r\n\r\n", ""),
            ServerOp::Err(b"Stale Connection"),
            ServerOp::Pong,
        ]
    }

    fn check(pieces: &[&[u8]]) {
        let mut decoder = ServerDecoder::new();
        let expected = expected();
        let mut seen = 0;
        for piece in pieces {
            let mut rest = *piece;
            while let Some(op) =
                decoder.next(&mut rest, &Limits::default()).expect("stream is well formed")
            {
                assert_eq!(Some(&op), expected.get(seen));
                seen += 1;
            }
        }
        assert_eq!(seen, expected.len());
    }

    #[test]
    fn every_split_gives_the_same_operations() {
        check(&[STREAM]);
        for at in 0..STREAM.len() {
            let (first, second) = STREAM.split_at(at);
            check(&[first, second]);
        }
        check(&STREAM.chunks(1).collect::<Vec<_>>());
    }

    #[test]
    fn client_verbs_are_unknown_here() {
        let mut decoder = ServerDecoder::new();
        let mut input: &[u8] = b"PUB a 0\r\n\r\n";
        assert_eq!(decoder.next(&mut input, &Limits::default()), Err(Fault::UnknownOperation));
    }
}
