//! What a client sends to a broker.

use super::frame::{Framer, Head, Shape, Verb};
use super::{Fault, Limits, plain};

/// One operation of a client, borrowed from the bytes it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientOp<'b> {
    /// `CONNECT <json>`: the JSON text.
    Connect(&'b [u8]),
    /// `PUB` or `HPUB`.
    Publish(Publish<'b>),
    /// `SUB <subject> [queue] <sid>`.
    Subscribe {
        /// Subject, possibly with wildcards; not checked.
        subject: &'b [u8],
        /// Queue group.
        queue: Option<&'b [u8]>,
        /// The client's name for the subscription.
        sid: &'b [u8],
    },
    /// `UNSUB <sid> [max]`.
    Unsubscribe {
        /// The client's name for the subscription.
        sid: &'b [u8],
        /// Messages after which it ends, counted from its start; nothing, or what cannot be read, means at once.
        max: Option<u64>,
    },
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `INFO <json>`: of no meaning to a broker, but it must be JSON.
    Info(&'b [u8]),
    /// `+OK`: of no meaning.
    Ok,
    /// `-ERR <text>`: the client gives up.
    Err(&'b [u8]),
}

/// A message a client publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish<'b> {
    /// Subject, not checked.
    pub subject: &'b [u8],
    /// Where answers are wanted.
    pub reply: Option<&'b [u8]>,
    /// The message came as `HPUB`, whatever the size of its headers.
    pub is_hpub: bool,
    /// The header block with its empty line; empty without headers.
    pub headers: &'b [u8],
    /// What follows the headers.
    pub payload: &'b [u8],
    /// The bytes behind the subject, from reply or sizes to the final CR LF, when a MSG or HMSG may carry them as
    /// they are; nothing when blanks or line end were unusual.
    pub tail: Option<&'b [u8]>,
}

const PUB: usize = 0;
const SUB: usize = 1;
const UNSUB: usize = 2;
const HPUB: usize = 3;
const PING: usize = 4;
const PONG: usize = 5;
const CONNECT: usize = 6;
const INFO: usize = 7;
const OK: usize = 8;

static VERBS: [Verb; 10] = [
    Verb { name: "PUB", shape: Shape::Message { min: 2, max: 3, sizes: 1 } },
    Verb { name: "SUB", shape: Shape::Words { min: 2, max: 3 } },
    Verb { name: "UNSUB", shape: Shape::Words { min: 1, max: 2 } },
    Verb { name: "HPUB", shape: Shape::Message { min: 3, max: 4, sizes: 2 } },
    Verb { name: "PING", shape: Shape::Bare },
    Verb { name: "PONG", shape: Shape::Bare },
    Verb { name: "CONNECT", shape: Shape::Json },
    Verb { name: "INFO", shape: Shape::Json },
    Verb { name: "+OK", shape: Shape::Bare },
    Verb { name: "-ERR", shape: Shape::Text },
];

/// Reads the operations of a client. See [`Decoder::next`].
#[derive(Debug)]
pub struct Decoder {
    framer: Framer,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

impl Decoder {
    /// A decoder at the start of a connection. It holds no buffer until an operation is split over two reads.
    pub fn new() -> Decoder {
        Decoder { framer: Framer::new(&VERBS) }
    }

    /// The next operation of `input`, which moves past it. Nothing when more bytes are needed: then all of `input` was
    /// taken, and the next call gets what was read next. After a fault the decoder must not be used again.
    #[inline]
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
        limits: &Limits,
    ) -> Result<Option<ClientOp<'a>>, Fault> {
        Ok(self.framer.next(input, limits)?.map(|(head, bytes)| operation(&head, bytes)))
    }

    /// The next operation if it is a message in its usual form and lies whole in `input`; quicker than
    /// [`Decoder::next`], which is to be asked when there is nothing here.
    #[inline(always)]
    pub fn next_plain<'i>(&self, input: &mut &'i [u8], limits: &Limits) -> Option<Publish<'i>> {
        if self.framer.keeps_nothing() { plain::publish(input, limits) } else { None }
    }

    /// The same if it begins with `start`: verb, subject and blank of the message that [`Decoder::next_plain`] gave
    /// before, so that nothing else can have come between them.
    #[inline(always)]
    pub fn next_same<'i>(
        start: &[u8],
        input: &mut &'i [u8],
        limits: &Limits,
    ) -> Option<Publish<'i>> {
        plain::publish_same(start, input, limits)
    }

    /// Bytes held for an operation that is not complete.
    pub fn kept_bytes(&self) -> usize {
        self.framer.kept_bytes()
    }
}

