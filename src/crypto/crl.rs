//! Lists of revoked certificates (X.509 version 2, RFC 5280 section 5): written by an authority, and read.
//!
//! Whether a list is genuine is verified by `webpki`, together with the certificate that it is asked about.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use super::der::{self, INTEGER, OCTET_STRING, Reader, bit_string, sequence, value};
use super::issue::{self, Authority, authority_key_id, extension, name};
use super::{pem, x509};

const OID_CRL_NUMBER: &[u8] = &[0x55, 0x1d, 20];
const OID_REASON: &[u8] = &[0x55, 0x1d, 21];
const ENUMERATED: u8 = 0x0a;
const EXTENSIONS: u8 = 0xa0;
/// The label of its PEM form.
const LABEL: &str = "X509 CRL";
/// Bytes of a file with lists.
pub const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why a certificate was revoked (RFC 5280 section 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing is said.
    Unspecified,
    /// Somebody else may have the key.
    KeyCompromise,
    /// There is a newer certificate.
    Superseded,
    /// The node or the person is gone.
    CessationOfOperation,
}

impl Reason {
    /// All of them, with the words of the command line and of files.
    pub const ALL: [(&'static str, Reason); 4] = [
        ("unspecified", Reason::Unspecified),
        ("key-compromise", Reason::KeyCompromise),
        ("superseded", Reason::Superseded),
        ("retired", Reason::CessationOfOperation),
    ];

    fn code(self) -> u8 {
        match self {
            Reason::Unspecified => 0,
            Reason::KeyCompromise => 1,
            Reason::Superseded => 4,
            Reason::CessationOfOperation => 5,
        }
    }

    /// The reason of this word.
    pub fn of(word: &str) -> Option<Reason> {
        Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, reason)| *reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::ALL.iter().find(|(_, reason)| reason == self);
        f.write_str(found.map_or("unspecified", |(word, _)| word))
    }
}

/// A certificate that is to stand in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The serial number, big-endian.
    pub serial: Vec<u8>,
    /// When it was revoked.
    pub since: SystemTime,
    /// Why.
    pub reason: Reason,
}

/// Makes a list, PEM. `number` has to be larger than that of the list before it.
///
/// # Errors
/// When the authority's key fails.
pub fn sign(
    authority: &Authority,
    entries: &[Entry],
    number: u64,
    now: SystemTime,
    life: Duration,
) -> Result<String, issue::Error> {
    let algorithm = authority.key().signature_algorithm();
    let revoked = match entries.is_empty() {
        // The list must be absent when it would be empty (section 5.1.2.6).
        true => Vec::new(),
        false => sequence(&[&entries.iter().flat_map(encode).collect::<Vec<_>>()]),
    };
    let extensions = [
        authority_key_id(authority.key()),
        extension(OID_CRL_NUMBER, false, &value(INTEGER, &unsigned(&number.to_be_bytes()))),
    ]
    .concat();
    let to_sign = sequence(&[
        &value(INTEGER, &[1]),
        &algorithm,
        &name(authority.common_name()),
        &issue::time(now),
        &issue::time(now + life),
        &revoked,
        &value(EXTENSIONS, &sequence(&[&extensions])),
    ]);
    let signature = bit_string(&authority.key().sign(&to_sign)?);
    Ok(pem::encode(LABEL, &sequence(&[&to_sign, &algorithm, &signature])))
}

fn encode(entry: &Entry) -> Vec<u8> {
    let reason = match entry.reason {
        Reason::Unspecified => Vec::new(),
        reason => {
            let code = value(ENUMERATED, &[reason.code()]);
            sequence(&[&extension(OID_REASON, false, &code)])
        }
    };
    sequence(&[&value(INTEGER, &unsigned(&entry.serial)), &issue::time(entry.since), &reason])
}

/// The contents of an INTEGER that is not negative.
fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = bytes.get(zeros..).unwrap_or_default();
    let needs_zero = digits.first().is_none_or(|first| first & 0x80 != 0);
    let mut out = if needs_zero { vec![0] } else { Vec::new() };
    out.extend_from_slice(digits);
    out
}

/// What one list says. Nothing about it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// The whole of it.
    pub der: Vec<u8>,
    /// The name of its issuer: the contents of the SEQUENCE.
    pub issuer_der: Vec<u8>,
    /// The common name of its issuer.
    pub issuer: String,
    /// When it was made.
    pub this_update: SystemTime,
    /// When there must be another one.
    pub next_update: SystemTime,
    /// The contents of its number.
    pub number: Vec<u8>,
    /// The contents of the serial numbers of revoked certificates.
    pub serials: HashSet<Vec<u8>>,
}

