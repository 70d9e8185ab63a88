//! The decision about tokens, branch by branch.

use std::collections::BTreeMap;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use super::*;
use crate::broker::access::{TokenAccess, TokenTrust};
use crate::crypto::ed25519::KeyPair;
use crate::crypto::ksuid::Ksuid;
use crate::tokens::{
    ClientClaims, Key, ProvisioningClaims, Revoked, ServerClaims, SigningKey, Trust, sign,
};

const NONCE: &str = "PXoWU7zWAMt75FY";
const HOUR: Duration = Duration::from_secs(3600);

/// Seeds: the organization, another one, a chain issuer, the holder of a token, a signer of clients, one of servers.
const ORG: u8 = 1;
const STRANGER: u8 = 9;
const CHAIN: u8 = 2;
const HOLDER: u8 = 3;
const CLIENTS: u8 = 4;
const SERVERS: u8 = 5;
const NEWCOMERS: u8 = 6;

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed([seed; 32])
}

fn key(seed: u8) -> Key {
    Key::Ed25519(pair(seed).public_key())
}

fn id(payload: u8) -> Ksuid {
    Ksuid::from_parts(MADE, [payload; 16]).expect("a time")
}

fn client() -> ClientClaims {
    ClientClaims::new("up=alice", Some(pair(HOLDER).public_key()), id(1), HOUR)
}

fn server() -> ServerClaims {
    let mut claims = ServerClaims::new("n1.example", pair(HOLDER).public_key(), id(2), HOUR);
    claims.collectives = vec!["choria".to_owned()];
    claims
}

fn signed<T: serde::Serialize>(claims: &T, seed: u8) -> String {
    sign(claims, &SigningKey::Ed25519(pair(seed))).expect("a token")
}

fn newcomer(seed: u8) -> String {
    signed(&ProvisioningClaims::new(id(3), HOUR), seed)
}

fn signature(seed: u8) -> String {
    BASE64URL_NOPAD.encode(&pair(seed).sign(NONCE.as_bytes()))
}

fn with(trust: TokenTrust) -> Access {
    let tokens = TokenAccess { trust, ..TokenAccess::default() };
    Access { tokens, ..choria() }
}

fn issuers() -> Trust {
    Trust::issuers(BTreeMap::from([("choria".to_owned(), key(ORG))]))
}

/// As a broker with an issuer and no CA for mere publishers.
fn by_issuer() -> Access {
    Access { certificates: Certificates::Refused, ..with(TokenTrust::Issuers(issuers())) }
}

fn by_signers() -> Access {
    let mut access = with(TokenTrust::Signers {
        clients: Trust::signers(vec![key(CLIENTS), key(STRANGER)]),
        servers: Trust::signers(vec![key(SERVERS)]),
    });
    access.tokens.provisioning_signer = Some(key(NEWCOMERS));
    access
}

/// One attempt over TLS without a certificate, and what came of it.
struct Try<'a> {
    tls: TlsState,
    user: &'a str,
    password: &'a str,
    signature: String,
    address: &'a str,
}

impl Default for Try<'_> {
    fn default() -> Self {
        let (user, password, address) = ("", "", CLIENT);
        Try { tls: Anonymous, user, password, signature: signature(HOLDER), address }
    }
}

impl Try<'_> {
    fn attempt<'a>(&'a self, token: &'a str) -> Attempt<'a> {
        Attempt {
            token,
            nonce: NONCE,
            signature: &self.signature,
            address: self.address.parse().expect("address"),
            ..attempt(self.tls, self.user, self.password)
        }
    }

    fn result(&self, access: &Access, token: &str) -> String {
        shown(gate(access, true).admit(&self.attempt(token)))
    }
}

fn check(access: &Access, token: &str, expected: &str) {
    assert_eq!(Try::default().result(access, token), expected);
}

