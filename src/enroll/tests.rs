//! What the tests of this module share, and the tests of key, request and certificate.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::material::{Applicant, Material, Origin};
use super::{Error, puppet};
use crate::crypto::issue::{Authority as Issuer, LeafRequest};
use crate::security::Authority;

/// A folder that is removed with its contents when it is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("choria-enroll-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn as_path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn applicant(folder: &Folder, replaces_certificate: bool) -> Applicant {
    for name in ["private_keys", "certificate_requests", "certs"] {
        std::fs::create_dir_all(folder.path(name)).unwrap();
    }
    Applicant {
        identity: "ann.mcollective".to_owned(),
        dns_names: Vec::new(),
        paths: puppet::paths(folder.as_path(), "ann.mcollective"),
        replaces_certificate,
    }
}

fn prepare(folder: &Folder) -> Result<Material, Error> {
    Material::prepare(applicant(folder, false), SystemTime::now())
}

fn issue(issuer: &Issuer, material: &Material, name: &str, life: Duration) -> String {
    let request = LeafRequest::new(name, SystemTime::now(), life);
    issuer.certify_public_key(&request, material.request().public_key_der()).unwrap()
}

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn what_lies_there_is_used_again() {
    let folder = Folder::new();
    let first = prepare(&folder).unwrap();
    assert_eq!((first.key_origin(), first.request_origin()), (Origin::Made, Origin::Made));
    let key = std::fs::read_to_string(&first.paths().key).unwrap();
    assert!(key.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    let second = prepare(&folder).unwrap();
    assert_eq!((second.key_origin(), second.request_origin()), (Origin::Found, Origin::Found));
    assert_eq!(first.request().der(), second.request().der());
    assert!(!format!("{second:?}").contains("PRIVATE"));
    // A request that is not for this key is of no use.
    std::fs::remove_file(&first.paths().key).unwrap();
    let third = prepare(&folder).unwrap();
    assert_eq!((third.key_origin(), third.request_origin()), (Origin::Made, Origin::Replaced));
    std::fs::write(
        &first.paths().key,
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    assert!(matches!(prepare(&folder), Err(Error::Key { .. })));
}

#[test]
fn a_certificate_has_to_fit_before_it_is_installed() {
    let folder = Folder::new();
    let material = prepare(&folder).unwrap();
    let now = SystemTime::now();
    let issuer = Issuer::new_p256("CA", now).unwrap();
    let other = Issuer::new_p256("Other", now).unwrap();
    let authority = Authority::from_pem(issuer.ca_pem().as_bytes()).unwrap();
    let foreign = issuer.issue(&LeafRequest::new("ann.mcollective", now, DAY)).unwrap();
    for (pem, expected) in [
        ("nothing".to_owned(), "it is not a certificate in PEM form"),
        (foreign.certificate_pem, "it does not belong to the private key"),
        (
            issue(&other, &material, "ann.mcollective", DAY),
            "its issuer Other leads to no trusted CA",
        ),
        (issue(&issuer, &material, "bob.mcollective", DAY), "bob.mcollective"),
        (issue(&issuer, &material, "ann.mcollective", Duration::ZERO), "expired"),
    ] {
        let later = SystemTime::now() + Duration::from_secs(2);
        let error = material.install(pem.as_bytes(), &authority, later).unwrap_err();
        assert!(matches!(error, Error::Certificate { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!material.paths().certificate.exists());
    }
    let fine = issue(&issuer, &material, "ann.mcollective", DAY);
    material.install(fine.as_bytes(), &authority, now).unwrap();
    // Without the CA it is not over, with it there is nothing left to do.
    assert_eq!(prepare(&folder).unwrap().certificate(), Some(fine.as_bytes()));
    material.install_ca(issuer.ca_pem().as_bytes()).unwrap();
    assert!(matches!(prepare(&folder), Err(Error::Enrolled { .. })));
    std::fs::write(&material.paths().ca, other.ca_pem()).unwrap();
    assert!(matches!(prepare(&folder), Err(Error::Leftover { .. })));
    std::fs::remove_file(&material.paths().key).unwrap();
    assert!(matches!(prepare(&folder), Err(Error::Leftover { .. })));
    Material::prepare(applicant(&folder, true), now).unwrap();
}
