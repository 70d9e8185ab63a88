use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::crypto::ed25519::KeyPair;
use crate::crypto::ksuid::Ksuid;
use crate::protocol::v2::{SecureReply, SecureRequest};
use crate::protocol::{Request, Transport, Version};
use crate::security::testkit::{Folder, now};
use crate::security::{
    Denied, Holder, Kind, LoginError, Provider, Refused, RemoteSigner, ReplayCache, Settings,
    SignError, Signing, TokenFiles, TokenKeys, Verified,
};
use crate::tokens::{self, ClientClaims, ClientPermissions, Key, ServerClaims, SigningKey, Trust};

/// What a test makes of claims.
type Change = fn(&mut ClientClaims);

const HOUR: Duration = Duration::from_secs(3_600);

fn key(seed: u8) -> KeyPair {
    KeyPair::from_seed([seed; 32])
}

/// The organization of these tests.
fn org() -> SigningKey {
    SigningKey::Ed25519(key(1))
}

fn trust() -> Trust {
    Trust::issuers(BTreeMap::from([("choria".to_owned(), org().public())]))
}

fn id() -> Ksuid {
    Ksuid::new(now() - Duration::from_secs(10))
}

fn permissions(change: fn(&mut ClientPermissions)) -> ClientPermissions {
    let mut permissions = ClientPermissions::default();
    change(&mut permissions);
    permissions
}

fn client_token(caller: &str, seed: u8, change: fn(&mut ClientClaims)) -> String {
    let mut claims = ClientClaims::new(caller, Some(key(seed).public_key()), id(), HOUR);
    claims.permissions = permissions(|p| p.fleet_management = true);
    change(&mut claims);
    tokens::sign(&claims, &org()).unwrap()
}

fn server_token(identity: &str, seed: u8, change: fn(&mut ServerClaims)) -> String {
    let mut claims = ServerClaims::new(identity, key(seed).public_key(), id(), HOUR);
    claims.collectives.push("choria".to_owned());
    change(&mut claims);
    tokens::sign(&claims, &org()).unwrap()
}

/// A provider with this token. The folder keeps its files.
fn open(
    identity: &str,
    holder: Holder,
    token: &str,
    seed: u8,
    change: impl FnOnce(&mut Settings),
) -> (Provider, Folder) {
    let folder = Folder::new();
    let mut settings = Settings::new(Kind::Choria, identity);
    settings.token = Some(TokenFiles {
        token: folder.write("token", token),
        seed: folder.write("seed", &key(seed).seed_hex()),
        keys: TokenKeys::Provider,
        holder,
    });
    settings.trust = Some(trust());
    change(&mut settings);
    (Provider::open(settings).unwrap(), folder)
}

fn server() -> Provider {
    open("n1", Holder::Server, &server_token("n1", 9, |_| ()), 9, |_| ()).0
}

fn client(token: &str, seed: u8) -> Provider {
    open("ann", Holder::Client, token, seed, |_| ()).0
}

fn request(caller: &str) -> Request {
    let mut request =
        Request::new("rpcutil", "choria", "shell", caller, now()).in_version(Version::V2);
    request.message = br#"{"agent":"rpcutil","action":"ping","data":{}}"#.to_vec();
    request
}

fn signed(signer: &Provider, caller: &str) -> SecureRequest {
    SecureRequest::decode(&signer.sign(&request(caller)).unwrap()).unwrap()
}

fn verify(secure: &SecureRequest) -> Result<Verified, Denied> {
    server().verify(Version::V2, &secure.encode().unwrap(), now())
}

/// What a server says to a request that the holder of a token signs itself.
fn verdict(token: &str, seed: u8, caller: &str) -> String {
    let text = request(caller).encode().unwrap();
    let secure = SecureRequest {
        signature: key(seed).sign(text.as_bytes()).to_vec(),
        request: text.into_bytes(),
        caller: token.to_owned(),
        signer: None,
    };
    said(verify(&secure))
}

fn said(verdict: Result<Verified, Denied>) -> String {
    match verdict {
        Ok(verified) if verified.privileged => format!("privileged {}", verified.request.caller),
        Ok(verified) => format!("believed {}", verified.request.caller),
        Err(denied) => denied.to_string(),
    }
}