#[test]
fn clients_and_servers_of_an_issuer() {
    let access = by_issuer();
    check(&access, &signed(&client(), ORG), "choria limited up=alice");
    check(&access, &signed(&server(), ORG), "choria limited n1.example");
    let mut admin = client();
    admin.permissions.org_admin = true;
    check(&access, &signed(&admin, ORG), "choria full up=alice");
    // A certificate beside it changes nothing.
    let verified = Try { tls: Verified, ..Try::default() };
    let token = signed(&client(), ORG);
    assert_eq!(verified.result(&access, &token), "choria limited up=alice");
    assert_eq!(verified.result(&access, ""), "refused: a certificate without a token");
    check(&access, "", "refused: no verified certificate");
    let plain = Try { tls: Off, ..Try::default() };
    assert_eq!(plain.result(&access, &token), "refused: no TLS");
    // Names mean nothing beside a token, unless they are those of the system user or the provisioner.
    let named = Try { user: "ann", password: "x", ..Try::default() };
    assert_eq!(named.result(&access, &token), "choria limited up=alice");
}

#[test]
fn what_is_wrong_with_a_token() {
    let access = by_issuer();
    let alice = "refused: \"up=alice\": ";
    let change = |set: fn(&mut ClientClaims)| {
        let mut claims = client();
        set(&mut claims);
        signed(&claims, ORG)
    };
    for (token, expected) in [
        ("x".to_owned(), "refused: the token has 1 parts instead of 3".to_owned()),
        (
            signed(&client(), STRANGER),
            format!("{alice}the signature of the token does not fit its issuer"),
        ),
        (
            change(|claims| claims.organization = "acme".to_owned()),
            format!("{alice}no issuer is known for the organization \"acme\" of the token"),
        ),
        (
            change(|claims| claims.organization = String::new()),
            format!("{alice}the token names no organization"),
        ),
        (
            change(|claims| claims.common.expires = Some(MADE + 60)),
            format!("{alice}the token expired at 2023-11-14T22:14:20Z"),
        ),
        (
            change(|claims| claims.common.not_before = Some(MADE + 61)),
            format!("{alice}the token is not valid before 2023-11-14T22:14:21Z"),
        ),
        (
            change(|claims| claims.common.public_key = String::new()),
            format!("{alice}the token has no public key"),
        ),
        (
            change(|claims| claims.common.public_key = "00".to_owned()),
            format!("{alice}the public key in the token is not an ed25519 key"),
        ),
        (
            change(|claims| claims.caller = String::new()),
            "refused: the token names nobody".to_owned(),
        ),
        (
            change(|claims| claims.common.purpose = "x".repeat(200)),
            format!("refused: the purpose \"{}\" of the token lets nobody in", "x".repeat(128)),
        ),
        (
            change(|claims| claims.publish = vec!["a..b".to_owned()]),
            format!("{alice}the token grants \"a..b\" is not a subject"),
        ),
        (
            signed(&ServerClaims { identity: "*".to_owned(), ..server() }, ORG),
            "refused: \"*\": identity \"*\" of the token cannot be a part of a subject".to_owned(),
        ),
    ] {
        check(&access, &token, &expected);
    }
}

#[test]
fn the_holder_has_to_sign_the_nonce() {
    let access = by_issuer();
    for token in [signed(&client(), ORG), signed(&server(), ORG)] {
        for (signature, expected) in [
            (String::new(), "the nonce is not signed"),
            ("?".to_owned(), "the signature over the nonce is not base64url"),
            (signature(STRANGER), "the signature over the nonce does not fit the token"),
            (
                BASE64URL_NOPAD.encode(&pair(HOLDER).sign(b"other")),
                "the signature over the nonce does not fit the token",
            ),
        ] {
            let got = Try { signature, ..Try::default() }.result(&access, &token);
            assert!(got.starts_with("refused: ") && got.ends_with(expected), "{got}");
        }
    }
    let gate = gate(&access, true);
    assert!(gate.takes_tokens() && !self::gate(&choria(), true).takes_tokens());
}

