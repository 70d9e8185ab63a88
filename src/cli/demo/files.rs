//! The folder of a demo: an authority, certificates, and configuration files to use them with.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::cli::exit::Failure;
use crate::crypto::issue::{Authority, KeyKind, LeafRequest};
use crate::security::{Kind, Settings};

/// How long the certificates of a demo are valid.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The identity of the server that a person can start beside those of the demo.
pub const EXTRA_SERVER: &str = "extra.example.net";

/// A folder with an authority whose certificates end up in it.
pub struct Folder {
    path: PathBuf,
    authority: Authority,
    is_temporary: bool,
}

impl Folder {
    /// Makes the folder, readable by its owner only, and an authority. Without a path it is a
    /// temporary one that goes away with the demo.
    pub fn create(path: Option<PathBuf>) -> Result<Self, Failure> {
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
        let folder = Self { path, authority, is_temporary };
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

/// The configuration of a client (or server) with these certificates.
pub fn configuration(security: &Settings, broker: SocketAddr) -> String {
    format!(
        "identity = {}\n\
         collectives = mcollective\n\
         plugin.choria.middleware_hosts = {broker}\n\
         plugin.choria.use_srv = false\n\
         plugin.security.provider = file\n\
         plugin.security.file.certificate = {}\n\
         plugin.security.file.key = {}\n\
         plugin.security.file.ca = {}\n",
        security.identity,
        security.certificate.display(),
        security.key.display(),
        security.ca.display(),
    )
}
