//! Certificates that were revoked, and those that no list of revoked ones vouches for.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::world::{ALICE, server_trusting, wrap};
use super::*;
use crate::crypto::crl::{self, Entry, Reason};
use crate::crypto::issue::{Authority, Issued, LeafRequest};
use crate::crypto::x509::Certificate;
use crate::security::{Kind, Settings};

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);
const PRIVILEGED: &str = "ops.privileged.mcollective";

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = of_leaves(world);
    cases.extend(of_chains(world));
    cases.extend(of_delegates(world));
    cases
}

/// A list of this authority that is an hour old and is valid for a day.
fn list(from: &Authority, number: u64, revoked: &[&str]) -> String {
    list_until(from, number, revoked, now() - HOUR + DAY)
}

fn list_until(from: &Authority, number: u64, revoked: &[&str], end: SystemTime) -> String {
    let made = end - DAY;
    let entry = |pem: &&str| Entry {
        serial: serial(pem),
        since: now() - DAY,
        reason: Reason::KeyCompromise,
    };
    let entries: Vec<Entry> = revoked.iter().map(entry).collect();
    crl::sign(from, &entries, number, made, DAY).unwrap()
}

/// The serial number of the first certificate.
fn serial(pem: &str) -> Vec<u8> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    Certificate::from_der(&der).unwrap().serial().to_vec()
}

/// A certificate of this name for the key that all ordinary ones share.
fn certificate(world: &World, from: &Authority, name: &str) -> String {
    let request = LeafRequest::new(name, now() - DAY, 7 * DAY);
    from.issue_for_key(&request, &world.key_pem).unwrap().certificate_pem
}

/// A server that trusts the usual authority as far as these lists vouch.
fn server(world: &World, lists: &str) -> Arrangement {
    let folder = Arc::new(TempDir::new());
    let path = folder.path().join("crl.pem");
    std::fs::write(&path, lists).unwrap();
    let node = Issued { key_pem: world.key_pem.clone(), ..world.alice.clone() };
    let security = server_trusting(&node, world.authority.ca_pem(), |settings| settings.crl = path);
    Arrangement { security: Some(security), folder: Some(folder), ..Arrangement::default() }
}

fn case(world: &World, name: &str, pem: &str, lists: &str, reason: &str) -> Case {
    let request = world.request();
    let message = wrap(&world.signed(request.encode().unwrap(), pem));
    let trace = Trace::Unverified(Box::new(request), reason.to_owned());
    Case::new(format!("revocation: {name}"), message, trace).at(server(world, lists))
}

/// Alice's own certificate, issued by the authority itself.
fn of_leaves(world: &World) -> Vec<Case> {
    let own = &world.alice.certificate_pem;
    let bob = certificate(world, &world.authority, "bob.mcollective");
    let same_name = Authority::new_p256("The CA", now() - DAY).unwrap();
    let case = |name: &str, lists: &str, reason: &str| {
        let reason = format!("refused certificate alice.mcollective: {reason}");
        case(world, name, own, lists, &reason)
    };
    let listed = |number, revoked: &[&str]| list(&world.authority, number, revoked);
    let until = |end| list_until(&world.authority, 1, &[], end);
    let no_list = "there is no revocation list of its issuer The CA";
    vec![
        case("a certificate in the list", &listed(1, &[own]), "it was revoked"),
        case("one of many in the list", &listed(1, &[&bob, own]), "it was revoked"),
        case(
            "revoked by the newer list of two",
            &format!("{}{}", listed(2, &[own]), listed(1, &[])),
            "it was revoked",
        ),
        case(
            "revoked by the newer list, behind the older one",
            &format!("{}{}", listed(1, &[]), listed(2, &[own])),
            "it was revoked",
        ),
        case(
            "revoked in a list that has ended",
            &list_until(&world.authority, 1, &[own], now() - HOUR),
            "the revocation list expired on 2026-11-22T16:03:11Z",
        ),
        case(
            "a list that has ended",
            &until(now() - HOUR),
            "the revocation list expired on 2026-11-22T16:03:11Z",
        ),
        case(
            "a list that has just ended",
            &until(now()),
            "the revocation list expired on 2026-11-22T17:03:11Z",
        ),
        case("a list of another authority", &list(&world.stranger, 1, &[]), no_list),
        case(
            "a list of another authority with the serial number",
            &list(&world.stranger, 1, &[own]),
            no_list,
        ),
        case(
            "a list of another authority of the same name",
            &list(&same_name, 1, &[]),
            "the revocation list was not signed by its issuer",
        ),
        case(
            "a newer list of another authority of the same name",
            &format!("{}{}", listed(1, &[own]), list(&same_name, 2, &[])),
            "the revocation list was not signed by its issuer",
        ),
    ]
}

