//! Reading X.509 certificates: names, dates and the public key.
//!
//! Chains are verified by `webpki`; this reader gives what webpki keeps to itself.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::der::{self, Reader};

pub(super) const OID_BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
pub(super) const OID_COMMON_NAME: &[u8] = &[0x55, 4, 3];
pub(super) const OID_SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
pub(super) const TAG_EMAIL: u8 = 0x81;
pub(super) const TAG_DNS: u8 = 0x82;
pub(super) const TAG_IP: u8 = 0x87;

/// The bytes are not a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotACertificate {
    /// The part that could not be read.
    pub part: &'static str,
}

impl fmt::Display for NotACertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an X.509 certificate: cannot read the {}", self.part)
    }
}

impl std::error::Error for NotACertificate {}

/// What one certificate says. Nothing about it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    serial: Vec<u8>,
    issuer_der: Vec<u8>,
    common_name: Option<String>,
    issuer: Option<String>,
    dns_names: Vec<String>,
    email_names: Vec<String>,
    has_alternative_names: bool,
    not_before: SystemTime,
    not_after: SystemTime,
    public_key: Vec<u8>,
    is_authority: bool,
}

impl Certificate {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// Which part cannot be read.
    pub fn from_der(input: &[u8]) -> Result<Self, NotACertificate> {
        let part = |part| NotACertificate { part };
        let outer = Reader::new(input).enter(der::SEQUENCE);
        let mut body =
            outer.and_then(|mut r| r.enter(der::SEQUENCE)).ok_or(part("outer structure"))?;
        body.take_optional(0xa0);
        let serial = body.take(der::INTEGER).ok_or(part("serial number"))?;
        body.take(der::SEQUENCE).ok_or(part("signature algorithm"))?;
        let issuer_der = body.take(der::SEQUENCE).ok_or(part("issuer"))?;
        let issuer = Reader::new(issuer_der);
        let mut validity = body.enter(der::SEQUENCE).ok_or(part("validity"))?;
        let not_before = time(&mut validity).ok_or(part("validity"))?;
        let not_after = time(&mut validity).ok_or(part("validity"))?;
        let subject = body.enter(der::SEQUENCE).ok_or(part("subject"))?;
        let key = body.any().filter(|key| key.tag == der::SEQUENCE).ok_or(part("public key"))?;
        let mut certificate = Certificate {
            serial: serial.to_vec(),
            issuer_der: issuer_der.to_vec(),
            common_name: common_name(subject).ok_or(part("subject"))?,
            issuer: common_name(issuer).ok_or(part("issuer"))?,
            dns_names: Vec::new(),
            email_names: Vec::new(),
            has_alternative_names: false,
            not_before,
            not_after,
            public_key: key.whole.to_vec(),
            is_authority: false,
        };
        body.take_optional(0x81);
        body.take_optional(0x82);
        if let Some(mut extensions) = body.take_optional(0xa3).map(Reader::new) {
            let list = extensions.enter(der::SEQUENCE).ok_or(part("extensions"))?;
            certificate.read_extensions(list).ok_or(part("extensions"))?;
        }
        Ok(certificate)
    }

    /// The serial number: the contents of the INTEGER, big-endian.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The name of the issuer: the contents of the SEQUENCE, DER.
    pub fn issuer_der(&self) -> &[u8] {
        &self.issuer_der
    }

    /// The common name of the subject; the last one when there are several, as in Go.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The common name of the issuer.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// DNS names of the subject alternative names.
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// E-mail addresses of the subject alternative names.
    pub fn email_names(&self) -> &[String] {
        &self.email_names
    }

    /// Whether there is a subject alternative name extension at all.
    pub fn has_alternative_names(&self) -> bool {
        self.has_alternative_names
    }

    /// Start of the validity.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// End of the validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether it may issue certificates: its basic constraints say so.
    pub fn is_authority(&self) -> bool {
        self.is_authority
    }

    /// The SubjectPublicKeyInfo, DER.
    pub fn public_key_der(&self) -> &[u8] {
        &self.public_key
    }

    fn read_extensions(&mut self, mut list: Reader<'_>) -> Option<()> {
        while !list.is_empty() {
            let mut extension = list.enter(der::SEQUENCE)?;
            let id = extension.take(der::OID)?;
            extension.take_optional(der::BOOLEAN);
            let contents = extension.take(der::OCTET_STRING)?;
            if id == OID_BASIC_CONSTRAINTS {
                let mut constraints = Reader::new(contents).enter(der::SEQUENCE)?;
                self.is_authority = constraints.take_optional(der::BOOLEAN) == Some(&[0xff]);
            }
            if id == OID_SUBJECT_ALT_NAME {
                self.has_alternative_names = true;
                self.read_names(Reader::new(contents).enter(der::SEQUENCE)?)?;
            }
        }
        Some(())
    }