#[test]
fn chains_of_trust() {
    let mut issuer = ClientClaims::new("aaa=login", Some(pair(CHAIN).public_key()), id(7), HOUR);
    issuer.common.set_organization_issuer(&pair(ORG)).expect("an issuer");
    let chained = |set: fn(&mut ClientClaims)| {
        let mut claims = client();
        claims.common.set_chain_issuer(&issuer.common, &pair(CHAIN)).expect("a chain");
        set(&mut claims);
        signed(&claims, CHAIN)
    };
    let access = by_issuer();
    check(&access, &chained(|_| ()), "choria limited up=alice");
    let of_nobody = chained(|claims| claims.common.trust_chain.replace_range(..1, "0"));
    let got = Try::default().result(&access, &of_nobody);
    assert!(got.contains("the chain of trust of the token is broken"), "{got}");
    // Whatever a revoked issuer made is revoked.
    let mut access = by_issuer();
    let revoked = Arc::new(Revoked::parse(&id(7).to_string()).expect("list"));
    access.tokens.trust = TokenTrust::Issuers(issuers().with_revoked(revoked));
    let expected = format!("refused: \"up=alice\": the token is revoked by {}", id(7));
    check(&access, &chained(|_| ()), &expected);
}

#[test]
fn signers_sign_for_one_kind() {
    let access = by_signers();
    check(&access, &signed(&client(), CLIENTS), "choria limited up=alice");
    check(&access, &signed(&client(), STRANGER), "choria limited up=alice");
    check(&access, &signed(&server(), SERVERS), "choria limited n1.example");
    check(
        &access,
        &signed(&client(), SERVERS),
        "refused: \"up=alice\": the token was not made by any of 2 trusted signers",
    );
    check(
        &access,
        &signed(&server(), CLIENTS),
        "refused: \"n1.example\": the signature of the token does not fit its issuer",
    );
    // Organizations do not matter.
    let mut other = client();
    other.organization = "acme".to_owned();
    check(&access, &signed(&other, CLIENTS), "choria limited up=alice");
    // Certificates go on as before.
    let verified = Try { tls: Verified, ..Try::default() };
    assert_eq!(verified.result(&access, ""), "choria full -");
    let only_clients = with(TokenTrust::Signers {
        clients: Trust::signers(vec![key(CLIENTS)]),
        servers: Trust::signers(Vec::new()),
    });
    check(
        &only_clients,
        &signed(&server(), SERVERS),
        "refused: \"n1.example\": no issuer and no signer of tokens is trusted",
    );
}

#[test]
fn without_trust_every_token_is_refused() {
    let text = "refused: a token, and neither issuers nor signers are configured";
    for token in [signed(&client(), ORG), signed(&server(), ORG)] {
        for tls in [Anonymous, Verified] {
            assert_eq!(Try { tls, ..Try::default() }.result(&choria(), &token), text);
        }
    }
    // A laboratory does not look at them.
    let plain = Try { tls: Off, ..Try::default() };
    let entry = gate(&choria(), false).admit(&plain.attempt("a.b.c"));
    assert_eq!(shown(entry), "choria full -");
}

