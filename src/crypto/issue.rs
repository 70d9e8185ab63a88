//! Certificates and lists of revoked ones, signed by an authority: for `choria ca`, `choria demo` and tests.
//!
//! It writes version 3 certificates that webpki, Go and OpenSSL accept. It keeps no list of what it
//! issued: `ca` does.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::der::{
    self, BOOLEAN, GENERALIZED_TIME, INTEGER, OCTET_STRING, SET, UTC_TIME, UTF8_STRING, bit_string,
    oid, sequence, value,
};
pub use super::key::KeyKind;
use super::key::{self, PrivateKey, key_id};
use super::x509::{
    Certificate, NotACertificate, OID_BASIC_CONSTRAINTS, OID_COMMON_NAME, OID_SUBJECT_ALT_NAME,
    TAG_DNS, TAG_EMAIL, TAG_IP, civil_from_days,
};
use super::{pem, random};

const OID_KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const OID_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
const OID_SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
const OID_AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
const OID_SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const OID_CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
/// How long an authority is valid.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Certificates begin this long before now, for clocks that are late.
const CLOCK_SKEW: Duration = Duration::from_secs(3_600);

/// Why nothing was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The key could not be made or used.
    Key(key::Error),
    /// The certificate of the authority cannot be read.
    Authority(NotACertificate),
    /// The certificate of the authority is for another key.
    OtherKey,
    /// The certificate of the authority has no name.
    Nameless,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Key(error) => write!(f, "cannot issue a certificate: {error}"),
            Error::Authority(error) => write!(f, "cannot use the CA certificate: {error}"),
            Error::OtherKey => {
                f.write_str("the CA certificate and the CA key do not belong together")
            }
            Error::Nameless => f.write_str("the CA certificate has no common name"),
        }
    }
}

impl std::error::Error for Error {}

impl From<key::Error> for Error {
    fn from(error: key::Error) -> Self {
        Error::Key(error)
    }
}

/// What a certificate should say.
#[derive(Debug, Clone)]
pub struct LeafRequest {
    /// Common name.
    pub common_name: String,
    /// DNS names; with all three lists of names empty there is no such extension.
    pub dns_names: Vec<String>,
    /// IP addresses.
    pub ip_addresses: Vec<IpAddr>,
    /// E-mail addresses.
    pub email_names: Vec<String>,
    /// The kind of key to make.
    pub key: KeyKind,
    /// Start of the validity.
    pub not_before: SystemTime,
    /// End of the validity.
    pub not_after: SystemTime,
    /// Allow the use as TLS server.
    pub server_auth: bool,
    /// Allow the use as TLS client and as signer of requests.
    pub client_auth: bool,
}

impl LeafRequest {
    /// An RSA certificate for both uses with its common name as DNS name, valid for `life` from
    /// an hour before `now`.
    pub fn new(common_name: &str, now: SystemTime, life: Duration) -> Self {
        LeafRequest {
            common_name: common_name.to_owned(),
            dns_names: vec![common_name.to_owned()],
            ip_addresses: Vec::new(),
            email_names: Vec::new(),
            key: KeyKind::Rsa2048,
            not_before: now - CLOCK_SKEW,
            not_after: now + life,
            server_auth: true,
            client_auth: true,
        }
    }
}

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, followed by those of intermediate authorities.
    pub certificate_pem: String,
    /// The private key, PKCS#8.
    pub key_pem: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// An authority that signs certificates.
pub struct Authority {
    common_name: String,
    key: PrivateKey,
    ca_pem: String,
    /// Certificates between this authority and the root, PEM; empty for a root.
    chain_pem: String,
}

