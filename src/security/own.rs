//! The certificate of this process, its key and the trusted authorities, read from their files.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::authority::Authority;
use super::setup::{self, Problem, What};
use super::{Settings, tls};
use crate::crypto::rsa;
use crate::crypto::x509::Certificate;

/// What the certificate files of a provider hold. Files that are not needed may be absent.
pub(super) struct Own {
    pub(super) certificate_pem: Option<String>,
    pub(super) certificate: Option<Certificate>,
    /// The key file as it is.
    pub(super) key: Option<Vec<u8>>,
    pub(super) tls_key: Option<Arc<CertifiedKey>>,
    pub(super) authority: Option<Arc<Authority>>,
    pub(super) algorithms: Arc<CryptoProvider>,
}

impl Own {
    /// Reads the files; everything that is wrong with them is added to `problems`.
    pub(super) fn read(settings: &Settings, problems: &mut Vec<Problem>) -> Own {
        let mut load = |what: What| match setup::read(what, settings) {
            Ok(None) if settings.needs(what) => {
                problems.push(setup::absent(what, settings));
                None
            }
            Ok(contents) => contents,
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        let (certificate, key, ca) = (load(What::Certificate), load(What::Key), load(What::Ca));
        let (algorithms, notes) = tls::algorithms(&settings.cipher_suites, &settings.ecc_curves);
        let algorithms = Arc::new(algorithms);
        notes.iter().for_each(|note| log::warn!("security: {note}"));
        let mut keep =
            |what: What, reason: String| problems.push(setup::unusable(what, settings, reason));
        let own = certificate.and_then(|pem| {
            own_certificate(pem).map_err(|reason| keep(What::Certificate, reason)).ok()
        });
        let authority = ca.and_then(|pem| {
            Authority::from_pem(&pem).map_err(|reason| keep(What::Ca, reason)).ok()
        });
        let authority = authority.and_then(|authority| match settings.crl.as_os_str().is_empty() {
            true => Some(authority),
            false => authority
                .with_revocation(&settings.crl)
                .map_err(|reason| keep(What::Crl, reason))
                .ok(),
        });
        let tls_key = match (&own, &key) {
            (Some(own), Some(key)) => certified(&own.chain, key, &algorithms)
                .map_err(|reason| keep(What::Key, reason))
                .ok(),
            _ => None,
        };
        let (certificate_pem, certificate) = own.map(|own| (own.pem, own.leaf)).unzip();
        let authority = authority.map(Arc::new);
        Own { certificate_pem, certificate, key, tls_key, authority, algorithms }
    }
}

struct Read {
    pem: String,
    leaf: Certificate,
    chain: Vec<CertificateDer<'static>>,
}

fn own_certificate(pem: Vec<u8>) -> Result<Read, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("it is not valid PEM: {error}"))?;
    let first = chain.first().ok_or("it holds no PEM certificate")?;
    let leaf = Certificate::from_der(first).map_err(|error| error.to_string())?;
    // What `openssl x509 -req` makes when it is given no extensions.
    if let Err(webpki::Error::UnsupportedCertVersion) = webpki::EndEntityCert::try_from(first) {
        return Err("it is of X.509 version 1, which TLS does not take: issue it with subject alternative names"
            .to_owned());
    }
    let pem = String::from_utf8(pem).map_err(|_| "it is not text".to_owned())?;
    Ok(Read { pem, leaf, chain })
}

fn certified(
    chain: &[CertificateDer<'static>],
    key: &[u8],
    algorithms: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, String> {
    let encrypted = matches!(rsa::SigningKey::from_pem(key), Err(rsa::Error::Encrypted));
    if encrypted {
        return Err(rsa::Error::Encrypted.to_string());
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| rsa::Error::NoKey.to_string())?;
    match CertifiedKey::from_der(chain.to_vec(), key, algorithms) {
        Ok(own) => Ok(Arc::new(own)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err("it does not belong to the certificate".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}
