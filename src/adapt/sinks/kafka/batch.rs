//! Record batches (magic 2): what a Produce request holds for one partition.
//! <https://kafka.apache.org/documentation/#recordbatch>

use std::sync::Arc;

use super::compress::Compression;
use crate::util::crc::crc32c;

/// One record as it goes into a batch.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) key: Option<String>,
    pub(super) value: &'a [u8],
    /// Milliseconds since 1970.
    pub(super) timestamp_ms: i64,
    pub(super) headers: Vec<(Arc<str>, String)>,
}

/// Bytes that a batch has besides its records.
pub(super) const BATCH_OVERHEAD_BYTES: usize = 61;
/// More than the numbers of a record, and of one header, can take.
const RECORD_OVERHEAD_BYTES: usize = 36;
const HEADER_OVERHEAD_BYTES: usize = 10;

impl Entry<'_> {
    /// No fewer bytes than the record takes in a batch that is not compressed.
    pub(super) fn bytes_max(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + HEADER_OVERHEAD_BYTES)
            .sum();
        RECORD_OVERHEAD_BYTES
            + self.key.as_ref().map_or(0, String::len)
            + self.value.len()
            + headers
    }
}

/// Who sends a batch, by which the broker knows one that it has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

/// The batch of these records. The first of them has the number `sequence` of its producer in this partition.
pub(super) fn encode(
    entries: &[Entry<'_>],
    identity: Identity,
    sequence: i32,
    compression: Compression,
) -> Vec<u8> {
    let base = entries.iter().map(|entry| entry.timestamp_ms).min().unwrap_or(0);
    let newest = entries.iter().map(|entry| entry.timestamp_ms).max().unwrap_or(0);
    let mut records = Vec::with_capacity(entries.iter().map(Entry::bytes_max).sum());
    let mut scratch = Vec::new();
    for (offset, entry) in entries.iter().enumerate() {
        put_record(&mut records, &mut scratch, entry, entry.timestamp_ms - base, offset as i64);
    }
    let (records, attributes) = match compression.compress(&records) {
        Some(compressed) => (compressed, compression.code()),
        None => (records, Compression::None.code()),
    };
    // The settings bound a batch far below what these numbers hold.
    let count = i32::try_from(entries.len()).unwrap_or(i32::MAX);
    let mut checked = Vec::with_capacity(40 + records.len());
    checked.extend_from_slice(&attributes.to_be_bytes());
    checked.extend_from_slice(&(count - 1).to_be_bytes());
    checked.extend_from_slice(&base.to_be_bytes());
    checked.extend_from_slice(&newest.to_be_bytes());
    checked.extend_from_slice(&identity.id.to_be_bytes());
    checked.extend_from_slice(&identity.epoch.to_be_bytes());
    checked.extend_from_slice(&sequence.to_be_bytes());
    checked.extend_from_slice(&count.to_be_bytes());
    checked.extend_from_slice(&records);

    let length = i32::try_from(checked.len() + 9).unwrap_or(i32::MAX);
    let mut batch = Vec::with_capacity(checked.len() + 21);
    batch.extend_from_slice(&0_i64.to_be_bytes());
    batch.extend_from_slice(&length.to_be_bytes());
    batch.extend_from_slice(&(-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend_from_slice(&crc32c(&checked).to_be_bytes());
    batch.extend_from_slice(&checked);
    batch
}

fn put_record(
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
    entry: &Entry<'_>,
    timestamp_delta: i64,
    offset_delta: i64,
) {
    scratch.clear();
    scratch.push(0);
    varint(scratch, timestamp_delta);
    varint(scratch, offset_delta);
    match &entry.key {
        Some(key) => sized(scratch, key.as_bytes()),
        None => varint(scratch, -1),
    }
    sized(scratch, entry.value);
    varint(scratch, entry.headers.len() as i64);
    for (name, value) in &entry.headers {
        sized(scratch, name.as_bytes());
        sized(scratch, value.as_bytes());
    }
    sized(out, scratch);
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    varint(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

/// A signed number, small ones short whatever their sign.
fn varint(out: &mut Vec<u8>, value: i64) {
    let mut value = ((value << 1) ^ (value >> 63)) as u64;
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: Option<&str>, value: &'static [u8], timestamp_ms: i64) -> Entry<'static> {
        let headers = vec![("h".into(), "v".to_owned())];
        Entry { key: key.map(str::to_owned), value, timestamp_ms, headers }
    }

    #[test]
    fn numbers_are_zigzag() {
        for (value, expected) in [
            (0, &[0][..]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[126]),
            (-65, &[0x81, 1]),
            (300, &[0xd8, 4]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out, expected, "{value}");
        }
    }

    #[test]
    fn a_batch_is_laid_out_as_documented() {
        let entries = [entry(Some("k"), b"one", 1000), entry(None, b"", 998)];
        let identity = Identity { id: 7, epoch: 1 };
        let batch = encode(&entries, identity, 42, Compression::None);
        let at = |from: usize, to: usize| &batch[from..to];
        assert_eq!(at(0, 8), [0; 8], "base offset");
        assert_eq!(at(8, 12), (batch.len() as i32 - 12).to_be_bytes(), "length");
        assert_eq!(at(12, 17), [0xff, 0xff, 0xff, 0xff, 2], "leader epoch and magic");
        assert_eq!(at(17, 21), crc32c(&batch[21..]).to_be_bytes());
        assert_eq!(at(21, 23), [0, 0], "attributes");
        assert_eq!(at(23, 27), 1_i32.to_be_bytes(), "last offset delta");
        assert_eq!(at(27, 35), 998_i64.to_be_bytes());
        assert_eq!(at(35, 43), 1000_i64.to_be_bytes());
        assert_eq!(at(43, 51), 7_i64.to_be_bytes());
        assert_eq!(at(51, 53), 1_i16.to_be_bytes());
        assert_eq!(at(53, 57), 42_i32.to_be_bytes());
        assert_eq!(at(57, 61), 2_i32.to_be_bytes());
        let records = [
            &[26, 0, 4, 0, 2, b'k', 6, b'o', b'n', b'e', 2, 2, b'h', 2, b'v'][..],
            &[18, 0, 0, 2, 1, 0, 2, 2, b'h', 2, b'v'],
        ];
        let (first, second) = batch[61..].split_at(records[0].len());
        assert_eq!((first.len(), first[1..].to_vec()), (15, records[0][1..].to_vec()));
        assert_eq!(second[1..], records[1][1..]);
        assert_eq!((first[0], second[0]), (28, 20));
        let bound: usize = entries.iter().map(Entry::bytes_max).sum();
        assert!(batch.len() <= BATCH_OVERHEAD_BYTES + bound);
    }

    #[test]
    fn compression_is_said_in_the_attributes() {
        let entries: Vec<_> =
            (0..50).map(|number| entry(Some("key"), &[b'x'; 500], number)).collect();
        let identity = Identity { id: 1, epoch: 0 };
        let plain = encode(&entries, identity, 0, Compression::None);
        for (compression, code) in [(Compression::Gzip, 1), (Compression::Snappy, 2)] {
            let batch = encode(&entries, identity, 0, compression);
            assert_eq!(batch[21..23], [0, code]);
            assert!(batch.len() < plain.len() / 4, "{} of {}", batch.len(), plain.len());
            assert_eq!(batch[17..21], crc32c(&batch[21..]).to_be_bytes());
        }
    }
}
