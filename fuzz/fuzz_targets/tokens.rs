//! Tokens as they come from the network, key files and the list of revoked tokens.
//!
//! The signature of a random text never fits, so claims are signed here too: behind a good signature lie the chain of
//! trust, times and organizations.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use choria::crypto::ed25519::KeyPair;
use choria::tokens::{Key, Revoked, SigningKey, Trust, Unverified, sign};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let (organization, issuer) = (KeyPair::from_seed([1; 32]), KeyPair::from_seed([2; 32]));
    let key = Key::Ed25519(organization.public_key());
    let mut trust = Trust::issuers(BTreeMap::from([("choria".to_owned(), key)]));
    let _ = Key::from_file_contents(text.as_bytes());
    let _ = SigningKey::from_file_contents(text.as_bytes());
    if let Ok(revoked) = Revoked::parse(text) {
        trust = trust.with_revoked(Arc::new(revoked));
    }
    let mut tokens = vec![text.to_owned()];
    if let Ok(claims) = serde_json::from_str::<serde_json::Value>(text) {
        for pair in [organization, issuer] {
            tokens.extend(sign(&claims, &SigningKey::Ed25519(pair)));
        }
    }
    for token in &tokens {
        if let Ok(token) = Unverified::parse(token) {
            let _ = token.common().effective_expiry();
            let _ = token.common().is_expired(now);
            let _ = token.common().holder_key();
        }
        let (client, server) = (trust.client(token, now), trust.server(token, now));
        assert!(client.is_err() || server.is_err(), "one purpose only");
        if let Ok(client) = client {
            assert!(!client.caller.is_empty() && client.organization == "choria");
            assert!(trust.delegated(token, token, now).is_ok() == client.permissions.authentication_delegator);
        }
        let _ = trust.provisioning(token, now).map_err(|denied| denied.to_string());
    }
});
