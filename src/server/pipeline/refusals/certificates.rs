//! Certificates that do not prove who the caller is.

use data_encoding::BASE64;

use super::world::{ALICE, server_trusting, wrap};
use super::*;
use crate::crypto::issue::{Authority, KeyKind, LeafRequest};

const DAY: Duration = Duration::from_secs(86_400);

type Change = fn(&mut LeafRequest);

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, change, reason) in LEAVES {
        let pem = leaf(world, &world.authority, *change);
        cases.push(with_pem(world, name, &pem, reason));
    }
    cases.extend(chains(world));
    cases.extend(no_certificates(world));
    cases.extend(impostors(world));
    cases.extend(authorities(world));
    cases
}

/// A certificate for alice with the usual key, apart from what `change` does.
fn leaf(world: &World, authority: &Authority, change: Change) -> String {
    let mut request = LeafRequest::new(ALICE, now() - DAY, 7 * DAY);
    change(&mut request);
    authority.issue_for_key(&request, &world.key_pem).unwrap().certificate_pem
}

/// Alice's request, signed with her key, beside these certificates.
fn with_pem(world: &World, name: &str, pem: &str, reason: &str) -> Case {
    let request = world.request();
    let message = wrap(&world.signed(request.encode().unwrap(), pem));
    Case::new(name, message, Trace::Unverified(Box::new(request), reason.to_owned()))
}

/// Certificates of the right authority.
const LEAVES: &[(&str, Change, &str)] = &[
    (
        "an expired certificate",
        |r| r.not_after = now() - DAY,
        "refused certificate alice.mcollective: it expired on 2026-11-21T17:03:11Z",
    ),
    (
        "a certificate of one second ago",
        |r| r.not_after = now() - Duration::from_secs(1),
        "refused certificate alice.mcollective: it expired on 2026-11-22T17:03:10Z",
    ),
    (
        "a certificate of tomorrow",
        |r| r.not_before = now() + DAY,
        "refused certificate alice.mcollective: it is valid from 2026-11-23T17:03:11Z on only",
    ),
    (
        "a certificate for servers only",
        |r| r.client_auth = false,
        "refused certificate alice.mcollective: its extended key usage does not allow client authentication",
    ),
    (
        "a certificate of somebody else",
        |r| *r = LeafRequest::new("mallory.mcollective", now() - DAY, 7 * DAY),
        "refused caller alice.mcollective: the certificate is for mallory.mcollective",
    ),
    (
        "a certificate of a node",
        |r| *r = LeafRequest::new("node3.example.net", now() - DAY, 7 * DAY),
        "refused caller alice.mcollective: the certificate is for node3.example.net",
    ),
    (
        "a certificate for the name in capitals",
        |r| *r = LeafRequest::new("Alice.mcollective", now() - DAY, 7 * DAY),
        "refused caller alice.mcollective: the certificate is for Alice.mcollective",
    ),
    (
        "a certificate that begins with the name",
        |r| *r = LeafRequest::new("alice.mcollective.evil", now() - DAY, 7 * DAY),
        "refused caller alice.mcollective: the certificate is for alice.mcollective.evil",
    ),
    (
        "a certificate for all names of a domain",
        |r| *r = LeafRequest::new("*.mcollective", now() - DAY, 7 * DAY),
        "refused caller alice.mcollective: the certificate is for *.mcollective",
    ),
];

