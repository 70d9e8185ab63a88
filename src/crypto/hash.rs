//! Digests that wire formats name: SHA-256 for replies, MD5 for the caller part of reply subjects, SHA-1 for WebSockets.

use data_encoding::{BASE64, HEXLOWER};
use ring::digest;

/// SHA-256 of `data`.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    out
}

/// SHA-1 of `data`.
///
/// The answer to the opening of a WebSocket is made with it (RFC 6455 section 1.3) and proves nothing but that the
/// request was read; it must not be used for anything else.
pub fn sha1(data: &[u8]) -> [u8; 20] {
    let mut out = [0; 20];
    out.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, data).as_ref());
    out
}

/// Whether two secrets are the same. The time it takes depends on the length of `given` only.
pub fn equal_secrets(expected: &str, given: &str) -> bool {
    let (expected, given) = (sha256(expected.as_bytes()), sha256(given.as_bytes()));
    let differing = expected.iter().zip(given).fold(0, |sum, (one, other)| sum | (one ^ other));
    std::hint::black_box(differing) == 0
}

/// SHA-256 of `data` as padded standard base64, the form of a secure reply's `hash`.
pub fn sha256_base64(data: &[u8]) -> String {
    BASE64.encode(&sha256(data))
}

/// SHA-256 of `data` as lower-case hexadecimal.
pub fn sha256_hex(data: &[u8]) -> String {
    HEXLOWER.encode(&sha256(data))
}

/// MD5 of `data` as lower-case hexadecimal.
///
/// Reply subjects hold the MD5 of the caller id. It separates callers and protects nothing, so the
/// weakness of MD5 does not matter there; it must not be used for anything else.
pub fn md5_hex(data: &[u8]) -> String {
    HEXLOWER.encode(&md5(data))
}

/// Rotations of the four MD5 rounds (RFC 1321 section 3.4).
const ROTATIONS: [[u32; 4]; 4] =
    [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

fn md5(data: &[u8]) -> [u8; 16] {
    let mut state: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let mut tail = data.chunks_exact(64).remainder().to_vec();
    for block in data.chunks_exact(64) {
        md5_block(&mut state, block);
    }
    tail.push(0x80);
    while tail.len() % 64 != 56 {
        tail.push(0);
    }
    tail.extend_from_slice(&(data.len() as u64).wrapping_mul(8).to_le_bytes());
    for block in tail.chunks_exact(64) {
        md5_block(&mut state, block);
    }
    let mut out = [0; 16];
    for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    out
}

fn md5_block(state: &mut [u32; 4], block: &[u8]) {
    let mut words = [0_u32; 16];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    let [mut a, mut b, mut c, mut d] = *state;
    for step in 0..64 {
        let (mix, index) = match step / 16 {
            0 => ((b & c) | (!b & d), step),
            1 => ((d & b) | (!d & c), (5 * step + 1) % 16),
            2 => (b ^ c ^ d, (3 * step + 5) % 16),
            _ => (c ^ (b | !d), (7 * step) % 16),
        };
        // The table of RFC 1321 is floor(2^32 * |sin(step + 1)|).
        let constant = (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
        let sum = a.wrapping_add(mix).wrapping_add(constant).wrapping_add(words[index]);
        (a, d, c) = (d, c, b);
        b = b.wrapping_add(sum.rotate_left(ROTATIONS[step / 16][step % 4]));
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_vectors() {
        let long = "a".repeat(119);
        for (text, expected) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
            ("choria=rip.mcollective", "37bdf08389145a56c13096c178802d3b"),
            ("up=alice", "9ff94a8781520105e44481be68e5d47f"),
            ("node1.example.net", "17bcfb8c80731d07482059628cf13848"),
            (&long, "8a7bd0732ed6a28ce75f6dabc90e1613"),
        ] {
            assert_eq!(md5_hex(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn sha256_forms() {
        assert_eq!(
            sha256_hex(b"choria=rip.mcollective"),
            "a8d26d6b19525a023b576468d70dd050cdace101bf8d438a58f071913d559a95"
        );
        assert_eq!(sha256_base64(b""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