#[test]
fn callers_by_their_tokens() {
    let ann: Change = |_| ();
    let cases: [(&str, Change, u8, &str, &str); 10] = [
        ("up=ann", ann, 2, "up=ann", "believed up=ann"),
        ("up=ann", ann, 2, "up=bob", "refused caller up=bob: the token is for up=ann"),
        (
            "up=ann",
            ann,
            3,
            "up=ann",
            "refused a request of up=ann: the signature does not fit the request",
        ),
        (
            "up=ann",
            |c| c.permissions = permissions(|_| ()),
            2,
            "up=ann",
            "refused a request of up=ann: its token does not allow fleet management",
        ),
        (
            "up=ann",
            |c| c.permissions.signed_fleet_management = true,
            2,
            "up=ann",
            "refused a request of up=ann: its token demands that a signer signs it",
        ),
        (
            "up=ann",
            |c| c.common.public_key.clear(),
            2,
            "up=ann",
            "refused a request of up=ann: the token has no public key",
        ),
        (
            "up=ann",
            |c| c.organization = "acme".to_owned(),
            2,
            "up=ann",
            "refused a request of up=ann: no issuer is known for the organization \"acme\" of the token",
        ),
        (
            "up=ann",
            |c| c.common.expires = c.common.issued_at.map(|at| at + 5),
            2,
            "up=ann",
            "refused a request of up=ann: the token expired at 2026-11-22T17:03:15Z",
        ),
        (
            "up=ann",
            |c| c.common.not_before = c.common.issued_at.map(|at| at + 20),
            2,
            "up=ann",
            "refused a request of up=ann: the token is not valid before 2026-11-22T17:03:30Z",
        ),
        // Names that no certificate could have are fine: the issuer vouches for them.
        ("okta=ann@example.net", ann, 2, "okta=ann@example.net", "believed okta=ann@example.net"),
    ];
    for (holder, change, seed, caller, expected) in cases {
        assert_eq!(verdict(&client_token(holder, 2, change), seed, caller), expected);
    }
    let other = SigningKey::Ed25519(key(66));
    let mut claims = ClientClaims::new("up=ann", Some(key(2).public_key()), id(), HOUR);
    claims.permissions = permissions(|p| p.fleet_management = true);
    assert_eq!(
        verdict(&tokens::sign(&claims, &other).unwrap(), 2, "up=ann"),
        "refused a request of up=ann: the signature of the token does not fit its issuer"
    );
    assert_eq!(
        verdict("a.b", 2, "up=ann"),
        "refused a request of nobody: the token has 2 parts instead of 3"
    );
}

#[test]
fn servers_sign_well_and_may_ask_nothing() {
    let token = server_token("n1", 9, |_| ());
    assert_eq!(verdict(&token, 9, "n1"), "refused a request of n1: servers make no requests");
    assert_eq!(
        verdict(&token, 2, "n1"),
        "refused a request of n1: the signature does not fit the request"
    );
}

#[test]
fn servers_are_believed_in_what_they_say_about_themselves() {
    let noted = |seed, change: fn(&mut Request)| {
        let mut data = request("n1");
        (data.agent, data.sender) = ("registration".to_owned(), "n1".to_owned());
        change(&mut data);
        let text = data.encode().unwrap();
        let secure = SecureRequest {
            signature: key(seed).sign(text.as_bytes()).to_vec(),
            request: text.into_bytes(),
            caller: server_token("n1", 9, |_| ()),
            signer: None,
        };
        let transport = Transport::new(Version::V2, secure.encode().unwrap(), "n1");
        said(server().decode_registration(&transport, now()))
    };
    assert_eq!(noted(9, |_| ()), "believed n1");
    for (seed, change, expected) in [
        (
            2,
            (|_| ()) as fn(&mut Request),
            "refused a request of n1: the signature does not fit the request",
        ),
        (9, |r| r.caller = "n2".to_owned(), "refused caller n2: the token is for n1"),
        (9, |r| r.sender = "n2".to_owned(), "refused registration data of n2: it was signed by n1"),
        (
            9,
            |r| r.agent = "rpcutil".to_owned(),
            "refused a request of n1: servers make no requests",
        ),
    ] {
        assert_eq!(noted(seed, change), expected);
    }
}

