//! Frames of RFC 6455, section 5: what clients send is decoded in place, what they are sent is encoded.

use std::fmt;

use super::deflate::{Inflater, Step};

/// Bytes of the longest frame head: two, a length of eight, a mask of four.
const HEAD_BYTES_MAX: usize = 14;
/// Payload of a control frame, RFC 6455 section 5.5.
const CONTROL_BYTES_MAX: u64 = 125;
/// The bit of the last frame of a message.
const FINAL: u8 = 0x80;
/// The bit of a message that is deflated, RFC 7692 section 6.
const DEFLATED: u8 = 0x40;
/// Bits that no extension of ours gives a meaning.
const RESERVED: u8 = 0x30;
/// The bit of a masked frame.
const MASKED: u8 = 0x80;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of the present message.
    Continuation = 0,
    /// The beginning of a message of text.
    Text = 1,
    /// The beginning of a message of bytes.
    Binary = 2,
    /// The sender is done.
    Close = 8,
    /// The other side shall answer.
    Ping = 9,
    /// That answer.
    Pong = 10,
}

impl Opcode {
    fn of(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'e> {
    /// Bytes of messages; where one message ends and the next begins means nothing.
    Data(&'e [u8]),
    /// To be answered with the same payload.
    Ping(Vec<u8>),
    /// Nothing to do.
    Pong,
    /// Nothing more comes; the status, when there is one.
    Close(Option<u16>),
}

/// How a client broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Bits that stand for an extension that was not agreed on.
    Reserved,
    /// An opcode that does not exist.
    Opcode(u8),
    /// Frames of clients have to be masked.
    NotMasked,
    /// A control frame in several pieces, deflated, or too long.
    Control,
    /// A new message within another, or the rest of none.
    Sequence,
    /// A length beyond 63 bits.
    Length,
    /// A close frame whose payload is none.
    CloseStatus,
    /// A message that cannot be inflated.
    Deflate,
    /// A message that holds more than is allowed when it is inflated.
    MessageTooLarge,
}

impl Fault {
    /// The status of the close frame that tells it.
    pub fn status(self) -> u16 {
        match self {
            Fault::MessageTooLarge => status::TOO_BIG,
            Fault::Deflate => status::BAD_DATA,
            _ => status::PROTOCOL,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Reserved => write!(f, "a reserved bit of a frame is set"),
            Fault::Opcode(bits) => write!(f, "unknown opcode {bits}"),
            Fault::NotMasked => write!(f, "a frame is not masked"),
            Fault::Control => write!(f, "bad control frame"),
            Fault::Sequence => write!(f, "a frame does not continue its message"),
            Fault::Length => write!(f, "bad frame length"),
            Fault::CloseStatus => write!(f, "bad status in a close frame"),
            Fault::Deflate => write!(f, "a message cannot be inflated"),
            Fault::MessageTooLarge => write!(f, "an inflated message is too large"),
        }
    }
}

/// Status numbers of close frames, RFC 6455 section 7.4.1.
pub mod status {
    /// The connection has done what it was for.
    pub const NORMAL: u16 = 1000;
    /// The broker ends.
    pub const GOING_AWAY: u16 = 1001;
    /// A frame or what is in it breaks the protocol.
    pub const PROTOCOL: u16 = 1002;
    /// A message holds no usable data.
    pub const BAD_DATA: u16 = 1007;
    /// It is not let in, or not any more.
    pub const POLICY: u16 = 1008;
    /// A message is too large.
    pub const TOO_BIG: u16 = 1009;
    /// A fault of ours.
    pub const INTERNAL: u16 = 1011;
}

/// What a decoder has to know about its connection.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Deflated messages were agreed on.
    pub takes_deflated: bool,
    /// Bytes that one deflated message may hold. Others are passed on as they come, so that they need no limit.
    pub inflated_bytes_max: u64,
}

/// Where a decoder stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In or before the head of a frame.
    Head,
    /// In the payload of a data frame.
    Data,
    /// In the payload of a control frame.
    Control(Opcode),
    /// Behind a deflated message, whose last bytes have to be inflated.
    Flush,
}

