use super::*;
use crate::crypto::issue::{Authority, Issued, KeyKind, LeafRequest};
use crate::security::testkit::Folder;
use crate::security::{Kind, Provider, Settings};
use rustls::{ClientConnection, Connection, HandshakeKind, ProtocolVersion, ServerConnection};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

// rustls reads the system clock, so these certificates are made for the present.
fn root() -> &'static Authority {
    static ONE: OnceLock<Authority> = OnceLock::new();
    ONE.get_or_init(|| Authority::new_p256("TLS Test CA", SystemTime::now()).unwrap())
}

fn issue(from: &Authority, name: &str, change: fn(&mut LeafRequest)) -> Issued {
    let life = Duration::from_secs(3_600);
    let mut request = LeafRequest::new(name, SystemTime::now(), life);
    request.key = KeyKind::P256;
    change(&mut request);
    from.issue(&request).unwrap()
}

/// A provider that trusts [`root`].
fn provider(own: Option<&Issued>, change: fn(&mut Settings)) -> Provider {
    let folder = Folder::new();
    let mut settings = Settings::new(Kind::File, "x");
    settings.ca = folder.write("ca.pem", root().ca_pem());
    if let Some(own) = own {
        settings.certificate = folder.write("cert.pem", &own.certificate_pem);
        settings.key = folder.write("key.pem", &own.key_pem);
    }
    settings.tls = own.is_some();
    change(&mut settings);
    Provider::open(settings).unwrap()
}

struct Outcome {
    version: Option<ProtocolVersion>,
    suite: String,
    client_certificates: usize,
    kind: Option<HandshakeKind>,
}

/// Shakes hands in memory; the error is that of whoever refused.
fn shake(server: &Provider, client: &Provider, name: &'static str) -> Result<Outcome, String> {
    let server = server.server_tls().map_err(|error| error.to_string())?;
    let client = client.client_tls().map_err(|error| error.to_string())?;
    shake_with(server, client, name)
}