/// Reads every list of a PEM text.
///
/// # Errors
/// What is wrong: no list in it, or one that cannot be read.
pub fn read(text: &str) -> Result<Vec<List>, String> {
    let mut lists = Vec::new();
    let (begin, end) = (format!("-----BEGIN {LABEL}-----"), format!("-----END {LABEL}-----"));
    for block in text.split_inclusive(&end).filter(|block| block.contains(&end)) {
        let der = pem::decode(LABEL, block).ok_or("it is not valid PEM")?;
        let list = from_der(&der).ok_or("it holds a list that is not a CRL of version 2")?;
        lists.push(list);
    }
    match (text.matches(&begin).count(), lists.len()) {
        (0, _) => Err("it holds no CRL in PEM form".to_owned()),
        // Half of a file would leave out what was revoked last.
        (begun, ended) if begun != ended => Err("it holds a list that has no end".to_owned()),
        _ => Ok(lists),
    }
}

fn from_der(input: &[u8]) -> Option<List> {
    let mut body = Reader::new(input).enter(der::SEQUENCE)?.enter(der::SEQUENCE)?;
    if body.take(INTEGER)? != [1] {
        return None;
    }
    body.take(der::SEQUENCE)?;
    let issuer_der = body.take(der::SEQUENCE)?;
    let issuer = x509::common_name(Reader::new(issuer_der))?.unwrap_or_default();
    let (this_update, next_update) = (x509::time(&mut body)?, x509::time(&mut body)?);
    let mut serials = HashSet::new();
    if let Some(entries) = body.take_optional(der::SEQUENCE) {
        let mut entries = Reader::new(entries);
        while !entries.is_empty() {
            serials.insert(entries.enter(der::SEQUENCE)?.take(INTEGER)?.to_vec());
        }
    }
    let mut number = Vec::new();
    let mut extensions = Reader::new(body.take(EXTENSIONS)?).enter(der::SEQUENCE)?;
    while !extensions.is_empty() {
        let mut extension = extensions.enter(der::SEQUENCE)?;
        let id = extension.take(der::OID)?;
        extension.take_optional(der::BOOLEAN);
        let contents = extension.take(OCTET_STRING)?;
        if id == OID_CRL_NUMBER {
            number = Reader::new(contents).take(INTEGER)?.to_vec();
        }
    }
    Some(List {
        der: input.to_vec(),
        issuer_der: issuer_der.to_vec(),
        issuer,
        this_update,
        next_update,
        number,
        serials,
    })
}

impl List {
    /// Whether it was made after another list of the same issuer.
    pub fn is_newer_than(&self, other: &List) -> bool {
        let key = |list: &List| (list.number.len(), list.number.clone(), list.this_update);
        key(self) > key(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::issue::KeyKind;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_366_993)
    }

    #[test]
    fn a_list_is_read_as_it_was_made() {
        for kind in [KeyKind::P256, KeyKind::Rsa2048, KeyKind::Ed25519] {
            let authority = Authority::root("Test CA", kind, now()).unwrap();
            let entry =
                |serial: &[u8], reason| Entry { serial: serial.to_vec(), since: now(), reason };
            let entries =
                [entry(&[0x45, 1], Reason::KeyCompromise), entry(&[0x80], Reason::Unspecified)];
            let text = sign(&authority, &entries, 300, now(), Duration::from_secs(60)).unwrap();
            let lists = read(&text).unwrap();
            let [list] = &lists[..] else { panic!("{} lists", lists.len()) };
            assert_eq!(list.issuer, "Test CA");
            assert_eq!(
                (list.this_update, list.next_update),
                (now(), now() + Duration::from_secs(60))
            );
            assert_eq!(list.number, [1, 44]);
            assert_eq!(list.serials, HashSet::from([vec![0x45, 1], vec![0, 0x80]]));
            webpki::OwnedCertRevocationList::from_der(&list.der).unwrap();
            let none = sign(&authority, &[], 0, now(), Duration::from_secs(60)).unwrap();
            let none = read(&none).unwrap().remove(0);
            webpki::OwnedCertRevocationList::from_der(&none.der).unwrap();
            assert!(none.serials.is_empty() && list.is_newer_than(&none));
            assert!(!none.is_newer_than(list) && !list.is_newer_than(list));
        }
    }

    #[test]
    fn what_is_no_list() {
        let authority = Authority::new_p256("Test CA", now()).unwrap();
        let text = sign(&authority, &[], 1, now(), Duration::from_secs(60)).unwrap();
        let der = pem::decode(LABEL, &text).unwrap();
        for end in 0..der.len() {
            assert!(from_der(&der[..end]).is_none(), "cut at {end}");
        }
        assert!(read("").is_err() && read(authority.ca_pem()).is_err());
        assert!(read(&text.replace('M', "*")).is_err());
        assert_eq!(read(&format!("{text}{text}")).unwrap().len(), 2);
    }

    #[test]
    fn reasons_have_words() {
        for (word, reason) in Reason::ALL {
            assert_eq!((Reason::of(word), reason.to_string()), (Some(reason), word.to_owned()));
        }
        assert_eq!(Reason::of("bored"), None);
    }
}
