//! Connections that come for a certificate.

use super::*;
use crate::broker::access::Enrollment;
use crate::ca::join::Claims;
use crate::crypto::ed25519::KeyPair;
use crate::tokens::{SigningKey, sign};
use crate::util::time::from_unix;
use std::time::Duration;

fn access(pair: &KeyPair) -> Access {
    let enrollment = Enrollment { account: "A".to_owned(), key: pair.public_key() };
    Access { enrollment: Some(enrollment), ..choria() }
}

fn token(pair: KeyPair, change: fn(&mut Claims)) -> String {
    let mut claims = Claims::new(vec!["n1".to_owned()], from_unix(MADE), Duration::from_secs(600));
    claims.fingerprint = "0".repeat(64);
    claims.id = "0123456789abcdef0123456789abcdef".to_owned();
    change(&mut claims);
    sign(&claims, &SigningKey::Ed25519(pair)).expect("token")
}

fn pair() -> KeyPair {
    KeyPair::from_seed([7; 32])
}

#[test]
fn a_join_token_reaches_one_subject_and_its_answers() {
    let gate = gate(&access(&pair()), true);
    let text = token(pair(), |_| {});
    let attempt = Attempt { token: &text, ..attempt(Anonymous, "enrollment", "") };
    let entry = gate.admit(&attempt).expect("admitted");
    assert_eq!((entry.account, entry.via.user()), (3, Some("enrollment")));
    assert_eq!(entry.via.expires_ms(), Some(31_000));
    assert_eq!(entry.via.subscriptions_max(), Some(4));
    let mut memo = Default::default();
    let reply = "choria.ca.reply.0123456789abcdef0123456789abcdef";
    for (subject, publish, subscribe) in [
        ("choria.ca.enroll", true, false),
        ("choria.ca.renew", false, false),
        (&format!("{reply}.a.b"), false, true),
        (reply, false, false),
        ("choria.ca.reply.>", false, false),
        ("$SYS.REQ.USER.INFO", false, false),
        (">", false, false),
    ] {
        let subject = subject.as_bytes();
        let may = entry.permissions.publish(subject, None, &mut memo).is_ok();
        assert_eq!(may, publish, "{subject:?}");
        assert_eq!(entry.permissions.subscribe(subject, None).is_ok(), subscribe, "{subject:?}");
    }
    // It may stay when settings change, unless the authority is another one.
    assert!(matches!(gate.readmit(&entry.via, &attempt), Ok(Some(_))));
    let other = super::gate(&access(&KeyPair::from_seed([8; 32])), true);
    assert_eq!(
        other.readmit(&entry.via, &attempt).map(|_| ()).map_err(|refusal| refusal.to_string()),
        Err("nobody issues certificates here".to_owned())
    );
}

#[test]
fn join_tokens_that_open_nothing() {
    let gate = gate(&access(&pair()), true);
    let good = token(pair(), |_| {});
    let cases = [
        (Off, good.clone(), "refused: no TLS"),
        (Anonymous, String::new(), "refused: join token: the token is empty"),
        (
            Anonymous,
            token(KeyPair::from_seed([9; 32]), |_| {}),
            "refused: join token: the signature of the token does not fit its issuer",
        ),
        (
            Anonymous,
            token(pair(), |claims| claims.expires = MADE + 60),
            "refused: join token: the token expired at 2023-11-14T22:14:20Z",
        ),
        (
            Anonymous,
            token(pair(), |claims| claims.purpose = "choria_server".to_owned()),
            "refused: join token: it is not a join token",
        ),
        (
            Anonymous,
            token(pair(), |claims| claims.id = "a.>".to_owned()),
            "refused: join token: its claim jti cannot be used",
        ),
        (Anonymous, good.clone(), "A limited enrollment"),
        (Verified, good, "A limited enrollment"),
    ];
    for (tls, token, expected) in cases {
        let attempt = Attempt { token: &token, ..attempt(tls, "enrollment", "") };
        assert_eq!(shown(gate.admit(&attempt)), expected, "{tls:?} {token}");
    }
    // Where there is no authority the name means nothing.
    let none = super::gate(&choria(), true);
    assert!(none.admit(&attempt(Anonymous, "enrollment", "")).is_err());
}

#[test]
fn only_so_many_come_at_once() {
    let gate = gate(&access(&pair()), true);
    let text = token(pair(), |_| {});
    let attempt = Attempt { token: &text, ..attempt(Anonymous, "enrollment", "") };
    let mut inside: Vec<Entry> = (0..64).map(|_| gate.admit(&attempt).expect("room")).collect();
    assert_eq!(shown(gate.admit(&attempt)), "refused: too many connections come for a certificate");
    inside.pop();
    assert!(gate.admit(&attempt).is_ok());
}

#[test]
fn a_reload_forgets_nobody_who_is_inside() {
    let first = gate(&access(&pair()), true);
    let text = token(pair(), |_| {});
    let attempt = Attempt { token: &text, ..attempt(Anonymous, "enrollment", "") };
    let mut inside: Vec<Entry> = (0..63).map(|_| first.admit(&attempt).expect("room")).collect();
    let second = gate(&access(&pair()), true).after(&first);
    drop(first);
    inside.push(second.admit(&attempt).expect("room"));
    assert_eq!(
        shown(second.admit(&attempt)),
        "refused: too many connections come for a certificate"
    );
    inside.remove(0);
    assert!(second.admit(&attempt).is_ok());
}
