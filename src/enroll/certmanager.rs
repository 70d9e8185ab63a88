//! A certificate from cert-manager, through the interface of Kubernetes: protocol notes, cert-manager.
//!
//! A process that runs in Kubernetes proves itself with the token of its service account. It creates a
//! `CertificateRequest` named after its identity and reads it again until its status holds a certificate and a CA.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::json;
use smol::Timer;

use super::material::{Applicant, Material};
use super::{Enrolled, Error, Paths, files};
use crate::crypto::csr::CertificateRequest;
use crate::http::fetch::{Answered, Ask, Bounds, Fetcher, Verb};
use crate::security::{Authority, tls};
use crate::util::backoff;
use crate::util::secret::Secret;

/// Where the interface is for everything that runs in a cluster.
pub const URL: &str = "https://kubernetes.default.svc";
/// Where every container finds its service account: `token` and `ca.crt`.
pub const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long to try in all.
pub const LIMIT: Duration = Duration::from_secs(60);

const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(10),
    head_bytes_max: 32 * 1024,
    body_bytes_max: 1024 * 1024,
};
const GRANTED: &str = "the certificate request";

/// What an enrolment needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name in the certificate, and of the request.
    pub identity: String,
    /// Where the files are.
    pub folder: PathBuf,
    /// DNS names to ask for, besides the name.
    pub dns_names: Vec<String>,
    /// The namespace of the request.
    pub namespace: String,
    /// The issuer to ask.
    pub issuer: String,
    /// Whether a request of the same name is replaced.
    pub replace: bool,
    /// The version of the interface.
    pub api_version: String,
    /// Where the interface is, `https://host` or `https://host:port`.
    pub url: String,
    /// The folder with `token` and `ca.crt`.
    pub service_account: PathBuf,
    /// How long to try in all.
    pub limit: Duration,
}

/// What goes on.
#[derive(Debug)]
pub enum Progress<'a> {
    /// The request was created.
    Submitted,
    /// A request of the same name was removed.
    Replaced,
    /// The certificate is asked for, for this time.
    Attempt(u32),
    /// It did not work and will be tried again.
    Trouble(&'a Error),
}

/// The names of files below the folder.
pub fn paths(folder: &Path) -> Paths {
    Paths {
        key: folder.join("key.pem"),
        request: folder.join("csr.pem"),
        certificate: folder.join("cert.pem"),
        ca: folder.join("ca.pem"),
    }
}

/// Whether key, certificate or CA is missing.
pub fn is_needed(folder: &Path) -> bool {
    let paths = paths(folder);
    [paths.key, paths.certificate, paths.ca].iter().any(|path| !path.exists())
}

/// Gets the certificate, with as many attempts as there is time for.
///
/// # Errors
/// Why there is no certificate: what kept the last attempt from it.
pub async fn run(
    settings: Settings,
    tell: &mut dyn FnMut(Progress<'_>),
) -> Result<Enrolled, Error> {
    let begun = settings.clone();
    let (material, _lock) = smol::unblock(move || prepare(&begun)).await?;
    let end = Instant::now() + settings.limit;
    let enrolment = Enrolment { settings, material: Arc::new(material) };
    let mut is_submitted = false;
    let mut attempt = 0;
    loop {
        let error = match enrolment.advance(&mut is_submitted, attempt, tell).await {
            Ok(enrolled) => return Ok(enrolled),
            Err(error) if is_final(&error) => return Err(error),
            Err(error) => error,
        };
        let pause = backoff::delay(backoff::INITIAL, attempt as usize);
        if Instant::now() + pause > end {
            return Err(error);
        }
        if !matches!(error, Error::NotSigned { .. }) {
            tell(Progress::Trouble(&error));
        }
        Timer::after(pause).await;
        attempt += 1;
    }
}

fn prepare(settings: &Settings) -> Result<(Material, files::Lock), Error> {
    files::make_folder(&settings.folder, 0o771)?;
    let lock = files::Lock::take(&settings.folder)?;
    let applicant = Applicant {
        identity: settings.identity.clone(),
        dns_names: settings.dns_names.clone(),
        paths: paths(&settings.folder),
        replaces_certificate: true,
    };
    Ok((Material::prepare(applicant, SystemTime::now())?, lock))
}

/// A `CertificateRequest` as far as it is read here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resource {
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    request: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    ca: Option<String>,
    certificate: Option<String>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
}

impl Status {
    /// Why there will never be a certificate.
    fn refusal(&self) -> Option<String> {
        let is_final = |condition: &&Condition| match condition.r#type.as_str() {
            "Denied" | "InvalidRequest" => condition.status == "True",
            "Ready" => condition.status == "False" && condition.reason == "Failed",
            _ => false,
        };
        let found = self.conditions.iter().find(is_final)?;
        Some(format!("{}: {}", found.r#type, found.message))
    }
}

struct Enrolment {
    settings: Settings,
    material: Arc<Material>,
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrolment").finish_non_exhaustive()
    }
}

