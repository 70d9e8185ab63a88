//! The text that a connection signs to prove that it holds the key of its token (protocol notes, NATS connection
//! authentication; nats-server `server/nkey.go`).

use std::fmt;

use data_encoding::BASE64URL_NOPAD;

use super::refusal::Unproven;
use crate::crypto::ed25519::PublicKey;
use crate::crypto::hash::sha256;
use crate::crypto::random;

/// Bytes of a nonce before they are made text of 15 characters.
const NONCE_BYTES: usize = 11;

/// The nonces of all connections. They are derived from a secret of this start, so that an idle connection keeps none.
pub(in crate::broker) struct Nonces {
    secret: [u8; 32],
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces")
    }
}

impl Nonces {
    /// Nonces that nobody can foretell.
    pub fn new() -> Nonces {
        let mut secret = [0; 32];
        random::fill(&mut secret);
        Nonces { secret }
    }

    /// The nonce of a connection. Numbers of connections are not used again.
    pub fn of(&self, client_id: u64) -> String {
        let mut text = [0; 40];
        let (secret, number) = text.split_at_mut(32);
        secret.copy_from_slice(&self.secret);
        number.copy_from_slice(&client_id.to_le_bytes());
        let digest = sha256(&text);
        BASE64URL_NOPAD.encode(digest.get(..NONCE_BYTES).unwrap_or(&digest))
    }
}

/// Checks that the holder of a key has signed the text of the nonce.
pub(super) fn verify(nonce: &str, signature: &str, key: &PublicKey) -> Result<(), Unproven> {
    if signature.is_empty() {
        return Err(Unproven::NoSignature);
    }
    if nonce.is_empty() {
        return Err(Unproven::NoNonce);
    }
    let signature =
        BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| Unproven::NotBase64)?;
    key.verify(nonce.as_bytes(), &signature).map_err(|_| Unproven::WrongSignature)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signature of the notes: seed 00 to 1f, this nonce.
    const NONCE: &str = "PXoWU7zWAMt75FY";
    const KEY: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
    const SIGNATURE: &str =
        "bnxg5G8aOV2LQdSE_lcM9clxm_fbTTZxsqQ1EpTNgJXmH6z5ezesd49kXfuNhoAqw_DmEtsGcNsJdug9wMuRDQ";

    #[test]
    fn nonces_are_those_of_their_connections() {
        let nonces = Nonces::new();
        assert_eq!(nonces.of(1), nonces.of(1));
        assert_ne!(nonces.of(1), nonces.of(2));
        assert_ne!(nonces.of(1), Nonces::new().of(1));
        assert_eq!(nonces.of(1).len(), 15);
    }

    #[test]
    fn signatures_over_a_nonce() {
        let padded = format!("{SIGNATURE}==");
        let standard = SIGNATURE.replace('_', "/").replace('-', "+");
        for (nonce, signature, expected) in [
            (NONCE, SIGNATURE, Ok(())),
            (NONCE, "", Err(Unproven::NoSignature)),
            ("", SIGNATURE, Err(Unproven::NoNonce)),
            (NONCE, &*padded, Err(Unproven::NotBase64)),
            (NONCE, &*standard, Err(Unproven::NotBase64)),
            (NONCE, "bnxg", Err(Unproven::WrongSignature)),
            ("PXoWU7zWAMt75FZ", SIGNATURE, Err(Unproven::WrongSignature)),
        ] {
            let key = PublicKey::from_hex(KEY).unwrap();
            assert_eq!(verify(nonce, signature, &key), expected, "{nonce} {signature}");
        }
    }
}
