//! How claims are written: `null` means nothing, dates are numbers, objects are objects.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};

use super::{ClientPermissions, ServerPermissions};
pub(super) use crate::util::form::null_is_default;
use crate::util::form::only_object;
use crate::util::secret::Secret;

/// Seconds beyond this, in either direction, are not dates. All of them are exact as floating point numbers.
const DATE_SECS_MAX: i64 = 1 << 53;

/// Reads a structure from a JSON object; serde would take a list of its fields as well.
pub(in crate::tokens) fn object<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = only_object(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Permissions: an object or `null`, never a list of flags.
pub(super) fn permissions<'de, D, T>(reader: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    struct Only<T>(T);
    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Only<T> {
        fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
            only_object(reader).map(Only)
        }
    }
    Ok(Option::<Only<T>>::deserialize(reader)?.map(|only| only.0).unwrap_or_default())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
pub(super) fn is_off(flag: &bool) -> bool {
    !*flag
}

pub(super) fn no_client(permissions: &ClientPermissions) -> bool {
    *permissions == ClientPermissions::default()
}

pub(super) fn no_server(permissions: &ServerPermissions) -> bool {
    *permissions == ServerPermissions::default()
}

pub(super) fn no_secret(secret: &Secret<String>) -> bool {
    secret.expose().is_empty()
}

/// Numbers of seconds since 1970; fractions are cut off.
pub(super) mod date {
    use super::*;
    use serde::Serializer;

    pub(in super::super) fn serialize<S: Serializer>(
        date: &Option<i64>,
        writer: S,
    ) -> Result<S::Ok, S::Error> {
        match date {
            Some(secs) => writer.serialize_i64(*secs),
            None => writer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        reader: D,
    ) -> Result<Option<i64>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Number {
            Whole(i64),
            Fraction(f64),
        }
        let secs = match Option::deserialize(reader)? {
            None => return Ok(None),
            Some(Number::Whole(secs)) => secs,
            // The cast saturates, and what is not a number becomes 0.
            Some(Number::Fraction(secs)) if secs.is_finite() => secs.trunc() as i64,
            Some(Number::Fraction(_)) => return Err(D::Error::custom("not a date")),
        };
        if secs.unsigned_abs() > DATE_SECS_MAX.unsigned_abs() {
            return Err(D::Error::custom("a date out of range"));
        }
        Ok(Some(secs))
    }
}

/// Texts that are not shown.
pub(super) mod secret {
    use super::*;
    use serde::Serializer;

    pub(in super::super) fn serialize<S: Serializer>(
        secret: &Secret<String>,
        writer: S,
    ) -> Result<S::Ok, S::Error> {
        writer.serialize_str(secret.expose())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        reader: D,
    ) -> Result<Secret<String>, D::Error> {
        null_is_default(reader).map(Secret::new)
    }
}
