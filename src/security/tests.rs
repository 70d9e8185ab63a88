use super::testkit::{Folder, at, authority, captured, captured_provider, issue, now, provider};
use super::*;
use crate::crypto::issue::{Authority as Issuer, Issued, KeyKind, LeafRequest};
use crate::crypto::rsa;
use crate::protocol::v1::{SecureReply, SecureRequest};
use crate::protocol::{Fault, Request, Transport, Version};
use std::time::{Duration, SystemTime};

/// Requests that go-choria servers answered, and who they are from.
const ACCEPTED: &[(&str, &str, bool)] = &[
    ("authorization_denied", "choria=alice.mcollective", false),
    ("federated", "choria=alice.mcollective", false),
    ("federated_collective", "choria=alice.mcollective", false),
    ("federated_ping", "choria=alice.mcollective", false),
    ("federated_ping_collective", "choria=alice.mcollective", false),
    ("filtered", "choria=alice.mcollective", false),
    ("filtered_compound", "choria=alice.mcollective", false),
    ("filtered_direct", "choria=alice.mcollective", false),
    ("ping", "choria=alice.mcollective", false),
    ("ping_notls_alice", "choria=alice.mcollective", false),
    ("privileged", "choria=bob.privileged.mcollective", true),
    ("privileged_other_caller", "choria=carol.mcollective", true),
    ("rpcutil_discovery", "choria=alice.mcollective", false),
    ("rpcutil_get_data_error", "choria=alice.mcollective", false),
    ("rpcutil_get_fact", "choria=alice.mcollective", false),
    ("rpcutil_inventory", "choria=alice.mcollective", false),
    ("rpcutil_ping", "choria=alice.mcollective", false),
];

fn transport(name: &str) -> (Vec<u8>, Transport) {
    let bytes = std::fs::read(captured(&format!("{name}.json"))).unwrap();
    let decoded = Transport::decode(&bytes).unwrap();
    (bytes, decoded)
}

