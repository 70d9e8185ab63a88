//! A broker that is known by the fingerprint of its authority only: what a node has before its first certificate.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{Verify, algorithms, verifier};
use crate::crypto::hash::sha256;
use crate::security::Authority;

/// Settings of a party without a certificate that believes a broker only when it shows, behind its own certificate, that of
/// the authority with this SHA-256, and the authority vouches for it.
///
/// # Errors
/// When the algorithms do not work together.
pub fn pinned_client(fingerprint: [u8; 32]) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(algorithms(&[], &[]).0);
    let pinned = Pinned { fingerprint, provider: provider.clone() };
    super::connecting(&provider, Arc::new(pinned), None).map(Arc::new)
}

#[derive(Debug)]
struct Pinned {
    fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
}

/// The broker does not show the expected authority.
#[derive(Debug)]
struct NotShown;

impl fmt::Display for NotShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the broker does not show the CA certificate of the expected fingerprint")
    }
}

impl std::error::Error for NotShown {}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let root = intermediates
            .iter()
            .find(|certificate| sha256(certificate) == self.fingerprint)
            .ok_or(CertificateError::Other(OtherError(Arc::new(NotShown))))?;
        let authority =
            Authority::of_certificate(root).map_err(|_| CertificateError::BadEncoding)?;
        verifier(&self.provider, Arc::new(authority), Verify::Strict)?.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
