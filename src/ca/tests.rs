use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::join::{BadToken, Claims};
use super::wire::{Answer, Question};
use super::*;
use crate::crypto::crl::{self, Reason};
use crate::crypto::csr::{CertificateRequest, Wish};
use crate::crypto::key::{KeyKind, PrivateKey};
use crate::tokens::{Denied, SigningKey};
use crate::util::time::from_unix;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn now() -> SystemTime {
    from_unix(1_795_366_993)
}

/// A folder that is removed with its contents when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("choria-ca-{}-{number}", std::process::id()));
        Folder(path)
    }

    fn ca(&self) -> Ca {
        Ca::init(&self.0, "Test CA", now()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyKind::P256).unwrap()
}

fn order(name: &str, key: &PrivateKey) -> Order {
    Order {
        name: name.to_owned(),
        profile: Profile::Server,
        alt_names: Vec::new(),
        ip_addresses: Vec::new(),
        public_key_info: key.public_key_info(),
        life: LIFE,
        may_be_privileged: false,
        replaces: false,
        by: By::Sign,
    }
}

fn csr(name: &str, key: &PrivateKey) -> String {
    let wish = Wish { common_name: name.to_owned(), ..Wish::default() };
    CertificateRequest::make(&wish, key.pem()).unwrap().pem()
}

fn refused<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => "issued".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_folder_is_made_once_and_keeps_its_secrets() {
    let folder = Folder::new();
    let ca = folder.ca();
    for (file, expected) in [
        ("ca.key", 0o600),
        ("token.seed", 0o600),
        ("journal.jsonl", 0o600),
        ("ca.pem", 0o644),
        ("crl.pem", 0o644),
    ] {
        assert_eq!(mode(&folder.0.join(file)), expected, "{file}");
    }
    assert!(matches!(Ca::init(&folder.0, "Other", now()), Err(Error::Exists(_))));
    assert_eq!(Ca::open(&folder.0).unwrap().fingerprint(), ca.fingerprint());
    let path = folder.0.join("ca.key");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Ca::open(&folder.0), Err(Error::Open { mode: 0o640, .. })));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Ca::open(&folder.0), Err(Error::Open { .. })));
    assert!(matches!(Ca::open(&folder.0.join("nowhere")), Err(Error::Absent(_))));
}

#[test]
fn a_name_in_other_letters_is_the_same_name() {
    let folder = Folder::new();
    let ca = folder.ca();
    let (first, second) = (key(), key());
    ca.issue(&order("b1.example.net", &first), now()).unwrap();
    let other = refused(ca.issue(&order("B1.example.net", &second), now()));
    assert!(other.starts_with("B1.example.net has a certificate for another key"), "{other}");
    ca.issue(&order("B1.example.net", &first), now()).unwrap();
    assert_eq!(ca.revoke("b1.Example.net", Reason::Superseded, now()).unwrap().len(), 2);
}

#[test]
fn a_list_that_could_not_be_written_is_written_later() {
    let folder = Folder::new();
    let ca = folder.ca();
    let listed = || crl::read(&ca.crl().unwrap()).unwrap()[0].serials.len();
    // Nothing can take the place of a folder that is not empty.
    let without_list = |work: &dyn Fn()| {
        let text = ca.crl().unwrap();
        std::fs::remove_file(ca.crl_file()).unwrap();
        std::fs::create_dir_all(ca.crl_file().join("in the way")).unwrap();
        work();
        std::fs::remove_dir_all(ca.crl_file()).unwrap();
        std::fs::write(ca.crl_file(), text).unwrap();
    };
    for name in ["n1", "n2"] {
        ca.issue(&order(name, &key()), now()).unwrap();
    }
    without_list(&|| assert!(ca.revoke("n1", Reason::Superseded, now()).is_err()));
    assert_eq!(listed(), 0);
    assert_eq!(
        refused(ca.revoke("n1", Reason::Superseded, now())),
        "the certificate of n1 is revoked already"
    );
    assert_eq!(listed(), 1);
    let replacing = Order { replaces: true, ..order("n2", &key()) };
    without_list(&|| assert!(ca.issue(&replacing, now()).is_err()));
    assert_eq!(listed(), 1);
    Service::new(Arc::new(Ca::open(&folder.0).unwrap())).refresh(now()).unwrap();
    assert_eq!(listed(), 2);
}

