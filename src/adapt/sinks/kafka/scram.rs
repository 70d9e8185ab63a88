//! The client's side of SCRAM (RFC 5802, RFC 7677), without channel binding.
//!
//! Passwords are taken as they are: those outside ASCII must be stored at the broker in the same form.

use std::num::NonZeroU32;

use data_encoding::BASE64;

use crate::crypto::mac::{self, Hash};

/// What the nonce of this side is made of.
const NONCE_BYTES: usize = 24;
/// Fewer iterations make stolen hashes too cheap to search (RFC 7677 section 4).
const ITERATIONS_MIN: u32 = 4096;
/// More would let a broker keep this process busy for minutes.
const ITERATIONS_MAX: u32 = 1_000_000;

/// An exchange that has begun.
#[derive(Debug)]
pub(super) struct Scram {
    hash: Hash,
    nonce: String,
    first_bare: String,
}

/// An exchange after the first word of the broker: what must come next from it.
#[derive(Debug)]
pub(super) struct Expected {
    hash: Hash,
    server_key: Vec<u8>,
    transcript: String,
}

impl Scram {
    /// Begins; also gives the first message.
    pub(super) fn begin(hash: Hash, user: &str) -> (Self, Vec<u8>) {
        let mut nonce = [0; NONCE_BYTES];
        crate::crypto::random::fill(&mut nonce);
        Self::begin_with(hash, user, BASE64.encode(&nonce))
    }

    fn begin_with(hash: Hash, user: &str, nonce: String) -> (Self, Vec<u8>) {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={user},r={nonce}");
        let message = format!("n,,{first_bare}").into_bytes();
        (Self { hash, nonce, first_bare }, message)
    }

    /// Answers the broker's first message. Takes a while.
    ///
    /// # Errors
    /// What is wrong with the message.
    pub(super) fn answer(
        self,
        first: &[u8],
        password: &str,
    ) -> Result<(Expected, Vec<u8>), String> {
        let first = std::str::from_utf8(first).map_err(|_| "the challenge is not text")?;
        if let Some(reason) = field(first, 'e') {
            return Err(shown(reason));
        }
        let missing = |what: &str| format!("the challenge has no {what}");
        let nonce = field(first, 'r').ok_or_else(|| missing("nonce"))?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err("the nonce of the challenge does not go on from ours".to_owned());
        }
        let salt = field(first, 's').ok_or_else(|| missing("salt"))?;
        let salt = BASE64.decode(salt.as_bytes()).map_err(|_| "the salt is not base64")?;
        let iterations = field(first, 'i').ok_or_else(|| missing("count of iterations"))?;
        let iterations = iterations
            .parse()
            .ok()
            .filter(|count| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(count))
            .and_then(NonZeroU32::new)
            .ok_or_else(|| {
                format!(
                    "{} iterations: {ITERATIONS_MIN} to {ITERATIONS_MAX} are taken",
                    shown(iterations)
                )
            })?;

        let salted = mac::stretch(self.hash, password.as_bytes(), &salt, iterations);
        let client_key = mac::mac(self.hash, &salted, b"Client Key");
        let stored_key = mac::digest(self.hash, &client_key);
        // biws is the base64 of "n,,": no channel binding.
        let without_proof = format!("c=biws,r={nonce}");
        let transcript = format!("{},{first},{without_proof}", self.first_bare);
        let signature = mac::mac(self.hash, &stored_key, transcript.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let message = format!("{without_proof},p={}", BASE64.encode(&proof)).into_bytes();
        let server_key = mac::mac(self.hash, &salted, b"Server Key");
        Ok((Expected { hash: self.hash, server_key, transcript }, message))
    }
}

impl Expected {
    /// Verifies that the broker knows the password too.
    ///
    /// # Errors
    /// Why it is not believed.
    pub(super) fn verify(&self, last: &[u8]) -> Result<(), String> {
        let last = std::str::from_utf8(last).map_err(|_| "the broker's proof is not text")?;
        if let Some(reason) = field(last, 'e') {
            return Err(shown(reason));
        }
        let proof =
            field(last, 'v').ok_or("the broker gives no proof that it knows the password")?;
        let proof =
            BASE64.decode(proof.as_bytes()).map_err(|_| "the broker's proof is not base64")?;
        if mac::is_mac(self.hash, &self.server_key, self.transcript.as_bytes(), &proof) {
            Ok(())
        } else {
            Err("the broker does not know the password".to_owned())
        }
    }
}

/// The value of the field of that letter.
fn field(message: &str, letter: char) -> Option<&str> {
    message.split(',').find_map(|part| part.strip_prefix(letter)?.strip_prefix('='))
}

/// A text of the peer as part of a message.
fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    crate::util::text::brief(text, CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn begun() -> Scram {
        Scram::begin_with(Hash::Sha256, "user", NONCE.to_owned()).0
    }

    /// The example of RFC 7677 section 3.
    #[test]
    fn the_published_exchange() {
        let (scram, message) = Scram::begin_with(Hash::Sha256, "user", NONCE.to_owned());
        assert_eq!(message, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (expected, message) = scram.answer(FIRST.as_bytes(), "pencil").unwrap();
        assert_eq!(
            String::from_utf8(message).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(expected.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
        for (last, reason) in [
            (&b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="[..], "base64"),
            (b"v=AAAA", "does not know the password"),
            (b"e=invalid-proof", "invalid-proof"),
            (b"", "no proof"),
            (b"v=\xff", "not text"),
        ] {
            let error = expected.verify(last).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn names_are_escaped() {
        let (_, message) = Scram::begin_with(Hash::Sha512, "a=b,c", "x".to_owned());
        assert_eq!(message, b"n,,n=a=3Db=2Cc,r=x");
    }

    #[test]
    fn bad_challenges_are_refused() {
        for (first, reason) in [
            ("", "no nonce"),
            ("r=other,s=AAAA,i=4096", "does not go on"),
            ("r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096", "does not go on"),
            ("r=rOprNGfwEbeRWgbNEkqOx,i=4096", "no salt"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096", "base64"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA", "no count"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=1", "1 iterations"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4000000000", "4000000000 iterations"),
            ("e=unknown-user", "unknown-user"),
        ] {
            let error = begun().answer(first.as_bytes(), "p").unwrap_err();
            assert!(error.contains(reason), "{first}: {error}");
        }
        assert!(begun().answer(b"\xff", "p").is_err());
    }
}