    fn read_names(&mut self, mut names: Reader<'_>) -> Option<()> {
        while !names.is_empty() {
            let name = names.any()?;
            let list = match name.tag {
                TAG_DNS => &mut self.dns_names,
                TAG_EMAIL => &mut self.email_names,
                _ => continue,
            };
            list.push(String::from_utf8(name.contents.to_vec()).ok()?);
        }
        Some(())
    }
}

/// The last common name of a Name, `None` inside when there is none.
pub(super) fn common_name(mut name: Reader<'_>) -> Option<Option<String>> {
    const BMP_STRING: u8 = 0x1e;
    let mut found = None;
    while !name.is_empty() {
        let mut set = name.enter(der::SET)?;
        while !set.is_empty() {
            let mut attribute = set.enter(der::SEQUENCE)?;
            let id = attribute.take(der::OID)?;
            let value = attribute.any()?;
            if id != OID_COMMON_NAME {
                continue;
            }
            found = Some(if value.tag == BMP_STRING {
                let units: Vec<u16> = value
                    .contents
                    .chunks_exact(2)
                    .map(|c| u16::from_be_bytes([c[0], c[1]]))
                    .collect();
                String::from_utf16(&units).ok()?
            } else {
                String::from_utf8(value.contents.to_vec()).ok()?
            });
        }
    }
    Some(found)
}

/// A UTCTime or GeneralizedTime, both in seconds and UTC as RFC 5280 demands.
pub(super) fn time(reader: &mut Reader<'_>) -> Option<SystemTime> {
    let value = reader.any()?;
    let digits = value.contents.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = digits.get(from..to)?;
        Some(digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    };
    let (year, rest) = match (value.tag, digits.len()) {
        (der::UTC_TIME, 12) => {
            let year = number(0, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, 2)
        }
        (der::GENERALIZED_TIME, 14) => (number(0, 4)?, 4),
        _ => return None,
    };
    let part = |index: usize| number(rest + 2 * index, rest + 2 * index + 2);
    let (month, day, hour, minute, second) = (part(0)?, part(1)?, part(2)?, part(3)?, part(4)?);
    let valid = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    if !valid {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

/// Days between 1970-01-01 and a date of the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last of the year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date of the Gregorian calendar, as year, month and day, that many days after 1970-01-01.
pub(super) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    fn captured(name: &str) -> Certificate {
        let path = format!("{}/testdata/wire/v1/pki/{name}", env!("CARGO_MANIFEST_DIR"));
        let der = CertificateDer::from_pem_file(path).unwrap();
        Certificate::from_der(&der).unwrap()
    }

    #[test]
    fn certificates_of_the_reference_set() {
        let alice = captured("alice.mcollective.pem");
        assert_eq!(alice.common_name(), Some("alice.mcollective"));
        assert_eq!(alice.issuer(), Some("Choria Lab CA"));
        assert_eq!(alice.dns_names(), ["alice.mcollective"]);
        assert!(alice.has_alternative_names() && alice.email_names().is_empty());
        assert_eq!(captured("ca.pem").common_name(), Some("Choria Lab CA"));
        let expired = captured("expired-alice.pem");
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        assert_eq!(expired.not_before(), at(1_577_836_800));
        assert_eq!(expired.not_after(), at(1_609_459_200));
    }

    #[test]
    fn days() {
        for (date, days) in [
            ((1970, 1, 1), 0),
            ((2000, 2, 29), 11_016),
            ((2026, 11, 22), 20_779),
            ((1969, 12, 31), -1),
            ((2056, 11, 14), 31_729),
        ] {
            assert_eq!(days_from_civil(date.0, date.1, date.2), days, "{date:?}");
            assert_eq!(civil_from_days(days), date);
        }
        for days in (-1_000_000..3_000_000).step_by(97) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn times() {
        let read = |tag, text: &str| time(&mut Reader::new(&der::value(tag, text.as_bytes())));
        let at = |secs| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(secs));
        assert_eq!(read(der::UTC_TIME, "700101000000Z"), at(0));
        assert_eq!(read(der::UTC_TIME, "491231235959Z"), at(2_524_607_999));
        assert_eq!(read(der::GENERALIZED_TIME, "20500101000000Z"), at(2_524_608_000));
        for text in ["7001010000Z", "700101000000", "701301000000Z", "70010100000xZ", ""] {
            assert_eq!(read(der::UTC_TIME, text), None, "{text}");
        }
        assert_eq!(read(der::OCTET_STRING, "700101000000Z"), None);
    }

    #[test]
    fn every_cut_and_flipped_byte_is_survived() {
        let path =
            format!("{}/testdata/wire/v1/pki/alice.mcollective.pem", env!("CARGO_MANIFEST_DIR"));
        let der = CertificateDer::from_pem_file(path).unwrap().to_vec();
        for end in 0..der.len() {
            assert!(Certificate::from_der(&der[..end]).is_err(), "cut at {end}");
        }
        for at in 0..der.len() {
            for bit in [0x01, 0x40, 0x80, 0xff] {
                let mut damaged = der.clone();
                damaged[at] ^= bit;
                let _ = Certificate::from_der(&damaged);
            }
        }
    }
}
