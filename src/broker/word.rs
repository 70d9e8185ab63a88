//! Short pieces of control lines that are written very often.

/// Some bytes, inline when there are at most `N` of them. Appending those is a copy of fixed size, which is a few
/// instructions instead of a call. `N` is at most 255.
#[derive(Debug)]
pub(super) enum Word<const N: usize> {
    Short {
        length: u8,
        bytes: [u8; N],
    },
    /// Boxed twice, so that the other form need not be larger than its bytes.
    Long(Box<Box<[u8]>>),
}

impl<const N: usize> Default for Word<N> {
    fn default() -> Self {
        Word::Short { length: 0, bytes: [0; N] }
    }
}

impl<const N: usize> Word<N> {
    /// The parts, one behind the other.
    pub fn of(parts: &[&[u8]]) -> Word<N> {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        match u8::try_from(length) {
            Ok(short) if length <= N => {
                let mut bytes = [0; N];
                for (place, byte) in bytes.iter_mut().zip(parts.iter().copied().flatten()) {
                    *place = *byte;
                }
                Word::Short { length: short, bytes }
            }
            _ => Word::Long(Box::new(parts.concat().into())),
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Word::Short { length, .. } => usize::from(*length),
            Word::Long(bytes) => bytes.len(),
        }
    }

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Word::Short { length, bytes } => &bytes[..usize::from(*length).min(N)],
            Word::Long(bytes) => bytes,
        }
    }

    /// Adds the bytes to a buffer.
    #[inline(always)]
    pub fn append_to(&self, out: &mut Vec<u8>) {
        match self {
            Word::Short { length, bytes } => {
                let end = out.len() + usize::from(*length);
                out.extend_from_slice(bytes);
                out.truncate(end);
            }
            Word::Long(bytes) => out.extend_from_slice(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_words() {
        for (parts, is_short) in [
            (["", "", ""], true),
            (["MSG ", "a", " "], true),
            (["MSG ", "abc", " "], true),
            (["MSG ", "abcd", " "], false),
            (["", &"x".repeat(300), ""], false),
        ] {
            let word = Word::<8>::of(&parts.map(str::as_bytes));
            let expected = parts.concat().into_bytes();
            assert_eq!((word.bytes(), word.len()), (expected.as_slice(), expected.len()));
            assert_eq!(matches!(word, Word::Short { .. }), is_short);
            let mut out = b"before ".to_vec();
            word.append_to(&mut out);
            assert_eq!(out, [b"before ".as_slice(), &expected].concat());
        }
    }
}