#[test]
fn new_servers() {
    let unsigned = |tls| Try { tls, signature: String::new(), ..Try::default() };
    let result = |access: &Access, token: &str| unsigned(Anonymous).result(access, token);
    let issuer = by_issuer();
    assert_eq!(result(&issuer, &newcomer(ORG)), "provisioning limited ");
    let got = result(&issuer, &newcomer(STRANGER));
    assert_eq!(got, "refused: the signature of the token does not fit its issuer");
    let mut foreign = ProvisioningClaims::new(id(3), HOUR);
    foreign.organization = "acme".to_owned();
    let got = result(&issuer, &signed(&foreign, ORG));
    assert!(got.contains("no issuer is known for the organization \"acme\""), "{got}");
    assert_eq!(
        unsigned(Verified).result(&issuer, &newcomer(ORG)),
        "refused: a provisioning token beside a verified certificate"
    );
    let off = Access { provisioning: None, ..by_issuer() };
    assert_eq!(result(&off, &newcomer(ORG)), "refused: provisioning is off");
    let signers = by_signers();
    assert_eq!(result(&signers, &newcomer(NEWCOMERS)), "provisioning limited ");
    let got = result(&signers, &newcomer(CLIENTS));
    assert_eq!(got, "refused: the signature of the token does not fit its issuer");
    // A signer of new servers needs nobody else.
    let mut alone = choria();
    alone.tokens.provisioning_signer = Some(key(NEWCOMERS));
    assert_eq!(result(&alone, &newcomer(NEWCOMERS)), "provisioning limited ");
    assert_eq!(
        result(&choria(), &newcomer(NEWCOMERS)),
        "refused: nobody is configured whose provisioning tokens are accepted"
    );
    // The user of the token is shown, and nothing else.
    let named = Try { user: "newcomer", password: "x", ..unsigned(Anonymous) };
    assert_eq!(named.result(&issuer, &newcomer(ORG)), "provisioning limited newcomer");
    // It is whatever the other side likes.
    let long = format!("\u{1b}[2J\n{}", "x".repeat(5_000));
    let named = Try { user: &long, password: "x", ..unsigned(Anonymous) };
    let shown = named.result(&issuer, &newcomer(ORG));
    assert!(shown.starts_with("provisioning limited \\u{1b}[2J\\nxxx"), "{shown}");
    assert!(shown.ends_with("xxx...") && shown.len() < 250, "{shown}");
}

fn granted(set: fn(&mut crate::tokens::ClientPermissions)) -> String {
    let mut claims = client();
    set(&mut claims.permissions);
    signed(&claims, ORG)
}

#[test]
fn the_system_user_without_a_certificate() {
    let access = by_issuer();
    let system = |password| Try { user: "system", password, ..Try::default() };
    let allowed = granted(|may| may.system_user = true);
    for (password, token, expected) in [
        ("sys", allowed.clone(), "system system system"),
        ("sys", granted(|may| may.org_admin = true), "system system system"),
        ("wrong", allowed.clone(), "refused: wrong password of the system user"),
        ("", allowed.clone(), "refused: wrong password of the system user"),
        (
            "sys",
            String::new(),
            "refused: the system user without a verified certificate or a token",
        ),
        (
            "sys",
            granted(|may| may.fleet_management = true),
            "refused: \"up=alice\": the token does not grant system_user or org_admin",
        ),
        (
            "sys",
            signed(&server(), ORG),
            "refused: \"n1.example\": the token is a server token, not a client token",
        ),
        ("sys", newcomer(ORG), "refused: the token is a provisioning token, not a client token"),
    ] {
        assert_eq!(system(password).result(&access, &token), expected);
    }
    let unproven = Try { signature: signature(STRANGER), ..system("sys") };
    let got = unproven.result(&access, &allowed);
    assert!(got.contains("the signature over the nonce does not fit the token"), "{got}");
    // With a certificate the password is enough.
    let verified = Try { tls: Verified, ..system("sys") };
    assert_eq!(verified.result(&access, ""), "system system system");
    let got = system("sys").result(&choria(), &allowed);
    assert_eq!(got, "refused: a token, and neither issuers nor signers are configured");
}

#[test]
fn the_provisioner() {
    let provisioner = |tls, password| Try { tls, user: "provisioner", password, ..Try::default() };
    let allowed = granted(|may| may.provisioner = true);
    let mut trusting = by_issuer();
    trusting.tokens.provisioner_without_token = true;
    for (access, tls, password, token, expected) in [
        (&by_issuer(), Anonymous, "prov", &*allowed, "provisioning full provisioner"),
        (&by_issuer(), Verified, "prov", &*allowed, "provisioning full provisioner"),
        (&by_issuer(), Anonymous, "x", &*allowed, "refused: wrong password of the provisioner"),
        (&by_issuer(), Verified, "prov", "", "refused: a provisioner without a token"),
        (&trusting, Anonymous, "prov", "", "provisioning full provisioner"),
        (&trusting, Anonymous, "prov", "x", "refused: the token has 1 parts instead of 3"),
        (
            &by_issuer(),
            Anonymous,
            "prov",
            &*granted(|may| may.org_admin = true),
            "refused: \"up=alice\": the token does not grant provisioner",
        ),
        // Signers say nothing about provisioners.
        (
            &by_signers(),
            Anonymous,
            "prov",
            &*allowed,
            "refused: a provisioner without a verified certificate",
        ),
        (&by_signers(), Verified, "prov", "", "provisioning full provisioner"),
    ] {
        assert_eq!(provisioner(tls, password).result(access, token), expected, "{tls:?}");
    }
    let unproven = Try { signature: String::new(), ..provisioner(Anonymous, "prov") };
    let expected = "refused: \"up=alice\": the nonce is not signed";
    assert_eq!(unproven.result(&by_issuer(), &allowed), expected);
}