#[test]
fn what_was_received_is_what_counts() {
    let ann = client(&client_token("up=ann", 2, |_| ()), 2);
    assert_eq!(ann.caller(), "up=ann");
    let good = signed(&ann, "up=ann");
    let verified = verify(&good).unwrap();
    assert_eq!(verified.token.as_ref().map(|token| token.caller.as_str()), Some("up=ann"));
    let denied = |change: fn(&mut SecureRequest)| {
        let mut altered = good.clone();
        change(&mut altered);
        verify(&altered).unwrap_err().to_string()
    };
    let bad = "refused a request of up=ann: the signature does not fit the request";
    assert_eq!(denied(|s| s.request.push(b' ')), bad);
    assert_eq!(denied(|s| s.signature.truncate(63)), bad);
    assert_eq!(denied(|s| s.signature.push(0)), bad);
    assert_eq!(denied(|s| s.caller = client_token("up=ann", 3, |_| ())), bad);
    assert_eq!(
        denied(|s| s.signature = b"insecure".to_vec()),
        "refused an unsigned request of up=ann: protocol security is on"
    );
    // A signed text with other blanks is as good, as long as it is the signed one.
    let mut spaced = good.clone();
    spaced.request = String::from_utf8(good.request.clone()).unwrap().replace(',', ", ").into();
    assert!(verify(&spaced).is_err());
    spaced.signature = key(2).sign(&spaced.request).to_vec();
    assert!(verify(&spaced).is_ok());
    // The replay guard counts the copies by caller, id and signature, whatever token they carry.
    let mut cache = ReplayCache::default();
    assert_eq!(cache.admit(&verified, now()), Ok(()));
    let renewed = SecureRequest {
        caller: client_token("up=ann", 2, |c| c.agents.push("rpcutil".to_owned())),
        ..good
    };
    let copy = verify(&renewed).unwrap();
    assert!(matches!(cache.admit(&copy, now()), Err(Denied::Replayed { .. })));
}

/// A service that signs with the key of `seed`, in the name of `token`.
#[derive(Debug)]
struct Signer {
    token: Option<String>,
    seed: u8,
    caller: &'static str,
}

impl RemoteSigner for Signer {
    fn sign<'a>(&'a self, request: &'a [u8]) -> Signing<'a> {
        Box::pin(async move {
            if self.caller.is_empty() {
                return Err(Refused("Request denied".to_owned()));
            }
            let text = String::from_utf8_lossy(request).replace("up=ann", self.caller);
            let secure = SecureRequest {
                signature: key(self.seed).sign(text.as_bytes()).to_vec(),
                request: text.into_bytes(),
                caller: "replaced".to_owned(),
                signer: self.token.clone(),
            };
            Ok(secure.encode().unwrap())
        })
    }
}

fn delegated(signer: &Signer, caller: &str) -> Result<SecureRequest, SignError> {
    let ann = client(caller, 2);
    let data = smol::block_on(ann.sign_with(&request("up=ann"), Some(signer)))?;
    Ok(SecureRequest::decode(&data).unwrap())
}

#[test]
fn signers_speak_for_others() {
    let delegator = |change: fn(&mut ClientClaims)| {
        let mut claims = ClientClaims::new("aaa=login", Some(key(7).public_key()), id(), HOUR);
        claims.permissions = permissions(|p| p.authentication_delegator = true);
        change(&mut claims);
        Some(tokens::sign(&claims, &org()).unwrap())
    };
    let strict = client_token("up=ann", 2, |c| {
        c.permissions = permissions(|p| p.signed_fleet_management = true);
    });
    let good = Signer { token: delegator(|_| ()), seed: 7, caller: "up=ann" };
    let secure = delegated(&good, &strict).unwrap();
    assert_eq!(secure.caller, strict);
    assert_eq!(said(verify(&secure)), "privileged up=ann");
    // The signer knows better who it is.
    let renaming =
        Signer { caller: "up=bob", ..Signer { token: delegator(|_| ()), seed: 7, caller: "" } };
    assert_eq!(said(verify(&delegated(&renaming, &strict).unwrap())), "privileged up=bob");
    let without = SecureRequest { signer: None, ..secure.clone() };
    assert_eq!(
        said(verify(&without)),
        "refused a request of up=ann: its token demands that a signer signs it"
    );
    let cases: [(Change, u8, &str, &str); 4] = [
        (
            |c| c.permissions = permissions(|p| p.fleet_management = true),
            7,
            &strict,
            "refused a request of up=ann signed by aaa=login: the signer may not sign requests of others",
        ),
        (|_| (), 8, &strict, "refused a request of up=ann: the signature does not fit the request"),
        (
            |c| c.common.public_key.clear(),
            7,
            &strict,
            "refused a request of up=ann signed by aaa=login: the token has no public key",
        ),
        (
            |_| (),
            7,
            &client_token("up=ann", 2, |c| c.permissions = permissions(|_| ())),
            "refused a request of up=ann: its token does not allow fleet management",
        ),
    ];
    for (change, seed, caller, expected) in cases {
        let signer = Signer { token: delegator(change), seed, caller: "up=ann" };
        assert_eq!(said(verify(&delegated(&signer, caller).unwrap())), expected);
    }
}

