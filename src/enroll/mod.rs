//! Getting a certificate from an authority elsewhere.
//!
//! [`join`] gets one through a broker with a join token, [`renewal`] keeps it fresh through the connection of a
//! server. [`puppet`] asks a Puppet CA, [`certmanager`] asks cert-manager in Kubernetes; what these two have in
//! common is in [`material`], which makes (or finds) private key and request, and installs a certificate only
//! when it fits both: what was begun is gone on with after an interruption. Private keys never leave the machine.

pub mod certmanager;
mod error;
mod files;
pub mod fingerprint;
pub mod join;
pub mod material;
pub mod puppet;
pub mod renewal;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use fingerprint::Fingerprint;
pub use material::{Enrolled, Paths};
