//! What a client or a broker may send, whole and in two pieces: the operations must be the same.
#![no_main]

use choria::nats::codec::headers::Headers;
use choria::nats::codec::info::{ConnectOptions, ServerInfo};
use choria::nats::codec::{ClientOp, Decoder, Limits, ServerDecoder, ServerOp};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits =
    Limits { control_line_bytes_max: 100, json_line_bytes_max: 200, payload_bytes_max: 300 };

fuzz_target!(|data: &[u8]| {
    let Some((at, input)) = data.split_first() else { return };
    let pieces = input.split_at(usize::from(*at).min(input.len()));
    assert_eq!(client(&[input]), client(&[pieces.0, pieces.1]));
    assert_eq!(server(&[input]), server(&[pieces.0, pieces.1]));
});

fn client(pieces: &[&[u8]]) -> Vec<String> {
    let mut decoder = Decoder::new();
    let mut seen = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            match decoder.next(&mut rest, &LIMITS) {
                Ok(Some(op)) => {
                    if let ClientOp::Connect(json) = op {
                        let _ = ConnectOptions::default().merge(json);
                    }
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

fn server(pieces: &[&[u8]]) -> Vec<String> {
    let mut decoder = ServerDecoder::new();
    let mut seen = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            match decoder.next(&mut rest, &LIMITS) {
                Ok(Some(op)) => {
                    match &op {
                        ServerOp::Info(json) => drop(ServerInfo::decode(json)),
                        ServerOp::Message(delivery) => check_headers(delivery.headers),
                        _ => {}
                    }
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

/// What was read can be written and read again.
fn check_headers(block: &[u8]) {
    if let Ok(headers) = Headers::parse(block) {
        assert_eq!(Headers::parse(&headers.encode()), Ok(headers));
    }
}
