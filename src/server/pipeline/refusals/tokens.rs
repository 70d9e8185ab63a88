//! Protocol v2: tokens that do not prove who the caller is, or do not let it ask.

mod policies;
mod vouched;

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;

use super::world::REPLY_TO;
use super::*;
use crate::crypto::ed25519::KeyPair;
use crate::crypto::ksuid::Ksuid;
use crate::protocol::v2::SecureRequest;
use crate::security::{Kind, Settings};
use crate::tokens::{self, ClientClaims, Common, Key, Revoked, ServerClaims, SigningKey, Trust};

const HOUR: Duration = Duration::from_secs(3_600);
const ANN: &str = "up=ann";
/// Seeds of the keys of this table.
const ORG: u8 = 1;
const OWN: u8 = 2;
const OTHER: u8 = 3;
const ISSUER: u8 = 5;
const SIGNER: u8 = 7;

const DOES_NOT_FIT: &str = "refused a request of up=ann: the signature does not fit the request";

pub(super) fn cases(_: &World) -> Vec<Case> {
    let mut cases = claims();
    cases.extend(texts());
    cases.extend(vouched::chains());
    cases.extend(vouched::delegations());
    cases.extend(signatures());
    cases.extend(trusts());
    cases.extend(dropped());
    cases.extend(policies::cases());
    cases.extend(policies::rego());
    cases.extend(envelopes());
    cases
}

fn key(seed: u8) -> KeyPair {
    KeyPair::from_seed([seed; 32])
}

fn organization(seed: u8) -> SigningKey {
    SigningKey::Ed25519(key(seed))
}

fn made_at() -> Ksuid {
    Ksuid::new(now() - Duration::from_secs(10))
}

/// Claims of a caller that may ask everything.
fn may_ask(caller: &str, seed: u8) -> ClientClaims {
    let mut claims = ClientClaims::new(caller, Some(key(seed).public_key()), made_at(), HOUR);
    claims.permissions.fleet_management = true;
    claims
}

fn token(change: impl FnOnce(&mut ClientClaims)) -> String {
    let mut claims = may_ask(ANN, OWN);
    change(&mut claims);
    tokens::sign(&claims, &organization(ORG)).unwrap()
}

/// A server that believes in these.
fn server(trust: Trust) -> Arrangement {
    let mut settings = Settings::new(Kind::Choria, "node1.example.net");
    settings.tls = false;
    settings.trust = Some(trust);
    let security = Some(Arc::new(Provider::open(settings).unwrap()));
    Arrangement { security, ..Arrangement::default() }
}

fn by_issuer() -> Trust {
    Trust::issuers(BTreeMap::from([("choria".to_owned(), organization(ORG).public())]))
}

fn request() -> Request {
    let sender = "shell.example.net";
    let mut request =
        Request::new("probe", "mcollective", sender, ANN, now()).in_version(Version::V2);
    let body = json!({"agent": "probe", "action": "run", "data": {"text": "hello"}});
    request.message = body.to_string().into_bytes();
    request
}

/// A request with these tokens, signed with the key of a seed.
fn secure(request: &Request, seed: u8, caller: &str, signer: Option<&str>) -> SecureRequest {
    let text = request.encode().unwrap();
    SecureRequest {
        signature: key(seed).sign(text.as_bytes()).to_vec(),
        request: text.into_bytes(),
        caller: caller.to_owned(),
        signer: signer.map(str::to_owned),
    }
}

fn wrap(secure: &SecureRequest) -> Vec<u8> {
    carry(&secure.encode().unwrap())
}

fn carry(data: &[u8]) -> Vec<u8> {
    let mut transport = Transport::new(Version::V2, data.to_vec(), "shell.example.net");
    transport.reply_to = Some(REPLY_TO.to_owned());
    transport.encode()
}

fn unverified(name: &str, secure: &SecureRequest, reason: impl Into<String>) -> Case {
    let claims = Request::decode(Version::V2, &secure.request).unwrap();
    let trace = Trace::Unverified(Box::new(claims), reason.into());
    Case::new(format!("token: {name}"), wrap(secure), trace).at(server(by_issuer()))
}