#[inline]
fn operation<'b>(head: &Head, bytes: &'b [u8]) -> ClientOp<'b> {
    let is = |index: usize| std::ptr::eq(head.verb, &VERBS[index]);
    if is(PUB) || is(HPUB) {
        return ClientOp::Publish(publish(head, bytes, is(HPUB)));
    }
    if is(SUB) {
        let queue = (head.word_count == 3).then(|| head.word(1, bytes));
        let sid = head.word(usize::from(head.word_count) - 1, bytes);
        return ClientOp::Subscribe { subject: head.word(0, bytes), queue, sid };
    }
    if is(UNSUB) {
        let max = std::str::from_utf8(head.word(1, bytes)).ok().and_then(|word| word.parse().ok());
        return ClientOp::Unsubscribe { sid: head.word(0, bytes), max };
    }
    let text = head.word(0, bytes);
    match head.verb {
        _ if is(PING) => ClientOp::Ping,
        _ if is(PONG) => ClientOp::Pong,
        _ if is(CONNECT) => ClientOp::Connect(text),
        _ if is(INFO) => ClientOp::Info(text),
        _ if is(OK) => ClientOp::Ok,
        _ => ClientOp::Err(text),
    }
}

#[inline]
fn publish<'b>(head: &Head, bytes: &'b [u8], is_hpub: bool) -> Publish<'b> {
    Publish {
        subject: head.word(0, bytes),
        reply: (head.word_count == 2).then(|| head.word(1, bytes)),
        is_hpub,
        headers: head.headers(bytes),
        payload: head.payload(bytes),
        tail: head.is_canonical.then(|| head.since_word(1, bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `input` in the given pieces; operations and the fault as text.
    fn decode(pieces: &[&[u8]], limits: &Limits) -> Vec<String> {
        let mut decoder = Decoder::new();
        let mut seen = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            loop {
                match decoder.next(&mut rest, limits) {
                    Ok(Some(op)) => seen.push(show(&op)),
                    Ok(None) => {
                        assert!(rest.is_empty(), "input was left: {rest:?}");
                        break;
                    }
                    Err(fault) => {
                        seen.push(format!("fault: {fault}"));
                        return seen;
                    }
                }
            }
        }
        seen
    }

    fn show(op: &ClientOp<'_>) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match op {
            ClientOp::Publish(publish) => format!(
                "{} {} {:?} [{}] [{}] tail={:?}",
                if publish.is_hpub { "hpub" } else { "pub" },
                text(publish.subject),
                publish.reply.map(text),
                text(publish.headers),
                text(publish.payload),
                publish.tail.map(text),
            ),
            ClientOp::Connect(json) => format!("connect {}", text(json)),
            ClientOp::Info(json) => format!("info {}", text(json)),
            ClientOp::Err(reason) => format!("err {}", text(reason)),
            ClientOp::Subscribe { subject, queue, sid } => {
                format!("sub {} {:?} {}", text(subject), queue.map(text), text(sid))
            }
            ClientOp::Unsubscribe { sid, max } => format!("unsub {} {max:?}", text(sid)),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    /// Decodes whole, at every split in two, and byte by byte: always the same.
    fn check_with(limits: &Limits, input: &[u8], expected: &[&str]) {
        let shown = String::from_utf8_lossy(input);
        assert_eq!(decode(&[input], limits), expected, "whole: {shown:?}");
        for at in 0..=input.len() {
            let (first, second) = input.split_at(at);
            assert_eq!(decode(&[first, second], limits), expected, "split at {at}: {shown:?}");
        }
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(decode(&bytes, limits), expected, "byte by byte: {shown:?}");
    }

    fn check(input: &str, expected: &[&str]) {
        check_with(&Limits::default(), input.as_bytes(), expected);
    }

    #[test]
    fn operations() {
        check("PING\r\nPONG\r\n+OK\r\n", &["ping", "pong", "ok"]);
        check("ping\npInG hello\r\n", &["ping", "ping"]);
        check("CONNECT {\"a\": 1}\r\n", &["connect {\"a\": 1}"]);
        check("CONNECT{}\r\nINFO   {} \r\n", &["connect {}", "info {}"]);
        check("-ERR 'too bad'\r\n", &["err 'too bad'"]);
        check("SUB foo 1\r\nSUB foo q 2\r\n", &["sub foo None 1", "sub foo Some(\"q\") 2"]);
        check("sub \t foo.*\t 1 \n", &["sub foo.* None 1"]);
        check(
            "UNSUB 1\r\nUNSUB 1 5\r\nUNSUB 1 x\r\n",
            &["unsub 1 None", "unsub 1 Some(5)", "unsub 1 None"],
        );
    }

    #[test]
    fn messages() {
        check(
            "PUB foo 5\r\nhello\r\nPUB foo bar 0\r\n\r\n",
            &[
                r#"pub foo None [] [hello] tail=Some("5\r\nhello\r\n")"#,
                r#"pub foo Some("bar") [] [] tail=Some("bar 0\r\n\r\n")"#,
            ],
        );
        check("PUB  foo 2\r\nok\r\n", &["pub foo None [] [ok] tail=None"]);
        check("PUB foo 2\nok\r\n", &["pub foo None [] [ok] tail=None"]);
        check(
            "PUB foo 4\r\n\r\n\r\n\r\n",
            &["pub foo None [] [\r\n\r\n] tail=Some(\"4\\r\\n\\r\\n\\r\\n\\r\\n\")"],
        );
        check(
            "HPUB foo r 12 14\r\nNATS/1.0\r\n\r\nok\r\n",
            &[
                "hpub foo Some(\"r\") [NATS/1.0\r\n\r\n] [ok] tail=Some(\"r 12 14\\r\\nNATS/1.0\\r\\n\\r\\nok\\r\\n\")",
            ],
        );
        check(
            "HPUB foo 0 2\r\nok\r\n",
            &["hpub foo None [] [ok] tail=Some(\"0 2\\r\\nok\\r\\n\")"],
        );
    }

    #[test]
    fn unknown_operations_are_seen_at_the_first_wrong_byte() {
        for input in [
            "ZZZ",
            "RS+ a b\r\n",
            "MSG a 1 0\r\n",
            "HMSG a",
            "-ERRx",
            "PUBS foo 1\r\n",
            "SUBZZZ\r\n",
            "PIN_",
            "\r\n",
            "PUB\r\n",
        ] {
            check(input, &["fault: unknown protocol operation"]);
        }
        check("PUB foo 2\r\nokXX", &["fault: unknown protocol operation"]);
        check("PUB foo 2\r\nok\n\r", &["fault: unknown protocol operation"]);
    }

    #[test]
    fn bad_arguments_have_no_answer() {
        for input in [
            "PUB foo\r\n",
            "PUB \r\n",
            "PUB a b c 1\r\n",
            "PUB foo x\r\n",
            "PUB foo -1\r\n",
            "PUB foo 0000000001\r\n",
            "HPUB foo 1\r\n",
            "HPUB foo 5 4\r\n",
            "HPUB a b c 1 1\r\n",
            "SUB foo\r\n",
            "SUB a b c d\r\n",
            "UNSUB \r\n",
            "UNSUB 1 2 3\r\n",
        ] {
            let verb = input.split(' ').next().unwrap_or_default();
            check(input, &[&format!("fault: bad arguments of {verb}")]);
        }
        assert_eq!(Fault::BadArguments { verb: "PUB" }.answer(), None);
    }

    #[test]
    fn limits_hold_on_whole_and_partial_lines() {
        let limits =
            Limits { control_line_bytes_max: 10, json_line_bytes_max: 20, payload_bytes_max: 8 };
        check_with(&limits, b"SUB 12345678 1\r\n", &["sub 12345678 None 1"]);
        let too_long = ["fault: control line is longer than 10 bytes"];
        check_with(&limits, format!("SUB {} 1\r\n", "x".repeat(30)).as_bytes(), &too_long);
        check_with(&limits, format!("SUB {}", "x".repeat(300)).as_bytes(), &too_long);
        check_with(&limits, format!("PING {}", "x".repeat(300)).as_bytes(), &too_long);
        let connect = format!("CONNECT {}", "x".repeat(300));
        check_with(&limits, connect.as_bytes(), &["fault: control line is longer than 20 bytes"]);
        check_with(&limits, b"CONNECT {\"name\":\"1234\"}\r\n", &["connect {\"name\":\"1234\"}"]);
        check_with(&limits, b"PUB a 9\r\n", &["fault: message of 9 bytes is larger than 8"]);
        check_with(
            &limits,
            b"PUB a 8\r\n12345678\r\n",
            &[r#"pub a None [] [12345678] tail=Some("8\r\n12345678\r\n")"#],
        );
    }

    #[test]
    fn nothing_is_held_between_operations() {
        let mut decoder = Decoder::new();
        let limits = Limits::default();
        let mut input: &[u8] = b"PUB foo 5\r\nhe";
        assert_eq!(decoder.next(&mut input, &limits), Ok(None));
        assert_eq!(decoder.kept_bytes(), 13);
        let mut input: &[u8] = b"llo\r\n";
        assert!(decoder.next(&mut input, &limits).is_ok_and(|op| op.is_some()));
        assert_eq!(decoder.next(&mut input, &limits), Ok(None));
        assert_eq!(decoder.kept_bytes(), 0);
    }

    #[test]
    fn chance_input_reads_the_same_in_pieces() {
        const PARTS: [&str; 30] = [
            "PUB ",
            "HPUB ",
            "SUB ",
            "UNSUB ",
            "PING",
            "PONG",
            "CONNECT ",
            "INFO",
            "+OK",
            "-ERR ",
            " ",
            "\t",
            "\r",
            "\n",
            "\r\n",
            "\r\n",
            "a",
            "foo.bar",
            " 0\r\n\r\n",
            " 3\r\nabc\r\n",
            " 2 4\r\nhhpp\r\n",
            "12",
            "9",
            "{}",
            "x y z",
            "xxxxxxxxxxxxxxxxxxxx",
            "                         ",
            "\u{0}",
            "*",
            "pub ",
        ];
        let limits =
            Limits { control_line_bytes_max: 30, json_line_bytes_max: 60, payload_bytes_max: 10 };
        for seed in 0..3000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let count = random.usize(1..12);
            let text: String = (0..count).map(|_| PARTS[random.usize(..PARTS.len())]).collect();
            let whole = decode(&[text.as_bytes()], &limits);
            let (first, second) = text.as_bytes().split_at(random.usize(..=text.len()));
            assert_eq!(
                decode(&[first, second], &limits),
                whole,
                "seed {seed}: {text:?} at {}",
                first.len()
            );
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(decode(&bytes, &limits), whole, "seed {seed}: {text:?} byte by byte");
        }
    }
}
