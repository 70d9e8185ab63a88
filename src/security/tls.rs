//! TLS settings for both ends, on rustls with ring.
//!
//! At least TLS 1.2 everywhere. Cipher suites and curves are configured by the names Go gives them;
//! names that cannot be used are reported, never silently taken for something else.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ResolvesClientCert, Resumption, WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor,
};
use rustls::crypto::ring::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{
    CryptoProvider, SupportedKxGroup, verify_tls12_signature, verify_tls13_signature,
};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, NamedGroup, RootCertStore, ServerConfig,
    SignatureScheme, SupportedCipherSuite,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

mod ahead;
mod current;
mod dated;
mod pinned;
mod remembered;

use super::Authority;
use crate::crypto::x509::Certificate;
pub use ahead::make_key_ahead;
pub(super) use current::Current;
use dated::Dated;
pub use pinned::pinned_client;
use remembered::Remembered;

/// Cipher suites of TLS 1.2 by the names Go gives them, best first. TLS 1.3 suites cannot be configured there.
///
/// Those with SHA-256 come first, as in Go: processors have instructions for it and seldom for SHA-384, which made 5 % of
/// the work of a handshake.
const SUITES: &[(&str, SupportedCipherSuite)] = &[
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// Cipher suites of TLS 1.3, which are always on, best first.
const SUITES_13: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_128_GCM_SHA256", cipher_suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", cipher_suite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", cipher_suite::TLS13_CHACHA20_POLY1305_SHA256),
];

/// Curves by the names Go gives them, in the default order of preference.
const CURVES: [(&str, &dyn SupportedKxGroup); 3] = [
    ("X25519", kx_group::X25519),
    ("CurveP256", kx_group::SECP256R1),
    ("CurveP384", kx_group::SECP384R1),
];

/// The algorithms to use, and a sentence for each configured name that is of no use.
pub(super) fn algorithms(suites: &[String], curves: &[String]) -> (CryptoProvider, Vec<String>) {
    let mut provider = default_provider();
    let mut notes = Vec::new();
    let mut chosen = Vec::new();
    for name in suites {
        // Go knows the two ChaCha20 suites by a shorter name as well.
        let long =
            if name.ends_with("_POLY1305") { format!("{name}_SHA256") } else { name.clone() };
        match SUITES.iter().find(|(known, _)| *known == long) {
            Some((_, suite)) => chosen.push(*suite),
            None if SUITES_13.iter().any(|(known, _)| *known == long) => {
                notes.push(format!("cipher suite {name} belongs to TLS 1.3 and is always on"));
            }
            None => notes.push(format!("cipher suite {name} is not supported and is ignored")),
        }
    }
    if suites.is_empty() {
        chosen = SUITES.iter().map(|(_, suite)| *suite).collect();
    } else if chosen.is_empty() {
        notes.push("no configured cipher suite is left: only TLS 1.3 is possible".to_owned());
    }
    provider.cipher_suites = SUITES_13.iter().map(|(_, suite)| *suite).chain(chosen).collect();
    let mut groups = Vec::new();
    for name in curves {
        match CURVES.iter().find(|(known, _)| known == name) {
            Some((_, group)) => groups.push(*group),
            None => notes.push(format!("curve {name} is not supported and is ignored")),
        }
    }
    if !curves.is_empty() && groups.is_empty() {
        notes.push("no configured curve is left: the default curves are used".to_owned());
    }
    provider.kx_groups =
        if groups.is_empty() { CURVES.iter().map(|(_, group)| *group).collect() } else { groups };
    (provider, notes)
}

/// How a client verifies the server it connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verify {
    /// Chain, dates and a subject alternative name.
    Strict,
    /// As [`Verify::Strict`], but a certificate without such names may use its common name.
    Legacy,
    /// Nothing: the peer may be anyone.
    Off,
}

