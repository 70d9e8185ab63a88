//! Numbers, texts and arrays of Kafka's protocol: <https://kafka.apache.org/protocol.html#protocol_types>.
//!
//! What comes from a peer is read with [`Reader`]: every length is compared with the bytes that are there before
//! anything is allocated for it.

use std::fmt;

/// What came from a broker is not what the protocol says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WireFault {
    /// It ends before everything that was announced.
    Short,
    /// A length or count is negative, or larger than everything that follows.
    Length(i64),
    /// A number of variable length has more bytes than its type.
    Varint,
    /// A text is not UTF-8.
    Utf8,
}

impl fmt::Display for WireFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireFault::Short => f.write_str("it ends too early"),
            WireFault::Length(length) => write!(f, "a length of {length} cannot be"),
            WireFault::Varint => f.write_str("a number has too many bytes"),
            WireFault::Utf8 => f.write_str("a text is not UTF-8"),
        }
    }
}

impl std::error::Error for WireFault {}

/// Takes values from the front of a response.
///
/// In flexible versions lengths have another form and every structure ends with tagged fields.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    is_flexible: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], is_flexible: bool) -> Self {
        Self { rest: bytes, is_flexible }
    }

    /// How many bytes are left.
    #[cfg(test)]
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], WireFault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(WireFault::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], WireFault> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(WireFault::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn boolean(&mut self) -> Result<bool, WireFault> {
        Ok(self.fixed::<1>()? != [0])
    }

    pub(super) fn int16(&mut self) -> Result<i16, WireFault> {
        self.fixed().map(i16::from_be_bytes)
    }

    pub(super) fn int32(&mut self) -> Result<i32, WireFault> {
        self.fixed().map(i32::from_be_bytes)
    }

    pub(super) fn int64(&mut self) -> Result<i64, WireFault> {
        self.fixed().map(i64::from_be_bytes)
    }

    fn unsigned_varint(&mut self) -> Result<u32, WireFault> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| WireFault::Varint);
            }
        }
        Err(WireFault::Varint)
    }

    /// The length of a text or the count of an array; `None` for null. It is at most what is left, because no
    /// element takes less than a byte.
    fn length(&mut self, long: bool) -> Result<Option<usize>, WireFault> {
        let length = match (self.is_flexible, long) {
            (true, _) => i64::from(self.unsigned_varint()?) - 1,
            (false, true) => i64::from(self.int32()?),
            (false, false) => i64::from(self.int16()?),
        };
        if length == -1 {
            return Ok(None);
        }
        match usize::try_from(length) {
            Ok(count) if count <= self.rest.len() => Ok(Some(count)),
            _ => Err(WireFault::Length(length)),
        }
    }

    pub(super) fn nullable_text(&mut self) -> Result<Option<&'a str>, WireFault> {
        let Some(length) = self.length(false)? else { return Ok(None) };
        std::str::from_utf8(self.take(length)?).map(Some).map_err(|_| WireFault::Utf8)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, WireFault> {
        self.nullable_text()?.ok_or(WireFault::Length(-1))
    }

    /// Bytes; none for null.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], WireFault> {
        let length = self.length(true)?.unwrap_or(0);
        self.take(length)
    }

    /// The elements of an array; none for null.
    pub(super) fn array<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, WireFault>,
    ) -> Result<Vec<T>, WireFault> {
        let count = self.length(true)?.unwrap_or(0);
        // Not made with room for `count`: elements may be much larger here than there.
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// Skips the tagged fields at the end of a structure, which only flexible versions have.
    pub(super) fn tags(&mut self) -> Result<(), WireFault> {
        if !self.is_flexible {
            return Ok(());
        }
        for _ in 0..self.unsigned_varint()? {
            self.unsigned_varint()?;
            let size = self.unsigned_varint()?;
            self.take(usize::try_from(size).map_err(|_| WireFault::Length(i64::from(size)))?)?;
        }
        Ok(())
    }
}

/// Puts the values of a request together.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    is_flexible: bool,
}

impl Writer {
    pub(super) fn new(is_flexible: bool) -> Self {
        Self { bytes: Vec::new(), is_flexible }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    pub(super) fn int16(&mut self, value: i16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn int32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Requests are bounded far below what a length can say; one that is not ends here, not at the broker.
    fn length(&mut self, length: usize, long: bool) {
        match (self.is_flexible, long) {
            (true, _) => self.unsigned_varint(u32::try_from(length + 1).unwrap_or(u32::MAX)),
            (false, true) => self.int32(i32::try_from(length).unwrap_or(i32::MAX)),
            (false, false) => self.int16(i16::try_from(length).unwrap_or(i16::MAX)),
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.length(text.len(), false);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// A text that is null.
    pub(super) fn null_text(&mut self) {
        if self.is_flexible { self.unsigned_varint(0) } else { self.int16(-1) }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len(), true);
        self.bytes.extend_from_slice(bytes);
    }

    /// An array.
    pub(super) fn array<T>(&mut self, elements: &[T], mut element: impl FnMut(&mut Self, &T)) {
        self.length(elements.len(), true);
        for value in elements {
            element(self, value);
        }
    }

    /// Ends a structure: no tagged fields.
    pub(super) fn tags(&mut self) {
        if self.is_flexible {
            self.bytes.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for is_flexible in [false, true] {
            let mut writer = Writer::new(is_flexible);
            writer.boolean(true);
            writer.int16(-2);
            writer.int32(i32::MIN);
            writer.text("grüße");
            writer.null_text();
            writer.bytes(&[7; 300]);
            writer.array(&[1, 2, 3], |writer, value| writer.int16(*value));
            writer.tags();
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes, is_flexible);
            assert!(reader.boolean().unwrap());
            assert_eq!(reader.int16(), Ok(-2));
            assert_eq!(reader.int32(), Ok(i32::MIN));
            assert_eq!(reader.text(), Ok("grüße"));
            assert_eq!(reader.nullable_text(), Ok(None));
            assert_eq!(reader.bytes(), Ok([7; 300].as_slice()));
            assert_eq!(reader.array(|reader| reader.int16()), Ok(vec![1, 2, 3]));
            reader.tags().unwrap();
            assert_eq!(reader.remaining(), 0);
        }
    }

    #[test]
    fn a_length_that_lies_allocates_nothing() {
        let cases: [(&[u8], bool, WireFault); 7] = [
            (&[0x7f, 0xff, 0xff, 0xff], false, WireFault::Length(i64::from(i32::MAX))),
            (&[0xff, 0xff, 0xff, 0xfe], false, WireFault::Length(-2)),
            (&[0, 0], false, WireFault::Short),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], true, WireFault::Length(i64::from(u32::MAX) - 1)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff], true, WireFault::Varint),
            (&[0xff, 0xff, 0xff, 0xff, 0x10], true, WireFault::Varint),
            (&[3, 1], true, WireFault::Length(2)),
        ];
        for (bytes, is_flexible, fault) in cases {
            let got = Reader::new(bytes, is_flexible).array(|reader| reader.int64());
            assert_eq!(got, Err(fault), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[0, 2, 0xff, 0xfe], false).text(), Err(WireFault::Utf8));
        assert_eq!(
            Reader::new(&[1, 0, 200], true).tags(),
            Err(WireFault::Varint).or(Err(WireFault::Short))
        );
    }
}