#[test]
fn a_name_belongs_to_one_key() {
    let folder = Folder::new();
    let ca = folder.ca();
    let (first, second) = (key(), key());
    ca.issue(&order("n1", &first), now()).unwrap();
    ca.issue(&order("n1", &first), now()).unwrap();
    let taken = "n1 has a certificate for another key, valid until 2027-11-22T17:03:13Z: it must be revoked first";
    assert_eq!(refused(ca.issue(&order("n1", &second), now())), taken);
    ca.issue(&Order { replaces: true, ..order("n1", &second) }, now()).unwrap();
    let revoked: Vec<_> = ca.records().unwrap().into_iter().filter_map(|it| it.revoked).collect();
    assert_eq!(revoked.iter().map(|it| it.reason.as_str()).collect::<Vec<_>>(), ["superseded"; 2]);
    // An expired certificate holds no name.
    ca.issue(&order("n1", &first), now() + LIFE + DAY).unwrap();
    for name in ["../n1", "", "ann.mcollective", "x.privileged.choria"] {
        assert!(ca.issue(&order(name, &first), now()).is_err(), "{name}");
    }
}

#[test]
fn further_names_belong_to_somebody_as_well() {
    let folder = Folder::new();
    let (service, token) = service(&folder, |claims| {
        claims.profile = Profile::Broker;
        claims.uses = 9;
        claims.life = 2 * DAY.as_secs();
    });
    let ca = service.ca();
    let broker = |name: &str, alt: &[&str], key: &PrivateKey| Order {
        profile: Profile::Broker,
        alt_names: alt.iter().map(|name| (*name).to_owned()).collect(),
        life: 2 * DAY,
        ..order(name, key)
    };
    let with_alt = |name: &str, alt: &str, key: &PrivateKey| {
        let dns_names = vec![alt.to_owned()];
        let wish = Wish { common_name: name.to_owned(), dns_names, ..Wish::default() };
        let csr = CertificateRequest::make(&wish, key.pem()).unwrap().pem();
        ask(&service, &token, csr, now()).map(|_| "issued".to_owned()).unwrap_or_else(|error| error)
    };
    let (one, two, three) = (key(), key(), key());
    let ip = "192.0.2.7".parse().unwrap();
    let first = Order {
        ip_addresses: vec![ip],
        ..broker("b1.example.net", &["all.example.net", "b1.example.net"], &one)
    };
    ca.issue(&first, now()).unwrap();
    // With a token nobody gets a name of somebody else, first or further, in whatever letters.
    for (name, alt, taken) in [
        ("all.example.net", "x.example.net", "all.example.net"),
        ("b2.example.net", "all.example.net", "all.example.net"),
        ("b2.example.net", "B1.example.net", "B1.example.net"),
    ] {
        let text = with_alt(name, alt, &two);
        assert!(text.starts_with(&format!("{taken} has a certificate for another key")), "{text}");
    }
    assert_eq!(with_alt("b2.example.net", "b2b.example.net", &two), "issued");
    assert_eq!(with_alt("b1.example.net", "all.example.net", &one), "issued");
    // Who has the folder may have several brokers share a further name, but no first one.
    ca.issue(&broker("b3.example.net", &["all.example.net"], &three), now()).unwrap();
    let other = key();
    for names in [
        broker("all.example.net", &[], &other),
        broker("b4.example.net", &["b1.example.net"], &other),
        Order { replaces: true, ..broker("all.example.net", &[], &other) },
    ] {
        assert!(refused(ca.issue(&names, now())).contains("has a certificate for another key"));
    }
    let same_ip = Order {
        ip_addresses: vec![ip],
        by: By::Token("t".to_owned()),
        ..broker("b5", &[], &other)
    };
    assert!(refused(ca.issue(&same_ip, now())).starts_with("192.0.2.7 has a certificate"));
    // Whoever renews keeps the names he had, and gets no other.
    let renew = |name: &str, key: &PrivateKey| {
        let csr = csr(name, key);
        let question = serde_json::to_vec(&Question { token: String::new(), csr }).unwrap();
        Answer::read(&service.renew(&question, now() + DAY + HOUR))
    };
    renew("b3.example.net", &three).unwrap();
    renew("b1.example.net", &one).unwrap();
    let taking = Order { replaces: true, ..broker("b6.example.net", &["b2.example.net"], &other) };
    ca.issue(&taking, now()).unwrap();
    assert_eq!(
        renew("b2.example.net", &two).unwrap_err(),
        "the certificate of b2.example.net is revoked already"
    );
}