/// Bytes of a client in, what they mean out. It stops anywhere and goes on there.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: u8,
    /// Payload of this frame that is still to come.
    left: u64,
    mask: [u8; 4],
    /// This frame is the last of its message.
    is_final: bool,
    /// A message has begun and not ended.
    is_within: bool,
    /// Bytes at the front of the input that are unmasked already.
    unmasked: usize,
    control: Vec<u8>,
    /// There is one while a deflated message is on its way.
    inflater: Option<Box<Inflater>>,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

impl Decoder {
    /// One at the beginning of a connection.
    pub fn new() -> Decoder {
        Decoder {
            state: State::Head,
            head: [0; HEAD_BYTES_MAX],
            head_bytes: 0,
            left: 0,
            mask: [0; 4],
            is_final: true,
            is_within: false,
            unmasked: 0,
            control: Vec::new(),
            inflater: None,
        }
    }

    /// Takes the next event off the front of `input`; nothing when more input is needed. `scratch` is room for inflated
    /// bytes and must not be empty. To be called until nothing is left, before the input is given up.
    ///
    /// # Errors
    /// Names what the client did wrong. The decoder is of no use from then on.
    pub fn next<'i: 'e, 'e>(
        &mut self,
        input: &mut &'i mut [u8],
        scratch: &'e mut [u8],
        rules: &Rules,
    ) -> Result<Option<Event<'e>>, Fault> {
        loop {
            match self.state {
                State::Head => {
                    if !self.take_head(input, rules)? {
                        return Ok(None);
                    }
                }
                State::Control(opcode) => {
                    if !self.take_control(input) {
                        return Ok(None);
                    }
                    self.state = State::Head;
                    return self.control_event(opcode).map(Some);
                }
                State::Data if self.inflater.is_some() && !input.is_empty() => {
                    let count = self.inflate(input, scratch, rules)?;
                    if count > 0 {
                        return Ok(scratch.get(..count).map(Event::Data));
                    }
                }
                State::Data => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    return Ok(Some(Event::Data(self.take_data(input))));
                }
                State::Flush => {
                    let count = self.flush(scratch, rules)?;
                    if count > 0 {
                        return Ok(scratch.get(..count).map(Event::Data));
                    }
                }
            }
        }
    }

    /// Completes a head; false when more input is needed.
    fn take_head(&mut self, input: &mut &mut [u8], rules: &Rules) -> Result<bool, Fault> {
        loop {
            let have = usize::from(self.head_bytes);
            let head = self.head.get(..have).unwrap_or_default();
            if let Some(&[first, second]) = head.get(..2) {
                let need = 2 + length_bytes(second) + 4;
                if have == need {
                    break;
                }
                if have == 2 {
                    self.check(first, second, rules)?;
                }
            }
            let Some(byte) = pop_front(input) else { return Ok(false) };
            // The longest head has as many bytes as there is room for.
            if let Some(place) = self.head.get_mut(have) {
                *place = byte;
            }
            self.head_bytes += 1;
        }
        self.begin()
    }

    /// Checks the first two bytes of a head.
    fn check(&self, first: u8, second: u8, rules: &Rules) -> Result<(), Fault> {
        let opcode = Opcode::of(first & 0x0f).ok_or(Fault::Opcode(first & 0x0f))?;
        let is_deflated = first & DEFLATED != 0;
        if first & RESERVED != 0 || (is_deflated && !rules.takes_deflated) {
            return Err(Fault::Reserved);
        }
        if second & MASKED == 0 {
            return Err(Fault::NotMasked);
        }
        if opcode.is_control() {
            let is_long = u64::from(second & !MASKED) > CONTROL_BYTES_MAX;
            if is_long || is_deflated || first & FINAL == 0 {
                return Err(Fault::Control);
            }
            return Ok(());
        }
        let continues = opcode == Opcode::Continuation;
        if continues != self.is_within || (continues && is_deflated) {
            return Err(Fault::Sequence);
        }
        Ok(())
    }

    /// Begins the frame whose head is complete.
    fn begin(&mut self) -> Result<bool, Fault> {
        let have = usize::from(std::mem::take(&mut self.head_bytes));
        let [first, second, ..] = self.head;
        let length = self.head.get(2..have - 4).unwrap_or_default();
        self.left = match length {
            [] => u64::from(second & !MASKED),
            bytes => bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        if self.left >> 63 != 0 {
            return Err(Fault::Length);
        }
        self.mask.copy_from_slice(&self.head[have - 4..have]);
        // `check` has refused all others.
        let opcode = Opcode::of(first & 0x0f).unwrap_or(Opcode::Binary);
        if opcode.is_control() {
            self.state = State::Control(opcode);
            return Ok(true);
        }
        self.is_final = first & FINAL != 0;
        self.is_within = true;
        if opcode != Opcode::Continuation && first & DEFLATED != 0 {
            self.inflater = Some(Inflater::new());
        }
        self.state = State::Data;
        self.end_frame();
        Ok(true)
    }

    /// Goes on behind a data frame if it is over.
    fn end_frame(&mut self) {
        if self.left > 0 {
            return;
        }
        self.state = State::Head;
        if self.is_final {
            self.is_within = false;
            if self.inflater.is_some() {
                self.state = State::Flush;
            }
        }
    }

    /// As much of this frame as is there, unmasked.
    fn take_data<'i>(&mut self, input: &mut &'i mut [u8]) -> &'i [u8] {
        let count = self.at_hand(input.len());
        let piece = split_front(input, count);
        unmask(piece, &mut self.mask);
        self.left -= count as u64;
        self.end_frame();
        piece
    }

    fn at_hand(&self, available: usize) -> usize {
        usize::try_from(self.left).map_or(available, |left| left.min(available))
    }

    /// Collects a control payload; true when it is complete.
    fn take_control(&mut self, input: &mut &mut [u8]) -> bool {
        let count = self.at_hand(input.len());
        let piece = split_front(input, count);
        unmask(piece, &mut self.mask);
        self.control.extend_from_slice(piece);
        self.left -= count as u64;
        self.left == 0
    }

    fn control_event(&mut self, opcode: Opcode) -> Result<Event<'static>, Fault> {
        let payload = std::mem::take(&mut self.control);
        match opcode {
            Opcode::Ping => Ok(Event::Ping(payload)),
            Opcode::Close => match payload.as_slice() {
                [] => Ok(Event::Close(None)),
                [high, low, ..] => {
                    let status = u16::from_be_bytes([*high, *low]);
                    let is_valid = matches!(status, 1000..=1003 | 1007..=1014 | 3000..=4999);
                    if is_valid { Ok(Event::Close(Some(status))) } else { Err(Fault::CloseStatus) }
                }
                [_] => Err(Fault::CloseStatus),
            },
            _ => Ok(Event::Pong),
        }
    }

    /// Inflates some of this frame; returns how many bytes `scratch` got.
    fn inflate(
        &mut self,
        input: &mut &mut [u8],
        scratch: &mut [u8],
        rules: &Rules,
    ) -> Result<usize, Fault> {
        let count = self.at_hand(input.len());
        if let Some(fresh) = input.get_mut(self.unmasked..count) {
            unmask(fresh, &mut self.mask);
        }
        let Some(inflater) = &mut self.inflater else { return Ok(0) };
        let piece = input.get(..count).unwrap_or_default();
        let Step { taken, given } = inflater.step(piece, scratch, rules.inflated_bytes_max)?;
        self.unmasked = count - taken;
        self.left -= taken as u64;
        split_front(input, taken);
        self.end_frame();
        Ok(given)
    }

    /// Inflates what ends a message; returns how many bytes `scratch` got.
    fn flush(&mut self, scratch: &mut [u8], rules: &Rules) -> Result<usize, Fault> {
        let Some(inflater) = &mut self.inflater else { return Ok(0) };
        let given = inflater.finish(scratch, rules.inflated_bytes_max)?;
        if given == 0 {
            self.inflater = None;
            self.state = State::Head;
        }
        Ok(given)
    }
}

