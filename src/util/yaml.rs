//! YAML whose aliases cannot make much out of little.
//!
//! An alias stands for all that its anchor holds, so that a short text can describe a document of any size. What the
//! aliases of a text come to is counted before anything is built.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, EnumAccess, Error as _, IgnoredAny};
use serde::de::{MapAccess, SeqAccess, VariantAccess, Visitor};

/// What one value costs, in bytes, on top of its text.
const VALUE_BYTES: usize = 64;
/// Bytes that any document may come to.
const BYTES_MIN: usize = 16 * 1024 * 1024;
/// Bytes that a document may come to for each byte of its text. Without aliases it stays far below: a value takes two
/// bytes at least.
const GROWTH_MAX: usize = 64;

/// Reads a YAML document.
///
/// # Errors
/// What is wrong with it, with the place.
pub fn from_slice<T: DeserializeOwned>(text: &[u8]) -> Result<T, yaml_serde::Error> {
    if memchr::memchr(b'&', text).is_some() && memchr::memchr(b'*', text).is_some() {
        let left = Cell::new(BYTES_MIN.saturating_add(text.len().saturating_mul(GROWTH_MAX)));
        Count { left: &left }.deserialize(yaml_serde::Deserializer::from_slice(text))?;
    }
    yaml_serde::from_slice(text)
}

/// Walks through a document and keeps nothing.
#[derive(Clone, Copy)]
struct Count<'l> {
    left: &'l Cell<usize>,
}

impl Count<'_> {
    fn spend<E: serde::de::Error>(self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(bytes.saturating_add(VALUE_BYTES));
        self.left.set(left.ok_or_else(|| E::custom("its aliases come to too much"))?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Count<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! scalars {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E: serde::de::Error>(self, _: $type) -> Result<(), E> {
            self.spend(0)
        })*
    };
}

impl<'de> Visitor<'de> for Count<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    scalars!(visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128, visit_f64: f64);

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.spend(0)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        self.spend(0)
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, inner: D) -> Result<(), D::Error> {
        self.deserialize(inner)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.spend(text.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.spend::<A::Error>(0)?;
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.spend::<A::Error>(0)?;
        while entries.next_entry_seed(self, self)?.is_some() {}
        Ok(())
    }

    /// A value with a tag.
    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        self.spend::<A::Error>(0)?;
        let (_, content) = tagged.variant::<IgnoredAny>().map_err(A::Error::custom)?;
        content.newtype_variant_seed(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use yaml_serde::Value;

    #[test]
    fn aliases_work_until_they_come_to_too_much() {
        let many = |items: usize, aliases: usize| {
            let items = vec!["0"; items].join(",");
            format!("a: &a [{items}]\nb: [{}]\n", vec!["*a"; aliases].join(","))
        };
        let mut laughs = "a0: &a0 [x]\n".to_owned();
        for level in 1..30 {
            let before = format!("*a{}", level - 1);
            laughs.push_str(&format!("a{level}: &a{level} [{before},{before}]\n"));
        }
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(200_000), vec!["*a"; 2000].join(","));
        for (what, text, accepted) in [
            ("a few", many(10, 10), true),
            ("many", many(1_000, 200), true),
            ("too many", many(50_000, 200), false),
            ("a tree", laughs, false),
            ("a long text", long, false),
            (
                "tags, merges, odd keys",
                "a: &a !t {b: 1}\nc: {<<: *a, 1: ~, [x]: 1.5}\n".into(),
                true,
            ),
            ("no alias", "a: 'b & c * d'\ne: [1, -1, true, 1e400]\n".into(), true),
            ("unknown alias", "a: &b 1\nc: *d\n".into(), false),
        ] {
            let read = from_slice::<Value>(text.as_bytes());
            assert_eq!(read.is_ok(), accepted, "{what}: {:?}", read.err());
            if accepted {
                assert_eq!(read.ok(), yaml_serde::from_str(&text).ok(), "{what}");
            }
        }
    }
}