fn shake_with(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &'static str,
) -> Result<Outcome, String> {
    let name = ServerName::try_from(name).unwrap();
    let mut client = Connection::from(ClientConnection::new(client, name).unwrap());
    let mut server = Connection::from(ServerConnection::new(server).unwrap());
    for _ in 0..10 {
        carry(&mut client, &mut server)?;
        carry(&mut server, &mut client)?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(Outcome {
        version: server.protocol_version(),
        suite: format!("{:?}", server.negotiated_cipher_suite().unwrap().suite()),
        kind: server.handshake_kind(),
        client_certificates: server.peer_certificates().map_or(0, <[_]>::len),
    })
}

fn carry(from: &mut Connection, to: &mut Connection) -> Result<(), String> {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let mut rest = &wire[..];
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets().map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[test]
fn certificates_of_clients_are_verified_when_given() {
    let broker = issue(root(), "broker.example.net", |_| ());
    let alice = issue(root(), "alice.mcollective", |_| ());
    let other = Authority::new_p256("TLS Test CA", SystemTime::now()).unwrap();
    let mallory = issue(&other, "alice.mcollective", |_| ());
    let server = provider(Some(&broker), |_| ());
    let name = "broker.example.net";
    let mutual = shake(&server, &provider(Some(&alice), |_| ()), name).unwrap();
    assert_eq!(mutual.client_certificates, 1);
    assert_eq!(mutual.version, Some(ProtocolVersion::TLSv1_3));
    assert_eq!(mutual.suite, "TLS13_AES_128_GCM_SHA256");
    let anonymous = shake(&server, &provider(None, |_| ()), name).unwrap();
    assert_eq!(anonymous.client_certificates, 0);
    let refused = shake(&server, &provider(Some(&mallory), |_| ()), name).err().unwrap();
    assert!(refused.contains("certificate"), "{refused}");
    // Without verification nobody is asked.
    let open = provider(Some(&broker), |s| s.verify_tls = false);
    assert_eq!(
        shake(&open, &provider(Some(&mallory), |_| ()), name).unwrap().client_certificates,
        0
    );
    let config = server.server_tls().unwrap();
    assert_eq!(config.send_tls13_tickets, 0);
    assert!(!config.session_storage.can_cache());
}

#[test]
fn an_authority_that_has_expired_vouches_for_nobody() {
    let long_ago = SystemTime::now() - Duration::from_secs(40 * 365 * 86_400);
    let old = Authority::new_p256("Old CA", long_ago).unwrap();
    let name = "broker.example.net";
    let broker = issue(&old, name, |_| ());
    let fresh = issue(root(), name, |_| ());
    let alice = issue(&old, "alice.mcollective", |_| ());
    let trusting = |own: &Issued, pem: String| {
        let folder = Folder::new();
        let mut settings = Settings::new(Kind::File, "x");
        settings.ca = folder.write("ca.pem", &pem);
        settings.certificate = folder.write("cert.pem", &own.certificate_pem);
        settings.key = folder.write("key.pem", &own.key_pem);
        Provider::open(settings).unwrap()
    };
    let both = || format!("{}{}", old.ca_pem(), root().ca_pem());
    let client = |ca: String| trusting(&fresh, ca);
    for (what, server, client, accepted) in [
        ("both new", trusting(&fresh, both()), client(both()), true),
        ("broker below the old", trusting(&broker, both()), client(both()), false),
        (
            "client trusts the old only",
            trusting(&broker, both()),
            client(old.ca_pem().into()),
            false,
        ),
        ("alice below the old", trusting(&fresh, both()), trusting(&alice, both()), false),
    ] {
        let result = shake(&server, &client, name);
        assert_eq!(result.is_ok(), accepted, "{what}: {:?}", result.err());
    }
}

#[test]
fn clients_verify_the_broker() {
    let named = issue(root(), "broker.example.net", |_| ());
    let bare = issue(root(), "broker.example.net", |r| r.dns_names.clear());
    let wrong_use = issue(root(), "broker.example.net", |r| {
        (r.dns_names, r.server_auth) = (Vec::new(), false);
    });
    let expired = issue(root(), "broker.example.net", |r| {
        (r.dns_names, r.not_after) = (Vec::new(), r.not_before + Duration::from_secs(60));
    });
    let other = Authority::new_p256("TLS Test CA", SystemTime::now()).unwrap();
    let foreign = issue(&other, "broker.example.net", |_| ());
    let foreign_bare = issue(&other, "broker.example.net", |r| r.dns_names.clear());
    let strict = || provider(None, |_| ());
    let legacy = || provider(None, |s| s.support_legacy_certificates = true);
    let puppet = || provider(None, |s| s.kind = Kind::Puppet);
    let puppet_off = || provider(None, |s| (s.kind, s.verify_tls) = (Kind::Puppet, false));
    let off = || provider(None, |s| s.verify_tls = false);
    let (right, upper, wrong) = ("broker.example.net", "Broker.Example.Net", "b.example.net");
    for (certificate, client, name, accepted) in [
        (&named, strict(), right, true),
        (&named, strict(), wrong, false),
        (&named, legacy(), right, true),
        (&named, legacy(), wrong, false),
        (&foreign, strict(), right, false),
        (&foreign, legacy(), right, false),
        (&foreign, off(), wrong, true),
        (&bare, strict(), right, false),
        (&bare, legacy(), right, true),
        (&bare, legacy(), upper, true),
        (&bare, legacy(), wrong, false),
        (&bare, puppet(), right, true),
        (&bare, puppet(), wrong, false),
        // The reference ignores the switch there as well.
        (&bare, puppet_off(), wrong, false),
        (&foreign_bare, legacy(), right, false),
        (&foreign_bare, puppet(), right, false),
        (&wrong_use, legacy(), right, false),
        (&expired, legacy(), right, false),
    ] {
        let server = provider(Some(certificate), |_| ());
        let result = shake(&server, &client, name);
        assert_eq!(result.is_ok(), accepted, "{client:?} {name}: {:?}", result.err());
    }
}

#[test]
fn anonymous_connections_verify_nobody() {
    let other = Authority::new_p256("Elsewhere", SystemTime::now()).unwrap();
    let server = provider(Some(&issue(&other, "x", |_| ())), |_| ());
    let client = anonymous_client(&[], &[]).unwrap();
    assert!(shake_with(server.server_tls().unwrap(), client, "anything.example.net").is_ok());
}

#[test]
fn what_is_missing_is_named() {
    let bare = provider(None, |s| s.ca.clear());
    let error = bare.client_tls().unwrap_err().to_string();
    assert!(error.contains("set plugin.security.file.ca to its path"), "{error}");
    let error = bare.server_tls().unwrap_err().to_string();
    assert!(error.contains("plugin.security.file.certificate"), "{error}");
    assert!(error.contains("plugin.security.file.key"), "{error}");
}

#[test]
fn configured_algorithms_are_used_and_others_reported() {
    let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (all, notes) = algorithms(&[], &[]);
    assert_eq!((all.cipher_suites.len(), all.kx_groups.len(), notes.len()), (9, 3, 0));
    let suites = owned(&[
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        "TLS_AES_128_GCM_SHA256",
        "TLS_RSA_WITH_RC4_128_SHA",
    ]);
    let curves = owned(&["CurveP384", "CurveP521", "X25519"]);
    let (some, notes) = algorithms(&suites, &curves);
    assert_eq!((some.cipher_suites.len(), some.kx_groups.len()), (5, 2));
    assert_eq!(some.kx_groups[0].name(), rustls::NamedGroup::secp384r1);
    assert_eq!(
        notes,
        [
            "cipher suite TLS_AES_128_GCM_SHA256 belongs to TLS 1.3 and is always on",
            "cipher suite TLS_RSA_WITH_RC4_128_SHA is not supported and is ignored",
            "curve CurveP521 is not supported and is ignored",
        ]
    );
    let (none, notes) = algorithms(&owned(&["nope"]), &owned(&["nope"]));
    assert_eq!((none.cipher_suites.len(), none.kx_groups.len(), notes.len()), (3, 3, 4));
}

#[test]
fn tls_1_2_works_with_the_configured_suite() {
    let broker = issue(root(), "broker.example.net", |_| ());
    let server = provider(Some(&broker), |s| {
        s.cipher_suites = vec!["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".to_owned()];
    });
    let mut roots = RootCertStore::empty();
    for der in
        crate::security::Authority::from_pem(root().ca_pem().as_bytes()).unwrap().certificates()
    {
        roots.add(der).unwrap();
    }
    let old = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let outcome =
        shake_with(server.server_tls().unwrap(), Arc::new(old), "broker.example.net").unwrap();
    assert_eq!(outcome.version, Some(ProtocolVersion::TLSv1_2));
    assert_eq!(outcome.suite, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
}

#[test]
fn nobody_resumes_a_session() {
    let broker = issue(root(), "broker.example.net", |_| ());
    let alice = issue(root(), "alice.mcollective", |_| ());
    let server = provider(Some(&broker), |_| ()).server_tls().unwrap();
    for version in [&TLS12, &TLS13] {
        // A client that keeps every ticket and session it can get.
        let own = provider(Some(&alice), |_| ()).client_tls().unwrap();
        let mut client = ClientConfig::builder_with_provider(own.crypto_provider().clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(NoVerification {
                provider: own.crypto_provider().clone(),
            }))
            .with_client_cert_resolver(own.client_auth_cert_resolver.clone());
        client.resumption = Resumption::in_memory_sessions(8);
        let client = Arc::new(client);
        for _ in 0..3 {
            let outcome = shake_with(server.clone(), client.clone(), "broker.example.net").unwrap();
            assert_eq!(outcome.kind, Some(HandshakeKind::Full), "{version:?}");
            assert_eq!(outcome.client_certificates, 1);
        }
    }
}

#[test]
fn revoked_certificates_end_the_handshake_on_either_side() {
    use crate::crypto::crl::{self, Entry, Reason};
    let (node, broker) = (issue(root(), "n1", |_| {}), issue(root(), "b1", |_| {}));
    let folder = Folder::new();
    let list = |revoked: &[&Issued], name: &str, life: u64| {
        let entries: Vec<_> = revoked
            .iter()
            .map(|issued| {
                let der = certificate(issued);
                let serial = crate::crypto::x509::Certificate::from_der(&der).unwrap();
                let serial = serial.serial().to_vec();
                Entry { serial, since: SystemTime::now(), reason: Reason::Unspecified }
            })
            .collect();
        let (made, life) = (SystemTime::now() - Duration::from_secs(60), Duration::from_secs(life));
        folder.write(name, &crl::sign(root(), &entries, 1, made, life).unwrap())
    };
    let with = |own: &Issued, path: std::path::PathBuf| {
        let mut settings = provider(Some(own), |_| {}).settings().clone();
        let files = Folder::new();
        settings.ca = files.write("ca.pem", root().ca_pem());
        settings.certificate = files.write("cert.pem", &own.certificate_pem);
        settings.key = files.write("key.pem", &own.key_pem);
        settings.crl = path;
        Provider::open(settings).unwrap()
    };
    let shaken = |server: std::path::PathBuf, client: std::path::PathBuf| {
        shake(&with(&broker, server), &with(&node, client), "b1").map(drop)
    };
    let (none, node_gone) = (list(&[], "none", 3_600), list(&[&node], "node", 3_600));
    let (broker_gone, old) = (list(&[&broker], "broker", 3_600), list(&[], "old", 30));
    assert_eq!(shaken(none.clone(), none.clone()), Ok(()));
    assert_eq!(
        shaken(node_gone, none.clone()),
        Err("invalid peer certificate: Revoked".to_owned())
    );
    assert_eq!(
        shaken(none.clone(), broker_gone),
        Err("invalid peer certificate: Revoked".to_owned())
    );
    let expired = shaken(none, old).unwrap_err();
    assert!(expired.contains("ExpiredRevocationList"), "{expired}");
}

/// Shows the certificate of somebody else.
#[derive(Debug)]
struct Thief(Arc<CertifiedKey>);

impl ResolvesClientCert for Thief {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn a_chain_that_is_remembered_is_of_no_use_without_its_key_or_at_another_broker() {
    use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
    let name = "broker.example.net";
    let (broker, alice) = (issue(root(), name, |_| ()), issue(root(), "alice", |_| ()));
    let mallory = issue(root(), "mallory", |_| ());
    let server = provider(Some(&broker), |_| ()).server_tls().unwrap();
    let client = || provider(Some(&alice), |_| ()).client_tls().unwrap();
    for _ in 0..2 {
        let outcome = shake_with(server.clone(), client(), name).unwrap();
        assert_eq!(outcome.client_certificates, 1);
    }
    let key = PrivateKeyDer::from_pem_slice(mallory.key_pem.as_bytes()).unwrap();
    let key = default_provider().key_provider.load_private_key(key).unwrap();
    let stolen = Thief(Arc::new(CertifiedKey::new(vec![certificate(&alice)], key)));
    for version in [&TLS12, &TLS13] {
        let thief = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(NoVerification {
                provider: Arc::new(default_provider()),
            }))
            .with_client_cert_resolver(Arc::new(Thief(stolen.0.clone())));
        let refused = shake_with(server.clone(), Arc::new(thief), name).err().unwrap();
        assert!(refused.contains("BadSignature"), "{version:?}: {refused}");
    }
    // The authority is replaced: what was known to the settings of before is not to those of now.
    let other = Authority::new_p256("TLS Test CA", SystemTime::now()).unwrap();
    let folder = Folder::new();
    let ca = folder.write("ca.pem", other.ca_pem());
    let mut settings = provider(Some(&broker), |_| ()).settings().clone();
    let files = Folder::new();
    settings.ca = ca;
    settings.certificate = files.write("cert.pem", &broker.certificate_pem);
    settings.key = files.write("key.pem", &broker.key_pem);
    let replaced = Provider::open(settings).unwrap().server_tls().unwrap();
    assert!(shake_with(replaced, client(), name).is_err());
    assert!(shake_with(server, client(), name).is_ok());
}

fn certificate(issued: &Issued) -> CertificateDer<'static> {
    use rustls_pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()
}