#[test]
fn an_interrupted_start_is_gone_on_with() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.0.join("certs")).unwrap();
    for (name, text) in [("token.seed", "half"), ("token.pub", ""), ("journal.jsonl", "")] {
        std::fs::write(folder.0.join(name), text).unwrap();
    }
    assert!(matches!(Ca::open(&folder.0), Err(Error::Absent(_))));
    folder.ca().issue(&order("n1", &key()), now()).unwrap();
    assert_eq!(mode(&folder.0.join("token.seed")), 0o600);
    // What was issued is never started over.
    for name in ["ca.pem", "ca.key"] {
        std::fs::remove_file(folder.0.join(name)).unwrap();
        assert!(matches!(Ca::init(&folder.0, "Other", now()), Err(Error::Exists(_))), "{name}");
    }
}

#[test]
fn what_is_revoked_stands_in_the_list() {
    let folder = Folder::new();
    let ca = folder.ca();
    ca.issue(&order("n1", &key()), now()).unwrap();
    ca.issue(&order("n2", &key()), now()).unwrap();
    let serials = || crl::read(&ca.crl().unwrap()).unwrap()[0].serials.len();
    assert_eq!(serials(), 0);
    assert_eq!(
        refused(ca.revoke("n3", Reason::Unspecified, now())),
        "no certificate is known as \"n3\""
    );
    let gone = ca.revoke("n1", Reason::KeyCompromise, now()).unwrap();
    assert_eq!(gone[0].name, "n1");
    assert_eq!(serials(), 1);
    assert_eq!(
        refused(ca.revoke("n1", Reason::Unspecified, now())),
        "the certificate of \"n1\" is revoked already".replace('"', "")
    );
    let serial = ca.records().unwrap().into_iter().find(|it| it.name == "n2").unwrap().serial;
    ca.revoke(&serial.to_uppercase(), Reason::Unspecified, now()).unwrap();
    assert_eq!(serials(), 2);
    // Numbers grow even when the clock goes back.
    let before = crl::read(&ca.crl().unwrap()).unwrap().remove(0);
    ca.refresh_crl(now() - 365 * DAY).unwrap();
    assert!(crl::read(&ca.crl().unwrap()).unwrap()[0].is_newer_than(&before));
    // Long after the end of the certificates nobody needs to know.
    ca.refresh_crl(now() + LIFE + 2 * DAY).unwrap();
    assert_eq!(serials(), 0);
}

#[test]
fn a_crash_at_any_byte_loses_nothing_that_was_acknowledged() {
    let folder = Folder::new();
    let ca = folder.ca();
    ca.issue(&order("n1", &key()), now()).unwrap();
    let journal = folder.0.join("journal.jsonl");
    let first = std::fs::read(&journal).unwrap();
    ca.issue(&order("n2", &key()), now()).unwrap();
    let both = std::fs::read(&journal).unwrap();
    for end in first.len()..both.len() {
        std::fs::write(&journal, &both[..end]).unwrap();
        let ca = Ca::open(&folder.0).unwrap();
        assert_eq!(ca.records().unwrap().len(), 1, "cut at {end}");
    }
    let ca = Ca::open(&folder.0).unwrap();
    ca.issue(&order("n3", &key()), now()).unwrap();
    let names: Vec<_> =
        Ca::open(&folder.0).unwrap().records().unwrap().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["n1", "n3"]);
    std::fs::write(&journal, [&first[..], b"{\"event\":\n"].concat()).unwrap();
    assert!(matches!(Ca::open(&folder.0), Err(Error::Damaged { .. })));
}

#[test]
fn several_processes_see_what_the_others_did() {
    let folder = Folder::new();
    let (one, other) = (folder.ca(), Ca::open(&folder.0).unwrap());
    one.issue(&order("n1", &key()), now()).unwrap();
    assert!(refused(other.issue(&order("n1", &key()), now())).contains("has a certificate"));
    other.revoke("n1", Reason::Unspecified, now()).unwrap();
    assert!(one.records().unwrap()[0].revoked.is_some());
}

