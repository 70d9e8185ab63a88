use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::login::{question, session};
use super::{Account, Credentials};
use crate::crypto::ed25519::{KeyPair, PublicKey};
use crate::crypto::ksuid::Ksuid;
use crate::tokens::{ClientClaims, ServerClaims, SigningKey, sign};
use crate::util::secret::Secret;
use crate::util::time;

const MADE: i64 = 1_700_000_000;

fn now() -> SystemTime {
    time::from_unix(MADE)
}

fn id() -> Ksuid {
    Ksuid::from_parts(MADE, [1; 16]).unwrap()
}

fn token(key: Option<PublicKey>, validity: u64) -> String {
    let claims = ClientClaims::new("up=alice", key, id(), Duration::from_secs(validity));
    sign(&claims, &SigningKey::Ed25519(KeyPair::from_seed([1; 32]))).unwrap()
}

fn node_token() -> String {
    let hour = Duration::from_secs(3600);
    let claims = ServerClaims::new("n1", KeyPair::from_seed([2; 32]).public_key(), id(), hour);
    sign(&claims, &SigningKey::Ed25519(KeyPair::from_seed([1; 32]))).unwrap()
}

#[test]
fn a_login_is_signed_as_published() {
    let account =
        Account { username: "alice".to_owned(), password: Secret::new("secret".to_owned()) };
    let key = KeyPair::from_seed([2; 32]);
    let body: Value = serde_json::from_slice(&question(&account, &key, now())).unwrap();
    assert_eq!(
        body["signature"],
        "f72cd7f6bf5c86bd499c9388fa49452653c2274fdb87784dce0c24eb30bc15e0\
         b9ec83c204ed5ecdfae81e42d4e829c66c52dbb194015aa7cae7674561882b04"
    );
    assert_eq!((&body["timestamp"], &body["username"]), (&"1700000000".into(), &"alice".into()));
    assert_eq!(body["public_key"], key.public_key().to_string());
    assert!(!format!("{account:?}").contains("secret"));
}

#[test]
fn tokens_that_cannot_be_used_are_not_taken() {
    let pair = || KeyPair::from_seed([2; 32]);
    let public = Some(pair().public_key());
    let good = session(token(public, 60), pair(), now()).unwrap();
    assert_eq!((good.caller.as_str(), good.expires), ("up=alice", Some(MADE + 60)));
    for (token, reason) in [
        ("x".to_owned(), "the token has 1 parts instead of 3"),
        (node_token(), "it is not the token of a client"),
        (token(public, 0), "it has expired already"),
        (token(None, 60), "the token has no public key"),
        (token(Some(KeyPair::from_seed([3; 32]).public_key()), 60), "it is for another key"),
    ] {
        let error = session(token, pair(), now()).unwrap_err().to_string();
        let expected = format!("the token from the login service cannot be used: {reason}");
        assert_eq!(error, expected);
    }
}

#[test]
fn what_is_shown_to_the_signer_is_checked_first() {
    let folder = std::env::temp_dir().join(format!("choria-signing-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let prove = |token: &str, seed: &str| {
        let path = |name: &str, text: &str| -> PathBuf {
            std::fs::write(folder.join(name), text).unwrap();
            folder.join(name)
        };
        let credentials = Credentials::new(path("t.jwt", token), path("t.key", seed));
        let proof = smol::block_on(credentials.prove(b"request", now()));
        proof.map_err(|refused| refused.0.replace(&format!("{}/", folder.display()), ""))
    };
    let pair = KeyPair::from_seed([2; 32]);
    let (seed, public) = (pair.seed_hex(), Some(pair.public_key()));
    for token in [token(public, 60), format!("{}\n", token(public, 4000)), token(None, 60)] {
        let proof = prove(&token, &seed).unwrap();
        assert_eq!(proof.token.expose(), token.trim());
        assert_eq!(proof.signature, pair.sign_hex(b"request"));
    }
    for (token, seed, reason) in [
        (
            token(public, 60),
            "zz",
            "t.key cannot be used: not an ed25519 seed of 64 hexadecimal digits",
        ),
        ("a.b".to_owned(), &seed, "t.jwt cannot be used: the token has 2 parts instead of 3"),
        (node_token(), &seed, "t.jwt cannot be used: it is not the token of a client"),
        (
            token(public, 0),
            &seed,
            "t.jwt cannot be used: it expired at 2023-11-14T22:13:20Z; log in again",
        ),
        (
            token(Some(KeyPair::from_seed([3; 32]).public_key()), 60),
            &seed,
            "t.key cannot be used: it does not belong to the token",
        ),
    ] {
        assert_eq!(prove(&token, seed).unwrap_err(), reason);
    }
    let missing = Credentials::new(folder.join("none"), folder.join("none"));
    let refused = smol::block_on(missing.prove(b"", now())).unwrap_err();
    assert!(refused.0.starts_with("cannot read the token "), "{refused}");
    std::fs::remove_dir_all(&folder).unwrap();
}