impl Authority {
    /// A root with an RSA key.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn new_rsa(common_name: &str, now: SystemTime) -> Result<Self, Error> {
        Self::root(common_name, KeyKind::Rsa2048, now)
    }

    /// A root with a P-256 key.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn new_p256(common_name: &str, now: SystemTime) -> Result<Self, Error> {
        Self::root(common_name, KeyKind::P256, now)
    }

    /// An authority below this one. What it issues carries its certificate along.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn intermediate(&self, common_name: &str, now: SystemTime) -> Result<Self, Error> {
        let key = PrivateKey::generate(KeyKind::P256)?;
        let ca_pem = self.certify_authority(common_name, &key, now)?;
        let chain_pem = format!("{ca_pem}{}", self.chain_pem);
        Ok(Authority { common_name: common_name.to_owned(), key, ca_pem, chain_pem })
    }

    /// The authority's own certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Makes a key and issues a certificate for it.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn issue(&self, request: &LeafRequest) -> Result<Issued, Error> {
        self.certify(request, PrivateKey::generate(request.key)?)
    }

    /// Issues a certificate for a key that exists already, PKCS#8 PEM; `request.key` is not looked at.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub fn issue_for_key(&self, request: &LeafRequest, key_pem: &str) -> Result<Issued, Error> {
        self.certify(request, PrivateKey::from_pem(key_pem)?)
    }

    fn certify(&self, request: &LeafRequest, key: PrivateKey) -> Result<Issued, Error> {
        let certificate_pem = self.certify_public_key(request, &key.public_key_info())?;
        Ok(Issued { certificate_pem, key_pem: key.pem().to_owned() })
    }

    /// Issues a certificate for somebody else's key, given as SubjectPublicKeyInfo in DER; gives it as PEM.
    /// `request.key` is not looked at.
    ///
    /// # Errors
    /// When the authority's own key fails.
    pub fn certify_public_key(
        &self,
        request: &LeafRequest,
        public_key_info: &[u8],
    ) -> Result<String, Error> {
        let certificate = self.sign(&Body {
            subject: &request.common_name,
            public_key_info,
            not_before: request.not_before,
            not_after: request.not_after,
            extensions: leaf_extensions(request),
        })?;
        Ok(format!("{certificate}{}", self.chain_pem))
    }

    /// An authority whose certificate and key, both PEM, were kept. Its certificate is taken for a root.
    ///
    /// # Errors
    /// When they cannot be used together.
    pub fn from_pem(ca_pem: &str, key_pem: &str) -> Result<Self, Error> {
        let unreadable = |_| Error::Authority(NotACertificate { part: "PEM form" });
        let der = CertificateDer::from_pem_slice(ca_pem.as_bytes()).map_err(unreadable)?;
        let read = Certificate::from_der(&der).map_err(Error::Authority)?;
        let key = PrivateKey::from_pem(key_pem)?;
        if key.public_key_info() != read.public_key_der() {
            return Err(Error::OtherKey);
        }
        let common_name = read.common_name().ok_or(Error::Nameless)?.to_owned();
        Ok(Authority { common_name, key, ca_pem: ca_pem.to_owned(), chain_pem: String::new() })
    }

    /// The private key, PEM: a secret.
    pub fn key_pem(&self) -> &str {
        self.key.pem()
    }

    pub(super) fn key(&self) -> &PrivateKey {
        &self.key
    }

    pub(super) fn common_name(&self) -> &str {
        &self.common_name
    }

    /// A root with a key of this kind, valid for ten years.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn root(common_name: &str, kind: KeyKind, now: SystemTime) -> Result<Self, Error> {
        let mut authority = Authority {
            common_name: common_name.to_owned(),
            key: PrivateKey::generate(kind)?,
            ca_pem: String::new(),
            chain_pem: String::new(),
        };
        authority.ca_pem = authority.certify_authority(common_name, &authority.key, now)?;
        Ok(authority)
    }

    fn certify_authority(
        &self,
        subject: &str,
        key: &PrivateKey,
        now: SystemTime,
    ) -> Result<String, Error> {
        const CERT_AND_CRL_SIGN: &[u8] = &[1, 0x06];
        let ca = sequence(&[&value(BOOLEAN, &[0xff])]);
        self.sign(&Body {
            subject,
            public_key_info: &key.public_key_info(),
            not_before: now - CLOCK_SKEW,
            not_after: now + AUTHORITY_LIFE,
            extensions: [
                extension(OID_BASIC_CONSTRAINTS, true, &ca),
                extension(OID_KEY_USAGE, true, &value(der::BIT_STRING, CERT_AND_CRL_SIGN)),
            ]
            .concat(),
        })
    }

    /// One signed certificate, PEM.
    fn sign(&self, body: &Body<'_>) -> Result<String, Error> {
        let mut serial = [0; 16];
        random::fill(&mut serial);
        serial[0] = (serial[0] & 0x7f) | 0x40;
        let key_ids = [
            extension(
                OID_SUBJECT_KEY_ID,
                false,
                &value(OCTET_STRING, &key_id(body.public_key_info)),
            ),
            authority_key_id(&self.key),
        ]
        .concat();
        let extensions = sequence(&[&body.extensions, &key_ids]);
        let algorithm = self.key.signature_algorithm();
        let to_sign = sequence(&[
            &value(0xa0, &value(INTEGER, &[2])),
            &value(INTEGER, &serial),
            &algorithm,
            &name(&self.common_name),
            &sequence(&[&time(body.not_before), &time(body.not_after)]),
            &name(body.subject),
            body.public_key_info,
            &value(0xa3, &extensions),
        ]);
        let signature = bit_string(&self.key.sign(&to_sign)?);
        Ok(pem::encode("CERTIFICATE", &sequence(&[&to_sign, &algorithm, &signature])))
    }
}