/// Alice's certificate is of an authority below the trusted one.
fn of_chains(world: &World) -> Vec<Case> {
    let below = world.authority.intermediate("Below", now() - DAY).unwrap();
    let pem = certificate(world, &below, ALICE);
    let root = |revoked: &[&str]| list(&world.authority, 1, revoked);
    let case = |name: &str, lists: String, reason: &str| {
        let reason = format!("refused certificate alice.mcollective: {reason}");
        case(world, name, &pem, &lists, &reason)
    };
    vec![
        case(
            "in the list of the authority below",
            format!("{}{}", root(&[]), list(&below, 1, &[&pem])),
            "it was revoked",
        ),
        case(
            "an authority below in the list",
            format!("{}{}", root(&[below.ca_pem()]), list(&below, 1, &[])),
            "the certificate of Below above it was revoked",
        ),
        case(
            "no list of the authority below",
            root(&[]),
            "there is no revocation list of its issuer Below",
        ),
        case(
            "a list of the authority below only",
            list(&below, 1, &[]),
            "there is no revocation list of The CA, which issued the certificate of Below above it",
        ),
        case(
            "an ended list of the authority below",
            format!("{}{}", root(&[]), list_until(&below, 1, &[], now() - HOUR)),
            "the revocation list expired on 2026-11-22T16:03:11Z",
        ),
        case(
            "an ended list above the authority below",
            format!(
                "{}{}",
                list_until(&world.authority, 1, &[], now() - HOUR),
                list(&below, 1, &[])
            ),
            "the revocation list expired on 2026-11-22T16:03:11Z",
        ),
    ]
}

/// Services that make requests as others, with a privileged certificate.
fn of_delegates(world: &World) -> Vec<Case> {
    let pem = certificate(world, &world.authority, PRIVILEGED);
    vec![
        case(
            world,
            "who signed for alice",
            &pem,
            &list(&world.authority, 1, &[&pem]),
            "refused certificate ops.privileged.mcollective: it was revoked",
        ),
        case(
            world,
            "no list for who signed for alice",
            &pem,
            &list(&world.stranger, 1, &[]),
            "refused certificate ops.privileged.mcollective: there is no revocation list of its issuer The CA",
        ),
    ]
}

#[test]
fn whom_the_lists_vouch_for_is_served() {
    let world = world();
    let below = world.authority.intermediate("Below", now() - DAY).unwrap();
    let bob = certificate(world, &world.authority, "bob.mcollective");
    let (root, second) = (list(&world.authority, 1, &[&bob]), list(&below, 1, &[]));
    let both = format!("{root}{second}");
    for (lists, pem) in [
        (&root, world.alice.certificate_pem.clone()),
        (&both, certificate(world, &below, ALICE)),
        (&root, certificate(world, &world.authority, PRIVILEGED)),
    ] {
        let scene = Scene::new(&server(world, lists));
        let message = wrap(&world.signed(world.request().encode().unwrap(), &pem));
        assert_eq!(scene.feed(message), [""; 0]);
        assert_eq!((scene.answers(), scene.probe.calls()), (vec![(0, "OK".to_owned())], 1));
    }
}

#[test]
fn a_list_that_cannot_be_read_keeps_the_process_from_starting() {
    let world = world();
    let folder = TempDir::new();
    let path = folder.path().join("crl.pem");
    let place = |name: &str| folder.path().join(name);
    std::fs::write(place("certificate"), world.authority.ca_pem()).unwrap();
    std::fs::write(place("ca.pem"), world.authority.ca_pem()).unwrap();
    std::fs::write(place("node.pem"), &world.alice.certificate_pem).unwrap();
    std::fs::write(place("node.key"), &world.key_pem).unwrap();
    let broken = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n".to_owned();
    let good = list(&world.authority, 1, &[]);
    let half = good.get(..good.len() / 2).unwrap().to_owned();
    let tail = format!("{good}-----BEGIN X509 CRL-----\n");
    let large = "x".repeat(16 * 1024 * 1024 + 1);
    let open = || {
        let mut settings = Settings::new(Kind::File, "node1.example.net");
        settings.certificate = place("node.pem");
        settings.key = place("node.key");
        settings.ca = place("ca.pem");
        settings.crl = path.clone();
        Provider::open(settings).map(drop).map_err(|error| error.to_string())
    };
    let hint = "; replace the file or correct plugin.security.crl";
    let refused = |reason: &str| {
        let file = path.display();
        let expected = format!(
            "security is not set up: cannot use the revocation list {file}: {reason}{hint}"
        );
        assert_eq!(open(), Err(expected));
    };
    refused("No such file or directory (os error 2)");
    std::fs::create_dir(&path).unwrap();
    refused("it is not a regular file");
    std::fs::remove_dir(&path).unwrap();
    let files: [(&[u8], &str); 8] = [
        (b"", "it holds no CRL in PEM form"),
        (b"nothing", "it holds no CRL in PEM form"),
        (world.authority.ca_pem().as_bytes(), "it holds no CRL in PEM form"),
        (broken.as_bytes(), "it holds a list that is not a CRL of version 2"),
        (half.as_bytes(), "it holds a list that has no end"),
        (tail.as_bytes(), "it holds a list that has no end"),
        (large.as_bytes(), "it is larger than 16777216 bytes"),
        (b"\xff\xfe", "stream did not contain valid UTF-8"),
    ];
    for (text, reason) in files {
        std::fs::write(&path, text).unwrap();
        refused(reason);
    }
    std::fs::write(&path, good).unwrap();
    assert_eq!(open(), Ok(()));
}