/// A service with a token of these claims.
fn service(folder: &Folder, change: impl FnOnce(&mut Claims)) -> (Service, String) {
    let ca = match Ca::open(&folder.0) {
        Ok(ca) => ca,
        Err(_) => folder.ca(),
    };
    let mut claims = Claims::new(vec!["*.example.net".to_owned()], now(), HOUR);
    claims.fingerprint = ca.fingerprint().to_owned();
    change(&mut claims);
    let token = ca.token(&claims, now()).unwrap();
    (Service::new(Arc::new(ca)), token)
}

fn ask(service: &Service, token: &str, csr: String, at: SystemTime) -> Result<Answer, String> {
    let question = serde_json::to_vec(&Question { token: token.to_owned(), csr }).unwrap();
    Answer::read(&service.enroll(&question, at))
}

#[test]
fn a_token_gives_as_many_certificates_as_it_says() {
    let folder = Folder::new();
    let (service, token) = service(&folder, |claims| claims.uses = 2);
    let (one, two, three) = (key(), key(), key());
    let first = ask(&service, &token, csr("n1.example.net", &one), now()).unwrap();
    assert_eq!(first.ca, service.ca().ca_pem());
    assert!(first.crl.contains("X509 CRL"));
    // The answer was lost: the same one comes, and is not counted.
    let again = ask(&service, &token, csr("n1.example.net", &one), now()).unwrap();
    assert_eq!(again.certificate, first.certificate);
    let asked = |name: &str, key| ask(&service, &token, csr(name, key), now()).unwrap_err();
    assert!(asked("n1.example.net", &two).contains("has a certificate for another key"));
    assert_eq!(asked("n1.example.com", &two), "the token does not allow the name n1.example.com");
    assert_eq!(asked("../../n1", &two), "the token does not allow the name ../../n1");
    ask(&service, &token, csr("n2.example.net", &two), now()).unwrap();
    assert_eq!(asked("n3.example.net", &three), "the token was used as often as it may be");
    let by: Vec<_> = service.ca().records().unwrap().into_iter().map(|it| it.by).collect();
    assert!(by.iter().all(|by| matches!(by, By::Token(_))), "{by:?}");
}

#[test]
fn tokens_that_prove_nothing() {
    let folder = Folder::new();
    let (service, token) = service(&folder, |_| {});
    let ask =
        |token: &str, at| ask(&service, token, csr("n1.example.net", &key()), at).unwrap_err();
    let expired = "the token is not accepted: the token expired at 2026-11-22T18:03:13Z";
    assert_eq!(ask(&token, now() + HOUR), expired);
    assert!(ask(&token, now() - HOUR).contains("not accepted"));
    let (head, signature) = token.rsplit_once('.').unwrap();
    let swapped: String = signature.chars().rev().collect();
    for bad in ["", "x", "a.b.c", head, &format!("{head}.{swapped}"), &format!("{head}.")] {
        assert!(ask(bad, now()).starts_with("the token is not accepted"), "{bad}");
    }
    let elsewhere = Folder::new();
    let (_, foreign) = self::service(&elsewhere, |_| {});
    assert!(ask(&foreign, now()).starts_with("the token is not accepted"));
    // Signed by the right key, for something else.
    let seed = std::fs::read(folder.0.join("token.seed")).unwrap();
    let signer = SigningKey::from_file_contents(&seed).unwrap();
    let claims = serde_json::json!({"purpose": "choria_provisioning", "exp": 4_000_000_000_i64});
    let other = crate::tokens::sign(&claims, &signer).unwrap();
    assert_eq!(ask(&other, now()), "the token is not accepted: it is not a join token");
    let (_, wrong) = self::service(&folder, |claims| claims.fingerprint = "0".repeat(64));
    assert_eq!(
        ask(&wrong, now()),
        "the token is not accepted: it is of another certificate authority"
    );
    for question in [&b""[..], b"{}", b"[]", &vec![b' '; wire::QUESTION_BYTES_MAX + 1]] {
        let error = Answer::read(&service.enroll(question, now())).unwrap_err();
        assert!(error.contains("cannot be read") || error.contains("not accepted"), "{error}");
    }
    assert!(service.ca().records().unwrap().is_empty());
}

