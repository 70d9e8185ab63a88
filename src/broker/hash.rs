//! A short, seeded hash for subjects: the standard one costs more than the rest of a look-up.
//!
//! The seed is random for each broker, so that nobody can choose subjects that collide.

use std::hash::{BuildHasher, Hasher};

const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// The seed of one broker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seed(u64);

impl Seed {
    pub fn random() -> Seed {
        let mut bytes = [0u8; 8];
        crate::crypto::random::fill(&mut bytes);
        Seed(u64::from_le_bytes(bytes))
    }

    /// The hash of a subject.
    #[inline]
    pub fn of(self, subject: &[u8]) -> u64 {
        let mut hasher = self.build_hasher();
        hasher.write(subject);
        hasher.finish()
    }
}

impl BuildHasher for Seed {
    type Hasher = SubjectHasher;

    #[inline]
    fn build_hasher(&self) -> SubjectHasher {
        SubjectHasher(self.0)
    }
}

/// Folds 8 bytes at a time with a 128-bit multiplication.
#[derive(Debug)]
pub(super) struct SubjectHasher(u64);

#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Hasher for SubjectHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.0 = fold(self.0 ^ u64::from_le_bytes(*word), MIX);
        }
        let mut last = [0u8; 8];
        for (place, byte) in last.iter_mut().zip(rest) {
            *place = *byte;
        }
        let length = (bytes.len() as u64) << 56;
        self.0 = fold(self.0 ^ u64::from_le_bytes(last) ^ length, MIX);
    }

    #[inline]
    fn write_usize(&mut self, _length: usize) {
        // The length of a slice; `write` has it already.
    }

    #[inline]
    fn finish(&self) -> u64 {
        fold(self.0, MIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_hash_alike_and_others_differ() {
        let seed = Seed::random();
        assert_eq!(seed.of(b"a.b.c"), seed.of(b"a.b.c"));
        let mut seen: Vec<u64> =
            (0..10_000).map(|n| seed.of(format!("node.{n}").as_bytes())).collect();
        seen.push(seed.of(b""));
        seen.push(seed.of(b"\0"));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 10_002);
    }
}
