//! Certificate requests (PKCS#10, RFC 2986): made by who wants a certificate, read by an authority.

use std::fmt;
use std::net::IpAddr;

use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;

use super::der::{
    self, INTEGER, OCTET_STRING, Reader, SEQUENCE, SET, UTF8_STRING, bit_string, oid, sequence,
    value,
};
use super::key::{Error, PrivateKey};
use super::signed::is_signed_by;
use super::x509::{OID_COMMON_NAME, OID_SUBJECT_ALT_NAME, TAG_DNS, TAG_EMAIL, TAG_IP, common_name};
use super::{hash, pem};

const OID_ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 4, 11];
const OID_EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
const TAG_ATTRIBUTES: u8 = 0xa0;

/// What a certificate is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Common name of the subject.
    pub common_name: String,
    /// Organizational unit of the subject; empty for none.
    pub organizational_unit: String,
    /// DNS names; with none there is no such extension.
    pub dns_names: Vec<String>,
}

/// The bytes are no certificate request, or nobody proves to hold its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadRequest {
    /// There is no PEM block of a certificate request.
    NotPem,
    /// A part cannot be read.
    Part(&'static str),
    /// It is not signed with its own key.
    Signature,
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadRequest::NotPem => f.write_str("it holds no certificate request in PEM form"),
            BadRequest::Part(part) => {
                write!(f, "not a certificate request: cannot read the {part}")
            }
            BadRequest::Signature => f.write_str("it is not signed with its own key"),
        }
    }
}

impl std::error::Error for BadRequest {}

/// A certificate request that is signed with its own key. Nothing else it says is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    der: Vec<u8>,
    common_name: Option<String>,
    organizational_unit: Option<String>,
    dns_names: Vec<String>,
    email_names: Vec<String>,
    ip_addresses: Vec<IpAddr>,
    public_key: Vec<u8>,
}

impl CertificateRequest {
    /// Makes a request for a private key, PEM RSA, P-256 or Ed25519.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub fn make(wish: &Wish, key_pem: &str) -> Result<Self, Error> {
        let key = PrivateKey::from_pem(key_pem)?;
        let mut subject = Vec::new();
        let mut add = |id: &[u8], text: &str| {
            let attribute = sequence(&[&oid(id), &value(UTF8_STRING, text.as_bytes())]);
            subject.extend(value(SET, &attribute));
        };
        // In the order in which Go writes them.
        if !wish.organizational_unit.is_empty() {
            add(OID_ORGANIZATIONAL_UNIT, &wish.organizational_unit);
        }
        add(OID_COMMON_NAME, &wish.common_name);
        let body = sequence(&[
            &value(INTEGER, &[0]),
            &value(SEQUENCE, &subject),
            &key.public_key_info(),
            &value(TAG_ATTRIBUTES, &attributes(&wish.dns_names)),
        ]);
        let signature = bit_string(&key.sign(&body)?);
        let der = sequence(&[&body, &key.signature_algorithm(), &signature]);
        Ok(CertificateRequest {
            der,
            common_name: Some(wish.common_name.clone()),
            organizational_unit: Some(wish.organizational_unit.clone())
                .filter(|unit| !unit.is_empty()),
            dns_names: wish.dns_names.clone(),
            email_names: Vec::new(),
            ip_addresses: Vec::new(),
            public_key: key.public_key_info(),
        })
    }

    /// Reads PEM text, `CERTIFICATE REQUEST` or `NEW CERTIFICATE REQUEST`.
    ///
    /// # Errors
    /// Why it is of no use.
    pub fn from_pem(text: &[u8]) -> Result<Self, BadRequest> {
        let text =
            String::from_utf8_lossy(text).replace(" NEW CERTIFICATE REQ", " CERTIFICATE REQ");
        let der = CertificateSigningRequestDer::from_pem_slice(text.as_bytes())
            .map_err(|_| BadRequest::NotPem)?;
        Self::from_der(&der)
    }

    /// Reads DER and checks that it is signed with its own key.
    ///
    /// # Errors
    /// Why it is of no use.
    pub fn from_der(input: &[u8]) -> Result<Self, BadRequest> {
        let part = BadRequest::Part;
        let mut body = Reader::new(input)
            .enter(SEQUENCE)
            .and_then(|mut outer| outer.enter(SEQUENCE))
            .ok_or(part("outer structure"))?;
        body.take(INTEGER).filter(|version| *version == [0]).ok_or(part("version"))?;
        let subject = body.enter(SEQUENCE).ok_or(part("subject"))?;
        let key = body.any().filter(|key| key.tag == SEQUENCE).ok_or(part("public key"))?;
        let mut request = CertificateRequest {
            der: input.to_vec(),
            common_name: common_name(subject).ok_or(part("subject"))?,
            organizational_unit: attribute(subject, OID_ORGANIZATIONAL_UNIT)
                .ok_or(part("subject"))?,
            dns_names: Vec::new(),
            email_names: Vec::new(),
            ip_addresses: Vec::new(),
            public_key: key.whole.to_vec(),
        };
        if let Some(list) = body.take_optional(TAG_ATTRIBUTES) {
            request.read_attributes(Reader::new(list)).ok_or(part("attributes"))?;
        }
        if !is_signed_by(input, &request.public_key) {
            return Err(BadRequest::Signature);
        }
        Ok(request)
    }

    /// The request, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The request, PEM.
    pub fn pem(&self) -> String {
        pem::encode("CERTIFICATE REQUEST", &self.der)
    }

    /// SHA-256 of the DER as lower-case hexadecimal: what an authority shows of it before it signs.
    pub fn fingerprint(&self) -> String {
        hash::sha256_hex(&self.der)
    }

    /// The common name it asks for.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The organizational unit it asks for.
    pub fn organizational_unit(&self) -> Option<&str> {
        self.organizational_unit.as_deref()
    }

    /// The DNS names it asks for.
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// The e-mail addresses it asks for.
    pub fn email_names(&self) -> &[String] {
        &self.email_names
    }

    /// The IP addresses it asks for.
    pub fn ip_addresses(&self) -> &[IpAddr] {
        &self.ip_addresses
    }

    /// The SubjectPublicKeyInfo, DER, as in [`super::x509::Certificate::public_key_der`].
    pub fn public_key_der(&self) -> &[u8] {
        &self.public_key
    }

    fn read_attributes(&mut self, mut list: Reader<'_>) -> Option<()> {
        while !list.is_empty() {
            let mut attribute = list.enter(SEQUENCE)?;
            if attribute.take(der::OID)? != OID_EXTENSION_REQUEST {
                continue;
            }
            let mut extensions = attribute.enter(SET)?.enter(SEQUENCE)?;
            while !extensions.is_empty() {
                let mut extension = extensions.enter(SEQUENCE)?;
                let id = extension.take(der::OID)?;
                extension.take_optional(der::BOOLEAN);
                let contents = extension.take(OCTET_STRING)?;
                if id == OID_SUBJECT_ALT_NAME {
                    self.read_names(Reader::new(contents).enter(SEQUENCE)?)?;
                }
            }
        }
        Some(())
    }

    fn read_names(&mut self, mut names: Reader<'_>) -> Option<()> {
        while !names.is_empty() {
            let name = names.any()?;
            match name.tag {
                TAG_DNS => self.dns_names.push(String::from_utf8(name.contents.to_vec()).ok()?),
                TAG_EMAIL => self.email_names.push(String::from_utf8(name.contents.to_vec()).ok()?),
                TAG_IP => self.ip_addresses.push(match name.contents.len() {
                    4 => IpAddr::from(<[u8; 4]>::try_from(name.contents).ok()?),
                    _ => IpAddr::from(<[u8; 16]>::try_from(name.contents).ok()?),
                }),
                _ => {}
            }
        }
        Some(())
    }
}

