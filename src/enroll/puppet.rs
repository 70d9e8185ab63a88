//! A certificate from a Puppet CA: protocol notes, Puppet CA enrolment.
//!
//! [`Enrolment::begin`] makes key and request, [`Enrolment::authority`] finds out which CA is there, and
//! [`Enrolment::run`] hands the request in and waits for the certificate. The CA is fetched over a connection
//! that nobody has verified, because there is nothing yet to verify it with. So it is either the one with the
//! expected fingerprint, or somebody has to say that it is the right one before anything else is sent.

mod bundle;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use smol::Timer;

pub use bundle::{Bundle, CaCertificate};

use super::material::{Applicant, Material};
use super::{Enrolled, Error, Fingerprint, Paths, files};
use crate::crypto::csr::CertificateRequest;
use crate::http::fetch::{Answered, Ask, Bounds, FetchError, Fetcher, Verb};
use crate::net::resolve::Resolver;
use crate::security::{Authority, tls};

/// SRV names of the CA, first that resolves.
pub const SRV_NAMES: &[&str] = &["_x-puppet-ca._tcp", "_x-puppet._tcp"];
/// How long to wait between questions for the certificate.
pub const POLL: Duration = Duration::from_secs(10);
/// How long to wait for the certificate in all.
pub const WAIT: Duration = Duration::from_secs(250);

/// What one question to the CA may cost: small files, from a busy server.
const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(30),
    head_bytes_max: 32 * 1024,
    body_bytes_max: 1024 * 1024,
};
const USER_AGENT: &str = "Choria Orchestrator - http://choria.io";

/// Where the CA is.
#[derive(Debug, Clone)]
pub struct Location {
    /// The host when there are no SRV records.
    pub host: String,
    /// The port of that host.
    pub port: u16,
    /// The domain whose SRV records come first, if any.
    pub srv_domain: Option<String>,
    /// Looks them up.
    pub resolver: Resolver,
}

/// What an enrolment needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name in the certificate.
    pub identity: String,
    /// Puppet's certificate folder.
    pub folder: PathBuf,
    /// DNS names to ask for, besides the name.
    pub dns_names: Vec<String>,
    /// Where the CA is.
    pub location: Location,
    /// The fingerprint of the CA, when it is known.
    pub expected: Option<Fingerprint>,
    /// How long to wait for the certificate in all; zero asks once.
    pub wait: Duration,
    /// How long to wait between questions for it.
    pub poll: Duration,
    /// Go names of TLS 1.2 cipher suites; empty means all secure ones.
    pub cipher_suites: Vec<String>,
    /// Go names of curves; empty means all.
    pub ecc_curves: Vec<String>,
}

/// What goes on while the certificate is waited for.
#[derive(Debug)]
pub enum Progress<'a> {
    /// The CA has taken the request.
    Submitted,
    /// The CA has had the same request before.
    SubmittedBefore,
    /// The certificate is asked for, for this time in this run.
    Attempt(u32),
    /// The CA did not answer as it should; it will be asked again.
    Trouble(&'a Error),
}

/// An enrolment that has begun.
#[derive(Debug)]
pub struct Enrolment {
    settings: Settings,
    material: Arc<Material>,
    host: String,
    /// `https://host:port`
    url: String,
    _lock: files::Lock,
}

/// Where Puppet keeps the files of a name.
pub fn paths(folder: &std::path::Path, identity: &str) -> Paths {
    Paths {
        key: folder.join(format!("private_keys/{identity}.pem")),
        request: folder.join(format!("certificate_requests/{identity}.pem")),
        certificate: folder.join(format!("certs/{identity}.pem")),
        ca: folder.join("certs/ca.pem"),
    }
}

impl Enrolment {
    /// Makes folders, key and request, or finds those of an earlier attempt, and looks where the CA is.
    ///
    /// # Errors
    /// When there is nothing to do, or a file is in the way.
    pub async fn begin(settings: Settings) -> Result<Self, Error> {
        let begun = settings.clone();
        let (material, lock) = smol::unblock(move || prepare(&begun)).await?;
        let (host, port) = settings.location.find().await;
        let shown = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let url = format!("https://{shown}:{port}");
        Ok(Enrolment { settings, material: Arc::new(material), host, url, _lock: lock })
    }