/// A request of ann under this token.
fn with_token(name: &str, token: &str, reason: &str) -> Case {
    let secure = secure(&request(), OWN, token, None);
    unverified(name, &secure, format!("refused a request of {reason}"))
}

/// Tokens of the right organization that say something else.
fn claims() -> Vec<Case> {
    type Change = fn(&mut ClientClaims);
    let changes: &[(&str, Change, &str)] = &[
        (
            "expired",
            |c| c.common.expires = c.common.issued_at.map(|at| at + 5),
            "up=ann: the token expired at 2026-11-22T17:03:06Z",
        ),
        (
            "that expires now",
            |c| c.common.expires = c.common.issued_at.map(|at| at + 10),
            "up=ann: the token expired at 2026-11-22T17:03:11Z",
        ),
        (
            "not valid yet",
            |c| c.common.not_before = c.common.issued_at.map(|at| at + 20),
            "up=ann: the token is not valid before 2026-11-22T17:03:21Z",
        ),
        (
            "without permission",
            |c| c.permissions.fleet_management = false,
            "up=ann: its token does not allow fleet management",
        ),
        (
            "of an administrator without permission",
            |c| (c.permissions.fleet_management, c.permissions.org_admin) = (false, true),
            "up=ann: its token does not allow fleet management",
        ),
        (
            "that demands a signer",
            |c| {
                c.permissions.signed_fleet_management = true;
                c.permissions.fleet_management = false;
            },
            "up=ann: its token demands that a signer signs it",
        ),
        (
            "that demands a signer and does not",
            |c| c.permissions.signed_fleet_management = true,
            "up=ann: its token demands that a signer signs it",
        ),
        ("without a key", |c| c.common.public_key.clear(), "up=ann: the token has no public key"),
        (
            "with a key that is none",
            |c| c.common.public_key = "00ff".to_owned(),
            "up=ann: the public key in the token is not an ed25519 key",
        ),
        ("without a name", |c| c.caller.clear(), "nobody: the token names nobody"),
        (
            "without organization",
            |c| c.organization.clear(),
            "up=ann: the token names no organization",
        ),
        (
            "of another organization",
            |c| c.organization = "acme".to_owned(),
            "up=ann: no issuer is known for the organization \"acme\" of the token",
        ),
        ("of no purpose", |c| c.common.purpose.clear(), "nobody: the token names no organization"),
        (
            "of a server by its purpose alone",
            |c| c.common.purpose = "choria_server".to_owned(),
            "nobody: the token names nobody",
        ),
        (
            "for provisioning",
            |c| c.common.purpose = "choria_provisioning".to_owned(),
            "nobody: the token is a provisioning token, not a client token",
        ),
    ];
    let mut cases: Vec<Case> = changes
        .iter()
        .map(|(name, change, reason)| with_token(name, &token(change), reason))
        .collect();
    let own = ServerClaims::new("node9.example.net", key(OWN).public_key(), made_at(), HOUR);
    let of_server = tokens::sign(&own, &organization(ORG)).unwrap();
    cases.push(with_token("of a server", &of_server, "up=ann: servers make no requests"));
    let caller = Request { caller: "up=bob".to_owned(), ..request() };
    cases.push(unverified(
        "of another caller",
        &secure(&caller, OWN, &token(|_| ()), None),
        "refused caller up=bob: the token is for up=ann",
    ));
    cases
}

