//! The signature around a certificate, a certificate request or a revocation list.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};

use super::der::{self, Reader};

const RSA_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
const ED25519_KEY: &[u8] = &[0x2b, 0x65, 0x70];
const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12];
const RSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];

/// One way to sign.
struct Algorithm {
    id: &'static [u8],
    key: &'static [u8],
    curve: Option<&'static [u8]>,
    verifier: &'static dyn VerificationAlgorithm,
}

const fn rsa(id: &'static [u8], verifier: &'static dyn VerificationAlgorithm) -> Algorithm {
    Algorithm { id, key: RSA_KEY, curve: None, verifier }
}

const fn ecdsa(
    id: &'static [u8],
    curve: &'static [u8],
    verifier: &'static dyn VerificationAlgorithm,
) -> Algorithm {
    Algorithm { id, key: EC_KEY, curve: Some(curve), verifier }
}

const ALGORITHMS: &[Algorithm] = &[
    rsa(RSA_SHA256, &RSA_PKCS1_2048_8192_SHA256),
    rsa(RSA_SHA384, &RSA_PKCS1_2048_8192_SHA384),
    rsa(RSA_SHA512, &RSA_PKCS1_2048_8192_SHA512),
    ecdsa(ECDSA_SHA256, P256, &ECDSA_P256_SHA256_ASN1),
    ecdsa(ECDSA_SHA384, P384, &ECDSA_P384_SHA384_ASN1),
    Algorithm { id: ED25519_KEY, key: ED25519_KEY, curve: None, verifier: &ED25519 },
];

/// Whether `der`, a certificate, certificate request or revocation list, is signed with the key of a
/// SubjectPublicKeyInfo. What cannot be read, and any algorithm that is not known, is not.
pub fn is_signed_by(der: &[u8], public_key_info: &[u8]) -> bool {
    verify(der, public_key_info).is_some()
}

fn verify(der: &[u8], public_key_info: &[u8]) -> Option<()> {
    let mut outer = Reader::new(der);
    let mut parts = outer.enter(der::SEQUENCE)?;
    let body = parts.any()?.whole;
    let mut algorithm = parts.enter(der::SEQUENCE)?;
    let id = algorithm.take(der::OID)?;
    let has_no_parameters = algorithm.take_optional(der::NULL).is_none_or(<[u8]>::is_empty);
    let [0, signature @ ..] = parts.take(der::BIT_STRING)? else { return None };
    let is_whole = outer.is_empty() && parts.is_empty() && algorithm.is_empty();
    if !is_whole || !has_no_parameters {
        return None;
    }
    let mut info = Reader::new(public_key_info).enter(der::SEQUENCE)?;
    let mut kind = info.enter(der::SEQUENCE)?;
    let (kind, curve) = (kind.take(der::OID)?, kind.take_optional(der::OID));
    let [0, key @ ..] = info.take(der::BIT_STRING)? else { return None };
    let algorithm = ALGORITHMS
        .iter()
        .find(|known| known.id == id && known.key == kind && known.curve == curve)?;
    UnparsedPublicKey::new(algorithm.verifier, key).verify(body, signature).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::issue::{Authority, LeafRequest};
    use crate::crypto::x509::Certificate;
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    use std::time::{Duration, SystemTime};

    #[test]
    fn only_the_key_of_the_issuer_fits() {
        let now = SystemTime::now();
        let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let key = |pem: &str| Certificate::from_der(&der(pem)).unwrap().public_key_der().to_vec();
        let rsa = Authority::new_rsa("A", now).unwrap();
        let p256 = Authority::new_p256("B", now).unwrap();
        for (issuer, other) in [(&rsa, &p256), (&p256, &rsa)] {
            let mut request = LeafRequest::new("n1", now, Duration::from_secs(60));
            request.key = crate::crypto::issue::KeyKind::P256;
            let leaf = der(&issuer.issue(&request).unwrap().certificate_pem);
            let (right, wrong) = (key(issuer.ca_pem()), key(other.ca_pem()));
            assert!(is_signed_by(&leaf, &right) && is_signed_by(&der(issuer.ca_pem()), &right));
            assert!(!is_signed_by(&leaf, &wrong));
            for at in 0..leaf.len() {
                let mut damaged = leaf.to_vec();
                damaged[at] ^= 1;
                assert!(!is_signed_by(&damaged, &right), "byte {at}");
            }
            assert!(!is_signed_by(&[&leaf[..], &[0]].concat(), &right));
        }
        assert!(!is_signed_by(&[], &[]));
    }
}