fn chains(world: &World) -> Vec<Case> {
    let unknown = |issuer: &str| {
        format!("refused certificate alice.mcollective: its issuer {issuer} leads to no trusted CA")
    };
    let same_name = Authority::new_p256("The CA", now() - DAY).unwrap();
    let below = world.authority.intermediate("Below", now() - DAY).unwrap();
    let foreign = world.stranger.intermediate("Below", now() - DAY).unwrap();
    let good = leaf(world, &world.authority, |_| ());
    let stranger = leaf(world, &world.stranger, |_| ());
    let first_only = |pem: &str| {
        const END: &str = "-----END CERTIFICATE-----\n";
        pem.split_inclusive(END).next().unwrap_or_default().to_owned()
    };
    let old = world.authority.intermediate("Below", now() - 11 * 365 * DAY).unwrap();
    let early = world.authority.intermediate("Below", now() + 2 * DAY).unwrap();
    let mallory = Authority::from_pem(&world.alice.certificate_pem, &world.key_pem).unwrap();
    let by_mallory = leaf(world, &mallory, |_| ());
    let named = world.authority.intermediate(ALICE, now() - DAY).unwrap();
    vec![
        with_pem(
            world,
            "an intermediate that has ended",
            &leaf(world, &old, |_| ()),
            "refused certificate alice.mcollective: the certificate of Below above it expired on 2025-11-22T17:03:11Z",
        ),
        with_pem(
            world,
            "an intermediate of tomorrow",
            &leaf(world, &early, |_| ()),
            "refused certificate alice.mcollective: the certificate of Below above it is valid from 2026-11-24T16:03:11Z on only",
        ),
        with_pem(
            world,
            "issued with the certificate of a client",
            &format!("{by_mallory}{}", world.alice.certificate_pem),
            &unknown(ALICE),
        ),
        with_pem(
            world,
            "the certificate of an authority",
            named.ca_pem(),
            "refused certificate alice.mcollective: it is the certificate of an authority",
        ),
        with_pem(world, "another authority", &stranger, &unknown("Another CA")),
        with_pem(
            world,
            "another authority that is brought along",
            &format!("{stranger}{}", world.stranger.ca_pem()),
            &unknown("Another CA"),
        ),
        with_pem(
            world,
            "another authority beside a good certificate",
            &format!("{stranger}{good}"),
            &unknown("Another CA"),
        ),
        with_pem(
            world,
            "another authority of the same name",
            &leaf(world, &same_name, |_| ()),
            &unknown("The CA"),
        ),
        with_pem(
            world,
            "an intermediate that is missing",
            &first_only(&leaf(world, &below, |_| ())),
            &unknown("Below"),
        ),
        with_pem(
            world,
            "an intermediate of another authority",
            &leaf(world, &foreign, |_| ()),
            &unknown("Below"),
        ),
        with_pem(
            world,
            "too many certificates",
            &good.repeat(11),
            "refused a request with 11 certificates, at most 10 are allowed",
        ),
    ]
}

fn no_certificates(world: &World) -> Vec<Case> {
    let unusable = |reason: &str| {
        format!(
            "refused a request of choria=alice.mcollective: its certificate is unusable: {reason}"
        )
    };
    let block =
        |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    vec![
        with_pem(world, "words for a certificate", "trust me", &unusable("it is not PEM")),
        with_pem(world, "a key for a certificate", &world.key_pem, &unusable("it is not PEM")),
        with_pem(
            world,
            "three bytes for a certificate",
            &block("AAAA"),
            &unusable("not an X.509 certificate: cannot read the outer structure"),
        ),
    ]
}