/// Texts that are no tokens, or were changed.
fn texts() -> Vec<Case> {
    let good = token(|_| ());
    let parts: Vec<&str> = good.split('.').collect();
    let joined =
        |header: &str, claims: &str, signature: &str| format!("{header}.{claims}.{signature}");
    let encoded = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let other = token(|c| c.agents.push("*".to_owned()));
    let other: Vec<&str> = other.split('.').collect();
    let by_other = tokens::sign(&may_ask(ANN, OWN), &organization(66)).unwrap();
    let unsigned = encoded(json!({"alg": "none", "typ": "JWT"}));
    let hmac = encoded(json!({"alg": "HS256", "typ": "JWT"}));
    let critical = encoded(json!({"alg": "EdDSA", "typ": "JWT", "crit": ["x"], "x": 1}));
    let does_not_fit = "up=ann: the signature of the token does not fit its issuer";
    let twice = BASE64URL_NOPAD.decode(parts[1].as_bytes()).unwrap();
    let twice = String::from_utf8(twice).unwrap().replacen('{', "{\"callerid\":\"up=root\",", 1);
    let twice = BASE64URL_NOPAD.encode(twice.as_bytes());
    let rsa = encoded(json!({"alg": "RS256", "typ": "JWT"}));
    let long = token(|c| c.caller = format!("up={}", "x".repeat(20_000)));
    let long = format!("{long}{}", "x".repeat(32 * 1024));
    vec![
        with_token("a word", "trust", "nobody: the token has 1 parts instead of 3"),
        with_token(
            "with a claim twice",
            &joined(parts[0], &twice, parts[2]),
            "nobody: the claims of the token cannot be read at column 32",
        ),
        with_token(
            "of another kind of key",
            &joined(&rsa, parts[1], parts[2]),
            "up=ann: the algorithm RS256 of the token does not fit the kind of the key",
        ),
        with_token(
            "that is too long",
            &long,
            "nobody: the token has 59936 bytes, at most 32768 are allowed",
        ),
        with_token("of two parts", "a.b", "nobody: the token has 2 parts instead of 3"),
        with_token(
            "of four parts",
            &format!("{good}.x"),
            "nobody: the token has 4 parts instead of 3",
        ),
        with_token(
            "no base64",
            &joined("?", parts[1], parts[2]),
            "nobody: the header of the token is not base64url",
        ),
        with_token(
            "no JSON",
            &joined(parts[0], "e30x", parts[2]),
            "nobody: the claims of the token cannot be read at column 3",
        ),
        with_token(
            "of no algorithm",
            &joined(&unsigned, parts[1], parts[2]),
            "nobody: the algorithm \"none\" of the token is not allowed",
        ),
        with_token(
            "of no algorithm and no signature",
            &joined(&unsigned, parts[1], ""),
            "nobody: the algorithm \"none\" of the token is not allowed",
        ),
        with_token(
            "of a shared secret",
            &joined(&hmac, parts[1], parts[2]),
            "nobody: the algorithm \"HS256\" of the token is not allowed",
        ),
        with_token(
            "with extensions",
            &joined(&critical, parts[1], parts[2]),
            "nobody: the token needs extensions that are not known",
        ),
        with_token(
            "with the claims of another",
            &joined(parts[0], other[1], parts[2]),
            does_not_fit,
        ),
        with_token("without signature", &joined(parts[0], parts[1], ""), does_not_fit),
        with_token("of another organization's key", &by_other, does_not_fit),
    ]
}

/// Signatures that are not the caller's.
fn signatures() -> Vec<Case> {
    let good = || secure(&request(), OWN, &token(|_| ()), None);
    let with = |change: fn(&mut SecureRequest)| {
        let mut changed = good();
        change(&mut changed);
        changed
    };
    let changed = |change: fn(&mut Request)| {
        let asked = request();
        let secure = secure(&asked, OWN, &token(|_| ()), None);
        let mut other = asked;
        change(&mut other);
        SecureRequest { request: other.encode().unwrap().into_bytes(), ..secure }
    };
    let unsigned = "refused an unsigned request of up=ann: protocol security is on";
    let others = secure(&request(), OTHER, &token(|_| ()), None);
    vec![
        unverified("unsigned", &with(|s| s.signature = b"insecure".to_vec()), unsigned),
        unverified("signature of another key", &others, DOES_NOT_FIT),
        unverified("signature cut short", &with(|s| s.signature.truncate(63)), DOES_NOT_FIT),
        unverified("signature with more", &with(|s| s.signature.push(0)), DOES_NOT_FIT),
        unverified("signature of zeros", &with(|s| s.signature = vec![0; 64]), DOES_NOT_FIT),
        unverified("one blank more", &with(|s| s.request.push(b' ')), DOES_NOT_FIT),
        unverified("changed agent", &changed(|r| r.agent = "rpcutil".into()), DOES_NOT_FIT),
        unverified("changed caller", &changed(|r| r.caller = "up=bob".into()), DOES_NOT_FIT),
        unverified("changed time", &changed(|r| r.time += Duration::from_nanos(1)), DOES_NOT_FIT),
        unverified("changed time to live", &changed(|r| r.ttl_secs += 1), DOES_NOT_FIT),
        unverified("changed filter", &changed(|r| r.filter.add_class("apache")), DOES_NOT_FIT),
        unverified(
            "changed inputs",
            &changed(|r| r.message = b"{\"agent\":\"probe\",\"action\":\"run\"}".to_vec()),
            DOES_NOT_FIT,
        ),
    ]
}