fn meta(name: &str) -> serde_json::Value {
    let text = std::fs::read(captured(&format!("{name}.meta.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn captured_time(name: &str) -> SystemTime {
    at(meta(name)["time"].as_u64().unwrap())
}

#[test]
fn captured_requests_verify_and_encode_to_the_same_bytes() {
    let server = captured_provider("node1.example.net", "node1.example.net");
    for (name, caller, privileged) in ACCEPTED {
        let (bytes, decoded) = transport(&format!("{name}.request"));
        let now = captured_time(name);
        let verified = server.decode_request(&decoded, now).unwrap();
        let (request, meta) = (&verified.request, meta(name));
        assert_eq!(
            (request.caller.as_str(), verified.privileged),
            (*caller, *privileged),
            "{name}"
        );
        assert_eq!(request.id, meta["requestid"], "{name}");
        assert_eq!(request.agent, meta["agent"], "{name}");
        assert_eq!(serde_json::to_value(&request.filter).unwrap(), meta["filter"], "{name}");
        assert!(!request.is_expired(now) && request.is_expired(now + Duration::from_secs(60)));
        assert_eq!(decoded.encode(), bytes, "{name}: transport");
        let secure = SecureRequest::decode(&decoded.data).unwrap();
        assert_eq!(secure.encode().unwrap(), decoded.data, "{name}: secure request");
        assert_eq!(request.encode().unwrap(), secure.message, "{name}: request");
    }
}

#[test]
fn captured_replies_open_and_encode_to_the_same_bytes() {
    let client = captured_provider("alice.mcollective", "alice.mcollective");
    for (name, ..) in ACCEPTED {
        let (bytes, decoded) = transport(&format!("{name}.reply"));
        let reply = client.decode_reply(&decoded, now()).unwrap();
        assert_eq!(reply.request_id, meta(name)["requestid"], "{name}");
        assert_eq!(decoded.encode(), bytes, "{name}: transport");
        let secure = SecureReply::decode(&decoded.data).unwrap();
        assert_eq!(secure.encode(), decoded.data, "{name}: secure reply");
        assert_eq!(reply.encode().unwrap(), secure.message, "{name}: reply");
    }
}

#[test]
fn captured_signatures_are_reproduced() {
    let alice = captured_provider("alice.mcollective", "alice.mcollective");
    let (_, decoded) = transport("rpcutil_ping.request");
    let verified = alice.decode_request(&decoded, captured_time("rpcutil_ping")).unwrap();
    let ours = secured(&alice, &verified.request);
    assert_eq!(ours.encode().unwrap(), decoded.data);
}

#[test]
fn captured_requests_that_go_choria_refused_are_refused() {
    let server = captured_provider("node1.example.net", "node1.example.net");
    for (name, expected) in [
        (
            "rejected_untrusted_ca",
            "refused certificate alice.mcollective: its issuer Unrelated CA leads to no trusted CA",
        ),
        (
            "rejected_expired",
            "refused certificate alice.mcollective: it expired on 2021-01-01T00:00:00Z",
        ),
        (
            "rejected_caller_mismatch",
            "refused caller carol.mcollective: the certificate is for alice.mcollective",
        ),
        (
            "rejected_not_allowed",
            "refused caller node3.example.net: it fits no pattern of the allow list",
        ),
    ] {
        let (bytes, decoded) = transport(&format!("{name}.request"));
        assert_eq!(decoded.encode(), bytes, "{name}");
        let denied = server.decode_request(&decoded, captured_time(name)).unwrap_err();
        assert_eq!(denied.to_string(), expected, "{name}");
    }
}

#[test]
fn federation_keeps_the_data_and_moves_the_headers() {
    for kind in ["federated", "federated_ping"] {
        let request = transport(&format!("{kind}.request")).1;
        let inner = transport(&format!("{kind}_collective.request")).1;
        assert_eq!(request.data, inner.data);
        assert!(!request.federation.unwrap().targets.is_empty());
        let federation = inner.federation.unwrap();
        assert!(federation.targets.is_empty());
        assert_eq!(Some(federation.reply_to), request.reply_to);
        let reply = transport(&format!("{kind}_collective.reply")).1;
        assert!(reply.federation.is_some() && reply.hops.len() > 1);
    }
}

fn a_request(caller: &str) -> Request {
    let mut request = Request::new("rpcutil", "mcollective", "shell", caller, now());
    request.message = br#"{"agent":"rpcutil","action":"ping","data":{}}"#.to_vec();
    request
}

/// A request signed by this provider.
fn secured(signer: &Provider, request: &Request) -> SecureRequest {
    SecureRequest::decode(&signer.sign(request).unwrap()).unwrap()
}

/// What this provider says to a signed request.
fn verify(server: &Provider, secure: &SecureRequest) -> Result<Verified, Denied> {
    server.verify(Version::V1, &secure.encode().unwrap(), now())
}

/// What a server says to a request of `issued`'s owner that claims to be from `caller`.
fn verdict(issued: &Issued, caller: &str) -> Result<Verified, Denied> {
    let client = provider("ignored", issued, |_| ());
    let secure = secured(&client, &a_request(caller));
    verify(&verifying_server(), &secure)
}

/// A server that trusts the authority of these tests.
fn verifying_server() -> Provider {
    let mut settings = Settings::new(Kind::File, "n1");
    let folder = Folder::new();
    settings.ca = folder.write("ca.pem", authority().ca_pem());
    settings.tls = false;
    Provider::open(settings).unwrap()
}

#[test]
fn callers_by_their_certificates() {
    let other = Issuer::new_p256("Test CA", now()).unwrap();
    let below = authority().intermediate("Below", now()).unwrap();
    type Change = fn(&mut LeafRequest);
    let denied = |from: &Issuer, name, caller, change: Change| {
        verdict(&issue(from, name, change), caller).unwrap_err()
    };
    let ok = |from: &Issuer, name, caller, change: Change| {
        verdict(&issue(from, name, change), caller).unwrap().privileged
    };
    let root = authority();
    // Common name only, DNS name only, other case, another kind of caller id.
    assert!(!ok(root, "a.mcollective", "choria=a.mcollective", |r| r.dns_names.clear()));
    assert!(!ok(root, "x", "up=a.choria", |r| r.dns_names.push("a.choria".to_owned())));
    assert!(!ok(&below, "a.mcollective", "choria=a.mcollective", |_| ()));
    assert!(!ok(root, "a.mcollective", "choria=a.mcollective", |r| r.server_auth = false));
    assert!(!ok(root, "a.mcollective", "choria=a.mcollective", |r| {
        (r.server_auth, r.client_auth) = (false, false);
    }));
    assert!(ok(root, "b.privileged.mcollective", "choria=anyone", |_| ()));
    assert!(ok(root, "x", "choria=anyone", |r| {
        r.dns_names.push("b.privileged.choria".to_owned());
    }));
    let mismatch = denied(root, "a.mcollective", "choria=A.mcollective", |_| ());
    assert!(matches!(mismatch, Denied::CallerMismatch { .. }), "{mismatch}");
    let form = denied(root, "a.mcollective", "choria=a.mcollective x", |_| ());
    assert!(matches!(form, Denied::CallerForm { .. }), "{form}");
    let issuer = denied(&other, "a.mcollective", "choria=a.mcollective", |_| ());
    assert!(matches!(issuer, Denied::UnknownIssuer { .. }), "{issuer}");
    // A privileged name does not help where the chain fails.
    let issuer = denied(&other, "b.privileged.mcollective", "choria=anyone", |_| ());
    assert!(matches!(issuer, Denied::UnknownIssuer { .. }), "{issuer}");
    let usage = denied(root, "a.mcollective", "choria=a.mcollective", |r| r.client_auth = false);
    assert!(matches!(usage, Denied::Usage { .. }), "{usage}");
    let early = denied(root, "a.mcollective", "choria=a.mcollective", |r| {
        r.not_before = now() + Duration::from_secs(60);
    });
    assert!(matches!(early, Denied::NotYetValid { .. }), "{early}");
    let allow = denied(root, "n1.example.net", "choria=n1.example.net", |_| ());
    assert!(matches!(allow, Denied::NotAllowed { .. }), "{allow}");
}

/// What an adapter says to a request that a certificate of `name` signs.
fn noted(
    from: &Issuer,
    name: &str,
    change: fn(&mut Request),
    then: fn(&mut SecureRequest),
) -> Result<String, Denied> {
    let node = provider(name, &issue(from, name, |_| ()), |_| ());
    let mut request = a_request(&node.caller());
    (request.agent, request.sender) = ("registration".to_owned(), name.to_owned());
    change(&mut request);
    let mut secure = secured(&node, &request);
    then(&mut secure);
    let transport = Transport::new(Version::V1, secure.encode().unwrap(), name);
    let noted = verifying_server().decode_registration(&transport, now())?;
    Ok(noted.request.sender)
}

#[test]
fn nodes_are_believed_in_what_they_say_about_themselves() {
    let root = authority();
    let node = "n1.example.net";
    assert_eq!(noted(root, node, |_| (), |_| ()), Ok(node.to_owned()));
    let denied = |from, change, then| noted(from, node, change, then).unwrap_err().to_string();
    for (change, expected) in [
        // Anything else is for callers.
        (
            (|r| r.agent = "rpcutil".to_owned()) as fn(&mut Request),
            "refused caller n1.example.net: it fits no pattern of the allow list",
        ),
        (
            |r| r.caller = "choria=n2.example.net".to_owned(),
            "refused caller n2.example.net: the certificate is for n1.example.net",
        ),
        (
            |r| r.sender = "n2.example.net".to_owned(),
            "refused registration data of n2.example.net: it was signed by n1.example.net",
        ),
    ] {
        assert_eq!(denied(root, change, |_| ()), expected);
    }
    assert_eq!(
        denied(root, |_| (), |s| s.message = s.message.replace("\"ttl\":60", "\"ttl\":61")),
        "refused a request of n1.example.net: the signature does not fit the request"
    );
    let other = Issuer::new_p256("Other CA", now()).unwrap();
    assert_eq!(
        denied(&other, |_| (), |_| ()),
        "refused certificate n1.example.net: its issuer Other CA leads to no trusted CA"
    );
    // Callers and privileged certificates say whatever they say elsewhere.
    let apart: fn(&mut Request) = |r| r.sender = "n2.example.net".to_owned();
    assert_eq!(noted(root, "a.mcollective", apart, |_| ()), Ok("n2.example.net".to_owned()));
    let privileged: fn(&mut Request) = |r| {
        (r.sender, r.caller) = ("n2.example.net".to_owned(), "choria=n2.example.net".to_owned());
    };
    assert_eq!(
        noted(root, "b.privileged.mcollective", privileged, |_| ()),
        Ok("n2.example.net".to_owned())
    );
}

#[test]
fn altered_requests_are_refused() {
    let alice = issue(authority(), "a.mcollective", |_| ());
    let client = provider("a.mcollective", &alice, |_| ());
    let server = verifying_server();
    let good = secured(&client, &a_request(&client.caller()));
    assert_eq!(client.caller(), "choria=a.mcollective");
    assert!(verify(&server, &good).is_ok());
    let denied = |change: fn(&mut SecureRequest)| {
        let mut altered = good.clone();
        change(&mut altered);
        verify(&server, &altered).unwrap_err()
    };
    let bad = Denied::Signature { name: "a.mcollective".to_owned() };
    assert_eq!(denied(|s| s.message = s.message.replace("\"ttl\":60", "\"ttl\":61")), bad);
    assert_eq!(denied(|s| s.message.push(' ')), bad);
    assert_eq!(denied(|s| s.signature = "AAAA".to_owned()), bad);
    assert!(matches!(
        denied(|s| {
            s.signature.pop();
        }),
        Denied::SignatureEncoding { .. }
    ));
    assert!(matches!(denied(|s| s.signature = "insecure".to_owned()), Denied::Signature { .. }));
    assert!(matches!(denied(|s| s.pubcert = "insecure".to_owned()), Denied::Unsigned { .. }));
    assert!(matches!(denied(|s| s.pubcert = "junk".to_owned()), Denied::Certificate { .. }));
    assert!(matches!(
        denied(|s| s.pubcert =
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()),
        Denied::Certificate { .. }
    ));
    assert!(matches!(denied(|s| s.pubcert = s.pubcert.repeat(11)), Denied::ChainTooLong { .. }));
    // The verified bytes are those received, whatever their form.
    let spaced = SecureRequest { message: good.message.replace(',', ", "), ..good.clone() };
    assert_eq!(verify(&server, &spaced), Err(bad));
    let broken =
        SecureRequest { signature: good.signature.replacen('A', "\nA", 1), ..good.clone() };
    let verified = verify(&server, &broken).unwrap();
    assert_eq!(verified.signature, verify(&server, &good).unwrap().signature);
    // Another form of the same signature is the same request to the replay guard.
    let mut cache = ReplayCache::default();
    assert_eq!(cache.admit(&verified, now()), Ok(()));
    let copy = verify(&server, &good).unwrap();
    assert!(matches!(cache.admit(&copy, now()), Err(Denied::Replayed { .. })));
}

#[test]
fn keys_that_are_not_for_v1() {
    let elliptic = issue(authority(), "a.mcollective", |r| r.key = KeyKind::P256);
    let client = provider("a.mcollective", &elliptic, |_| ());
    let request = a_request("choria=a.mcollective");
    let error = client.sign(&request).unwrap_err();
    assert!(matches!(error, SignError::Key { reason: rsa::Error::NotRsa, .. }), "{error}");
    let forged = SecureRequest {
        message: request.encode().unwrap(),
        signature: "AAAA".to_owned(),
        pubcert: elliptic.certificate_pem.clone(),
    };
    let denied = verify(&verifying_server(), &forged).unwrap_err();
    assert!(matches!(denied, Denied::Key { reason: rsa::Error::NotRsa, .. }), "{denied}");
}

#[test]
fn unsigned_requests_are_for_switched_off_security_only() {
    let mut settings = Settings::new(Kind::File, "a.mcollective");
    (settings.tls, settings.security_on) = (false, false);
    let off = Provider::open(settings.clone()).unwrap();
    let secure = secured(&off, &a_request("choria=a.mcollective"));
    assert_eq!((secure.signature.as_str(), secure.pubcert.as_str()), ("insecure", "insecure"));
    assert_eq!(verify(&off, &secure).unwrap().request.caller, "choria=a.mcollective");
    settings.security_on = true;
    let on = Provider::open(settings).unwrap();
    assert!(matches!(verify(&on, &secure), Err(Denied::Unsigned { .. })));
    let missing = on.sign(&a_request("choria=a.mcollective")).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "cannot sign the request: no certificate is configured: set plugin.security.file.certificate to its path"
    );
    // Agents whose requests need no signature.
    let mut request = a_request("choria=a.mcollective");
    request.agent = "aaa_signer".to_owned();
    assert_eq!(secured(&on, &request).signature, "insecure");
    request.agent = "registration".to_owned();
    let registration = secured(&on, &request);
    assert_eq!(registration.pubcert, "insecure registration");
    assert_eq!(registration.signature, "aW5zZWN1cmUgcmVnaXN0cmF0aW9u");
    assert!(matches!(verify(&on, &registration), Err(Denied::Unsigned { .. })));
}

#[test]
fn without_an_authority_nothing_is_believed() {
    let alice = issue(authority(), "a.mcollective", |_| ());
    let secure =
        secured(&provider("a.mcollective", &alice, |_| ()), &a_request("choria=a.mcollective"));
    let mut settings = Settings::new(Kind::File, "n1");
    settings.tls = false;
    let server = Provider::open(settings.clone()).unwrap();
    assert_eq!(verify(&server, &secure), Err(Denied::NoAuthority));
    let folder = Folder::new();
    for contents in ["", "not PEM", &alice.key_pem] {
        settings.ca = folder.write("ca.pem", contents);
        let error = Provider::open(settings.clone()).unwrap_err().to_string();
        assert!(error.contains("it holds no PEM certificate"), "{error}");
    }
}

#[test]
fn an_authority_that_expired_proves_nothing() {
    let long_ago = now() - Duration::from_secs(11 * 365 * 86_400);
    let old = Issuer::new_p256("Old CA", long_ago).unwrap();
    let issued = issue(&old, "a.mcollective", |_| ());
    let folder = Folder::new();
    let mut settings = Settings::new(Kind::File, "n1");
    settings.ca = folder.write("ca.pem", old.ca_pem());
    settings.tls = false;
    let server = Provider::open(settings).unwrap();
    let secure =
        secured(&provider("a.mcollective", &issued, |_| ()), &a_request("choria=a.mcollective"));
    assert!(matches!(verify(&server, &secure), Err(Denied::UnknownIssuer { .. })));
}

#[test]
fn names_and_addresses_of_a_certificate() {
    let issued = issue(authority(), "a", |r| r.email_names.push("a@example.net".to_owned()));
    let plain = issue(authority(), "b", |_| ());
    let server = verifying_server();
    let check = |pem: &str, name| server.verify_certificate(pem.as_bytes(), name, now());
    assert_eq!(check(&issued.certificate_pem, None), Ok(()));
    assert_eq!(check(&issued.certificate_pem, Some("a")), Ok(()));
    assert_eq!(check(&issued.certificate_pem, Some("email:a@example.net")), Ok(()));
    for name in ["email:b@example.net", "a@example.net", "b", ""] {
        let denied = check(&issued.certificate_pem, Some(name)).unwrap_err();
        assert!(matches!(denied, Denied::CallerMismatch { .. }), "{name}: {denied}");
    }
    assert!(check(&plain.certificate_pem, Some("email:b")).is_err());
    assert!(matches!(check("x", None), Err(Denied::Certificate { .. })));
}

#[test]
fn set_up_errors_name_key_path_and_remedy() {
    let folder = Folder::new();
    let alice = issue(authority(), "a", |_| ());
    let bob = issue(authority(), "b", |r| r.key = KeyKind::P256);
    let mut settings = Settings::new(Kind::File, "a");
    let problems = |settings: &Settings| {
        let error = Provider::open(settings.clone()).unwrap_err();
        error.problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        problems(&settings),
        [
            "no certificate is configured: set plugin.security.file.certificate to its path",
            "no private key is configured: set plugin.security.file.key to its path",
            "no CA certificate is configured: set plugin.security.file.ca to its path",
        ]
    );
    settings.certificate = folder.write("cert.pem", &alice.certificate_pem);
    settings.key = folder.path("missing.key");
    settings.ca = folder.write("ca.pem", authority().ca_pem());
    settings.kind = Kind::Puppet;
    let missing = problems(&settings);
    assert!(
        missing[0]
            .ends_with("missing.key does not exist: create it or correct plugin.choria.ssldir")
    );
    settings.key = folder.write("key.pem", &bob.key_pem);
    assert!(problems(&settings)[0].contains("it does not belong to the certificate"));
    settings.key = folder.write("key.pem", "ENCRYPTED");
    assert!(problems(&settings)[0].contains("store it without a pass phrase"));
    settings.key = folder.path("");
    assert!(problems(&settings)[0].starts_with("cannot read the private key"));
    settings.key = folder.write("key.pem", &alice.key_pem);
    let provider = Provider::open(settings.clone()).unwrap();
    assert_eq!(provider.certificate_expires(), Some(now() + Duration::from_secs(86_400)));
    settings.identity.clear();
    assert_eq!(problems(&settings), ["the identity is empty: set identity"]);
}

#[test]
fn damaged_captures_are_refused_without_a_panic() {
    const SEED: u64 = 0x00c0_ffee;
    let server = captured_provider("node1.example.net", "node1.example.net");
    let mut random = fastrand::Rng::with_seed(SEED);
    for (name, ..) in ACCEPTED {
        for direction in ["request", "reply"] {
            let bytes = std::fs::read(captured(&format!("{name}.{direction}.json"))).unwrap();
            for round in 0..40 {
                let mut damaged = bytes.clone();
                mutate(&mut damaged, &mut random);
                let Ok(transport) = Transport::decode(&damaged) else { continue };
                let mut inner = transport.clone();
                mutate(&mut inner.data, &mut random);
                for transport in [transport, inner] {
                    let _ = server.decode_reply(&transport, now());
                    let original = Transport::decode(&bytes).unwrap().data;
                    let result = server.decode_request(&transport, captured_time(name));
                    // Only bytes that were signed are ever believed.
                    if let Ok(verified) = result {
                        let secure = SecureRequest::decode(&original).unwrap();
                        let signed =
                            Request::decode(verified.request.version, secure.message.as_bytes());
                        assert_eq!(
                            Request { federation: None, hops: Vec::new(), ..verified.request },
                            signed.unwrap(),
                            "seed {SEED} {name} round {round}"
                        );
                    }
                }
            }
        }
    }
}

/// Flips, removes, repeats or inserts a few bytes.
fn mutate(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..bytes.len().max(1)).min(bytes.len().saturating_sub(1));
        match random.u8(..5) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.u8(..8),
            1 => bytes.truncate(at),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => bytes.insert(at, *random.choice(b"\"\\{}[],:0\xff\x00").unwrap_or(&0)),
            _ => {
                let piece = bytes[at..(at + 20).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

#[test]
fn names_of_peers_cannot_forge_log_lines() {
    let other = Issuer::new_p256("Evil\nCA", now()).unwrap();
    let issued = issue(&other, "a\nERROR forged", |r| r.key = KeyKind::P256);
    let forged = SecureRequest {
        message: a_request("choria=a").encode().unwrap(),
        signature: "AAAA".to_owned(),
        pubcert: issued.certificate_pem,
    };
    let denied = verify(&verifying_server(), &forged).unwrap_err().to_string();
    assert!(denied.contains("Evil\\nCA") && !denied.contains('\n'), "{denied}");
    let unsigned = SecureRequest {
        message: a_request("x\ny").encode().unwrap(),
        signature: "insecure".to_owned(),
        pubcert: "insecure".to_owned(),
    };
    let denied = verify(&verifying_server(), &unsigned).unwrap_err().to_string();
    assert!(!denied.contains('\n'), "{denied}");
}

#[test]
fn two_versions_and_garbage() {
    let server = verifying_server();
    let v2 = br#"{"protocol":"io.choria.protocol.v2.transport","data":"e30="}"#;
    let v2 = Transport::decode(v2).unwrap();
    for denied in [
        server.decode_request(&v2, now()).unwrap_err(),
        server.decode_reply(&v2, now()).unwrap_err(),
    ] {
        assert_eq!(
            denied.to_string(),
            "refused a message of protocol v2: this network speaks the other version"
        );
    }
    let data = br#"{"protocol":"io.choria.protocol.v2.secure_request","message":"m","signature":"s","pubcert":"p"}"#;
    let denied =
        server.decode_request(&Transport::new(Version::V1, data.to_vec(), "x"), now()).unwrap_err();
    assert!(matches!(denied, Denied::Malformed(Fault::Protocol { .. })), "{denied}");
}

#[test]
fn what_is_no_file_is_not_read() {
    for (path, wanted) in [
        ("/dev/zero", "it is not a regular file"),
        ("/dev/null", "it is not a regular file"),
        ("/", "it is not a regular file"),
    ] {
        for what in ["certificate", "key", "ca"] {
            let mut settings = Settings::new(Kind::File, "x");
            match what {
                "certificate" => settings.certificate = path.into(),
                "key" => settings.key = path.into(),
                _ => settings.ca = path.into(),
            }
            settings.tls = false;
            let said = Provider::open(settings).unwrap_err().to_string();
            assert!(said.contains(wanted) && said.contains(path), "{said}");
        }
    }
    let folder = Folder::new();
    let large = folder.write("ca.pem", &"x".repeat(4 * 1024 * 1024 + 1));
    let settings = Settings { ca: large, tls: false, ..Settings::new(Kind::File, "x") };
    let said = Provider::open(settings).unwrap_err().to_string();
    assert!(said.contains("it is larger than 4194304 bytes"), "{said}");
}

#[test]
fn doubts_about_the_own_certificate_are_named() {
    let (ours, other) = (authority(), Issuer::new_p256("Other CA", now()).unwrap());
    let plain: fn(&mut LeafRequest) = |_| {};
    let cases: [(_, _, Use, _, &[&str]); 5] = [
        (ours, plain, Use::Client, "n1.example.net", &[]),
        (ours, plain, Use::Server, "N1.example.net", &[]),
        (
            ours,
            plain,
            Use::Server,
            "b1.example.net",
            &["it is for n1.example.net, not for the identity b1.example.net"],
        ),
        (
            &other,
            plain,
            Use::Client,
            "n1.example.net",
            &[
                "it was issued by \"Other CA\", not by the configured CA, so peers with the configured CA will refuse it",
            ],
        ),
        (
            ours,
            |leaf| leaf.not_after = now() - Duration::from_secs(1),
            Use::Client,
            "n2",
            &[
                "it expired on 2026-11-22T17:03:19Z, peers will refuse it",
                "it is for n1.example.net, not for the identity n2",
            ],
        ),
    ];
    for (from, change, usage, identity, expected) in cases {
        let issued = issue(from, "n1.example.net", change);
        let doubts = provider("n1.example.net", &issued, |_| {}).doubts(usage, identity, now());
        let texts: Vec<_> = doubts.iter().map(ToString::to_string).collect();
        assert_eq!(texts, expected, "{usage:?} {identity}");
    }
}

/// For n1.example.net, until 2126.
const VERSION_1: &str = "-----BEGIN CERTIFICATE-----\n\
    MIIBJjCBzgIUB44VLHeGG9pJMIsZMhkgnMFS06swCgYIKoZIzj0EAwIwEjEQMA4G\n\
    A1UEAwwHVGVzdCBDQTAgFw0yNjExMjIxOTAxMzNaGA8yMTI2MTAyOTE5MDEzM1ow\n\
    GTEXMBUGA1UEAwwObjEuZXhhbXBsZS5uZXQwWTATBgcqhkjOPQIBBggqhkjOPQMB\n\
    BwNCAAQKCFTu+PoeJBKjLinm5ucpp/7lv6IZOsbOslmidetl7WCUGoxbX64WvbO4\n\
    zSsPjUHiyPdmsTaroHvqFQCWAnWTMAoGCCqGSM49BAMCA0cAMEQCIBVtJa/8QT2p\n\
    YkcN+KML4LZl7ESVisxlcQEiFC7rkIgKAiAXS63+oywuyA8dUcpCOfRLXnxjjs7f\n\
    GoOh0n3KMgi+Zw==\n\
    -----END CERTIFICATE-----\n";

#[test]
fn a_certificate_without_extensions_is_blamed_and_not_its_key() {
    let folder = Folder::new();
    let issued = issue(authority(), "n1.example.net", |_| {});
    let mut settings = Settings::new(Kind::File, "n1.example.net");
    settings.certificate = folder.write("cert.pem", VERSION_1);
    settings.key = folder.write("key.pem", &issued.key_pem);
    settings.ca = folder.write("ca.pem", authority().ca_pem());
    let said = Provider::open(settings).unwrap_err().to_string();
    assert!(said.contains("cannot use the certificate"), "{said}");
    assert!(said.contains("it is of X.509 version 1"), "{said}");
    assert!(!said.contains("private key"), "{said}");
}

#[test]
fn a_pair_that_somebody_replaced_is_used_for_signatures_and_connections() {
    use super::authority::Presented;
    let folder = Folder::new();
    let pair = |seconds: u64| {
        let life = Duration::from_secs(seconds);
        let request = LeafRequest::new("ann.mcollective", now(), life);
        authority().issue_for_key(&request, &rsa::generate_2048().unwrap()).unwrap()
    };
    let (old, new) = (pair(3_600), pair(7_200));
    let put = |issued: &Issued, what: &[&str]| {
        for name in what {
            let text = if *name == "key.pem" { &issued.key_pem } else { &issued.certificate_pem };
            folder.write("new", text);
            std::fs::rename(folder.path("new"), folder.path(name)).unwrap();
        }
    };
    put(&old, &["cert.pem", "key.pem"]);
    let mut settings = Settings::new(Kind::File, "ann.mcollective");
    settings.certificate = folder.path("cert.pem");
    settings.key = folder.path("key.pem");
    settings.ca = folder.write("ca.pem", authority().ca_pem());
    let provider = Provider::open(settings).unwrap();
    let tls = provider.client_tls().unwrap();
    let shows = |issued: &Issued| {
        let request = a_request("choria=ann.mcollective");
        let data = provider.sign(&request).unwrap();
        // What is sent has to be believed: certificate and signature belong together.
        let verified = provider.verify(Version::V1, &data, now()).unwrap();
        let schemes = [rustls::SignatureScheme::RSA_PSS_SHA256];
        let shown = tls.client_auth_cert_resolver.resolve(&[], &schemes).unwrap();
        let leaf = Presented::from_pem(issued.certificate_pem.as_bytes(), "ann").unwrap();
        assert_eq!(
            verified.certificate_pem == issued.certificate_pem,
            shown.cert[0] == leaf.chain[0]
        );
        shown.cert[0] == leaf.chain[0]
    };
    assert!(shows(&old));
    assert!(!provider.renew_if_replaced().unwrap());
    // In the middle of it the old pair stays, and it is said once.
    put(&new, &["cert.pem"]);
    let error = provider.renew_if_replaced().unwrap_err().to_string();
    assert!(error.contains("it does not belong to the certificate"), "{error}");
    assert!(shows(&old) && !provider.renew_if_replaced().unwrap());
    put(&new, &["key.pem"]);
    assert!(provider.renew_if_replaced().unwrap());
    assert!(shows(&new) && !provider.renew_if_replaced().unwrap());
    assert_eq!(provider.certificate_expires(), Some(now() + Duration::from_secs(7_200)));
}
