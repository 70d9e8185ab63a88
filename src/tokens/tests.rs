//! Published values, and tables of everything that is refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::*;
use crate::crypto::ed25519::KeyPair;
use crate::crypto::ksuid::Ksuid;
use crate::util::time;

const MADE: i64 = 1_700_000_000;
const HOUR: Duration = Duration::from_secs(3600);

fn now() -> SystemTime {
    time::from_unix(MADE + 60)
}

fn id(payload: u8) -> Ksuid {
    Ksuid::from_parts(MADE, [payload; 16]).unwrap()
}

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed([seed; 32])
}

fn key(seed: u8) -> Key {
    Key::Ed25519(pair(seed).public_key())
}

fn signing(seed: u8) -> SigningKey {
    SigningKey::Ed25519(pair(seed))
}

fn pki(name: &str) -> Vec<u8> {
    let path = format!("{}/testdata/wire/v1/pki/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

/// A token with any header and claims, signed with the ed25519 key of a seed whatever the header says.
fn raw(header: &str, claims: &str, seed: u8) -> String {
    let mut text = BASE64URL_NOPAD.encode(header.as_bytes());
    text.push('.');
    BASE64URL_NOPAD.encode_append(claims.as_bytes(), &mut text);
    let signature = pair(seed).sign(text.as_bytes());
    text.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut text);
    text
}

fn eddsa(claims: &Value, seed: u8) -> String {
    raw(r#"{"alg":"EdDSA","typ":"JWT"}"#, &claims.to_string(), seed)
}

fn client() -> ClientClaims {
    let mut claims = ClientClaims::new("up=alice", Some(pair(3).public_key()), id(2), HOUR);
    claims.permissions.fleet_management = true;
    claims
}

fn client_json() -> Value {
    serde_json::to_value(client()).unwrap()
}

fn server() -> ServerClaims {
    let mut claims =
        ServerClaims::new("n1.example.net", pair(4).public_key(), id(5), Duration::from_secs(600));
    claims.collectives = vec!["mcollective".to_owned()];
    claims
}

/// The chain issuer of the published values, signed by the organization with seed 1.
fn chain_issuer() -> ClientClaims {
    let mut issuer = ClientClaims::new("up=aaa", Some(pair(2).public_key()), id(1), HOUR * 24);
    issuer.common.set_organization_issuer(&pair(1)).unwrap();
    issuer
}

/// The user of the published values, made by the chain issuer with seed 2.
fn chained() -> ClientClaims {
    let mut user = client();
    user.common.set_chain_issuer(&chain_issuer().common, &pair(2)).unwrap();
    user
}

fn trust() -> Trust {
    Trust::issuers(BTreeMap::from([("choria".to_owned(), key(1)), ("other".to_owned(), key(9))]))
}

fn refusal(token: &str) -> String {
    trust().client(token, now()).unwrap_err().to_string()
}

const ISSUER_TCS: &str = "b905ef26ebbc58e7b3d89c40dc09e62583cd7cd32e0c76a8fae769e75ef5c21c184fd1a4885ef3ce39399c6e07926155706900489ed1eefe1971c8ba51027100";
const USER_TCS: &str = "cfcc9769933c93c1cd76fd97dc201adc16f3edfd57e00623e1f1eb89356799ec0e28e9dcf0f1069e0d3ded9c335e428abede74d2cacc98a17a065052b0ce3f0f";

#[test]
fn published_chain_of_trust() {
    assert_eq!(
        pair(1).public_key().to_string(),
        "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
    );
    let issuer = chain_issuer();
    let issuer_key = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394";
    assert_eq!(issuer.common.public_key, issuer_key);
    assert_eq!(issuer.common.id, "2YBXZHs5jCkPh7Cbnk8e3AMAlJR");
    assert_eq!(issuer.common.trust_chain, ISSUER_TCS);
    assert_eq!(issuer.common.check_chain_issuer(&pair(1).public_key()), Ok(()));
    let user = chained();
    assert_eq!(user.common.id, "2YBXZHtzBAr2gPJKy8UTd6CETFS");
    assert_eq!(user.common.issuer, format!("C-2YBXZHs5jCkPh7Cbnk8e3AMAlJR.{issuer_key}"));
    assert_eq!(user.common.trust_chain, format!("{ISSUER_TCS}.{USER_TCS}"));
    assert_eq!(user.common.issuer_expires, issuer.common.expires);
    let verified = trust().client(&sign(&user, &signing(2)).unwrap(), now()).unwrap();
    assert_eq!((&*verified, verified.anchor()), (&user, &key(1)));
    // The issuer's own token is a direct one, and the user's is not.
    assert!(trust().client(&sign(&issuer, &signing(1)).unwrap(), now()).is_ok());
    let direct = Unverified::parse(&sign(&user, &signing(2)).unwrap()).unwrap();
    assert_eq!(direct.check_signature(&key(1)), Err(Denied::Signature));
}

#[test]
fn claims_are_written_in_the_order_and_form_of_the_wire() {
    let text = serde_json::to_string(&client()).unwrap();
    let public = pair(3).public_key();
    assert_eq!(
        text,
        format!(
            r#"{{"callerid":"up=alice","ou":"choria","permissions":{{"fleet_management":true}},"purpose":"choria_client_id","public_key":"{public}","iss":"Choria","exp":1700003600,"nbf":1700000000,"iat":1700000000,"jti":"2YBXZHtzBAr2gPJKy8UTd6CETFS"}}"#
        )
    );
    let mut provisioning = ProvisioningClaims::new(id(7), HOUR);
    provisioning.token = crate::util::secret::Secret::new("s3cret".to_owned());
    provisioning.urls = "b1:4222,b2:4222".to_owned();
    let text = serde_json::to_string(&provisioning).unwrap();
    assert!(
        text.starts_with(
            r#"{"cht":"s3cret","chs":false,"chu":"b1:4222,b2:4222","chpd":false,"extensions":null,"ou":"choria","purpose":"choria_provisioning","iss":"Choria","sub":"choria_provisioning","exp":"#
        ),
        "{text}"
    );
    assert!(!format!("{provisioning:?}").contains("s3cret"));
}

#[test]
fn every_purpose_and_kind_of_key() {
    let mut provisioning = ProvisioningClaims::new(id(7), HOUR);
    provisioning.srv_domain = "example.net".to_owned();
    provisioning.extensions = serde_json::from_str(r#"{"site":["a",1]}"#).unwrap();
    let rsa = |name: &str| SigningKey::from_file_contents(&pki(name)).unwrap();
    let certificate = Key::from_file_contents(&pki("alice.mcollective.pem")).unwrap();
    assert_eq!(rsa("alice.mcollective.key").public(), certificate);
    for (signing, verifying) in [(signing(1), key(1)), (rsa("alice.mcollective.key"), certificate)]
    {
        let trust = Trust::signers(vec![verifying]);
        let text = sign(&client(), &signing).unwrap();
        assert_eq!(*trust.client(&text, now()).unwrap(), client());
        assert_eq!(
            trust.server(&text, now()).unwrap_err().to_string(),
            "the token is a client token, not a server token"
        );
        let text = sign(&server(), &signing).unwrap();
        assert_eq!(*trust.server(&text, now()).unwrap(), server());
        let text = sign(&provisioning, &signing).unwrap();
        assert_eq!(*trust.provisioning(&text, now()).unwrap(), provisioning);
        assert_eq!(Unverified::parse(&text).unwrap().purpose(), Some(Purpose::Provisioning));
    }
}

#[test]
fn purposes_are_exact() {
    let purpose = |claims: Value| Unverified::parse(&eddsa(&claims, 1)).unwrap().purpose();
    for (claims, expected) in [
        (json!({"purpose": "choria_client_id"}), Some(Purpose::Client)),
        (json!({"purpose": "choria_server"}), Some(Purpose::Server)),
        (json!({"purpose": "choria_provisioning"}), Some(Purpose::Provisioning)),
        (json!({"sub": "choria_provisioning"}), Some(Purpose::Provisioning)),
        (
            json!({"purpose": "choria_client_id", "sub": "choria_provisioning"}),
            Some(Purpose::Client),
        ),
        (json!({"purpose": "x", "sub": "choria_provisioning"}), None),
        (json!({"sub": "choria_client_id"}), None),
        (json!({"purpose": "CHORIA_SERVER"}), None),
        (json!({}), None),
    ] {
        assert_eq!(purpose(claims.clone()), expected, "{claims}");
    }
    assert_eq!(refusal(&eddsa(&json!({"ou": "choria"}), 1)), "the token names no organization");
    assert_eq!(
        verify_client(&Unverified::parse(&eddsa(&json!({}), 1)).unwrap(), &key(1), now())
            .unwrap_err()
            .to_string(),
        "the token has no known purpose, it is not a client token"
    );
}

#[test]
fn texts_that_are_not_tokens() {
    let good = sign(&client(), &signing(1)).unwrap();
    let claims = client_json().to_string();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { unreachable!() };
    for (text, expected) in [
        (String::new(), "the token is empty"),
        ("a".repeat(TEXT_BYTES_MAX + 1), "the token has 32769 bytes, at most 32768 are allowed"),
        ("abc".to_owned(), "the token has 1 parts instead of 3"),
        (format!("{header}.{payload}"), "the token has 2 parts instead of 3"),
        (format!("{good}.x"), "the token has 4 parts instead of 3"),
        (format!(" {good}"), "the header of the token is not base64url"),
        (format!("{good}\n"), "the signature of the token is not base64url"),
        (format!("{header}.{payload}=.{signature}"), "the claims of the token is not base64url"),
        (
            format!("{header}.{payload}.{signature}=="),
            "the signature of the token is not base64url",
        ),
        (raw("{}", &claims, 1), "the header of the token cannot be read at column 2"),
        (raw(r#"["EdDSA"]"#, &claims, 1), "the header of the token cannot be read at column 0"),
        (
            raw(r#"{"alg":"EdDSA","crit":["x"]}"#, &claims, 1),
            "the token needs extensions that are not known",
        ),
        (raw(r#"{"alg":"EdDSA"}"#, "[]", 1), "the claims of the token cannot be read at column 0"),
        (
            raw(r#"{"alg":"EdDSA"}"#, "{} x", 1),
            "the claims of the token cannot be read at column 4",
        ),
        (
            raw(r#"{"alg":"EdDSA"}"#, "null", 1),
            "the claims of the token cannot be read at column 4",
        ),
    ] {
        assert_eq!(refusal(&text), expected, "{text:.80}");
    }
}

#[test]
fn only_four_algorithms_are_read() {
    for name in ["none", "None", "", "HS256", "HS384", "ES256", "PS256", "Ed25519", "eddsa", "RS1"]
    {
        let text = raw(&json!({"alg": name}).to_string(), &client_json().to_string(), 1);
        assert_eq!(refusal(&text), format!("the algorithm {name:?} of the token is not allowed"));
    }
    let unsigned = raw(r#"{"alg":"none"}"#, &client_json().to_string(), 1);
    let unsigned = &unsigned[..=unsigned.rfind('.').unwrap()];
    assert_eq!(refusal(unsigned), "the algorithm \"none\" of the token is not allowed");
    let long = raw(&json!({"alg": "x".repeat(99)}).to_string(), "{}", 1);
    assert_eq!(refusal(&long), "the algorithm \"xxxxxxxxxxxxxxxx\" of the token is not allowed");
    for name in ["RS256", "RS384", "RS512"] {
        let text = raw(&json!({"alg": name}).to_string(), &client_json().to_string(), 1);
        let expected =
            format!("the algorithm {name} of the token does not fit the kind of the key");
        assert_eq!(refusal(&text), expected);
    }
    let rsa = Trust::signers(vec![Key::from_file_contents(&pki("alice.mcollective.pem")).unwrap()]);
    let denied = rsa.client(&sign(&client(), &signing(1)).unwrap(), now()).unwrap_err();
    assert_eq!(denied, Denied::KeyKind { algorithm: Algorithm::EdDsa });
}

#[test]
fn claims_of_wrong_types_are_refused() {
    let with = |name: &str, value: Value| {
        let mut claims = client_json();
        claims[name] = value;
        Unverified::parse(&eddsa(&claims, 1))
    };
    for (name, value) in [
        ("callerid", json!(5)),
        ("agents", json!("rpcutil")),
        ("agents", json!([1])),
        ("permissions", json!([true, true, true, true, true, true, true, true])),
        ("permissions", json!({"org_admin": "true"})),
        ("permissions", json!({"org_admin": 1})),
        ("permissions", json!(true)),
        ("user_properties", json!({"a": 1})),
        ("pub_subjects", json!({})),
        ("exp", json!("1800000000")),
        ("exp", json!(1e300)),
        ("exp", json!(9_007_199_254_740_993_i64)),
        ("nbf", json!(true)),
        ("public_key", json!(["x"])),
        ("jti", json!(1)),
    ] {
        let error = with(name, value.clone()).unwrap_err();
        assert!(matches!(error, Fault::Json { part: Part::Claims, .. }), "{name} {value}: {error}");
    }
    for (name, value) in [
        ("agents", Value::Null),
        ("permissions", Value::Null),
        ("permissions", json!({"org_admin": null, "new_one": {"a": 1}})),
        ("exp", Value::Null),
        ("unknown", json!({"deep": [1, 2]})),
        ("aud", json!(["a"])),
    ] {
        assert!(with(name, value.clone()).is_ok(), "{name} {value}");
    }
    let twice = r#"{"purpose":"choria_client_id","callerid":"up=a","callerid":"up=b"}"#;
    assert!(Unverified::parse(&raw(r#"{"alg":"EdDSA"}"#, twice, 1)).is_err());
    let twice = r#"{"purpose":"choria_server","purpose":"choria_client_id","callerid":"up=b"}"#;
    assert!(Unverified::parse(&raw(r#"{"alg":"EdDSA"}"#, twice, 1)).is_err());
    let fraction = with("exp", json!(1_700_003_600.75)).unwrap();
    assert_eq!(fraction.common().expires, Some(1_700_003_600));
}

#[test]
fn signatures_and_organizations() {
    let text = sign(&client(), &signing(1)).unwrap();
    for index in [0, 10, 40, 63] {
        let at = text.rfind('.').unwrap() + 1;
        let mut signature = BASE64URL_NOPAD.decode(&text.as_bytes()[at..]).unwrap();
        signature[index] ^= 4;
        let text = format!("{}{}", &text[..at], BASE64URL_NOPAD.encode(&signature));
        assert_eq!(refusal(&text), "the signature of the token does not fit its issuer");
    }
    let signed_by = |organization: Value, seed| {
        let mut claims = client_json();
        claims["ou"] = organization;
        refusal(&eddsa(&claims, seed))
    };
    let unfit = "the signature of the token does not fit its issuer";
    // A token of one organization is not good for another, and no other key is tried.
    assert_eq!(signed_by(json!("other"), 1), unfit);
    assert_eq!(signed_by(json!("choria"), 9), unfit);
    assert_eq!(
        signed_by(json!("nobody"), 1),
        "no issuer is known for the organization \"nobody\" of the token"
    );
    assert_eq!(signed_by(Value::Null, 1), "the token names no organization");
    let nobody = Trust::issuers(BTreeMap::new()).client(&text, now()).unwrap_err();
    assert_eq!(nobody.to_string(), "no issuer and no signer of tokens is trusted");
}

#[test]
fn signers_are_tried_in_turn() {
    let text = sign(&client(), &signing(1)).unwrap();
    let refusal = |keys: Vec<Key>| Trust::signers(keys).client(&text, now()).unwrap_err();
    assert_eq!(refusal(vec![]), Denied::NothingTrusted);
    assert_eq!(refusal(vec![key(8)]), Denied::Signature);
    assert_eq!(
        refusal(vec![key(8), key(9)]).to_string(),
        "the token was not made by any of 2 trusted signers"
    );
    let verified = Trust::signers(vec![key(8), key(1)]).client(&text, now()).unwrap();
    assert_eq!(verified.anchor(), &key(1));
    // What the right signer's token is refused for is told, not that others did not make it.
    let late = time::from_unix(MADE + 4000);
    let denied = Trust::signers(vec![key(8), key(1), key(9)]).client(&text, late).unwrap_err();
    assert_eq!(denied.to_string(), "the token expired at 2023-11-14T23:13:20Z");
}

#[test]
fn times() {
    let at =
        |secs: i64| trust().client(&sign(&client(), &signing(1)).unwrap(), time::from_unix(secs));
    assert_eq!(
        at(MADE - 1).unwrap_err().to_string(),
        "the token is not valid before 2023-11-14T22:13:20Z"
    );
    assert!(at(MADE).is_ok());
    assert!(at(MADE + 3599).is_ok());
    assert_eq!(at(MADE + 3600).unwrap_err(), Denied::Expired { at: MADE + 3600 });
    let mut claims = client();
    (claims.common.expires, claims.common.not_before) = (None, None);
    assert!(trust().client(&sign(&claims, &signing(1)).unwrap(), time::from_unix(0)).is_ok());
    // A token without an end is read, but nobody connects with it.
    assert!(claims.common.is_expired(now()));
    for (own, issuer, expected) in [
        (Some(5), Some(3), Some(3)),
        (Some(3), Some(5), Some(3)),
        (Some(3), None, Some(3)),
        (None, Some(3), Some(3)),
        (None, None, None),
    ] {
        let common = Common { expires: own, issuer_expires: issuer, ..Common::default() };
        assert_eq!(common.effective_expiry(), expected);
    }
}

#[test]
fn holders() {
    let with = |name: &str, value: &str| {
        let mut claims = client_json();
        claims[name] = json!(value);
        trust().client(&eddsa(&claims, 1), now())
    };
    assert_eq!(with("callerid", "").unwrap_err().to_string(), "the token names nobody");
    assert_eq!(with("public_key", "").unwrap().common.holder_key(), Err(Denied::NoPublicKey));
    assert_eq!(with("public_key", "abcd").unwrap().common.holder_key(), Err(Denied::BadPublicKey));
    assert_eq!(client().common.holder_key(), Ok(pair(3).public_key()));
    let mut nameless = server();
    nameless.identity.clear();
    let denied = trust().server(&sign(&nameless, &signing(1)).unwrap(), now()).unwrap_err();
    assert_eq!(denied, Denied::NoHolder);
}

/// Alters one claim of a chained token and signs it again as the chain issuer would.
fn altered(claim: &str, value: Value) -> String {
    let mut claims = serde_json::to_value(chained()).unwrap();
    claims[claim] = value;
    refusal(&eddsa(&claims, 2))
}

#[test]
fn broken_chains() {
    let issuer = chained().common.issuer;
    let broken = |reason: &str| format!("the chain of trust of the token is broken: {reason}");
    let flip = |tcs: &str, at: usize| {
        let mut digits: Vec<u8> = tcs.bytes().collect();
        digits[at] = if digits[at] == b'0' { b'1' } else { b'0' };
        json!(String::from_utf8(digits).unwrap())
    };
    let tcs = format!("{ISSUER_TCS}.{USER_TCS}");
    let other_key = pair(6).public_key();
    for (claim, value, expected) in [
        ("public_key", json!(""), "the claim public_key is missing"),
        ("tcs", json!(""), "the claim tcs is missing"),
        ("jti", json!(""), "the claim jti is missing"),
        ("iat", Value::Null, "the claim iat is missing"),
        ("exp", Value::Null, "the claim exp is missing"),
        ("issexp", Value::Null, "the claim issexp is missing"),
        ("jti", json!("not-a-ksuid"), "the token id is not a KSUID"),
        ("iat", json!(MADE + 1), "the time in the token id is not the time of issue"),
        ("iss", json!("C-"), "the issuer is not an id and a public key"),
        ("iss", json!("C-abc"), "the issuer is not an id and a public key"),
        ("iss", json!(issuer.replace("C-2", "C-.2")), "the issuer is not an id and a public key"),
        ("iss", json!(format!("{issuer}.x")), "the issuer is not an id and a public key"),
        ("iss", json!(format!("{issuer}00")), "the issuer is not an id and a public key"),
        ("iss", json!(issuer.replace("C-2", "C-3")), "the organization did not sign the issuer"),
        (
            "iss",
            json!(format!("C-{}.{other_key}", id(1))),
            "the organization did not sign the issuer",
        ),
        ("tcs", json!(ISSUER_TCS), "the chain signature is not two hexadecimal signatures"),
        (
            "tcs",
            json!(format!("{tcs}.00")),
            "the chain signature is not two hexadecimal signatures",
        ),
        (
            "tcs",
            json!(format!("{ISSUER_TCS}.")),
            "the chain signature is not two hexadecimal signatures",
        ),
        (
            "tcs",
            json!(format!(".{USER_TCS}")),
            "the chain signature is not two hexadecimal signatures",
        ),
        (
            "tcs",
            json!(format!("{ISSUER_TCS}.xyz")),
            "the chain signature is not two hexadecimal signatures",
        ),
        (
            "tcs",
            json!(format!("{USER_TCS}.{USER_TCS}")),
            "the organization did not sign the issuer",
        ),
        (
            "tcs",
            json!(format!("{ISSUER_TCS}.{ISSUER_TCS}")),
            "the issuer did not sign the token id",
        ),
        ("tcs", flip(&tcs, 0), "the organization did not sign the issuer"),
        ("tcs", flip(&tcs, 127), "the organization did not sign the issuer"),
        ("tcs", flip(&tcs, 129), "the issuer did not sign the token id"),
        ("tcs", flip(&tcs, 256), "the issuer did not sign the token id"),
        ("jti", json!(id(3).to_string()), "the issuer did not sign the token id"),
    ] {
        assert_eq!(altered(claim, value.clone()), broken(expected), "{claim} {value}");
    }
    // Another organization's key does not stand behind this chain.
    assert_eq!(altered("ou", json!("other")), broken("the organization did not sign the issuer"));
    // The digits of the key may be upper case: what was signed is their lower-case form.
    let upper = issuer.split_once('.').unwrap().1.to_uppercase();
    let mut claims = serde_json::to_value(chained()).unwrap();
    claims["iss"] = json!(format!("C-{}.{upper}", id(1)));
    assert!(trust().client(&eddsa(&claims, 2), now()).is_ok());
}

#[test]
fn chained_tokens_are_signed_by_their_issuer_and_end_with_it() {
    let unfit = "the signature of the token does not fit its issuer";
    for seed in [1, 3, 9] {
        assert_eq!(refusal(&sign(&chained(), &signing(seed)).unwrap()), unfit, "{seed}");
    }
    assert_eq!(
        altered("issexp", json!(MADE)),
        "the token or its issuer expired at 2023-11-14T22:13:20Z"
    );
    let mut long = client();
    long.common.expires = Some(MADE + 999_999);
    long.common.set_chain_issuer(&chain_issuer().common, &pair(2)).unwrap();
    assert_eq!(long.common.expires, Some(MADE + 86_400));
    let mut node = server();
    node.common.set_chain_issuer(&chain_issuer().common, &pair(2)).unwrap();
    let text = sign(&node, &signing(2)).unwrap();
    assert_eq!(*trust().server(&text, now()).unwrap(), node);
    // Signatures of a chain on what no chain issuer made.
    for issuer in ["I-abc", "somebody"] {
        let mut claims = serde_json::to_value(&node).unwrap();
        claims["iss"] = json!(issuer);
        let denied = trust().server(&eddsa(&claims, 1), now()).unwrap_err();
        assert_eq!(denied.to_string(), "the token was not made by a chain issuer");
    }
}

#[test]
fn chains_are_made_of_what_fits_only() {
    let issuer = chain_issuer().common;
    let mut user = client().common;
    assert_eq!(user.clone().set_chain_issuer(&user, &pair(3)), Err(MakeFault::NotAnIssuer));
    assert_eq!(user.set_chain_issuer(&issuer, &pair(3)), Err(MakeFault::OtherKey));
    let endless = Common { expires: None, ..issuer.clone() };
    let missing = |claim| Err(MakeFault::Missing { claim });
    assert_eq!(user.set_chain_issuer(&endless, &pair(2)), missing("exp"));
    user.public_key.clear();
    assert_eq!(user.set_chain_issuer(&issuer, &pair(2)), missing("public_key"));
    assert_eq!(user.set_organization_issuer(&pair(1)), missing("public_key"));
    assert_eq!(
        issuer.check_chain_issuer(&pair(9).public_key()),
        Err(ChainFault::OtherOrganization)
    );
    let other = Common { id: id(8).to_string(), ..issuer };
    assert_eq!(other.check_chain_issuer(&pair(1).public_key()), Err(ChainFault::IssuerSignature));
    let mut long = client();
    long.opa_policy = "x".repeat(TEXT_BYTES_MAX);
    assert!(matches!(sign(&long, &signing(1)), Err(MakeFault::TooLong { .. })));
}

#[test]
fn delegation() {
    let mut delegator = ClientClaims::new("up=aaa", Some(pair(5).public_key()), id(6), HOUR);
    let signer = |claims: &ClientClaims, seed| sign(claims, &signing(seed)).unwrap();
    let caller = signer(&client(), 1);
    let ask = |caller: &str, signer: &str| trust().delegated(caller, signer, now());
    assert_eq!(
        ask(&caller, &signer(&delegator, 1)).unwrap_err().to_string(),
        "the signer may not sign requests of others"
    );
    delegator.permissions.authentication_delegator = true;
    let good = signer(&delegator, 1);
    let delegated = ask(&caller, &good).unwrap();
    assert_eq!((&*delegated.caller, &*delegated.signer), (&client(), &delegator));
    assert!(ask(&signer(&chained(), 2), &good).is_ok());
    assert_eq!(ask(&signer(&client(), 9), &good).unwrap_err(), Denied::Signature);
    assert_eq!(ask(&caller, &signer(&delegator, 9)).unwrap_err(), Denied::Signature);
    let mut foreign = client();
    foreign.organization = "other".to_owned();
    assert_eq!(
        ask(&signer(&foreign, 1), &good).unwrap_err().to_string(),
        "the signer belongs to \"choria\", the caller to \"other\""
    );
    let node = sign(&server(), &signing(1)).unwrap();
    for (caller, signer) in [(&node, &good), (&caller, &node)] {
        assert!(matches!(ask(caller, signer).unwrap_err(), Denied::Purpose { .. }));
    }
}

#[test]
fn revocation() {
    let key = pair(3).public_key();
    let (direct, chained) = (client(), chained());
    let (direct, chained) =
        (sign(&direct, &signing(1)).unwrap(), sign(&chained, &signing(2)).unwrap());
    for (list, of_direct, of_chained) in [
        ("", None, None),
        ("# nothing\n\n", None, None),
        (
            "2YBXZHtzBAr2gPJKy8UTd6CETFS # alice left",
            Some("2YBXZHtzBAr2gPJKy8UTd6CETFS"),
            Some("2YBXZHtzBAr2gPJKy8UTd6CETFS"),
        ),
        (&key.to_string().to_uppercase(), Some(&*key.to_string()), Some(&*key.to_string())),
        ("other\n2YBXZHs5jCkPh7Cbnk8e3AMAlJR", None, Some("2YBXZHs5jCkPh7Cbnk8e3AMAlJR")),
        (&pair(2).public_key().to_string(), None, Some(&*pair(2).public_key().to_string())),
    ] {
        let trust = trust().with_revoked(Arc::new(Revoked::parse(list).unwrap()));
        for (text, entry) in [(&direct, of_direct), (&chained, of_chained)] {
            let expected = entry.map(|entry| format!("the token is revoked by {entry}"));
            let refusal = trust.client(text, now()).err().map(|denied| denied.to_string());
            assert_eq!(refusal, expected, "{list}");
        }
    }
    for (list, line) in [("a b", 1), ("ok\n\"x\"", 2), (&"a".repeat(129), 1)] {
        assert_eq!(Revoked::parse(list), Err(RevokedFault { line }));
    }
}

#[test]
fn key_files() {
    let hex = pair(1).public_key().to_string();
    assert_eq!(Key::from_file_contents(format!("{hex}\n").as_bytes()), Ok(key(1)));
    let seed = pair(1).seed_hex();
    let read = |text: &str| SigningKey::from_file_contents(text.as_bytes());
    assert_eq!(read(&format!("{seed}\n")).unwrap().public(), key(1));
    for text in [
        "",
        "abc",
        &seed[1..],
        "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----",
    ] {
        assert!(read(text).is_err(), "{text}");
        assert!(Key::from_file_contents(text.as_bytes()).is_err(), "{text}");
    }
    assert!(Key::from_file_contents(b"\xff\xfe").is_err());
    assert!(!format!("{:?}", signing(1)).contains(&seed));
}