#[test]
fn answers_of_signers_are_looked_at() {
    let ann = client_token("up=ann", 2, |_| ());
    let nameless = Signer { token: None, seed: 7, caller: "up=ann" };
    assert_eq!(delegated(&nameless, &ann), Err(SignError::RemoteUnnamed));
    let refusing = Signer { token: None, seed: 7, caller: "" };
    assert_eq!(
        delegated(&refusing, &ann).unwrap_err().to_string(),
        "the remote signer did not sign the request: Request denied"
    );
    // The service itself is asked without a signature.
    let mut asking = request("up=ann");
    asking.agent = "aaa_signer".to_owned();
    let data = smol::block_on(client(&ann, 2).sign_with(&asking, Some(&refusing))).unwrap();
    let secure = SecureRequest::decode(&data).unwrap();
    assert_eq!((secure.signature.as_slice(), &secure.caller), (&b"insecure"[..], &ann));
}

/// A service that signs what `change` makes of a request.
#[derive(Debug)]
struct Changing(fn(&mut Request));

impl RemoteSigner for Changing {
    fn sign<'a>(&'a self, request: &'a [u8]) -> Signing<'a> {
        let mut read = Request::decode(Version::V2, request).unwrap();
        (self.0)(&mut read);
        // Blanks are its own business.
        let text = read.encode().unwrap().replacen(':', ": ", 1);
        let secure = SecureRequest {
            signature: key(7).sign(text.as_bytes()).to_vec(),
            request: text.into_bytes(),
            caller: "replaced".to_owned(),
            signer: Some("a.b.c".to_owned()),
        };
        Box::pin(async move { Ok(secure.encode().unwrap()) })
    }
}

