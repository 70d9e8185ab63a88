//! What another broker of a cluster may send, whole and in two pieces: the operations must be the same, and a message
//! that may be sent on as it came must be what a client reads.
#![no_main]

use choria::nats::codec::{Limits, RouteDecoder, RouteOp, ServerDecoder, ServerOp};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits =
    Limits { control_line_bytes_max: 100, json_line_bytes_max: 200, payload_bytes_max: 300 };

fuzz_target!(|data: &[u8]| {
    let Some((at, input)) = data.split_first() else { return };
    let pieces = input.split_at(usize::from(*at).min(input.len()));
    assert_eq!(decode(&[input]), decode(&[pieces.0, pieces.1]));
});

fn decode(pieces: &[&[u8]]) -> Vec<String> {
    let mut decoder = RouteDecoder::new();
    let mut seen = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            match decoder.next(&mut rest, &LIMITS) {
                Ok(Some(op)) => {
                    check_tail(&op);
                    seen.push(format!("{op:?}"));
                }
                Ok(None) => break,
                Err(fault) => {
                    seen.push(fault.to_string());
                    return seen;
                }
            }
        }
    }
    seen
}

fn check_tail(op: &RouteOp<'_>) {
    let RouteOp::Message(message) = op else { return };
    let Some(tail) = message.tail else { return };
    let verb: &[u8] = if message.has_header_size { b"HMSG " } else { b"MSG " };
    let bytes = [verb, message.subject, b" 1 ", tail].concat();
    let mut decoder = ServerDecoder::new();
    let mut input = bytes.as_slice();
    let read = decoder.next(&mut input, &Limits { control_line_bytes_max: 200, ..LIMITS });
    let Ok(Some(ServerOp::Message(delivery))) = read else { panic!("cannot be read: {read:?}") };
    assert_eq!(delivery.subject, message.subject);
    assert_eq!(delivery.reply, message.reply);
    assert_eq!((delivery.headers, delivery.payload), (message.headers, message.payload));
    assert!(input.is_empty());
}
