//! Private key, certificate request and certificate of one name: made once, used again, checked against each other.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::error::Unfit;
use super::{Error, files};
use crate::crypto::csr::{CertificateRequest, Wish};
use crate::crypto::key::PrivateKey;
use crate::crypto::rsa;
use crate::crypto::x509::Certificate;
use crate::security::Authority;
use crate::util::secret::Secret;

/// What go-choria puts into its requests.
const ORGANIZATIONAL_UNIT: &str = "choria.io";
const KEY_MODE: u32 = 0o640;
const REQUEST_MODE: u32 = 0o640;
const CERTIFICATE_MODE: u32 = 0o644;

/// Where the files of one name are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The private key.
    pub key: PathBuf,
    /// The certificate request.
    pub request: PathBuf,
    /// The certificate.
    pub certificate: PathBuf,
    /// The CA.
    pub ca: PathBuf,
}

/// A certificate that is in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Where it is.
    pub certificate: PathBuf,
    /// The end of its validity.
    pub expires: SystemTime,
}

/// What was found, and what had to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was made now.
    Made,
    /// It lay there from an earlier attempt.
    Found,
    /// One lay there that was not for this name and key, so another one was made in its place.
    Replaced,
}

/// Who asks for a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applicant {
    /// The name.
    pub identity: String,
    /// Further DNS names for the certificate.
    pub dns_names: Vec<String>,
    /// Where the files are.
    pub paths: Paths,
    /// Whether a certificate that is of no use any more may be overwritten.
    pub replaces_certificate: bool,
}

/// A key and the request for its certificate.
pub struct Material {
    identity: String,
    paths: Paths,
    request: CertificateRequest,
    /// A certificate that fits the key, whose CA is missing.
    certificate: Option<Vec<u8>>,
    key_origin: Origin,
    request_origin: Origin,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Material {
    /// Finds or makes the key and the request. The folders have to be there. Makes an RSA key, which takes a moment.
    ///
    /// # Errors
    /// When there is a certificate already, or a file cannot be used.
    pub fn prepare(applicant: Applicant, now: SystemTime) -> Result<Self, Error> {
        let paths = &applicant.paths;
        let found_key = files::read(&paths.key)?;
        let certificate = match usable_certificate(&applicant, found_key.as_deref(), now) {
            Err(Error::Leftover { .. }) if applicant.replaces_certificate => None,
            found => found?,
        };
        let unusable = |reason: &dyn fmt::Display| Error::Key {
            path: paths.key.clone(),
            reason: reason.to_string(),
        };
        let (key, key_origin) = match found_key {
            Some(key) => (Secret::new(key), Origin::Found),
            None => {
                let key = rsa::generate_2048_pkcs1().map_err(|error| unusable(&error))?;
                files::write(&paths.key, key.as_bytes(), KEY_MODE)?;
                (Secret::new(key.into_bytes()), Origin::Made)
            }
        };
        rsa::SigningKey::from_pem(key.expose()).map_err(|error| unusable(&error))?;
        let text = std::str::from_utf8(key.expose()).map_err(|error| unusable(&error))?;
        let wish = Wish {
            common_name: applicant.identity.clone(),
            organizational_unit: ORGANIZATIONAL_UNIT.to_owned(),
            dns_names: applicant.dns_names.clone(),
        };
        let made = CertificateRequest::make(&wish, text).map_err(|error| unusable(&error))?;
        let (request, request_origin) = match files::read(&paths.request)? {
            None => (made, Origin::Made),
            Some(old) => match CertificateRequest::from_pem(&old) {
                Ok(old) if is_same(&old, &made) => (old, Origin::Found),
                _ => (made, Origin::Replaced),
            },
        };
        if request_origin != Origin::Found {
            files::write(&paths.request, request.pem().as_bytes(), REQUEST_MODE)?;
        }
        let Applicant { identity, paths, .. } = applicant;
        Ok(Material { identity, paths, request, certificate, key_origin, request_origin })
    }

    /// The name.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Where the files are.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The request.
    pub fn request(&self) -> &CertificateRequest {
        &self.request
    }

    /// Where the key comes from.
    pub fn key_origin(&self) -> Origin {
        self.key_origin
    }

    /// Where the request comes from.
    pub fn request_origin(&self) -> Origin {
        self.request_origin
    }

    /// The CA that was installed earlier, if any.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn known_ca(&self) -> Result<Option<Vec<u8>>, Error> {
        files::read(&self.paths.ca)
    }

