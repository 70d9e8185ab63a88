//! Who may say what: providers, request signing and verification, replay.
//!
//! [`Provider`] holds the files of one identity and does everything that needs them: it signs requests,
//! verifies those of others, seals and opens replies, and makes the TLS settings. Callers are proven by certificates
//! (`x509`, protocol v1) or by tokens (`token`, protocol v2), never by both. It takes settings
//! that were already resolved and never looks at the configuration or the environment.
//! Whatever is in doubt is refused, with a reason in [`Denied`].

mod authority;
mod caller;
mod chain_fault;
mod denied;
mod doubt;
mod fresh;
mod login;
mod own;
mod provider;
pub mod replay;
mod revocation;
mod settings;
mod setup;
mod signer;
pub mod tls;
mod token;
mod whose;
mod x509;

pub use authority::Authority;
pub use denied::{Denied, ReplayLimit};
pub use doubt::{Doubt, Use};
pub use login::{Greeting, Holder, LoginError, TokenFiles, TokenKeys};
pub use provider::{Provider, SignError, Verified};
pub use replay::ReplayCache;
pub use settings::{Kind, Settings};
pub use setup::{Problem, SetupError, What};
pub use signer::{Refused, RemoteSigner, Signing};

#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;