/// Servers that believe others, or nobody.
fn trusts() -> Vec<Case> {
    let case = |name: &str, trust: Trust, reason: &str| {
        with_token(name, &token(|_| ()), reason).at(server(trust))
    };
    let signers = |seeds: &[u8]| {
        Trust::signers(seeds.iter().map(|seed| organization(*seed).public()).collect())
    };
    let revoked = |entry: &str| by_issuer().with_revoked(Arc::new(Revoked::parse(entry).unwrap()));
    let rsa = Key::Rsa(world().key.public_half());
    let own_key = key(OWN).public_key().to_string();
    let mut named = may_ask(ANN, OWN);
    named.common.id = Ksuid::new(now() - Duration::from_secs(10)).to_string();
    let id = named.common.id.clone();
    let named = tokens::sign(&named, &organization(ORG)).unwrap();
    let mut nobody = Settings::new(Kind::Choria, "node1.example.net");
    nobody.tls = false;
    let nobody = Some(Arc::new(Provider::open(nobody).unwrap()));
    let asked = request();
    let v2 = secure(&asked, OWN, &token(|_| ()), None);
    let other_version = |name: &str, request: Request, message: Vec<u8>, found: &str| {
        let reason =
            format!("refused a message of protocol {found}: this network speaks the other version");
        Case::new(name, message, Trace::Unverified(Box::new(request), reason))
    };
    let v1 = world().request();
    let v1_message = world().message(&v1);
    vec![
        case("at a server without issuers", Trust::issuers(BTreeMap::new()), "up=ann: no issuer and no signer of tokens is trusted"),
        case("at a server without signers", signers(&[]), "up=ann: no issuer and no signer of tokens is trusted"),
        case("at a server with another signer", signers(&[66]), "up=ann: the signature of the token does not fit its issuer"),
        case("at a server with other signers", signers(&[66, 67]), "up=ann: the token was not made by any of 2 trusted signers"),
        case(
            "at a server with a signer of another kind",
            Trust::signers(vec![rsa]),
            "up=ann: the algorithm EdDSA of the token does not fit the kind of the key",
        ),
        case("whose key is revoked", revoked(&own_key), &format!("up=ann: the token is revoked by {own_key}")),
        with_token("that is revoked", &named, &format!("up=ann: the token is revoked by {id}"))
            .at(server(revoked(&id))),
        unverified(
            "at a server that was not told whom to believe",
            &v2,
            "refused a request: no issuer and no signer of tokens is trusted, so nothing can be verified",
        )
        .at(Arrangement { security: nobody, ..Arrangement::default() }),
        other_version("v2 at a server with certificates", asked, wrap(&v2), "v2"),
        other_version("v1 at a server with tokens", v1, v1_message, "v1").at(server(by_issuer())),
    ]
}

/// What is proven, and not for here and now, or not twice.
fn dropped() -> Vec<Case> {
    let case = |name: &str, change: fn(&mut Request), reason: &str| {
        let mut request = request();
        change(&mut request);
        let message = wrap(&secure(&request, OWN, &token(|_| ()), None));
        let trace = Trace::Dropped(Box::new(request), reason.to_owned());
        Case::new(format!("token: {name}"), message, trace).at(server(by_issuer()))
    };
    let asked = request();
    let first = wrap(&secure(&asked, OWN, &token(|_| ()), None));
    // The token is not signed: another one with the same key and caller makes no other request.
    let copy = wrap(&secure(&asked, OWN, &token(|c| c.agents.push("*".to_owned())), None));
    let again = format!("refused request {} of up=ann: it was handled before", asked.id);
    vec![
        case("late", |r| r.time -= Duration::from_secs(60), "outside its time to live of 60s"),
        case("early", |r| r.time += Duration::from_secs(60), "outside its time to live of 60s"),
        case(
            "other collective",
            |r| r.collective = "other".into(),
            "not a member of collective \"other\"",
        ),
        case("other agent", |r| r.agent = "absent".into(), "no agent \"absent\""),
        Case::new(
            "token: a copy under another token",
            copy,
            Trace::Dropped(Box::new(asked), again),
        )
        .after(first)
        .at(server(by_issuer())),
    ]
}

