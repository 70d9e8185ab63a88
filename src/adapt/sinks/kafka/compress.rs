//! Compression of record batches: gzip, snappy by snap in the framing of Java's library.

use crate::util::gzip;

/// How the records of a batch are compressed. The numbers are those of the attributes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// Snappy.
    Snappy,
}

/// The start of what `SnappyOutputStream` of snappy-java writes: magic, version, least compatible version.
const SNAPPY_HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// How much `SnappyOutputStream` compresses at once.
const SNAPPY_BLOCK_BYTES: usize = 32 * 1024;

impl Compression {
    /// Its number in the attributes of a batch.
    pub(super) fn code(self) -> i16 {
        match self {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
        }
    }

    /// The compressed form; `None` where there is none, so that the records go as they are.
    pub(super) fn compress(self, data: &[u8]) -> Option<Vec<u8>> {
        match self {
            Compression::None => None,
            Compression::Gzip => Some(gzip::compress(data)),
            Compression::Snappy => snappy(data),
        }
    }
}

fn snappy(data: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = snap::raw::Encoder::new();
    let mut out = SNAPPY_HEADER.to_vec();
    for block in data.chunks(SNAPPY_BLOCK_BYTES) {
        let compressed = encoder.compress_vec(block).ok()?;
        out.extend_from_slice(&i32::try_from(compressed.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&compressed);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        (0..100_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect()
    }

    #[test]
    fn gzip_comes_back() {
        for data in [Vec::new(), b"a".to_vec(), sample()] {
            let out = gzip::compress(&data);
            let (body, trailer) = out.split_at(out.len() - 8);
            let inflated = miniz_oxide::inflate::decompress_to_vec(&body[10..]).unwrap();
            assert_eq!(inflated, data);
            assert_eq!(trailer[..4], crate::util::crc::crc32(&data).to_le_bytes());
            assert_eq!(trailer[4..], (data.len() as u32).to_le_bytes());
        }
    }

    #[test]
    fn snappy_comes_back_block_by_block() {
        let data = sample();
        let out = snappy(&data).unwrap();
        let (header, mut rest) = out.split_at(16);
        assert_eq!(header, SNAPPY_HEADER);
        let mut back = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (block, after) = after.split_at(i32::from_be_bytes(*length) as usize);
            back.extend(snap::raw::Decoder::new().decompress_vec(block).unwrap());
            rest = after;
        }
        assert_eq!(back, data);
    }
}