    /// Puts the CA into its place.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn install_ca(&self, pem: &[u8]) -> Result<(), Error> {
        files::write(&self.paths.ca, pem, CERTIFICATE_MODE)
    }

    /// A certificate that is there already, unverified because its CA was missing.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// Whether a certificate, PEM, is for our key.
    pub fn owns(&self, pem: &[u8]) -> bool {
        fits_key(pem, self.request.public_key_der()).is_ok()
    }

    /// Checks that a certificate is for our key and our name and that the CA vouches for it.
    ///
    /// # Errors
    /// Why it is not used.
    pub fn check(
        &self,
        pem: &[u8],
        authority: &Authority,
        now: SystemTime,
    ) -> Result<SystemTime, Error> {
        judge(pem, self.request.public_key_der(), authority, &self.identity, now)
            .map_err(|reason| Error::Certificate { reason })
    }

    /// Puts a certificate into its place when it is for our key and our name and the CA vouches for it.
    ///
    /// # Errors
    /// Why it is not used, or that the file cannot be written.
    pub fn install(
        &self,
        pem: &[u8],
        authority: &Authority,
        now: SystemTime,
    ) -> Result<Enrolled, Error> {
        let expires = self.check(pem, authority, now)?;
        files::write(&self.paths.certificate, pem, CERTIFICATE_MODE)?;
        Ok(Enrolled { certificate: self.paths.certificate.clone(), expires })
    }
}

/// Whether an old request can stand for a new one: the same name, key and DNS names.
fn is_same(old: &CertificateRequest, new: &CertificateRequest) -> bool {
    old.common_name() == new.common_name()
        && old.public_key_der() == new.public_key_der()
        && old.dns_names() == new.dns_names()
}

/// The certificate that is there, when it fits the key and only its CA is missing.
fn usable_certificate(
    applicant: &Applicant,
    key: Option<&[u8]>,
    now: SystemTime,
) -> Result<Option<Vec<u8>>, Error> {
    let paths = &applicant.paths;
    let Some(certificate) = files::read(&paths.certificate)? else { return Ok(None) };
    let leftover =
        |reason: String| Error::Leftover { certificate: paths.certificate.clone(), reason };
    let Some(key) = key else {
        return Err(leftover(format!("its private key {} is missing", paths.key.display())));
    };
    let key = std::str::from_utf8(key)
        .ok()
        .and_then(|key| PrivateKey::from_pem(key).ok())
        .ok_or_else(|| leftover(format!("{} cannot be used", paths.key.display())))?
        .public_key_info();
    fits_key(&certificate, &key).map_err(|reason| leftover(reason.to_string()))?;
    let Some(ca) = files::read(&paths.ca)? else { return Ok(Some(certificate)) };
    let authority = Authority::from_pem(&ca).map_err(|reason| Error::Authority { reason })?;
    match judge(&certificate, &key, &authority, &applicant.identity, now) {
        Ok(expires) => Err(Error::Enrolled { certificate: paths.certificate.clone(), expires }),
        Err(reason) => Err(leftover(reason.to_string())),
    }
}

/// The end of a certificate that may be used with this key under this name.
fn judge(
    pem: &[u8],
    key: &[u8],
    authority: &Authority,
    identity: &str,
    now: SystemTime,
) -> Result<SystemTime, Unfit> {
    let certificate = fits_key(pem, key)?;
    authority.verify_client(pem, identity, now).map_err(Unfit::Denied)?;
    Ok(certificate.not_after())
}

fn fits_key(pem: &[u8], key: &[u8]) -> Result<Certificate, Unfit> {
    let der = CertificateDer::from_pem_slice(pem)
        .map_err(|_| Unfit::Unreadable("it is not a certificate in PEM form".to_owned()))?;
    let certificate =
        Certificate::from_der(&der).map_err(|error| Unfit::Unreadable(error.to_string()))?;
    if certificate.public_key_der() != key {
        return Err(Unfit::OtherKey);
    }
    Ok(certificate)
}