#[test]
fn signers_sign_what_they_were_asked_to() {
    let ann = client(&client_token("up=ann", 2, |_| ()), 2);
    type Alter = fn(&mut Request);
    let cases: [(&str, Alter); 10] = [
        ("", |_| ()),
        ("", |r| r.caller = "up=ann_example".to_owned()),
        ("request id", |r| r.id = request("up=ann").id),
        ("agent", |r| r.agent = "service".to_owned()),
        ("message", |r| r.message = br#"{"agent":"rpcutil","action":"halt","data":{}}"#.to_vec()),
        ("collective", |r| r.collective = "other".to_owned()),
        ("filter", |r| r.filter.add_class("apache")),
        ("time", |r| r.time += Duration::from_nanos(1)),
        ("time to live", |r| r.ttl_secs += 1),
        ("sender", |r| r.sender = "elsewhere".to_owned()),
    ];
    for (what, alter) in cases {
        let signer = Changing(alter);
        let result = smol::block_on(ann.sign_with(&request("up=ann"), Some(&signer)));
        match what {
            "" => assert!(result.is_ok(), "{result:?}"),
            what => assert_eq!(result, Err(SignError::RemoteChanged { what })),
        }
    }
    let garbled = Signer { token: Some(String::new()), seed: 7, caller: "\"" };
    assert!(matches!(
        smol::block_on(ann.sign_with(&request("up=ann"), Some(&garbled))),
        Err(SignError::RemoteAnswer(_))
    ));
}

#[test]
fn signers_name_the_holder_of_the_token_where_that_is_asked_for() {
    let strict = open("n1", Holder::Server, &server_token("n1", 9, |_| ()), 9, |settings| {
        settings.signed_caller_is_holder = true;
    })
    .0;
    let mut claims = ClientClaims::new("aaa=login", Some(key(7).public_key()), id(), HOUR);
    claims.permissions = permissions(|p| p.authentication_delegator = true);
    let delegator = tokens::sign(&claims, &org()).unwrap();
    let judged = |caller: &str, holder: &str| {
        let text = request(caller).encode().unwrap();
        let secure = SecureRequest {
            signature: key(7).sign(text.as_bytes()).to_vec(),
            request: text.into_bytes(),
            caller: client_token(holder, 2, |_| ()),
            signer: Some(delegator.clone()),
        };
        assert_eq!(said(verify(&secure)), format!("privileged {caller}"));
        said(strict.verify(Version::V2, &secure.encode().unwrap(), now()))
    };
    assert_eq!(judged("up=ann", "up=ann"), "privileged up=ann");
    // As the AAA service writes callers.
    assert_eq!(judged("up=ann_example_net", "up=ann@example.net"), "privileged up=ann_example_net");
    let refused = "refused caller up=ann: the token is for up=bob";
    assert_eq!(judged("up=ann", "up=bob"), refused);
}

fn reply(from: &Provider, sender: &str) -> Transport {
    let reply = request("up=ann").reply(sender, b"pong".to_vec(), now());
    from.encode_reply(&reply).unwrap()
}

#[test]
fn replies_are_signed_and_their_signatures_verified() {
    let (ann, server) = (client(&client_token("up=ann", 2, |_| ()), 2), server());
    let token = server_token("n1", 9, |_| ());
    let good = reply(&server, "n1");
    assert_eq!(ann.decode_reply(&good, now()).unwrap().message, b"pong");
    let plain = open("n1", Holder::Server, &token, 9, |s| s.sign_replies = false).0;
    let unsigned = reply(&plain, "n1");
    assert_eq!(SecureReply::decode(&unsigned.data).unwrap().signature, None);
    assert_eq!(ann.decode_reply(&unsigned, now()).unwrap().message, b"pong");
    let unknowing = open("ann", Holder::Client, &client_token("up=ann", 2, |_| ()), 2, |s| {
        s.trust = None;
    });
    assert_eq!(unknowing.0.decode_reply(&good, now()).unwrap().message, b"pong");

    type Damage = fn(&mut SecureReply);
    let cases: [(Damage, &str); 6] = [
        (
            |s| s.signature.as_mut().unwrap()[5] ^= 1,
            "refused a reply of n1: the signature does not fit it",
        ),
        (|s| s.signature = None, "refused a reply of n1: of signature and token it has only one"),
        (|s| s.sender = None, "refused a reply of n1: of signature and token it has only one"),
        (
            |s| s.sender = Some(server_token("n2", 9, |_| ())),
            "refused a reply of n1: its token is for n2",
        ),
        (
            |s| s.sender = Some(server_token("n1", 8, |_| ())),
            "refused a reply of n1: the signature does not fit it",
        ),
        (
            |s| s.sender = Some(client_token("n1", 9, |_| ())),
            "refused a reply of n1: the token is a client token, not a server token",
        ),
    ];
    for (change, expected) in cases {
        let mut secure = SecureReply::decode(&good.data).unwrap();
        change(&mut secure);
        let altered = Transport { data: secure.encode(), ..good.clone() };
        for client in [&ann, &unknowing.0] {
            let denied = client.decode_reply(&altered, now()).unwrap_err().to_string();
            assert_eq!(denied, expected);
        }
    }
    // Only who knows whom to believe sees that nobody vouches for a token.
    let claims = ServerClaims::new("n1", key(9).public_key(), id(), HOUR);
    let forged = tokens::sign(&claims, &SigningKey::Ed25519(key(66))).unwrap();
    let impostor = open("n1", Holder::Server, &forged, 9, |_| ()).0;
    let denied = ann.decode_reply(&reply(&impostor, "n1"), now()).unwrap_err().to_string();
    assert!(denied.ends_with("the signature of the token does not fit its issuer"), "{denied}");
}

#[test]
fn brokers_are_shown_the_token_that_is_in_the_file_now() {
    let token = client_token("up=ann", 2, |_| ());
    let (ann, folder) = open("ann", Holder::Client, &token, 2, |_| ());
    assert!(ann.has_login());
    let greeting = ann.greet("PXoWU7zWAMt75FY", now()).unwrap();
    assert_eq!(*greeting.token.expose(), token);
    let signature =
        data_encoding::BASE64URL_NOPAD.decode(greeting.signature.unwrap().as_bytes()).unwrap();
    assert_eq!(key(2).public_key().verify(b"PXoWU7zWAMt75FY", &signature), Ok(()));
    assert!(ann.greet("", now()).unwrap().signature.is_none());
    // What a broker may not have signed: it could be a request.
    for nonce in ["{\"protocol\":1}", "a b", &"a".repeat(65)] {
        assert_eq!(ann.greet(nonce, now()).unwrap_err(), LoginError::Nonce);
    }
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(now_secs() - 10) + HOUR;
    assert_eq!(ann.token_expires(), Some(end));
    assert_eq!(
        ann.greet("n", end).unwrap_err().to_string(),
        "the token of up=ann expired on 2026-11-22T18:03:10Z"
    );
    let renewed = client_token("up=ann", 3, |c| c.agents.push("*".to_owned()));
    folder.write("token", &format!("{renewed}\n"));
    let said = ann.greet("n", now()).unwrap_err().to_string();
    assert!(said.contains("it does not belong to the token"), "{said}");
    folder.write("seed", &format!("{}\n", key(3).seed_hex()));
    assert_eq!(*ann.greet("n", now()).unwrap().token.expose(), renewed);
    assert_eq!(signed(&ann, "up=ann").caller, renewed);
    folder.write("token", &client_token("up=bob", 3, |_| ()));
    assert_eq!(
        ann.greet("n", now()).unwrap_err().to_string(),
        "the token was for up=ann and is for up=bob now"
    );
}

fn now_secs() -> u64 {
    now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn tokens_that_are_of_no_use_are_named() {
    let problems = |holder, token: &str, seed: &str, change: fn(&mut Settings)| {
        let folder = Folder::new();
        let mut settings = Settings::new(Kind::Choria, "n1");
        settings.token = Some(TokenFiles {
            token: folder.write("token", token),
            seed: folder.write("seed", seed),
            keys: TokenKeys::Provider,
            holder,
        });
        change(&mut settings);
        let text = Provider::open(settings).unwrap_err().to_string();
        text.replace(&folder.path("").display().to_string(), "")
    };
    let (ann, n1) = (client_token("up=ann", 2, |_| ()), server_token("n1", 9, |_| ()));
    let (two, nine) = (key(2).seed_hex(), key(9).seed_hex());
    let start = "security is not set up: cannot use the ";
    let end =
        |what: &str| format!("; replace the file or correct plugin.security.choria.{what}_file");
    for (holder, token, seed, expected) in [
        (Holder::Server, &ann, &two, "token token: it is a client token, not a server token"),
        (Holder::Client, &n1, &nine, "token token: it is a server token, not a client token"),
        (
            Holder::Server,
            &server_token("n2", 9, |_| ()),
            &nine,
            "token token: it is for n2, not for the identity n1",
        ),
        (Holder::Client, &"x".to_owned(), &two, "token token: the token has 1 parts instead of 3"),
        (
            Holder::Client,
            &ann,
            &"short".to_owned(),
            "seed seed: it is not an ed25519 seed of 64 hexadecimal digits",
        ),
        (Holder::Client, &ann, &nine, "seed seed: it does not belong to the token"),
    ] {
        let what = if expected.starts_with("seed") { "seed" } else { "token" };
        let expected = format!("{start}{expected}{}", end(what));
        assert_eq!(problems(holder, token, seed, |_| ()), expected);
    }
    let missing = problems(Holder::Client, &ann, &two, |settings| {
        settings.token.as_mut().unwrap().token = "".into();
        settings.token.as_mut().unwrap().seed = "/no/such/seed".into();
        settings.key = "/no/such/key".into();
    });
    assert_eq!(
        missing,
        "security is not set up: no certificate is configured: set plugin.security.choria.certificate to its path; \
         the private key /no/such/key does not exist: create it or correct plugin.security.choria.key; \
         no token is configured: set plugin.security.choria.token_file to its path; \
         the seed /no/such/seed does not exist: create it or correct plugin.security.choria.seed_file"
    );
}

#[test]
fn whose_tokens_are_believed_can_change() {
    let data = client(&client_token("up=ann", 2, |_| ()), 2).sign(&request("up=ann")).unwrap();
    let server = server();
    assert_eq!(said(server.verify(Version::V2, &data, now())), "believed up=ann");
    let revoked = tokens::Revoked::parse(&key(2).public_key().to_string()).unwrap();
    server.believe_tokens(Some(trust().with_revoked(std::sync::Arc::new(revoked))));
    let said = said(server.verify(Version::V2, &data, now()));
    assert!(said.starts_with("refused a request of up=ann: the token is revoked by "), "{said}");
    server.believe_tokens(None);
    assert_eq!(server.verify(Version::V2, &data, now()), Err(Denied::NoTrust));
}

#[test]
fn whoever_cannot_verify_says_so() {
    let token = client_token("up=ann", 2, |_| ());
    let (ann, _folder) = open("ann", Holder::Client, &token, 2, |s| s.trust = None);
    let data = ann.sign(&request("up=ann")).unwrap();
    assert_eq!(ann.verify(Version::V2, &data, now()), Err(Denied::NoTrust));
    assert!(matches!(ann.verify(Version::V1, &data, now()), Err(Denied::Malformed(_))));
    // There is no CA, so no broker could be told from another.
    assert_eq!(
        ann.client_tls().unwrap_err().to_string(),
        "security is not set up: no CA certificate is configured: set plugin.security.choria.ca to its path"
    );
    let empty = Trust::signers(Vec::<Key>::new());
    let (nobody, _folder) = open("ann", Holder::Client, &token, 2, |s| s.trust = Some(empty));
    assert_eq!(
        said(nobody.verify(Version::V2, &data, now())),
        "refused a request of up=ann: no issuer and no signer of tokens is trusted"
    );
    let (off, _folder) = open("ann", Holder::Client, &token, 2, |s| s.security_on = false);
    assert_eq!(said(off.verify(Version::V2, &data, now())), "believed up=ann");
}

/// Requests that go-choria servers answered, and who they are from.
const ACCEPTED: [(&str, &str); 6] = [
    ("filtered", "up=alice"),
    ("other_caller", "okta=carol@example.net"),
    ("ping", "up=alice"),
    ("rpcutil_get_data_error", "up=alice"),
    ("rpcutil_get_fact", "up=alice"),
    ("rpcutil_ping", "up=alice"),
];

fn captured(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/wire/v2");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

fn captured_provider(identity: &str, holder: Holder, name: &str) -> Provider {
    let folder = Folder::new();
    let text = |name: &str| String::from_utf8(captured(name)).unwrap();
    let mut settings = Settings::new(Kind::Choria, identity);
    settings.token = Some(TokenFiles {
        token: folder.write("token", &text(&format!("keys/{name}.jwt"))),
        seed: folder.write("seed", &text(&format!("keys/{name}.seed"))),
        keys: TokenKeys::Provider,
        holder,
    });
    let organization = Key::from_hex(&text("keys/organization.pub")).unwrap();
    settings.trust = Some(Trust::issuers(BTreeMap::from([("choria".to_owned(), organization)])));
    Provider::open(settings).unwrap()
}

fn captured_meta(name: &str) -> serde_json::Value {
    serde_json::from_slice(&captured(&format!("{name}.meta.json"))).unwrap()
}

fn captured_time(name: &str) -> SystemTime {
    let nanos = captured_meta(name)["time"].as_u64().unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}

#[test]
fn captured_messages_verify_and_encode_to_the_same_bytes() {
    let server = captured_provider("node1.example.net", Holder::Server, "node1");
    let client = captured_provider("alice", Holder::Client, "alice");
    for (name, caller) in ACCEPTED {
        let (meta, now) = (captured_meta(name), captured_time(name));
        let bytes = captured(&format!("{name}.request.json"));
        let transport = Transport::decode(&bytes).unwrap();
        let verified = server.decode_request(&transport, now).unwrap();
        let request = &verified.request;
        assert_eq!((request.caller.as_str(), verified.privileged), (caller, false), "{name}");
        assert_eq!(request.id, meta["requestid"], "{name}");
        assert_eq!(serde_json::to_value(&request.filter).unwrap(), meta["filter"], "{name}");
        assert!(!request.is_expired(now) && request.is_expired(now + Duration::from_secs(60)));
        assert_eq!(transport.encode(), bytes, "{name}: transport");
        let secure = SecureRequest::decode(&transport.data).unwrap();
        assert_eq!(secure.encode().unwrap(), transport.data, "{name}: secure request");
        assert_eq!(request.encode().unwrap().as_bytes(), secure.request, "{name}: request");
        if caller == "up=alice" {
            assert_eq!(client.sign(request).unwrap(), transport.data, "{name}: signature");
        }

        let bytes = captured(&format!("{name}.reply.json"));
        let transport = Transport::decode(&bytes).unwrap();
        let reply = client.decode_reply(&transport, now).unwrap();
        assert_eq!(reply.request_id, meta["requestid"], "{name}");
        assert_eq!(transport.encode(), bytes, "{name}: transport");
        let secure = SecureReply::decode(&transport.data).unwrap();
        assert!(secure.signature.is_some() && secure.sender.is_some(), "{name}");
        let ours = server.encode_reply(&reply).unwrap();
        assert_eq!(ours.data, transport.data, "{name}: secure reply");
    }
}

#[test]
fn captured_requests_that_go_choria_refused_are_refused() {
    let server = captured_provider("node1.example.net", Holder::Server, "node1");
    for (name, expected) in [
        (
            "rejected_needs_signer",
            "refused a request of up=bob: its token demands that a signer signs it",
        ),
        (
            "rejected_no_fleet_management",
            "refused a request of up=weak: its token does not allow fleet management",
        ),
        (
            "rejected_issuer",
            "refused a request of up=mallory: the signature of the token does not fit its issuer",
        ),
    ] {
        let transport = Transport::decode(&captured(&format!("{name}.request.json"))).unwrap();
        let denied = server.decode_request(&transport, captured_time(name)).unwrap_err();
        assert_eq!(denied.to_string(), expected, "{name}");
    }
}

#[test]
fn captured_federation_headers_are_read() {
    let bytes = captured("federated_ping.request.json");
    let transport = Transport::decode(&bytes).unwrap();
    let federation = transport.federation.as_ref().unwrap();
    assert_eq!(federation.request_id, captured_meta("federated_ping")["requestid"]);
    assert_eq!(federation.targets, ["mcollective.broadcast.agent.discovery"]);
    assert_eq!(transport.encode(), bytes);
}

#[test]
fn damaged_captures_are_refused_without_a_panic() {
    const SEED: u64 = 0x00c0_ffee;
    let server = captured_provider("node1.example.net", Holder::Server, "node1");
    let mut random = fastrand::Rng::with_seed(SEED);
    for (name, _) in ACCEPTED {
        for direction in ["request", "reply"] {
            let bytes = captured(&format!("{name}.{direction}.json"));
            let original = Transport::decode(&bytes).unwrap();
            for round in 0..60 {
                let mut transport = original.clone();
                for _ in 0..random.usize(1..4) {
                    let at = random.usize(..transport.data.len());
                    match random.u8(..3) {
                        0 => transport.data[at] ^= 1 << random.u8(..8),
                        1 => transport.data.truncate(at.max(1)),
                        _ => transport.data.insert(at, *random.choice(b"\"\\{}[],:0=").unwrap()),
                    }
                }
                let _ = server.decode_reply(&transport, captured_time(name));
                // Only bytes that were signed are ever believed.
                if let Ok(verified) = server.decode_request(&transport, captured_time(name)) {
                    let secure = SecureRequest::decode(&original.data).unwrap();
                    let signed = Request::decode(Version::V2, &secure.request).unwrap();
                    let believed = Request { hops: Vec::new(), ..verified.request };
                    assert_eq!(believed, signed, "seed {SEED} {name} round {round}");
                }
            }
        }
    }
}