/// What cannot be read.
fn envelopes() -> Vec<Case> {
    type Change = fn(&mut Value);
    let good = secure(&request(), OWN, &token(|_| ()), None);
    let data: Value = serde_json::from_slice(&good.encode().unwrap()).unwrap();
    let text: Value = serde_json::from_slice(&good.request).unwrap();
    let outer: &[(&str, Change, &str)] = &[
        (
            "no request",
            |v| v["request"] = json!(""),
            "refused the secure request: request is empty",
        ),
        (
            "a request that is no base64",
            |v| v["request"] = json!("?"),
            "cannot read the secure request: request is not valid base64",
        ),
        (
            "no signature",
            |v| v["signature"] = json!(""),
            "refused the secure request: signature is empty",
        ),
        ("no token", |v| v["caller"] = json!(""), "refused the secure request: caller is empty"),
    ];
    let inner: &[(&str, Change, &str)] = &[
        ("no id", |v| v["id"] = json!(""), "refused the request: id is empty"),
        ("no sender", |v| v["sender"] = json!(""), "refused the request: sender is empty"),
        ("no time", |v| v["time"] = json!(0), "refused the request: time 0 is out of range"),
        (
            "a message that is no base64",
            |v| v["message"] = json!("?"),
            "cannot read the request: message is not valid base64",
        ),
        (
            "a request of v1",
            |v| v["protocol"] = json!("choria:request:1"),
            "cannot read the request: unknown protocol \"choria:request:1\"",
        ),
    ];
    let case = |name: &str, message: Vec<u8>, reason: &str| {
        Case::new(format!("v2: {name}"), message, Trace::Unreadable(reason.to_owned()))
            .at(server(by_issuer()))
    };
    let changed = |good: &Value, change: &Change| {
        let mut value = good.clone();
        change(&mut value);
        value.to_string().into_bytes()
    };
    let signed = |text: Vec<u8>| {
        let signature = key(OWN).sign(&text).to_vec();
        wrap(&SecureRequest { request: text, signature, ..good.clone() })
    };
    let outer = outer
        .iter()
        .map(|(name, change, reason)| case(name, carry(&changed(&data, change)), reason));
    let inner = inner
        .iter()
        .map(|(name, change, reason)| case(name, signed(changed(&text, change)), reason));
    outer.chain(inner).collect()
}

#[test]
fn the_request_that_all_others_are_made_from_is_served() {
    let signer = {
        let mut claims = may_ask("aaa=login", SIGNER);
        claims.permissions.authentication_delegator = true;
        tokens::sign(&claims, &organization(ORG)).unwrap()
    };
    let chained = {
        let mut issuer = may_ask("up=issuer", ISSUER);
        issuer.common.set_organization_issuer(&key(ORG)).unwrap();
        let mut claims = may_ask(ANN, OWN);
        claims.common.set_chain_issuer(&issuer.common, &key(ISSUER)).unwrap();
        tokens::sign(&claims, &organization(ISSUER)).unwrap()
    };
    for (seed, caller, signer) in
        [(OWN, token(|_| ()), None), (SIGNER, token(|_| ()), Some(signer)), (OWN, chained, None)]
    {
        let scene = Scene::new(&server(by_issuer()));
        let request = request();
        let message = wrap(&secure(&request, seed, &caller, signer.as_deref()));
        assert_eq!(scene.feed(message), [""; 0]);
        assert_eq!(scene.probe.calls(), 1);
        let reason = "authorization is off".to_owned();
        let trace = Trace::Judged(Box::new(request), Outcome::Allowed, reason);
        assert_eq!(scene.audited(), [trace.audit_line().unwrap()]);
    }
}
