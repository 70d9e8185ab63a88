//! Certificates and keys from bytes of a peer.
#![no_main]

use choria::crypto::rsa;
use choria::crypto::x509::Certificate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(certificate) = Certificate::from_der(data) {
        let _ = rsa::verify_pkcs1_sha256(certificate.public_key_der(), b"text", &[0; 256]);
    }
    let _ = rsa::verify_pkcs1_sha256(data, b"text", &[0; 256]);
    let _ = rsa::SigningKey::from_pem(data);
});
