//! When what came of a handshake is worth a thread's time: not before there is something complete.
//!
//! Only lengths are looked at. Whatever looks wrong counts as complete, so that rustls refuses it with the proper alert.

/// Bytes before the payload of a record.
const HEADER_BYTES: usize = 5;
/// Content type of handshake messages (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;
/// Payload of a record at most (RFC 5246, 6.2.3).
const PAYLOAD_BYTES_MAX: usize = 16 * 1024 + 2048;
/// Bytes before the body of a handshake message.
const MESSAGE_HEADER_BYTES: usize = 4;
/// Bytes of a message that rustls takes.
const MESSAGE_BYTES_MAX: usize = 0xffff;

/// How far the records that came have been looked at.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// Bytes that are complete records.
    walked: usize,
    /// Payload bytes of these, while the first message is awaited.
    payload: usize,
    message_header: [u8; MESSAGE_HEADER_BYTES],
    /// The first message came: from then on any complete record is worth work.
    has_begun: bool,
}

impl Flight {
    /// How many of the bytes that came, from the first on, should be worked on now. `bytes` is what the last call got, and
    /// more.
    pub fn ready(&mut self, bytes: &[u8]) -> usize {
        while let Some(&[kind, _, _, high, low]) =
            bytes.get(self.walked..).and_then(|rest| rest.first_chunk::<HEADER_BYTES>())
        {
            let length = usize::from(u16::from_be_bytes([high, low]));
            if length > PAYLOAD_BYTES_MAX || (!self.has_begun && kind != HANDSHAKE) {
                return bytes.len();
            }
            let start = self.walked + HEADER_BYTES;
            let Some(payload) = bytes.get(start..start + length) else { break };
            self.walked = start + length;
            if !self.has_begun {
                self.note(payload);
            }
        }
        if self.has_begun || self.is_first_complete() { self.walked } else { 0 }
    }

    fn note(&mut self, payload: &[u8]) {
        let missing = self.message_header.iter_mut().skip(self.payload);
        missing.zip(payload).for_each(|(place, byte)| *place = *byte);
        self.payload += payload.len();
    }

    fn is_first_complete(&self) -> bool {
        let [_, a, b, c] = self.message_header;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        self.payload >= MESSAGE_HEADER_BYTES
            && (length > MESSAGE_BYTES_MAX || self.payload >= MESSAGE_HEADER_BYTES + length)
    }

    /// What was ready was taken away.
    pub fn taken(&mut self) {
        *self = Flight { has_begun: true, ..Flight::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 3, 1];
        record.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        record.extend_from_slice(payload);
        record
    }

    fn hello(length: usize) -> Vec<u8> {
        let mut message = vec![1];
        message.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
        message.resize(MESSAGE_HEADER_BYTES + length, 7);
        message
    }

    /// Feeds `bytes` one at a time; where something was ready, and how much.
    fn feed(flight: &mut Flight, bytes: &[u8]) -> Option<(usize, usize)> {
        (1..=bytes.len()).find_map(|count| match flight.ready(&bytes[..count]) {
            0 => None,
            ready => Some((count, ready)),
        })
    }

    #[test]
    fn a_hello_is_awaited_however_it_is_cut() {
        let message = hello(300);
        for piece in [1, 2, 3, 4, 5, 100, 303, 304] {
            let bytes: Vec<u8> =
                message.chunks(piece).flat_map(|piece| record(HANDSHAKE, piece)).collect();
            let got = feed(&mut Flight::default(), &bytes);
            assert_eq!(got, Some((bytes.len(), bytes.len())), "pieces of {piece} bytes");
        }
    }

    #[test]
    fn what_follows_a_hello_is_left_for_later() {
        let mut bytes = record(HANDSHAKE, &hello(50));
        let whole = bytes.len();
        bytes.extend_from_slice(&[HANDSHAKE, 3, 3, 0, 9, 1]);
        assert_eq!(Flight::default().ready(&bytes), whole);
    }

    #[test]
    fn later_records_count_as_they_come() {
        let mut flight = Flight::default();
        let bytes = record(HANDSHAKE, &hello(50));
        assert_eq!(flight.ready(&bytes), bytes.len());
        flight.taken();
        let bytes = record(20, &[1]);
        assert_eq!(feed(&mut flight, &bytes), Some((bytes.len(), bytes.len())));
        flight.taken();
        assert_eq!(feed(&mut flight, &bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn what_is_wrong_is_handed_on_at_once() {
        let cases: [&[u8]; 3] =
            [b"CONNECT {}\r\n", &[HANDSHAKE, 3, 1, 0xff, 0xff], &[21, 3, 1, 0, 2]];
        for bytes in cases {
            assert_eq!(feed(&mut Flight::default(), bytes), Some((5, 5)), "{bytes:?}");
        }
        let huge = record(HANDSHAKE, &[1, 0xff, 0xff, 0xff]);
        assert_eq!(feed(&mut Flight::default(), &huge), Some((9, 9)));
    }

    #[test]
    fn any_bytes_at_any_pace_are_counted_the_same() {
        let mut random = fastrand::Rng::with_seed(20_260_101);
        for _ in 0..2000 {
            let mut bytes = Vec::new();
            for _ in 0..random.usize(1..6) {
                let kind = if random.u8(..8) == 0 { random.u8(..) } else { HANDSHAKE };
                let mut payload = vec![0; random.usize(..40)];
                random.fill(&mut payload);
                if let Some(length) = payload.get_mut(1..3) {
                    length.fill(0);
                }
                bytes.extend(record(kind, &payload));
            }
            bytes.truncate(random.usize(..=bytes.len()));
            let at_once = Flight::default().ready(&bytes);
            let mut flight = Flight::default();
            let mut last = 0;
            for count in 0..=bytes.len() {
                let ready = flight.ready(&bytes[..count]);
                assert!(ready <= count && ready >= last, "{bytes:?}");
                last = ready;
            }
            assert_eq!(last, at_once, "{bytes:?}");
        }
    }
}
