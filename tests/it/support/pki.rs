//! Certificates for tests: one authority a test run, leaf certificates made when first asked for.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use choria::crypto::crl::{self, Entry, Reason};
use choria::crypto::issue::{Authority, LeafRequest};
use choria::crypto::x509::Certificate;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// An authority and the leaf certificates it has issued, as files.
pub struct Pki {
    folder: PathBuf,
    authority: Authority,
    /// The authority's certificate.
    pub ca: PathBuf,
    leaves: Mutex<HashMap<String, Leaf>>,
}

/// Files of one leaf certificate.
#[derive(Clone)]
pub struct Leaf {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Pki {
    /// The authority every ordinary test trusts.
    pub fn shared() -> &'static Pki {
        static SHARED: OnceLock<Pki> = OnceLock::new();
        SHARED.get_or_init(|| Pki::new("shared"))
    }

    /// An authority of its own, for tests of what must not be trusted.
    pub fn new(name: &str) -> Pki {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("pki-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("folder can be made");
        let authority = Authority::new_p256(&format!("Test CA {name}"), SystemTime::now())
            .expect("authority can be made");
        let ca = folder.join("ca.pem");
        fs::write(&ca, authority.ca_pem()).expect("file can be written");
        Pki { folder, authority, ca, leaves: Mutex::default() }
    }

    /// A leaf for `name` that is valid now. `localhost` is good for 127.0.0.1 too.
    pub fn leaf(&self, name: &str) -> Leaf {
        self.leaf_for(name, name, SystemTime::now() + DAY)
    }

    /// Another leaf for the same name.
    pub fn second_leaf(&self, name: &str) -> Leaf {
        self.leaf_for(&format!("second-{name}"), name, SystemTime::now() + DAY)
    }

    /// A leaf for `name` that ended yesterday.
    pub fn expired_leaf(&self, name: &str) -> Leaf {
        self.leaf_for(&format!("expired-{name}"), name, SystemTime::now() - DAY)
    }

    fn leaf_for(&self, file: &str, name: &str, not_after: SystemTime) -> Leaf {
        let mut leaves = self.leaves.lock().expect("no test panics while it holds this");
        if let Some(leaf) = leaves.get(file) {
            return leaf.clone();
        }
        let mut request = LeafRequest::new(name, SystemTime::now(), DAY);
        request.not_before = SystemTime::now() - 10 * DAY;
        request.not_after = not_after;
        if name == "localhost" {
            request.ip_addresses.push("127.0.0.1".parse().expect("an address"));
        }
        let issued = self.authority.issue(&request).expect("leaf can be issued");
        let leaf = Leaf {
            certificate: self.folder.join(format!("{file}.pem")),
            key: self.folder.join(format!("{file}.key")),
        };
        fs::write(&leaf.certificate, issued.certificate_pem).expect("file can be written");
        fs::write(&leaf.key, issued.key_pem).expect("file can be written");
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&leaf.key, private).expect("file can be made private");
        leaves.insert(file.to_owned(), leaf.clone());
        leaf
    }

    /// A list that revokes these, PEM.
    pub fn revocation_list(&self, revoked: &[&Leaf]) -> String {
        let now = SystemTime::now();
        let entry = |leaf: &&Leaf| {
            let der = CertificateDer::from_pem_file(&leaf.certificate).expect("a certificate");
            let read = Certificate::from_der(&der).expect("a certificate");
            Entry { serial: read.serial().to_vec(), since: now, reason: Reason::Unspecified }
        };
        let entries: Vec<_> = revoked.iter().map(entry).collect();
        crl::sign(&self.authority, &entries, 1, now, DAY).expect("the list can be signed")
    }

    /// The configuration lines that make `leaf` the certificate of a process.
    pub fn security_lines(&self, leaf: &Leaf) -> String {
        format!(
            "plugin.security.provider = file\nplugin.security.file.certificate = {}\nplugin.security.file.key = {}\nplugin.security.file.ca = {}\n",
            leaf.certificate.display(),
            leaf.key.display(),
            self.ca.display()
        )
    }
}
