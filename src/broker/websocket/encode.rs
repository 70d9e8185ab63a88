//! Frames for clients: bytes in, as many as one batch takes, and frames out.

use super::deflate::Deflater;
use super::frame::{Opcode, append_control, append_head};

/// Bytes that are made into frames at once.
const BATCH_BYTES: usize = 64 * 1024;
/// Payload of one frame to a web browser: larger ones make some of them slow.
const BROWSER_FRAME_BYTES: usize = 4096;
/// Up to so many bytes are not worth deflating.
const DEFLATE_BYTES_MIN: usize = 64;

/// How one connection wants its frames.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// Deflated, when there is much to send.
    pub is_deflating: bool,
    /// In small pieces.
    pub is_browser: bool,
}

/// What all connections of an event loop share for making frames.
#[derive(Debug, Default)]
pub struct Encoder {
    batch: Vec<u8>,
    deflated: Vec<u8>,
    deflater: Option<Deflater>,
}

impl Encoder {
    /// Appends frames with the first bytes of `pieces` to `out`; returns how many bytes that were, which is none only
    /// when there are none.
    pub fn append<'p>(
        &mut self,
        pieces: impl Iterator<Item = &'p [u8]>,
        style: Style,
        out: &mut Vec<u8>,
    ) -> usize {
        self.batch.clear();
        for piece in pieces {
            let room = BATCH_BYTES - self.batch.len();
            self.batch.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if self.batch.len() == BATCH_BYTES {
                break;
            }
        }
        let is_deflating = style.is_deflating && self.batch.len() > DEFLATE_BYTES_MIN;
        let bytes_max = if style.is_browser { BROWSER_FRAME_BYTES } else { BATCH_BYTES };
        for payload in self.batch.chunks(bytes_max) {
            if is_deflating {
                self.deflated.clear();
                self.deflater
                    .get_or_insert_with(Deflater::new)
                    .deflate(payload, &mut self.deflated);
                if self.deflated.len() < payload.len() {
                    append_head(out, Opcode::Binary, true, self.deflated.len());
                    out.extend_from_slice(&self.deflated);
                    continue;
                }
            }
            append_head(out, Opcode::Binary, false, payload.len());
            out.extend_from_slice(payload);
        }
        self.batch.len()
    }
}

/// Appends the answer to a PING.
pub fn append_pong(out: &mut Vec<u8>, payload: &[u8]) {
    append_control(out, Opcode::Pong, payload);
}

/// Appends the end of a connection.
pub fn append_close(out: &mut Vec<u8>, status: u16) {
    append_control(out, Opcode::Close, &status.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::websocket::deflate::Inflater;

    /// Payload lengths of frames, whether they are deflated, and the bytes they hold.
    fn read(mut frames: &[u8]) -> (Vec<(usize, bool)>, Vec<u8>) {
        let (mut heads, mut all) = (Vec::new(), Vec::new());
        while let [first, second, rest @ ..] = frames {
            assert_eq!(first & 0xbf, 0x82, "a whole message of bytes");
            let (length, rest) = match second {
                126 => (usize::from(rest[0]) << 8 | usize::from(rest[1]), &rest[2..]),
                127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
                short => (usize::from(*short), rest),
            };
            let (payload, rest) = rest.split_at(length);
            let is_deflated = first & 0x40 != 0;
            heads.push((length, is_deflated));
            if is_deflated {
                let mut plain = vec![0; BATCH_BYTES + 1];
                let mut inflater = Inflater::new();
                let step = inflater.step(payload, &mut plain, u64::MAX).expect("good");
                let end = inflater.finish(&mut plain[step.given..], u64::MAX).expect("good");
                all.extend_from_slice(&plain[..step.given + end]);
            } else {
                all.extend_from_slice(payload);
            }
            frames = rest;
        }
        (heads, all)
    }

    #[test]
    fn bytes_become_frames_of_the_right_size() {
        let mut encoder = Encoder::default();
        let (plain, browser) = (Style::default(), Style { is_browser: true, ..Style::default() });
        let cases = [
            (plain, 0, &[][..]),
            (plain, 6, &[6]),
            (plain, 65_536, &[65_536]),
            (plain, 70_000, &[65_536]),
            (browser, 4096, &[4096]),
            (browser, 9000, &[4096, 4096, 808]),
        ];
        for (style, size, expected) in cases {
            let bytes: Vec<u8> = (0..size).map(|number| number as u8).collect();
            let mut out = Vec::new();
            let taken = encoder.append(bytes.chunks(1000), style, &mut out);
            assert_eq!(taken, size.min(BATCH_BYTES));
            let (heads, all) = read(&out);
            let expected: Vec<_> = expected.iter().map(|length| (*length, false)).collect();
            assert_eq!((heads, all.as_slice()), (expected, &bytes[..taken]), "{style:?} {size}");
        }
    }

    #[test]
    fn only_what_gets_smaller_is_deflated() {
        let mut random = fastrand::Rng::with_seed(3);
        let noise: Vec<u8> = (0..5000).map(|_| random.u8(..)).collect();
        let mut encoder = Encoder::default();
        for is_browser in [false, true] {
            let style = Style { is_deflating: true, is_browser };
            for (bytes, is_deflated) in [
                (&[b'x'; 64][..], false),
                (&[b'x'; 65], true),
                (&[b'x'; 9000], true),
                (&noise, false),
            ] {
                let mut out = Vec::new();
                assert_eq!(encoder.append([bytes].into_iter(), style, &mut out), bytes.len());
                let (heads, all) = read(&out);
                assert!(heads.iter().all(|head| head.1 == is_deflated) && all == bytes);
                assert!(!is_browser || heads.iter().all(|head| head.0 <= BROWSER_FRAME_BYTES));
            }
        }
    }

    #[test]
    fn control_frames_are_short() {
        let mut out = Vec::new();
        append_pong(&mut out, b"hi");
        append_close(&mut out, 1000);
        assert_eq!(out, b"\x8a\x02hi\x88\x02\x03\xe8");
    }
}