/// The attributes of a request: the extensions it asks for, if any.
fn attributes(dns_names: &[String]) -> Vec<u8> {
    if dns_names.is_empty() {
        return Vec::new();
    }
    let names: Vec<u8> =
        dns_names.iter().flat_map(|name| value(TAG_DNS, name.as_bytes())).collect();
    let names = value(OCTET_STRING, &sequence(&[&names]));
    let extensions = sequence(&[&sequence(&[&oid(OID_SUBJECT_ALT_NAME), &names])]);
    sequence(&[&oid(OID_EXTENSION_REQUEST), &value(SET, &extensions)])
}

/// The last text of this kind in a Name, `None` inside when there is none.
fn attribute(mut name: Reader<'_>, wanted: &[u8]) -> Option<Option<String>> {
    let mut found = None;
    while !name.is_empty() {
        let mut set = name.enter(SET)?;
        while !set.is_empty() {
            let mut attribute = set.enter(SEQUENCE)?;
            let id = attribute.take(der::OID)?;
            let text = attribute.any()?;
            if id == wanted {
                found = Some(String::from_utf8(text.contents.to_vec()).ok()?);
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::rsa;

    fn wish(dns_names: &[&str]) -> Wish {
        Wish {
            common_name: "ann.mcollective".to_owned(),
            organizational_unit: "choria.io".to_owned(),
            dns_names: dns_names.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn what_is_made_can_be_read() {
        let key = rsa::generate_2048_pkcs1().unwrap();
        for names in [&[][..], &["b1.example.net", "b2.example.net"]] {
            let made = CertificateRequest::make(&wish(names), &key).unwrap();
            let read = CertificateRequest::from_pem(made.pem().as_bytes()).unwrap();
            assert_eq!(read, made);
            assert_eq!(read.common_name(), Some("ann.mcollective"));
            assert_eq!(read.organizational_unit(), Some("choria.io"));
            assert_eq!(read.dns_names(), names);
            assert_eq!(read.fingerprint().len(), 64);
            let new = made.pem().replace("CERTIFICATE REQ", "NEW CERTIFICATE REQ");
            assert_eq!(CertificateRequest::from_pem(new.as_bytes()), Ok(made));
        }
    }

    #[test]
    fn every_damage_is_noticed() {
        let key = rsa::generate_2048().unwrap();
        let der = CertificateRequest::make(&wish(&["n1"]), &key).unwrap().der;
        for at in 0..der.len() {
            let mut damaged = der.clone();
            damaged[at] ^= 1;
            assert!(CertificateRequest::from_der(&damaged).is_err(), "byte {at}");
            assert!(CertificateRequest::from_der(&der[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(CertificateRequest::from_pem(b"x"), Err(BadRequest::NotPem));
    }
}
