//! Authorities, certificates and providers for the tests of this module.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::{Kind, Provider, Settings};
use crate::crypto::issue::{Authority, Issued, KeyKind, LeafRequest};
use crate::crypto::rsa;

/// The time all tests of this module happen at, within the validity of the captured certificates.
pub(super) const NOW_SECS: u64 = 1_795_367_000;

pub(super) fn now() -> SystemTime {
    at(NOW_SECS)
}

pub(super) fn at(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
}

/// The captured certificates and messages of the reference implementation.
pub(super) fn captured(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/wire/v1")).join(name)
}

/// A provider of the captured set.
pub(super) fn captured_provider(identity: &str, file: &str) -> Provider {
    let mut settings = Settings::new(Kind::File, identity);
    settings.certificate = captured(&format!("pki/{file}.pem"));
    settings.key = captured(&format!("pki/{file}.key"));
    settings.ca = captured("pki/ca.pem");
    Provider::open(settings).unwrap()
}

/// A folder that is removed with its contents when it is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("choria-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(super) fn write(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One authority for all tests: making keys takes time.
pub(super) fn authority() -> &'static Authority {
    static ONE: OnceLock<Authority> = OnceLock::new();
    ONE.get_or_init(|| Authority::new_p256("Test CA", now()).unwrap())
}

/// A certificate as `change` wants it. All RSA certificates of these tests share one key.
pub(super) fn issue(from: &Authority, name: &str, change: fn(&mut LeafRequest)) -> Issued {
    static KEY: OnceLock<String> = OnceLock::new();
    let mut request = LeafRequest::new(name, now(), Duration::from_secs(86_400));
    change(&mut request);
    if request.key == KeyKind::P256 {
        return from.issue(&request).unwrap();
    }
    from.issue_for_key(&request, KEY.get_or_init(|| rsa::generate_2048().unwrap())).unwrap()
}

/// A provider with these files; the CA is [`authority`].
pub(super) fn provider(identity: &str, issued: &Issued, change: fn(&mut Settings)) -> Provider {
    let folder = Folder::new();
    let mut settings = Settings::new(Kind::File, identity);
    settings.certificate = folder.write("cert.pem", &issued.certificate_pem);
    settings.key = folder.write("key.pem", &issued.key_pem);
    settings.ca = folder.write("ca.pem", authority().ca_pem());
    change(&mut settings);
    Provider::open(settings).unwrap()
}