/// The parts of a certificate that differ.
struct Body<'a> {
    subject: &'a str,
    public_key_info: &'a [u8],
    not_before: SystemTime,
    not_after: SystemTime,
    extensions: Vec<u8>,
}

fn leaf_extensions(request: &LeafRequest) -> Vec<u8> {
    const DIGITAL_SIGNATURE_AND_KEY_ENCIPHERMENT: &[u8] = &[5, 0xa0];
    let mut out = extension(OID_BASIC_CONSTRAINTS, true, &sequence(&[]));
    let usage = value(der::BIT_STRING, DIGITAL_SIGNATURE_AND_KEY_ENCIPHERMENT);
    out.extend(extension(OID_KEY_USAGE, true, &usage));
    let mut purposes = Vec::new();
    for (wanted, id) in
        [(request.client_auth, OID_CLIENT_AUTH), (request.server_auth, OID_SERVER_AUTH)]
    {
        if wanted {
            purposes.extend(oid(id));
        }
    }
    if !purposes.is_empty() {
        out.extend(extension(OID_EXTENDED_KEY_USAGE, false, &sequence(&[&purposes])));
    }
    let names = alternative_names(&request.dns_names, &request.email_names, &request.ip_addresses);
    if !names.is_empty() {
        out.extend(extension(OID_SUBJECT_ALT_NAME, false, &sequence(&[&names])));
    }
    out
}

/// The contents of an extension with alternative names; nothing when there are none.
pub(super) fn alternative_names(
    dns_names: &[String],
    email_names: &[String],
    ip_addresses: &[IpAddr],
) -> Vec<u8> {
    let mut names = Vec::new();
    dns_names.iter().for_each(|name| names.extend(value(TAG_DNS, name.as_bytes())));
    email_names.iter().for_each(|name| names.extend(value(TAG_EMAIL, name.as_bytes())));
    for address in ip_addresses {
        names.extend(match address {
            IpAddr::V4(address) => value(TAG_IP, &address.octets()),
            IpAddr::V6(address) => value(TAG_IP, &address.octets()),
        });
    }
    names
}

/// Tells by which key of the authority something was signed.
pub(super) fn authority_key_id(key: &PrivateKey) -> Vec<u8> {
    let id = value(0x80, &key_id(&key.public_key_info()));
    extension(OID_AUTHORITY_KEY_ID, false, &sequence(&[&id]))
}