#[test]
fn addresses_beside_tokens() {
    let mut claims = client();
    claims.permissions.fleet_management = true;
    let (client, server) = (signed(&claims, ORG), signed(&server(), ORG));
    let mut access = by_issuer();
    access.tokens.client_hosts = vec!["192.0.2.0/24".parse().expect("network")];
    for (address, token, subject, expected) in [
        (CLIENT, &client, "choria.broadcast.agent.rpcutil", true),
        (ELSEWHERE, &client, "choria.broadcast.agent.rpcutil", false),
        (ELSEWHERE, &client, "$SYS.REQ.USER.INFO", true),
        (ELSEWHERE, &server, "choria.reply.x.y", true),
        (CLIENT, &server, "choria.reply.x.y", true),
    ] {
        let attempt = Try { address, ..Try::default() };
        let entry = gate(&access, true).admit(&attempt.attempt(token)).expect("admitted");
        let subject = subject.as_bytes();
        let may = entry.permissions.publish(subject, None, &mut Default::default()).is_ok();
        assert_eq!(may, expected, "{address}");
    }
}

#[test]
fn servers_can_be_muted() {
    let mut access = by_issuer();
    access.tokens.mutes_servers = true;
    let token = signed(&server(), ORG);
    let attempt = Try::default();
    let muted = gate(&access, true);
    let entry = muted.admit(&attempt.attempt(&token)).expect("stays connected");
    assert!(entry.permissions.subscribe(b"choria.broadcast.agent.x", None).is_err());
    assert!(entry.permissions.publish(b"choria.reply.x", None, &mut Default::default()).is_err());
    // It can speak again when that is over.
    let again = gate(&by_issuer(), true).readmit(&entry.via, &attempt.attempt("")).expect("stays");
    let again = again.expect("not internal");
    assert!(again.permissions.subscribe(b"choria.broadcast.agent.x", None).is_ok());
    check(&access, &signed(&client(), ORG), "choria limited up=alice");
}

#[test]
fn connections_end_with_their_tokens() {
    let expires = |claims: &ClientClaims| {
        let attempt = Try::default();
        let token = signed(claims, ORG);
        let entry = gate(&by_issuer(), true).admit(&attempt.attempt(&token)).expect("admitted");
        entry.via.expires_ms()
    };
    // A minute of the hour is over, and the broker has run for a second.
    assert_eq!(expires(&client()), Some(1_000 + 3_540_000));
    let mut claims = client();
    claims.common.expires = None;
    assert_eq!(expires(&claims), None);
    assert_eq!(Via::Unnamed.expires_ms(), None);
}

