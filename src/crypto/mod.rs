//! The only direct user of ring and rsa: hashes, signatures, random numbers, certificates.
//!
//! Everything here takes bytes and gives bytes; policy (which names, which keys are good enough for
//! which use) is decided in [`crate::security`].

pub mod crl;
pub mod csr;
mod der;
pub mod ed25519;
pub mod hash;
pub mod issue;
pub mod key;
pub mod ksuid;
pub mod mac;
mod pem;
pub mod random;
pub mod rsa;
pub mod signed;
pub mod x509;