pub(super) fn extension(id: &[u8], critical: bool, contents: &[u8]) -> Vec<u8> {
    let critical = if critical { value(BOOLEAN, &[0xff]) } else { Vec::new() };
    sequence(&[&oid(id), &critical, &value(OCTET_STRING, contents)])
}

pub(super) fn name(common_name: &str) -> Vec<u8> {
    let attribute = sequence(&[&oid(OID_COMMON_NAME), &value(UTF8_STRING, common_name.as_bytes())]);
    sequence(&[&value(SET, &attribute)])
}

/// UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5). Times before 1970
/// become 1970.
pub(super) fn time(time: SystemTime) -> Vec<u8> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, rest) = ((since / 86_400) as i64, since % 86_400);
    let (year, month, day) = civil_from_days(days);
    let clock = format!("{:02}{:02}{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60);
    if year < 2050 {
        return value(UTC_TIME, format!("{:02}{month:02}{day:02}{clock}", year % 100).as_bytes());
    }
    value(GENERALIZED_TIME, format!("{year:04}{month:02}{day:02}{clock}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::rsa;
    use rustls_pki_types::UnixTime;

    const NOW: Duration = Duration::from_secs(1_795_366_993);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + NOW
    }

    fn ders(text: &str) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().unwrap()
    }

    /// Verifies as a TLS client certificate, as requests are.
    fn verify(root: &str, issued: &Issued) -> Result<(), webpki::Error> {
        let (root, chain) = (ders(root), ders(&issued.certificate_pem));
        let anchor = webpki::anchor_from_trusted_cert(&root[0]).unwrap();
        webpki::EndEntityCert::try_from(&chain[0])
            .unwrap()
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &[anchor],
                &chain[1..],
                UnixTime::since_unix_epoch(NOW),
                webpki::KeyUsage::client_auth(),
                None,
                None,
            )
            .map(drop)
    }

    #[test]
    fn issued_certificates_verify_and_say_what_was_asked() {
        let root = Authority::new_p256("Test CA", now()).unwrap();
        let mut request = LeafRequest::new("alice.mcollective", now(), Duration::from_secs(3_600));
        request.email_names.push("alice@example.net".to_owned());
        request.ip_addresses.push("127.0.0.1".parse().unwrap());
        request.not_after = now() + Duration::from_secs(40 * 365 * 86_400);
        let issued = root.issue(&request).unwrap();
        verify(root.ca_pem(), &issued).unwrap();
        let read = Certificate::from_der(&ders(&issued.certificate_pem)[0]).unwrap();
        assert_eq!(read.common_name(), Some("alice.mcollective"));
        assert_eq!(read.issuer(), Some("Test CA"));
        assert_eq!(read.dns_names(), ["alice.mcollective"]);
        assert_eq!(read.email_names(), ["alice@example.net"]);
        assert_eq!(read.not_before(), request.not_before);
        assert_eq!(read.not_after(), request.not_after);
        let key = rsa::SigningKey::from_pem(issued.key_pem.as_bytes()).unwrap();
        let signature = key.sign_pkcs1_sha256(b"x").unwrap();
        assert_eq!(rsa::verify_pkcs1_sha256(read.public_key_der(), b"x", &signature), Ok(()));
        assert!(!format!("{issued:?}").contains("PRIVATE"));
    }

    #[test]
    fn rsa_roots_and_intermediates() {
        let root = Authority::new_rsa("Root", now()).unwrap();
        let below = root.intermediate("Below", now()).unwrap();
        let mut request = LeafRequest::new("n1", now(), Duration::from_secs(60));
        request.key = KeyKind::P256;
        verify(root.ca_pem(), &root.issue(&request).unwrap()).unwrap();
        let issued = below.issue(&request).unwrap();
        assert_eq!(ders(&issued.certificate_pem).len(), 2);
        verify(root.ca_pem(), &issued).unwrap();
        let other = Authority::new_p256("Root", now()).unwrap();
        assert!(verify(other.ca_pem(), &issued).is_err());
        request.client_auth = false;
        assert!(verify(root.ca_pem(), &root.issue(&request).unwrap()).is_err());
    }
}