    /// Key and request.
    pub fn material(&self) -> &Material {
        &self.material
    }

    /// Where the CA is asked: `https://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The CA, when somebody has to say whether it is the right one. Nothing when it was installed earlier, or has the
    /// expected fingerprint.
    ///
    /// # Errors
    /// When the CA cannot be had, or is not the expected one.
    pub async fn authority(&self) -> Result<Option<Bundle>, Error> {
        let known = self.material.known_ca()?;
        let is_known = known.is_some();
        let pem = match known {
            Some(pem) => pem,
            None => self.fetch_authority().await?,
        };
        let bundle = Bundle::read(pem)?;
        match &self.settings.expected {
            Some(expected) => bundle.check(expected)?,
            None if is_known => return Ok(None),
            None => return Ok(Some(bundle)),
        }
        if !is_known {
            self.trust(&bundle)?;
        }
        Ok(None)
    }

    /// Installs the CA.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn trust(&self, bundle: &Bundle) -> Result<(), Error> {
        self.material.install_ca(bundle.pem())
    }

    /// Hands the request in and waits for the certificate, which is installed when it fits.
    ///
    /// # Errors
    /// When the CA refuses, the certificate does not fit, or time is up.
    pub async fn run(&self, tell: &mut dyn FnMut(Progress<'_>)) -> Result<Enrolled, Error> {
        let pem = self.material.known_ca()?.unwrap_or_default();
        let authority = Authority::from_pem(&pem).map_err(|reason| Error::Authority { reason })?;
        if let Some(pem) = self.material.certificate() {
            return self.material.install(pem, &authority, SystemTime::now());
        }
        let client = self.client(&pem)?;
        self.submit(&client, tell).await?;
        let end = Instant::now() + self.settings.wait;
        let mut attempt = 1;
        loop {
            tell(Progress::Attempt(attempt));
            match self.certificate(&client).await {
                Ok(Some(pem)) => {
                    return self.material.install(&pem, &authority, SystemTime::now());
                }
                Ok(None) => {}
                Err(error) if is_passing(&error) => tell(Progress::Trouble(&error)),
                Err(error) => return Err(error),
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let identity = self.settings.identity.clone();
                return Err(Error::NotSigned { identity, waited: self.settings.wait });
            }
            Timer::after(self.settings.poll.min(left)).await;
            attempt += 1;
        }
    }

    async fn fetch_authority(&self) -> Result<Vec<u8>, Error> {
        let tls = tls::anonymous_client(&self.settings.cipher_suites, &self.settings.ecc_curves)
            .map_err(|error| Error::Authority { reason: error.to_string() })?;
        let client = Fetcher::new(tls, BOUNDS);
        let ask = Ask::new(Verb::Get, self.address("certificate", "ca"));
        let answer = self.send(&client, ask.header("User-Agent", USER_AGENT)).await?;
        match answer.status {
            200 => Ok(answer.body),
            _ => Err(refused("to give its certificate", &answer)),
        }
    }

    /// A client that trusts only this CA.
    fn client(&self, pem: &[u8]) -> Result<Fetcher, Error> {
        let unusable = |reason: String| Error::Authority { reason };
        let authority = Arc::new(Authority::from_pem(pem).map_err(unusable)?);
        let (suites, curves) = (&self.settings.cipher_suites, &self.settings.ecc_curves);
        // Old Puppet servers have a common name only.
        let tls = tls::client_of(authority, suites, curves, true)
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Fetcher::new(tls, BOUNDS))
    }

    /// Hands the request in. A CA that has it from an earlier attempt says no, and so does one that has another one for the name:
    /// what it holds tells which it is.
    async fn submit(
        &self,
        client: &Fetcher,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), Error> {
        let identity = &self.settings.identity;
        let ask = Ask::new(Verb::Put, self.address("certificate_request", identity))
            .header("Content-Type", "text/plain")
            .header("User-Agent", USER_AGENT)
            .header("Host", self.host.clone())
            .body(self.material.request().pem());
        let answer = self.send(client, ask).await?;
        if answer.status == 200 {
            tell(Progress::Submitted);
            return Ok(());
        }
        let has_certificate = self.certificate(client).await?.is_some();
        if has_certificate || self.holds_our_request(client).await? {
            tell(Progress::SubmittedBefore);
            return Ok(());
        }
        Err(refused("the certificate request", &answer))
    }

    async fn holds_our_request(&self, client: &Fetcher) -> Result<bool, Error> {
        let identity = &self.settings.identity;
        let ask = self.question("certificate_request", identity);
        let answer = self.send(client, ask).await?;
        if answer.status != 200 {
            return Ok(false);
        }
        match CertificateRequest::from_pem(&answer.body) {
            Ok(held) if held.public_key_der() == self.material.request().public_key_der() => {
                Ok(true)
            }
            Ok(_) => Err(Error::OtherRequest { identity: identity.clone() }),
            Err(error) => Err(Error::Answer { reason: error.to_string() }),
        }
    }

    /// The certificate, when the CA has issued one for our key.
    async fn certificate(&self, client: &Fetcher) -> Result<Option<Vec<u8>>, Error> {
        let identity = &self.settings.identity;
        let answer = self.send(client, self.question("certificate", identity)).await?;
        match answer.status {
            200 if self.material.owns(&answer.body) => Ok(Some(answer.body)),
            200 if answer.body.starts_with(b"-----BEGIN CERTIFICATE") => {
                Err(Error::OtherCertificate { identity: identity.clone() })
            }
            200 => Err(Error::Answer { reason: "it is not a certificate in PEM form".to_owned() }),
            404 => Ok(None),
            _ => Err(refused("the certificate", &answer)),
        }
    }

    fn question(&self, kind: &str, name: &str) -> Ask {
        Ask::new(Verb::Get, self.address(kind, name))
            .header("Content-Type", "text/plain")
            .header("User-Agent", USER_AGENT)
    }

    fn address(&self, kind: &str, name: &str) -> String {
        format!("{}/puppet-ca/v1/{kind}/{name}?environment=production", self.url)
    }

    async fn send(&self, client: &Fetcher, ask: Ask) -> Result<Answered, Error> {
        let failed = |source: FetchError| Error::Unreachable { url: self.url.clone(), source };
        client.send(ask).await.map_err(failed)
    }
}

