use super::*;
use crate::nats::codec::encode::{route_interest, route_no_interest, route_queues};

/// Reads `input` in the given pieces; operations and the fault as text.
fn decode(pieces: &[&[u8]], limits: &Limits, has_leaf_origin: bool) -> Vec<String> {
    let mut decoder = RouteDecoder::new();
    if has_leaf_origin {
        decoder.expect_leaf_origin();
    }
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

fn show(op: &RouteOp<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match op {
        RouteOp::Message(message) => format!(
            "{} {} {} {:?} {:?} [{}] [{}] tail={:?}",
            if message.has_header_size { "hmsg" } else { "msg" },
            text(message.account),
            text(message.subject),
            message.reply.map(text),
            message.queues.iter().map(text).collect::<Vec<_>>(),
            text(message.headers),
            text(message.payload),
            message.tail.map(text),
        ),
        RouteOp::Interested { account, subject, queue } => {
            let queue = queue.map(|(name, weight)| format!("{} {weight}", text(name)));
            format!("+ {} {} {queue:?}", text(account), text(subject))
        }
        RouteOp::Uninterested { account, subject, queue } => {
            format!("- {} {} {:?}", text(account), text(subject), queue.map(text))
        }
        RouteOp::Info(json) => format!("info {}", text(json)),
        RouteOp::Connect(json) => format!("connect {}", text(json)),
        RouteOp::Err(reason) => format!("err {}", text(reason)),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Decodes whole, at every split in two, and byte by byte: always the same.
fn check_with(limits: &Limits, has_leaf_origin: bool, input: &str, expected: &[&str]) {
    let bytes = input.as_bytes();
    let read = |pieces: &[&[u8]]| decode(pieces, limits, has_leaf_origin);
    assert_eq!(read(&[bytes]), expected, "whole: {input:?}");
    for at in 0..=bytes.len() {
        let (first, second) = bytes.split_at(at);
        assert_eq!(read(&[first, second]), expected, "split at {at}: {input:?}");
    }
    assert_eq!(read(&bytes.chunks(1).collect::<Vec<_>>()), expected, "byte by byte: {input:?}");
}

fn check(input: &str, expected: &[&str]) {
    check_with(&Limits::default(), false, input, expected);
}

#[test]
fn small_verbs() {
    check("PING\r\nPONG\r\n+OK\r\n", &["ping", "pong", "ok"]);
    check("INFO {\"a\":1} \r\nCONNECT {}\r\n", &["info {\"a\":1}", "connect {}"]);
    check("-ERR 'Authorization Violation'\r\n", &["err Authorization Violation"]);
}

#[test]
fn interest() {
    check("RS+ $G foo\r\n", &["+ $G foo None"]);
    check("rs+  $G\tfoo.>\n", &["+ $G foo.> None"]);
    check("RS+ choria foo q 3\r\n", &["+ choria foo Some(\"q 3\")"]);
    check("RS- A foo\r\nRS- A foo q\r\n", &["- A foo None", "- A foo Some(\"q\")"]);
    check("LS+ o A foo\r\nLS+ o A foo q 1\r\n", &["+ A foo None", "+ A foo Some(\"q 1\")"]);
    check("LS- A foo\r\nLS- A foo q\r\n", &["- A foo None", "- A foo Some(\"q\")"]);
    check_with(
        &Limits::default(),
        true,
        "LS- o A foo\r\nLS- o A foo q\r\n",
        &["- A foo None", "- A foo Some(\"q\")"],
    );
    for (input, verb) in [
        ("RS+ A\r\n", "RS+"),
        ("RS+ A foo q\r\n", "RS+"),
        ("RS+ A foo q 0\r\n", "RS+"),
        ("RS+ A foo q -1\r\n", "RS+"),
        ("RS+ A foo q 9999999999\r\n", "RS+"),
        ("RS+ A foo q 1 2\r\n", "RS+"),
        ("RS- A\r\n", "RS-"),
        ("RS- A foo q 1\r\n", "RS-"),
        ("LS+ o A\r\n", "LS+"),
        ("LS+ o A foo q\r\n", "LS+"),
        ("LS- o A foo q\r\n", "LS-"),
    ] {
        check(input, &[&format!("fault: bad arguments of {verb}")]);
    }
}

#[test]
fn messages() {
    check(
        "RMSG $G foo 5\r\nhello\r\nPING\r\n",
        &["msg $G foo None [] [] [hello] tail=Some(\"5\\r\\nhello\\r\\n\")", "ping"],
    );
    check(
        "RMSG $G foo reply 2\r\nhi\r\n",
        &["msg $G foo Some(\"reply\") [] [] [hi] tail=Some(\"reply 2\\r\\nhi\\r\\n\")"],
    );
    check("RMSG A s | q 0\r\n\r\n", &["msg A s None [\"q\"] [] [] tail=None"]);
    check(
        "RMSG A s + r q1 q2  q3 2\r\nhi\r\n",
        &["msg A s Some(\"r\") [\"q1\", \"q2\", \"q3\"] [] [hi] tail=None"],
    );
    // A reply of one such character is one, unless more words follow.
    check("RMSG A s + 0\r\n\r\n", &["msg A s Some(\"+\") [] [] [] tail=Some(\"+ 0\\r\\n\\r\\n\")"]);
    check("RMSG A s | 0\r\n\r\n", &["msg A s Some(\"|\") [] [] [] tail=Some(\"| 0\\r\\n\\r\\n\")"]);
    check(
        "HMSG A s 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        &["hmsg A s None [] [NATS/1.0\r\n\r\n] [hi] \
           tail=Some(\"12 14\\r\\nNATS/1.0\\r\\n\\r\\nhi\\r\\n\")"],
    );
    check(
        "HMSG A s r 12 12\r\nNATS/1.0\r\n\r\n\r\nHMSG A s + r q 0 1\r\nx\r\nHMSG A s | q 0 0\r\n\r\n",
        &[
            "hmsg A s Some(\"r\") [] [NATS/1.0\r\n\r\n] [] tail=Some(\"r 12 12\\r\\nNATS/1.0\\r\\n\\r\\n\\r\\n\")",
            "hmsg A s Some(\"r\") [\"q\"] [] [x] tail=None",
            "hmsg A s None [\"q\"] [] [] tail=None",
        ],
    );
    check(
        "LMSG o A s 0 2\r\nhi\r\nLMSG o A s r 0 2\r\nhi\r\nLMSG o A s + r q 0 2\r\nhi\r\n",
        &[
            "hmsg A s None [] [] [hi] tail=Some(\"0 2\\r\\nhi\\r\\n\")",
            "hmsg A s Some(\"r\") [] [] [hi] tail=Some(\"r 0 2\\r\\nhi\\r\\n\")",
            "hmsg A s Some(\"r\") [\"q\"] [] [hi] tail=None",
        ],
    );
}

#[test]
fn unusual_blanks_are_read_but_not_sent_on() {
    for line in [
        "RMSG  A s r 2\r\nhi\r\n",
        "RMSG A  s r 2\r\nhi\r\n",
        "RMSG A s  r 2\r\nhi\r\n",
        "RMSG A s r  2\r\nhi\r\n",
        "RMSG A s r 2 \r\nhi\r\n",
        "RMSG A s r 2\nhi\r\n",
        "rmsg\tA\ts\tr 2 \t\r\nhi\r\n",
    ] {
        check(line, &["msg A s Some(\"r\") [] [] [hi] tail=None"]);
    }
    check("RMSG A s  2\r\nhi\r\n", &["msg A s None [] [] [hi] tail=None"]);
}

#[test]
fn messages_that_are_none() {
    for (input, verb) in [
        ("RMSG A 5\r\n", "RMSG"),
        ("RMSG A\r\n", "RMSG"),
        ("RMSG \r\n", "RMSG"),
        ("RMSG A s x\r\n", "RMSG"),
        ("RMSG A s r q 5\r\nhello\r\n", "RMSG"),
        ("RMSG A s * r q 5\r\nhello\r\n", "RMSG"),
        ("RMSG A s + r 5\r\nhello\r\n", "RMSG"),
        ("RMSG A s 0000000001\r\n", "RMSG"),
        ("HMSG A s 5\r\n", "HMSG"),
        ("HMSG A s 6 5\r\n", "HMSG"),
        ("LMSG A s 0 5\r\n", "LMSG"),
    ] {
        check(input, &[&format!("fault: bad arguments of {verb}")]);
    }
    check("RMSG A s 2\r\nhix\r\n", &["fault: unknown protocol operation"]);
    for input in ["PUB a 0\r\n", "SUB a 1\r\n", "A+ x\r\n", "RSX\r\n", "RMSGX\r\n"] {
        check(input, &["fault: unknown protocol operation"]);
    }
}

#[test]
fn limits_hold() {
    let limits =
        Limits { control_line_bytes_max: 12, json_line_bytes_max: 20, payload_bytes_max: 5 };
    let check = |input: &str, expected: &str| check_with(&limits, false, input, &[expected]);
    check(
        "RMSG A s 5\r\nhello\r\n",
        "msg A s None [] [] [hello] tail=Some(\"5\\r\\nhello\\r\\n\")",
    );
    check("RMSG A s 6\r\n", "fault: message of 6 bytes is larger than 5");
    check("RMSG A sssssssssssss 5\r\n", "fault: control line is longer than 12 bytes");
    check("RS+ A sssssssssssss\r\n", "fault: control line is longer than 12 bytes");
    check("RS+ A sssssssssssss", "fault: control line is longer than 12 bytes");
    check("INFO {\"a\":\"aaaaaaaaaaaaaaaaaa\"}", "fault: control line is longer than 20 bytes");
}

#[test]
fn what_is_written_can_be_read() {
    let mut out = Vec::new();
    route_interest(&mut out, b"A", b"foo", None);
    route_interest(&mut out, b"A", b"foo", Some((b"q", 12)));
    route_no_interest(&mut out, b"A", b"foo", None);
    route_no_interest(&mut out, b"A", b"foo", Some(b"q"));
    for reply in [None, Some(b"r".as_slice())] {
        out.extend_from_slice(b"RMSG A s ");
        route_queues(&mut out, reply, [b"q1".as_slice(), b"q2"].into_iter());
        out.extend_from_slice(b"2\r\nhi\r\n");
    }
    assert_eq!(
        String::from_utf8_lossy(&out),
        "RS+ A foo\r\nRS+ A foo q 12\r\nRS- A foo\r\nRS- A foo q\r\n\
         RMSG A s | q1 q2 2\r\nhi\r\nRMSG A s + r q1 q2 2\r\nhi\r\n"
    );
    let seen = decode(&[&out], &Limits::default(), false);
    assert_eq!(seen.len(), 6);
    assert_eq!(seen[5], "msg A s Some(\"r\") [\"q1\", \"q2\"] [] [hi] tail=None");
}

#[test]
fn nothing_is_kept_between_operations() {
    let mut decoder = RouteDecoder::new();
    let limits = Limits::default();
    let mut input: &[u8] = b"RMSG A s 2\r\nh";
    assert_eq!(decoder.next(&mut input, &limits), Ok(None));
    assert_eq!(decoder.kept_bytes(), 13);
    let mut input: &[u8] = b"i\r\n";
    assert!(matches!(decoder.next(&mut input, &limits), Ok(Some(RouteOp::Message(_)))));
    assert_eq!(decoder.next(&mut input, &limits), Ok(None));
    assert_eq!(decoder.kept_bytes(), 0);
}

#[test]
fn chance_input_reads_the_same_in_pieces() {
    const PARTS: [&str; 32] = [
        "RMSG ",
        "HMSG ",
        "LMSG ",
        "RS+ ",
        "RS- ",
        "LS+ ",
        "LS- ",
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
        "A ",
        "foo.bar",
        " 0\r\n\r\n",
        " 3\r\nabc\r\n",
        " 2 4\r\nhhpp\r\n",
        " 12",
        "9",
        "{}",
        " + r q",
        " | q",
        "xxxxxxxxxxxxxxxxxxxx",
        "\u{0}",
        " 1",
    ];
    let limits =
        Limits { control_line_bytes_max: 30, json_line_bytes_max: 60, payload_bytes_max: 10 };
    for seed in 0..5000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let count = random.usize(1..12);
        let text: String = (0..count).map(|_| PARTS[random.usize(..PARTS.len())]).collect();
        let whole = decode(&[text.as_bytes()], &limits, false);
        let (first, second) = text.as_bytes().split_at(random.usize(..=text.len()));
        assert_eq!(decode(&[first, second], &limits, false), whole, "seed {seed}: {text:?}");
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(decode(&bytes, &limits, false), whole, "seed {seed}: {text:?}");
    }
}