/// Good certificates that are not for this caller, and signatures with keys that do not serve.
fn impostors(world: &World) -> Vec<Case> {
    let as_caller = |name: &str, caller: &str, certname: &str, reason: &str| {
        let request = Request { caller: caller.to_owned(), ..world.request() };
        let leaf = LeafRequest::new(certname, now() - DAY, 7 * DAY);
        let pem = world.authority.issue_for_key(&leaf, &world.key_pem).unwrap().certificate_pem;
        let message = wrap(&world.signed(request.encode().unwrap(), &pem));
        Case::new(name, message, Trace::Unverified(Box::new(request), reason.to_owned()))
    };
    let of_kind = |kind| {
        let mut request = LeafRequest::new(ALICE, now() - DAY, 7 * DAY);
        request.key = kind;
        world.authority.issue(&request).unwrap().certificate_pem
    };
    let elliptic = of_kind(KeyKind::P256);
    let small = LeafRequest::new(ALICE, now() - DAY, 7 * DAY);
    let small = world
        .authority
        .certify_public_key(&small, &BASE64.decode(SMALL_KEY.as_bytes()).unwrap())
        .unwrap();
    vec![
        as_caller(
            "a node that makes requests",
            "choria=node3.example.net",
            "node3.example.net",
            "refused caller node3.example.net: it fits no pattern of the allow list",
        ),
        as_caller(
            "a name that only looks allowed",
            "choria=alicemcollective",
            "alicemcollective",
            "refused caller alicemcollective: it fits no pattern of the allow list",
        ),
        as_caller(
            "alice as another caller",
            "choria=bob.mcollective",
            ALICE,
            "refused caller bob.mcollective: the certificate is for alice.mcollective",
        ),
        with_pem(
            world,
            "an Ed25519 key",
            &of_kind(KeyKind::Ed25519),
            "refused the key of certificate alice.mcollective: the key is not an RSA key; protocol v1 needs RSA",
        ),
        with_pem(
            world,
            "an RSA key of 1024 bits",
            &small,
            "refused the key of certificate alice.mcollective: the RSA key has 1024 bits, at least 2048 are needed",
        ),
        as_caller(
            "a privileged name that only looks so",
            "choria=bob.mcollective",
            "ops.privileged.mcollective.evil",
            "refused caller bob.mcollective: the certificate is for ops.privileged.mcollective.evil",
        ),
        with_pem(
            world,
            "an elliptic key",
            &elliptic,
            "refused the key of certificate alice.mcollective: the key is not an RSA key; protocol v1 needs RSA",
        ),
    ]
}

/// Servers that can verify nobody, or not alice.
fn authorities(world: &World) -> Vec<Case> {
    let node = world.authority.issue(&LeafRequest::new("n", now() - DAY, DAY)).unwrap();
    let past = Authority::new_p256("The CA", now() - 11 * 365 * DAY).unwrap();
    let security = |ca: &str| server_trusting(&node, ca, |_| ());
    let at = |security| Arrangement { security: Some(security), ..Arrangement::default() };
    let request = world.request();
    let unknown = "refused certificate alice.mcollective: its issuer The CA leads to no trusted CA";
    let by_past = leaf(world, &past, |_| ());
    let nobody = server_trusting(&node, "", |settings| {
        settings.ca = "/nonexistent/ca.pem".into();
        settings.tls = false;
    });
    let picky = server_trusting(&node, world.authority.ca_pem(), |settings| {
        settings.allow_list = vec!["^bob\\.mcollective$".to_owned()];
    });
    let alice = |name: &str, reason: &str| {
        let trace = Trace::Unverified(Box::new(request.clone()), reason.to_owned());
        Case::new(name, world.message(&request), trace)
    };
    vec![
        with_pem(world, "an authority that has expired", &by_past, unknown)
            .at(at(security(past.ca_pem()))),
        alice(
            "a server without an authority",
            "refused a request: no CA certificate is loaded, so nothing can be verified",
        )
        .at(at(nobody)),
        alice(
            "a server that allows others only",
            "refused caller alice.mcollective: it fits no pattern of the allow list",
        )
        .at(at(picky)),
    ]
}

/// SubjectPublicKeyInfo of an RSA key of 1024 bits. Nobody has the private half.
const SMALL_KEY: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC25R5ENOMlcFhSL7A+HnNJsjGllAymKQJnoaMPKbuc\
    xUOQYnvEW1BGf9XDv7Q0Ezc/4aey1UeAmZE/m6jZg4fG+ElU55ebVHiuAofqgBdu0PqX4lOFNBpLPyaX\
    qEf92X1aPbZxrT4sutwCtXvYl5VgLK/OQHmSaH/zxtUUit+OxQIDAQAB";