impl Location {
    /// The first host of the first SRV name that resolves, else the configured one.
    async fn find(&self) -> (String, u16) {
        if let Some(domain) = &self.srv_domain {
            for name in SRV_NAMES {
                let name = format!("{name}.{}", domain.trim_matches('.'));
                match self.resolver.lookup_srv(&name).await {
                    Ok(records) => {
                        if let Some(record) = records.into_iter().next() {
                            return (record.target, record.port);
                        }
                    }
                    Err(error) => log::debug!("enroll: SRV look-up gave nothing err={error}"),
                }
            }
        }
        (self.host.clone(), self.port)
    }
}

fn prepare(settings: &Settings) -> Result<(Material, files::Lock), Error> {
    let folder = &settings.folder;
    files::make_folder(folder, 0o771)?;
    for name in ["certificate_requests", "certs", "public_keys"] {
        files::make_folder(&folder.join(name), 0o755)?;
    }
    for name in ["private_keys", "private"] {
        files::make_folder(&folder.join(name), 0o750)?;
    }
    let lock = files::Lock::take(folder)?;
    let applicant = Applicant {
        identity: settings.identity.clone(),
        dns_names: settings.dns_names.clone(),
        paths: paths(folder, &settings.identity),
        replaces_certificate: false,
    };
    Ok((Material::prepare(applicant, SystemTime::now())?, lock))
}

/// Whether a CA that gave this trouble may give an answer later.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Unreachable { source, .. } => !matches!(source, FetchError::Tls(_)),
        Error::Refused { status, .. } => *status >= 500 || matches!(status, 408 | 429),
        _ => false,
    }
}

fn refused(what: &'static str, answer: &Answered) -> Error {
    Error::Refused { what, status: answer.status, text: answer.first_line() }
}

#[cfg(test)]
mod tests;