#[test]
fn a_live_token_is_decided_about_again() {
    let revoked = |text: &str| {
        let list = Arc::new(Revoked::parse(text).expect("list"));
        let mut access = by_issuer();
        access.tokens.trust = TokenTrust::Issuers(issuers().with_revoked(list));
        access
    };
    let again = |attempt: &Try<'_>, token: &str, old: &Access, new: &Access| {
        let via = gate(old, true).admit(&attempt.attempt(token)).expect("admitted").via;
        let result = gate(new, true).readmit(&via, &attempt.attempt(""));
        shown(result.map(|entry| entry.expect("not internal")))
    };
    let (old, plain) = (by_issuer(), Try::default());
    let token = signed(&client(), ORG);
    let alice = "refused: \"up=alice\": ";
    let strangers =
        || TokenTrust::Issuers(Trust::issuers(BTreeMap::from([("choria".into(), key(STRANGER))])));
    for (new, expected) in [
        (by_issuer(), "choria limited up=alice".to_owned()),
        (revoked("another"), "choria limited up=alice".to_owned()),
        (revoked(&id(1).to_string()), format!("{alice}the token is revoked by {}", id(1))),
        (
            revoked(&pair(HOLDER).public_key().to_string()),
            format!("{alice}the token is revoked by {}", pair(HOLDER).public_key()),
        ),
        (with(strangers()), format!("{alice}the signature of the token does not fit its issuer")),
        (
            with(TokenTrust::Issuers(Trust::issuers(BTreeMap::new()))),
            format!("{alice}no issuer is known for the organization \"choria\" of the token"),
        ),
        (choria(), "refused: a token, and neither issuers nor signers are configured".to_owned()),
        (by_signers(), format!("{alice}the signature of the token does not fit its issuer")),
        (
            with(TokenTrust::Signers {
                clients: Trust::signers(vec![key(ORG)]),
                servers: Trust::signers(Vec::new()),
            }),
            "choria limited up=alice".to_owned(),
        ),
    ] {
        assert_eq!(again(&plain, &token, &old, &new), expected);
    }
    let server = signed(&server(), ORG);
    assert_eq!(again(&plain, &server, &old, &by_issuer()), "choria limited n1.example");
    let newcomer = newcomer(ORG);
    assert_eq!(again(&plain, &newcomer, &old, &by_issuer()), "provisioning limited ");
    let off = Access { provisioning: None, ..by_issuer() };
    assert_eq!(again(&plain, &newcomer, &old, &off), "refused: provisioning is off");
    let system = Try { user: "system", password: "sys", ..Try::default() };
    let allowed = granted(|may| may.system_user = true);
    assert_eq!(again(&system, &allowed, &old, &by_issuer()), "system system system");
    let mut other = by_issuer();
    other.system_user = Some(Login { user: "system".into(), password: Secret::new("new".into()) });
    let expected = "refused: wrong password of the system user";
    assert_eq!(again(&system, &allowed, &old, &other), expected);
    let provisioner = Try { user: "provisioner", password: "prov", ..Try::default() };
    let allowed = granted(|may| may.provisioner = true);
    assert_eq!(again(&provisioner, &allowed, &old, &by_issuer()), "provisioning full provisioner");
    let got = again(&provisioner, &allowed, &old, &revoked(&id(1).to_string()));
    assert!(got.contains("is revoked"), "{got}");
    // Who came in by certificate needs a token where issuers begin to decide.
    let verified = Try { tls: Verified, ..Try::default() };
    let expected = "refused: a certificate without a token";
    assert_eq!(again(&verified, "", &choria(), &by_issuer()), expected);
    let provisioner = Try { tls: Verified, ..provisioner };
    let expected = "refused: a provisioner without a token";
    assert_eq!(again(&provisioner, "", &choria(), &by_issuer()), expected);
}

#[test]
fn tokens_beside_a_list_of_users() {
    let list = r#"{"users": [{"user": "ann", "password": "p"}, {"token": "a.b.c"}]}"#;
    let access = Access { users: with_users(list).users, ..by_issuer() };
    let signed = signed(&client(), ORG);
    for (tls, user, password, token, expected) in [
        (Anonymous, "", "", &*signed, "choria limited up=alice"),
        (Verified, "", "", "a.b.c", "choria full -"),
        (Verified, "", "", "word", "refused: unknown token"),
        (Verified, "", "", "d.e.f", "refused: the header of the token is not base64url"),
        (Verified, "ann", "p", "", "choria full ann"),
        (Verified, "ann", "p", &*signed, "choria limited up=alice"),
        (Anonymous, "ann", "p", "", "refused: no verified certificate"),
        (Verified, "", "", "", "refused: a certificate without a token"),
    ] {
        let attempt = Try { tls, user, password, ..Try::default() };
        assert_eq!(attempt.result(&access, token), expected, "{user} {token}");
    }
}