impl Enrolment {
    /// Does what is left to do.
    async fn advance(
        &self,
        is_submitted: &mut bool,
        attempt: u32,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Enrolled, Error> {
        let client = self.client()?;
        if !*is_submitted {
            self.submit(&client, tell).await?;
            *is_submitted = true;
        }
        tell(Progress::Attempt(attempt + 1));
        self.fetch(&client).await
    }

    async fn submit(
        &self,
        client: &Client,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), Error> {
        let mut answer = self.create(client).await?;
        if answer.status == 409 && self.settings.replace {
            let deleted = client.ask(Verb::Delete, &self.own_address(), Vec::new()).await?;
            // Somebody else may have removed it first.
            if !matches!(deleted.status, 200 | 202 | 404) {
                return Err(refused("to remove an old certificate request", &deleted));
            }
            tell(Progress::Replaced);
            answer = self.create(client).await?;
        } else if answer.status == 409 {
            return self.check_existing(client).await;
        }
        if answer.status != 201 {
            return Err(refused(GRANTED, &answer));
        }
        tell(Progress::Submitted);
        Ok(())
    }

    async fn create(&self, client: &Client) -> Result<Answered, Error> {
        let settings = &self.settings;
        let request = BASE64.encode(self.material.request().pem().as_bytes());
        let resource = json!({
            "apiVersion": format!("cert-manager.io/{}", settings.api_version),
            "kind": "CertificateRequest",
            "metadata": { "name": settings.identity, "namespace": settings.namespace },
            "spec": {
                "issuerRef": { "name": settings.issuer },
                "csr": request,
                "request": request,
            },
        });
        client.ask(Verb::Post, &self.address(), resource.to_string().into_bytes()).await
    }

    /// A request of the same name that must not be replaced is fine when it is ours, from before an interruption.
    async fn check_existing(&self, client: &Client) -> Result<(), Error> {
        let held = self.read(client).await?.spec.request;
        let held = BASE64
            .decode(held.as_bytes())
            .ok()
            .and_then(|pem| CertificateRequest::from_pem(&pem).ok());
        let ours = self.material.request().public_key_der();
        match held {
            Some(held) if held.public_key_der() == ours => Ok(()),
            _ => Err(Error::OtherRequest { identity: self.settings.identity.clone() }),
        }
    }

    async fn fetch(&self, client: &Client) -> Result<Enrolled, Error> {
        let status = self.read(client).await?.status;
        if let Some(text) = status.refusal() {
            return Err(Error::Denied { text });
        }
        let (Some(ca), Some(certificate)) = (&status.ca, &status.certificate) else {
            let identity = self.settings.identity.clone();
            return Err(Error::NotSigned { identity, waited: self.settings.limit });
        };
        let (ca, certificate) = (decoded("ca", ca)?, decoded("certificate", certificate)?);
        let authority = Authority::from_pem(&ca).map_err(|reason| Error::Authority { reason })?;
        let now = SystemTime::now();
        self.material.check(&certificate, &authority, now)?;
        self.material.install_ca(&ca)?;
        self.material.install(&certificate, &authority, now)
    }

    async fn read(&self, client: &Client) -> Result<Resource, Error> {
        let answer = client.ask(Verb::Get, &self.own_address(), Vec::new()).await?;
        if answer.status != 200 {
            return Err(refused("to show the certificate request", &answer));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| Error::Answer { reason: error.to_string() })
    }

    /// Made anew for each attempt, because Kubernetes replaces the token now and then.
    fn client(&self) -> Result<Client, Error> {
        let account = &self.settings.service_account;
        let needed = |name: &str| {
            let path = account.join(name);
            let missing = || {
                let kind = std::io::ErrorKind::NotFound;
                Error::File { action: "read", path: path.clone(), source: kind.into() }
            };
            files::read(&path)?.ok_or_else(missing)
        };
        let unusable = |reason: String| Error::Authority { reason };
        let authority = Arc::new(Authority::from_pem(&needed("ca.crt")?).map_err(unusable)?);
        let tls = tls::client_of(authority, &[], &[], false)
            .map_err(|error| unusable(error.to_string()))?;
        let token = String::from_utf8_lossy(&needed("token")?).trim().to_owned();
        Ok(Client {
            fetcher: Fetcher::new(tls, BOUNDS),
            url: self.settings.url.trim_end_matches('/').to_owned(),
            token: Secret::new(token),
        })
    }

    fn address(&self) -> String {
        let Settings { api_version, namespace, .. } = &self.settings;
        format!("/apis/cert-manager.io/{api_version}/namespaces/{namespace}/certificaterequests")
    }

    fn own_address(&self) -> String {
        format!("{}/{}", self.address(), self.settings.identity)
    }
}

struct Client {
    fetcher: Fetcher,
    url: String,
    token: Secret<String>,
}

impl Client {
    async fn ask(&self, verb: Verb, path: &str, body: Vec<u8>) -> Result<Answered, Error> {
        let ask = Ask::new(verb, format!("{}{path}", self.url))
            .header("Authorization", format!("Bearer {}", self.token.expose()))
            .header("Content-Type", "application/json")
            .header("Accept", "application/json")
            .body(body);
        let failed = |source| Error::Unreachable { url: self.url.clone(), source };
        self.fetcher.send(ask).await.map_err(failed)
    }
}

fn decoded(what: &str, text: &str) -> Result<Vec<u8>, Error> {
    BASE64
        .decode(text.as_bytes())
        .map_err(|_| Error::Answer { reason: format!("status.{what} is not base64") })
}

/// Another attempt would end the same way.
fn is_final(error: &Error) -> bool {
    !matches!(error, Error::Unreachable { .. } | Error::Refused { .. } | Error::NotSigned { .. })
}

/// The interface puts its words into the `message` of a document.
fn refused(what: &'static str, answer: &Answered) -> Error {
    #[derive(Deserialize)]
    struct Words {
        message: String,
    }
    let text = match serde_json::from_slice::<Words>(&answer.body) {
        Ok(words) => words.message,
        Err(_) => answer.first_line(),
    };
    Error::Refused { what, status: answer.status, text }
}