/// Bytes of the length that follow a head's second byte.
fn length_bytes(second: u8) -> usize {
    match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

fn pop_front(input: &mut &mut [u8]) -> Option<u8> {
    let whole = std::mem::take(input);
    match whole.split_first_mut() {
        Some((first, rest)) => {
            *input = rest;
            Some(*first)
        }
        None => None,
    }
}

/// Takes at most `count` bytes off the front.
fn split_front<'i>(input: &mut &'i mut [u8], count: usize) -> &'i mut [u8] {
    let whole = std::mem::take(input);
    let (front, rest) = whole.split_at_mut(count.min(whole.len()));
    *input = rest;
    front
}

/// Unmasks bytes and turns the mask to where the next byte needs it.
fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let [a, b, c, d] = *mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        if let Ok(bytes) = <&mut [u8; 8]>::try_from(word) {
            *bytes = (u64::from_ne_bytes(*bytes) ^ wide).to_ne_bytes();
        }
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    mask.rotate_left(bytes.len() % 4);
}

/// Appends the head of a frame that is a whole message, as a broker sends it: not masked.
pub fn append_head(out: &mut Vec<u8>, opcode: Opcode, is_deflated: bool, length: usize) {
    let deflated = if is_deflated { DEFLATED } else { 0 };
    out.push(FINAL | deflated | opcode as u8);
    match length {
        0..=125 => out.push(length as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Appends a control frame; a payload that is too long is cut.
pub fn append_control(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let payload = payload.get(..CONTROL_BYTES_MAX as usize).unwrap_or(payload);
    append_head(out, opcode, false, payload.len());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::super::deflate::Deflater;
    use super::*;

    const MASK: [u8; 4] = [0x11, 0xa2, 0x33, 0xf4];
    const RULES: Rules = Rules { takes_deflated: true, inflated_bytes_max: 1 << 20 };

    /// A frame as clients send it.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        append_head(&mut out, Opcode::Binary, false, payload.len());
        out[0] = first;
        out[1] |= MASKED;
        out.extend_from_slice(&MASK);
        let masked = payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key);
        out.extend(masked);
        out
    }

    fn deflated(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Deflater::new().deflate(payload, &mut out);
        out
    }

    /// The data and the other events of input in pieces.
    fn decode(pieces: &[&[u8]], rules: &Rules) -> Result<(Vec<u8>, Vec<String>), Fault> {
        let mut decoder = Decoder::new();
        let (mut data, mut events) = (Vec::new(), Vec::new());
        for piece in pieces {
            let mut copy = piece.to_vec();
            let mut input = copy.as_mut_slice();
            let mut scratch = [0; 100];
            while let Some(event) = decoder.next(&mut input, &mut scratch, rules)? {
                match event {
                    Event::Data(bytes) => data.extend_from_slice(bytes),
                    other => events.push(format!("{} {other:?}", data.len())),
                }
            }
            assert!(input.is_empty());
        }
        Ok((data, events))
    }

    /// The same comes out however the input is cut.
    fn check(input: &[u8], expected: &Result<(Vec<u8>, Vec<String>), Fault>) {
        assert_eq!(&decode(&[input], &RULES), expected, "whole");
        let bytes: Vec<_> = input.chunks(1).collect();
        assert_eq!(&decode(&bytes, &RULES), expected, "byte by byte");
        for at in (0..input.len()).step_by((input.len() / 500).max(1)) {
            let (first, second) = input.split_at(at);
            assert_eq!(&decode(&[first, second], &RULES), expected, "cut at {at}");
        }
    }

    #[test]
    fn frames_are_read_however_they_are_cut() {
        let long: Vec<u8> = (0..70_000).map(|number: u32| (number % 251) as u8).collect();
        let squeezed = deflated(&long);
        let (half, rest) = squeezed.split_at(squeezed.len() / 2);
        type Case<'c> = (Vec<Vec<u8>>, &'c [u8], &'c [&'c str]);
        let cases: [Case<'_>; 9] = [
            (vec![frame(0x82, b"PING\r\n"), frame(0x81, b"PONG\r\n")], b"PING\r\nPONG\r\n", &[]),
            (vec![frame(0x82, &long)], &long, &[]),
            (vec![frame(0x82, &long[..300])], &long[..300], &[]),
            (
                vec![frame(0x02, b"a"), frame(0x89, b"ping"), frame(0x00, b"b"), frame(0x80, b"c")],
                b"abc",
                &["1 Ping([112, 105, 110, 103])"],
            ),
            (vec![frame(0x82, b""), frame(0x8a, b""), frame(0x82, b"x")], b"x", &["0 Pong"]),
            (
                vec![frame(0x88, b""), frame(0x88, &[3, 232, b'x'])],
                b"",
                &["0 Close(None)", "0 Close(Some(1000))"],
            ),
            (
                vec![frame(0xc2, &squeezed), frame(0x82, b"after")],
                &[&long, &b"after"[..]].concat(),
                &[],
            ),
            (
                vec![
                    frame(0x42, half),
                    frame(0x89, b""),
                    frame(0x80, rest),
                    frame(0xc1, &squeezed),
                ],
                &[long.as_slice(), &long].concat(),
                &[],
            ),
            (vec![frame(0xc2, &deflated(b"")), frame(0xc2, &[0]), frame(0x82, b"x")], b"x", &[]),
        ];
        for (number, (frames, data, events)) in cases.into_iter().enumerate() {
            let input = frames.concat();
            if number == 7 {
                // How much is inflated before the PING depends on the cut: only the data counts.
                let (got, events) = decode(&[&input], &RULES).expect("good frames");
                assert!(got == data && events.len() == 1);
                let events = decode(&input.chunks(7).collect::<Vec<_>>(), &RULES).map(|got| got.0);
                assert!(events == Ok(data.to_vec()));
                continue;
            }
            let events = events.iter().map(|event| (*event).to_owned()).collect();
            check(&input, &Ok((data.to_vec(), events)));
        }
    }

    #[test]
    fn frames_against_the_protocol_are_refused() {
        let mut bare = frame(0x82, b"x");
        bare[1] &= !MASKED;
        let mut endless = frame(0x82, &[0; 70_000]);
        endless[2] = 0x80;
        let cases = [
            (frame(0x92, b"x"), Fault::Reserved),
            (frame(0x83, b"x"), Fault::Opcode(3)),
            (bare, Fault::NotMasked),
            (frame(0x09, b"x"), Fault::Control),
            (frame(0xc9, b"x"), Fault::Control),
            (frame(0x89, &[0; 126]), Fault::Control),
            (frame(0x80, b"x"), Fault::Sequence),
            ([frame(0x02, b"x"), frame(0x82, b"x")].concat(), Fault::Sequence),
            ([frame(0x42, &deflated(b"x")), frame(0xc0, b"x")].concat(), Fault::Sequence),
            (endless, Fault::Length),
            (frame(0x88, &[3]), Fault::CloseStatus),
            (frame(0x88, &[3, 0xed]), Fault::CloseStatus),
            (frame(0xc2, &[0xff; 20]), Fault::Deflate),
            (frame(0xc2, &deflated(&vec![0; (1 << 20) + 1])), Fault::MessageTooLarge),
        ];
        for (input, fault) in cases {
            check(&input, &Err(fault));
        }
        let strict = Rules { takes_deflated: false, ..RULES };
        assert_eq!(decode(&[&frame(0xc2, b"x")], &strict), Err(Fault::Reserved));
        let full = frame(0xc2, &deflated(&vec![0; 1 << 20]));
        assert_eq!(decode(&[&full], &RULES).map(|(data, _)| data.len()), Ok(1 << 20));
    }

    #[test]
    fn a_long_message_that_is_not_deflated_has_no_limit() {
        let rules = Rules { inflated_bytes_max: 10, ..RULES };
        let data = decode(&[&frame(0x82, &[7; 1000])], &rules).map(|(data, _)| data.len());
        assert_eq!(data, Ok(1000));
    }

    #[test]
    fn heads_have_the_shortest_length() {
        let cases = [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65_535, &[0x82, 126, 255, 255]),
            (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ];
        for (length, expected) in cases {
            let mut out = Vec::new();
            append_head(&mut out, Opcode::Binary, false, length);
            assert_eq!(out, expected, "{length}");
        }
        let mut out = Vec::new();
        append_control(&mut out, Opcode::Pong, &[1; 200]);
        assert_eq!((out.len(), &out[..2]), (127, &[0x8a, 125][..]));
    }
}
