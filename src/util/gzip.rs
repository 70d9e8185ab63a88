//! Data in the gzip format (RFC 1952).

use miniz_oxide::deflate::compress_to_vec;

use super::crc::crc32;

/// How hard deflate tries: what gzip does when nobody says.
const LEVEL: u8 = 6;

/// Magic, deflate, no flags, no time, no hint, an unknown system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The data as one gzip member.
pub fn compress(data: &[u8]) -> Vec<u8> {
    let deflated = compress_to_vec(data, LEVEL);
    // The length is counted modulo 2^32 by the format.
    let length = data.len() as u32;
    let tail = [crc32(data).to_le_bytes(), length.to_le_bytes()].concat();
    [&HEAD, deflated.as_slice(), &tail].concat()
}

#[cfg(test)]
mod tests {
    use miniz_oxide::inflate::decompress_to_vec;

    use super::*;

    #[test]
    fn what_is_compressed_can_be_read_again() {
        for data in [Vec::new(), b"e".to_vec(), b"fact ".repeat(100_000)] {
            let packed = compress(&data);
            let (body, tail) = packed[HEAD.len()..].split_at(packed.len() - HEAD.len() - 8);
            assert!(packed.starts_with(&HEAD));
            assert_eq!(decompress_to_vec(body).unwrap(), data);
            assert_eq!(tail[..4], crc32(&data).to_le_bytes());
            assert_eq!(tail[4..], (data.len() as u32).to_le_bytes());
            assert!(packed.len() < 100 + data.len() / 100);
        }
    }
}
