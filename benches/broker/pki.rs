//! Certificates as a Choria network has them: one authority, and a certificate for each end of a connection.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use choria::crypto::issue::{Authority, Issued, KeyKind, LeafRequest};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::failure::{Doing, Failure};

const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Certificates of clients, each with a key of its own: as many as the largest scenario with TLS has connections.
const P256_CLIENTS: usize = 8_000;
/// Those with RSA share one key, and are fewer, because they take long to make.
const RSA_CLIENTS: usize = 500;

/// The kind of key that every certificate has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// ECDSA P-256.
    P256,
    /// RSA with 2048 bits.
    Rsa,
}

/// Files for brokers, and settings for connections to them.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// Certificate of the authority.
    pub ca: PathBuf,
    /// Certificate of a broker.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// What connections use, each a certificate of its own as long as there are enough.
    pub clients: Arc<[Arc<ClientConfig>]>,
}

impl Certificates {
    /// Makes all of them below `directory`.
    pub fn create(keys: Keys, directory: &Path) -> Result<Certificates, Failure> {
        let directory = directory.join(format!("{keys:?}"));
        fs::create_dir_all(&directory).doing("create a directory")?;
        let (authority, kind) = match keys {
            Keys::P256 => (Authority::new_p256("bench CA", SystemTime::now()), KeyKind::P256),
            Keys::Rsa => (Authority::new_rsa("bench CA", SystemTime::now()), KeyKind::Rsa2048),
        };
        let authority = authority.map_err(made)?;
        let broker = issue(&authority, "localhost", kind)?;
        let path = |name: &str| directory.join(name);
        let (ca, certificate, key) = (path("ca.pem"), path("broker.pem"), path("broker.key"));
        fs::write(&ca, authority.ca_pem()).doing("write a certificate")?;
        fs::write(&certificate, &broker.certificate_pem).doing("write a certificate")?;
        fs::write(&key, &broker.key_pem).doing("write a key")?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).doing("protect a key")?;
        let clients = clients(&authority, kind, &broker.key_pem)?;
        Ok(Certificates { ca, certificate, key, clients })
    }
}

fn issue(authority: &Authority, name: &str, key: KeyKind) -> Result<Issued, Failure> {
    authority.issue(&request(name, key)).map_err(made)
}

fn request(name: &str, key: KeyKind) -> LeafRequest {
    let mut request = LeafRequest::new(name, SystemTime::now(), LIFE);
    request.ip_addresses.push([127, 0, 0, 1].into());
    request.key = key;
    request
}

/// Settings of all clients; `rsa_key` is the key of those with RSA.
fn clients(
    authority: &Authority,
    kind: KeyKind,
    rsa_key: &str,
) -> Result<Arc<[Arc<ClientConfig>]>, Failure> {
    let provider = Arc::new(default_provider());
    let name = |index: usize| format!("node-{index:06}.example.net");
    match kind {
        KeyKind::P256 => (0..P256_CLIENTS)
            .map(|index| client(&issue(authority, &name(index), kind)?, &provider))
            .collect(),
        _ => (0..RSA_CLIENTS)
            .map(|index| {
                let issued = authority.issue_for_key(&request(&name(index), kind), rsa_key);
                client(&issued.map_err(made)?, &provider)
            })
            .collect(),
    }
}

fn made(error: choria::crypto::issue::Error) -> Failure {
    Failure::Io("make a certificate", std::io::Error::other(error))
}

/// Settings of a client that shows its certificate and resumes no session. It verifies nothing: the broker is known, and
/// the generator has to leave the host to it.
fn client(own: &Issued, provider: &Arc<CryptoProvider>) -> Result<Arc<ClientConfig>, Failure> {
    let usable = |error: rustls::Error| std::io::Error::other(error);
    let pem = |error: rustls_pki_types::pem::Error| std::io::Error::other(error);
    let chain = CertificateDer::pem_slice_iter(own.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem)
        .doing("read a certificate")?;
    let key =
        PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).map_err(pem).doing("read a key")?;
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(usable)
        .doing("prepare TLS")?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_client_auth_cert(chain, key)
        .map_err(usable)
        .doing("prepare TLS")?;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Takes every broker for the right one.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