#[test]
fn claims_are_checked_before_they_are_used() {
    let base = {
        let mut claims = Claims::new(vec!["n1".to_owned()], now(), HOUR);
        claims.fingerprint = "0".repeat(64);
        claims
    };
    let fault = |change: fn(&mut Claims)| {
        let mut claims = base.clone();
        change(&mut claims);
        match claims.check() {
            Ok(()) => "",
            Err(BadToken::Claim(claim)) => claim,
            Err(_) => "another",
        }
    };
    assert_eq!(fault(|_| {}), "");
    assert_eq!(fault(|it| it.purpose.clear()), "purpose");
    assert_eq!(fault(|it| it.id = "a.>".to_owned()), "jti");
    assert_eq!(fault(|it| it.fingerprint.clear()), "ca");
    assert_eq!(fault(|it| it.names.clear()), "names");
    assert_eq!(fault(|it| it.names[0] = "**".to_owned()), "names");
    assert_eq!(fault(|it| it.uses = 0), "uses");
    assert_eq!(fault(|it| it.life = 0), "life");
    assert!(matches!(join::read("a.b"), Err(BadToken::Denied(Denied::Malformed(_)))));
    let long = Claims::new(vec!["n1".to_owned()], now(), 1_000 * DAY);
    assert_eq!(long.expires - long.issued_at, join::LIFE_MAX.as_secs() as i64);
}

#[test]
fn a_certificate_is_renewed_for_its_own_key_when_it_is_time() {
    let folder = Folder::new();
    let (service, token) = service(&folder, |claims| claims.life = 2 * DAY.as_secs());
    let own = key();
    ask(&service, &token, csr("n1.example.net", &own), now()).unwrap();
    let renew = |csr: String, at: SystemTime| {
        let question = serde_json::to_vec(&Question { token: String::new(), csr }).unwrap();
        Answer::read(&service.renew(&question, at))
    };
    let own_csr = || csr("n1.example.net", &own);
    assert!(
        renew(own_csr(), now()).unwrap_err().starts_with("the certificate can be renewed from")
    );
    let unknown = "no certificate is known as \"n1.example.net\"";
    assert_eq!(renew(csr("n1.example.net", &key()), now() + DAY).unwrap_err(), unknown);
    let renewed = renew(own_csr(), now() + DAY).unwrap();
    assert!(renewed.certificate.contains("BEGIN CERTIFICATE"));
    // A question that somebody has kept gives nothing.
    assert!(renew(own_csr(), now() + DAY).unwrap_err().contains("can be renewed from"));
    assert_eq!(renew(own_csr(), now() + 9 * DAY).unwrap_err(), unknown);
    service.ca().revoke("n1.example.net", Reason::Unspecified, now()).unwrap();
    assert_eq!(
        renew(own_csr(), now() + 2 * DAY).unwrap_err(),
        "the certificate of n1.example.net is revoked already"
    );
}

#[test]
fn a_flood_is_turned_away() {
    let folder = Folder::new();
    let (service, _) = service(&folder, |_| {});
    let busy = (0..200)
        .filter(|_| Answer::read(&service.enroll(b"{}", now())).unwrap_err().contains("too many"))
        .count();
    assert!(busy > 100, "{busy}");
}

#[test]
fn brokers_may_be_connected_to_and_servers_not() {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, UnixTime};
    let folder = Folder::new();
    let ca = folder.ca();
    let verdict = |profile, name: &str| {
        let pem = ca.issue(&Order { profile, ..order(name, &key()) }, now()).unwrap();
        let chain: Vec<CertificateDer<'_>> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().unwrap();
        let root = CertificateDer::from_pem_slice(ca.ca_pem().as_bytes()).unwrap();
        let anchor = webpki::anchor_from_trusted_cert(&root).unwrap();
        let time =
            UnixTime::since_unix_epoch(now().duration_since(SystemTime::UNIX_EPOCH).unwrap());
        let may = |usage| {
            webpki::EndEntityCert::try_from(&chain[0])
                .unwrap()
                .verify_for_usage(
                    webpki::ALL_VERIFICATION_ALGS,
                    std::slice::from_ref(&anchor),
                    &[],
                    time,
                    usage,
                    None,
                    None,
                )
                .is_ok()
        };
        (may(webpki::KeyUsage::server_auth()), may(webpki::KeyUsage::client_auth()), chain.len())
    };
    assert_eq!(verdict(Profile::Broker, "b1"), (true, true, 2));
    assert_eq!(verdict(Profile::Server, "n1"), (false, true, 1));
    assert_eq!(verdict(Profile::Client, "ann.mcollective"), (false, true, 1));
}
