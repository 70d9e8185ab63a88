//! The folder of a demo: an authority, certificates or tokens, and configuration files to use them with.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::organization::{self, Made, Organization};
use crate::cli::exit::Failure;
use crate::crypto::issue::{Authority, KeyKind, LeafRequest};
use crate::security::{Holder, Kind, Settings, TokenFiles, TokenKeys};

/// How long the certificates of a demo are valid.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The identity of the server that a person can start beside those of the demo.
pub const EXTRA_SERVER: &str = "extra.example.net";

/// A folder with an authority whose certificates end up in it, and perhaps an organization with its tokens.
pub struct Folder {
    path: PathBuf,
    authority: Authority,
    organization: Option<Organization>,
    is_temporary: bool,
}

impl Folder {
    /// Makes the folder, readable by its owner only, and an authority. Without a path it is a
    /// temporary one that goes away with the demo. `has_tokens` makes it one of protocol v2.
    pub fn create(path: Option<PathBuf>, has_tokens: bool) -> Result<Self, Failure> {
        let is_temporary = path.is_none();
        let path = path.unwrap_or_else(|| {
            std::env::temp_dir().join(format!("choria-demo-{}", std::process::id()))
        });
        let fail = |error: io::Error| {
            Failure::new(format!("cannot use folder {}: {error}", path.display()))
        };
        let path = std::path::absolute(&path).map_err(fail)?;
        if fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Failure::new(format!("folder {} is not empty", path.display()))
                .hint("name a folder that does not exist yet"));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(fail)?;
        let authority = Authority::new_p256("Choria Demo CA", SystemTime::now())
            .map_err(|error| Failure::new(format!("cannot make an authority: {error}")))?;
        let organization = has_tokens.then(|| Organization::new(LIFE));
        let folder = Self { path, authority, organization, is_temporary };
        folder.write("ca.pem", folder.authority.ca_pem())?;
        Ok(folder)
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who makes the tokens, if there are any.
    pub fn organization(&self) -> Option<&Organization> {
        self.organization.as_ref()
    }

    /// The collective of everybody.
    pub fn collective(&self) -> &'static str {
        if self.organization.is_some() { organization::COLLECTIVE } else { "mcollective" }
    }

    /// What the client proves itself with. Requests of protocol v1 are signed with RSA.
    pub fn client(&self, name: &str) -> Result<Settings, Failure> {
        match &self.organization {
            None => self.issue("client", name, KeyKind::Rsa2048),
            Some(organization) => {
                let caller = format!("demo={}", name.split('.').next().unwrap_or(name));
                let made = organization.client(&caller)?;
                self.put("client", name, Holder::Client, &made, organization)
            }
        }
    }

    /// What a server proves itself with.
    pub fn server(&self, identity: &str) -> Result<Settings, Failure> {
        match &self.organization {
            None => self.issue("servers", identity, KeyKind::P256),
            Some(organization) => {
                let made = organization.server(identity)?;
                self.put("servers", identity, Holder::Server, &made, organization)
            }
        }
    }

    fn put(
        &self,
        folder: &str,
        name: &str,
        holder: Holder,
        made: &Made,
        organization: &Organization,
    ) -> Result<Settings, Failure> {
        let (token, seed) = (format!("{folder}/{name}.jwt"), format!("{folder}/{name}.seed"));
        self.write(&token, &made.token)?;
        self.write(&seed, &made.seed)?;
        let mut settings = Settings::new(Kind::Choria, name);
        settings.ca = self.file("ca.pem");
        settings.trust = Some(organization.trust());
        let (token, seed) = (self.file(&token), self.file(&seed));
        settings.token = Some(TokenFiles { token, seed, keys: TokenKeys::Provider, holder });
        Ok(settings)
    }

    /// The configuration of a client or server that proves itself in this way.
    pub fn configuration(&self, security: &Settings, broker: SocketAddr) -> String {
        let mut text = format!(
            "identity = {}\n\
             collectives = {}\n\
             plugin.choria.middleware_hosts = {broker}\n\
             plugin.choria.use_srv = false\n",
            security.identity,
            self.collective(),
        );
        match (&self.organization, &security.token) {
            (Some(organization), Some(files)) => text.push_str(&format!(
                "plugin.security.provider = choria\n\
                 plugin.security.choria.token_file = {}\n\
                 plugin.security.choria.seed_file = {}\n\
                 plugin.security.choria.ca = {}\n\
                 plugin.security.issuer.names = choria\n\
                 plugin.security.issuer.choria.public = {}\n",
                files.token.display(),
                files.seed.display(),
                security.ca.display(),
                organization.public_key(),
            )),
            _ => text.push_str(&format!(
                "plugin.security.provider = file\n\
                 plugin.security.file.certificate = {}\n\
                 plugin.security.file.key = {}\n\
                 plugin.security.file.ca = {}\n",
                security.certificate.display(),
                security.key.display(),
                security.ca.display(),
            )),
        }
        text
    }

    /// Makes a key and a certificate, and the settings of a provider that uses them. The broker's
    /// is also valid for the loopback address.
    pub fn issue(&self, folder: &str, name: &str, key: KeyKind) -> Result<Settings, Failure> {
        let mut request = LeafRequest::new(name, SystemTime::now(), LIFE);
        request.key = key;
        if folder == "broker" {
            request.dns_names.push("localhost".to_owned());
            request.ip_addresses.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let issued = self
            .authority
            .issue(&request)
            .map_err(|error| Failure::new(format!("cannot make a certificate: {error}")))?;
        let (certificate, key) = (format!("{folder}/{name}.pem"), format!("{folder}/{name}.key"));
        self.write(&certificate, &issued.certificate_pem)?;
        self.write(&key, &issued.key_pem)?;
        let mut settings = Settings::new(Kind::File, name);
        settings.certificate = self.file(&certificate);
        settings.key = self.file(&key);
        settings.ca = self.file("ca.pem");
        Ok(settings)
    }

    /// Writes a file, readable by its owner only.
    pub fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.file(name);
        let folder = path.parent().unwrap_or(&self.path);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .and_then(|()| {
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)
            })
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_temporary {
            // Nothing more can be done about a temporary folder than to try.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