/// Settings of a connecting party.
pub(super) fn client(
    provider: &Arc<CryptoProvider>,
    authority: Option<Arc<Authority>>,
    own: Option<Arc<dyn ResolvesClientCert>>,
    verify: Verify,
) -> Result<ClientConfig, rustls::Error> {
    let verifier: Arc<dyn ServerCertVerifier> = if verify == Verify::Off {
        Arc::new(NoVerification { provider: provider.clone() })
    } else {
        let authority =
            authority.ok_or_else(|| rustls::Error::General("there is no authority".to_owned()))?;
        verifier(provider, authority, verify)?
    };
    connecting(provider, verifier, own)
}

/// Verifies servers by an authority.
fn verifier(
    provider: &Arc<CryptoProvider>,
    authority: Arc<Authority>,
    verify: Verify,
) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
    let roots = Arc::new(roots(&authority)?);
    let strict = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let inner: Arc<dyn ServerCertVerifier> = if verify == Verify::Legacy {
        Arc::new(LegacyVerification { strict, roots, provider: provider.clone() })
    } else {
        strict
    };
    Ok(Arc::new(Dated { inner, authority }))
}

/// Settings of a connecting party that verifies in this way.
fn connecting(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
    own: Option<Arc<dyn ResolvesClientCert>>,
) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match own {
        Some(own) => builder.with_client_cert_resolver(own),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn roots(authority: &Authority) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    authority.certificates().try_for_each(|certificate| roots.add(certificate))?;
    Ok(roots)
}

/// Settings of a broker. With an authority, certificates of clients are asked for and verified when given;
/// a client without one is for the authentication layer to judge. Sessions are never resumed:
/// that would skip the verification of the certificate.
pub(super) fn server(
    provider: &Arc<CryptoProvider>,
    authority: Option<Arc<Authority>>,
    own: Arc<CertifiedKey>,
) -> Result<ServerConfig, rustls::Error> {
    let mut own_provider = CryptoProvider::clone(provider);
    for group in &mut own_provider.kx_groups {
        if group.name() == NamedGroup::X25519 {
            *group = ahead::x25519();
        }
    }
    let builder = ServerConfig::builder_with_provider(Arc::new(own_provider))
        .with_protocol_versions(&[&TLS13, &TLS12])?;
    let builder = match authority {
        Some(authority) => {
            let roots = Arc::new(roots(&authority)?);
            let inner = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
                .allow_unauthenticated()
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?;
            let dated: Arc<Dated<dyn ClientCertVerifier>> =
                Arc::new(Dated { inner, authority: authority.clone() });
            builder.with_client_cert_verifier(Arc::new(Remembered::new(dated, authority)))
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.ignore_client_order = true;
    Ok(config)
}

/// Settings of a party without a certificate that verifies nobody: provisioning and anonymous TLS.
///
/// # Errors
/// When the algorithms do not work together.
pub fn anonymous_client(
    suites: &[String],
    curves: &[String],
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(algorithms(suites, curves).0);
    client(&provider, None, None, Verify::Off).map(Arc::new)
}

/// Settings of a party without a certificate that connects to services this authority vouches for. With
/// `legacy`, a service may be named by the common name of its certificate.
///
/// # Errors
/// When the authority or the algorithms cannot be used.
pub fn client_of(
    authority: Arc<Authority>,
    suites: &[String],
    curves: &[String],
    legacy: bool,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(algorithms(suites, curves).0);
    let verify = if legacy { Verify::Legacy } else { Verify::Strict };
    client(&provider, Some(authority), None, verify).map(Arc::new)
}

/// Takes any certificate, but still requires that the peer holds its key.
#[derive(Debug)]
struct NoVerification {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// As rustls verifies, except that a certificate without subject alternative names may be for the
/// server by its common name, as old Puppet certificates are.
#[derive(Debug)]
struct LegacyVerification {
    strict: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for LegacyVerification {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let read = Certificate::from_der(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        if read.has_alternative_names() {
            return self.strict.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
        }
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        let named =
            read.common_name().is_some_and(|name| name.eq_ignore_ascii_case(&server_name.to_str()));
        if named {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.strict.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.strict.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;
