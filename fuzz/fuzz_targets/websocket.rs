//! What a client may send to the WebSocket port, whole and in two pieces: the same must come out.
#![no_main]

use choria::broker::websocket::frame::{Decoder, Event, Rules};
use choria::broker::websocket::upgrade;
use libfuzzer_sys::fuzz_target;

const RULES: Rules = Rules { takes_deflated: true, inflated_bytes_max: 100_000 };

fuzz_target!(|data: &[u8]| {
    let _ = upgrade::read(data, &["https://a.example".to_owned()]);
    let Some((at, input)) = data.split_first() else { return };
    let pieces = input.split_at(usize::from(*at).min(input.len()));
    let (whole, halves) = (decode(&[input]), decode(&[pieces.0, pieces.1]));
    assert_eq!(whole.1, halves.1);
    // Of a message that has not ended, what did not fit may come with its next piece.
    assert!(whole.0.starts_with(&halves.0) || halves.0.starts_with(&whole.0));
});

/// The data, the PINGs and the end of some input.
fn decode(pieces: &[&[u8]]) -> (Vec<u8>, Vec<String>) {
    let mut decoder = Decoder::new();
    let (mut data, mut seen) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut copy = piece.to_vec();
        let mut input = copy.as_mut_slice();
        let mut scratch = [0; 1000];
        loop {
            match decoder.next(&mut input, &mut scratch, &RULES) {
                Ok(Some(Event::Data(bytes))) => data.extend_from_slice(bytes),
                Ok(Some(other)) => seen.push(format!("{other:?}")),
                Ok(None) => break,
                Err(fault) => {
                    seen.push(fault.to_string());
                    // How much was inflated before a fault depends on the pieces.
                    data.clear();
                    return (data, seen);
                }
            }
        }
        assert!(input.is_empty());
    }
    (data, seen)
}
