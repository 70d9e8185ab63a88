//! The certificates of a CA, as they came from it.

use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::super::{Error, Fingerprint};
use crate::crypto::signed::is_signed_by;
use crate::crypto::x509::Certificate;
use crate::security::Authority;

/// Certificates in one bundle.
const CERTIFICATES_MAX: usize = 32;

/// What a CA gives as its certificate: one, or that of an intermediate CA with those above it.
#[derive(Debug, Clone)]
pub struct Bundle {
    pem: Vec<u8>,
    certificates: Vec<CaCertificate>,
}

/// One certificate of a bundle.
#[derive(Debug, Clone)]
pub struct CaCertificate {
    /// Its common name.
    pub name: String,
    /// SHA-256 of its DER.
    pub fingerprint: Fingerprint,
    /// The end of its validity.
    pub expires: SystemTime,
    der: Vec<u8>,
    public_key: Vec<u8>,
}

impl Bundle {
    /// Reads PEM text.
    ///
    /// # Errors
    /// When there is no certificate in it, or one that cannot be an authority.
    pub fn read(pem: Vec<u8>) -> Result<Self, Error> {
        let unusable = |reason: String| Error::Authority { reason };
        Authority::from_pem(&pem).map_err(unusable)?;
        let mut certificates = Vec::new();
        for der in CertificateDer::pem_slice_iter(&pem).take(CERTIFICATES_MAX + 1) {
            let der = der.map_err(|error| unusable(error.to_string()))?;
            let read = Certificate::from_der(&der).map_err(|error| unusable(error.to_string()))?;
            let name = read.common_name().unwrap_or("without a name").to_owned();
            // Whoever has a usual certificate of the CA could put it here, and issue certificates with it from then on.
            if !read.is_authority() {
                return Err(unusable(format!(
                    "the certificate of {name} is not that of an authority"
                )));
            }
            certificates.push(CaCertificate {
                name,
                fingerprint: Fingerprint::of(&der),
                expires: read.not_after(),
                public_key: read.public_key_der().to_vec(),
                der: der.to_vec(),
            });
        }
        if certificates.len() > CERTIFICATES_MAX {
            return Err(unusable(format!("it holds more than {CERTIFICATES_MAX} certificates")));
        }
        Ok(Bundle { pem, certificates })
    }

    /// The text as it came.
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// The certificates, in the order in which they came.
    pub fn certificates(&self) -> &[CaCertificate] {
        &self.certificates
    }

    /// The certificate whose fingerprint vouches for the whole bundle: all others lead to it.
    pub fn anchor(&self) -> Option<&CaCertificate> {
        self.certificates.iter().find(|anchor| self.doubtful(anchor).is_none())
    }

    /// Checks that a fingerprint vouches for everything in the bundle: it is that of the whole text, or of a certificate that all
    /// others lead to.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self, expected: &Fingerprint) -> Result<(), Error> {
        if Fingerprint::of(&self.pem) == *expected {
            return Ok(());
        }
        let found = || self.certificates.iter().map(|one| one.fingerprint).collect();
        let anchor = self
            .certificates
            .iter()
            .find(|certificate| certificate.fingerprint == *expected)
            .ok_or_else(|| Error::OtherAuthority { expected: *expected, found: found() })?;
        match self.doubtful(anchor) {
            None => Ok(()),
            Some(other) => Err(Error::Authority {
                reason: format!(
                    "the fingerprint is that of {}, which does not vouch for {}",
                    anchor.name, other.name
                ),
            }),
        }
    }

    /// A certificate that does not lead to `anchor`.
    fn doubtful(&self, anchor: &CaCertificate) -> Option<&CaCertificate> {
        let mut vouched: Vec<&CaCertificate> = vec![anchor];
        let mut others: Vec<&CaCertificate> =
            self.certificates.iter().filter(|one| one.fingerprint != anchor.fingerprint).collect();
        loop {
            let before = others.len();
            others.retain(|other| {
                let fits = vouched.iter().any(|one| is_signed_by(&other.der, &one.public_key));
                if fits {
                    vouched.push(other);
                }
                !fits
            });
            if others.len() == before {
                return others.first().copied();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::issue::{Authority as Issuer, KeyKind, LeafRequest};
    use std::time::Duration;

    #[test]
    fn a_fingerprint_has_to_vouch_for_everything() {
        let now = SystemTime::now();
        let root = Issuer::new_p256("Root", now).unwrap();
        let below = root.intermediate("Below", now).unwrap();
        let lowest = below.intermediate("Lowest", now).unwrap();
        let other = Issuer::new_p256("Other", now).unwrap();
        let read = |issuers: &[&Issuer]| {
            let pem: String = issuers.iter().map(|issuer| issuer.ca_pem()).collect();
            Bundle::read(pem.into_bytes()).unwrap()
        };
        let print = |issuer: &Issuer| read(&[issuer]).certificates()[0].fingerprint;
        let whole = read(&[&lowest, &below, &root]);
        assert_eq!(whole.anchor().unwrap().name, "Root");
        whole.check(&print(&root)).unwrap();
        whole.check(&Fingerprint::of(whole.pem())).unwrap();
        let error = whole.check(&print(&below)).unwrap_err();
        assert!(error.to_string().ends_with("that of Below, which does not vouch for Root"));
        assert!(matches!(whole.check(&print(&other)), Err(Error::OtherAuthority { .. })));
        read(&[&below]).check(&print(&below)).unwrap();
        let mixed = read(&[&root, &other, &below]);
        assert!(mixed.anchor().is_none());
        assert!(mixed.check(&print(&root)).is_err());
    }

    #[test]
    fn what_is_no_authority() {
        let now = SystemTime::now();
        let root = Issuer::new_p256("Root", now).unwrap();
        let mut request = LeafRequest::new("n1", now, Duration::from_secs(60));
        request.key = KeyKind::P256;
        let leaf = root.issue(&request).unwrap().certificate_pem;
        let error = Bundle::read(format!("{}{leaf}", root.ca_pem()).into_bytes()).unwrap_err();
        assert!(error.to_string().ends_with("the certificate of n1 is not that of an authority"));
        for text in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = Bundle::read(text.as_bytes().to_vec()).unwrap_err();
            assert!(matches!(error, Error::Authority { .. }), "{error}");
        }
    }
}
