//! permessage-deflate, RFC 7692, where every message stands alone: nothing of one is kept for the next.

use miniz_oxide::deflate::CompressionLevel;
use miniz_oxide::deflate::core::CompressorOxide;
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

use super::frame::Fault;

/// What ends a flushed deflate stream, left out on the wire.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Room that a deflated message gets at once, beyond its plain length.
const ROOM_BYTES: usize = 64;

/// Inflates one message. It is made for each and dropped behind it, so that an idle connection has none, and so that no
/// message can reach back into bytes of another.
pub(super) struct Inflater {
    state: InflateState,
    given: u64,
    /// Bytes of the tail that were taken.
    tail: usize,
    /// The stream said that it is over; what follows is of no meaning.
    is_over: bool,
}

/// What one call did.
pub(super) struct Step {
    /// Bytes taken from the input.
    pub taken: usize,
    /// Bytes written to the output.
    pub given: usize,
}

impl Inflater {
    pub fn new() -> Box<Inflater> {
        let state = InflateState::new(DataFormat::Raw);
        Box::new(Inflater { state, given: 0, tail: 0, is_over: false })
    }

    /// Inflates as much as there is room for; at most `max` bytes a message.
    pub fn step(&mut self, input: &[u8], output: &mut [u8], max: u64) -> Result<Step, Fault> {
        if self.is_over {
            return Ok(Step { taken: input.len(), given: 0 });
        }
        let result = inflate(&mut self.state, input, output, MZFlush::None);
        match result.status {
            Ok(MZStatus::StreamEnd) => self.is_over = true,
            // Nothing could be done with no input or no room: the caller sees that.
            Ok(_) | Err(MZError::Buf) => {}
            Err(_) => return Err(Fault::Deflate),
        }
        let (taken, given) = (result.bytes_consumed, result.bytes_written);
        if taken == 0 && given == 0 && !input.is_empty() && !self.is_over {
            return Err(Fault::Deflate);
        }
        self.given += given as u64;
        if self.given > max {
            return Err(Fault::MessageTooLarge);
        }
        Ok(Step { taken, given })
    }

    /// Inflates the end of the message, in as many calls as give something.
    pub fn finish(&mut self, output: &mut [u8], max: u64) -> Result<usize, Fault> {
        loop {
            let rest = TAIL.get(self.tail..).unwrap_or_default();
            let step = self.step(rest, output, max)?;
            self.tail += step.taken;
            if step.given > 0 || self.tail == TAIL.len() {
                return Ok(step.given);
            }
        }
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("given", &self.given).finish_non_exhaustive()
    }
}

/// Deflates messages. It is large: one serves all connections of an event loop.
pub(super) struct Deflater {
    compressor: Box<CompressorOxide>,
}

impl Deflater {
    pub fn new() -> Deflater {
        let level = CompressionLevel::BestSpeed;
        let compressor = CompressorOxide::with_format_and_level(DataFormat::Raw, level);
        Deflater { compressor: Box::new(compressor) }
    }

    /// Appends a whole message, deflated.
    pub fn deflate(&mut self, mut message: &[u8], out: &mut Vec<u8>) {
        self.compressor.reset();
        let mut end = out.len();
        out.resize(end + message.len() + ROOM_BYTES, 0);
        loop {
            let room = out.get_mut(end..).unwrap_or_default();
            let had_room = room.len();
            let result = deflate(&mut self.compressor, message, room, MZFlush::Sync);
            message = message.get(result.bytes_consumed..).unwrap_or_default();
            end += result.bytes_written;
            let is_full = result.bytes_written == had_room;
            if result.status.is_err() || (message.is_empty() && !is_full) {
                break;
            }
            out.resize(end + message.len() + ROOM_BYTES, 0);
        }
        out.truncate(end);
        if out.ends_with(&TAIL) {
            out.truncate(end - TAIL.len());
        }
    }
}

impl std::fmt::Debug for Deflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflater").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflated(bytes: &[u8], room: usize) -> Vec<u8> {
        let mut inflater = Inflater::new();
        let mut output = vec![0; room];
        let mut all = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let step = inflater.step(rest, &mut output, u64::MAX).expect("it was deflated");
            rest = &rest[step.taken..];
            all.extend_from_slice(&output[..step.given]);
        }
        loop {
            match inflater.finish(&mut output, u64::MAX).expect("it was deflated") {
                0 => return all,
                given => all.extend_from_slice(&output[..given]),
            }
        }
    }

    #[test]
    fn messages_come_back_whatever_their_size() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut deflater = Deflater::new();
        for size in [0, 1, 63, 64, 65, 1000, 4096, 70_000, 300_000] {
            let noise: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
            for message in [vec![b'x'; size], noise] {
                let mut out = b"before".to_vec();
                deflater.deflate(&message, &mut out);
                assert!(!out.ends_with(&TAIL) && out.starts_with(b"before"));
                for room in [1 + size / 50, 1 << 20] {
                    assert!(inflated(&out[6..], room) == message, "{size} bytes, room {room}");
                }
            }
        }
    }

    /// The example of RFC 7692, section 7.2.3.1, and one with a final block, section 7.2.3.4.
    #[test]
    fn examples_of_the_standard() {
        assert_eq!(inflated(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 100), b"Hello");
        assert_eq!(inflated(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], 100), b"Hello");
    }
}
