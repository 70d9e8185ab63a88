//! Tokens: who a connection or a request comes from, signed by an organization.
//!
//! A token is a compact JWS (three parts of base64url) with the claims of a client, a server or a node that wants to be
//! provisioned. [`Unverified`] is what anybody may have sent; only [`Trust`] and the `verify_` functions turn it into a
//! [`Verified`], and nothing else makes one. Every refusal is one [`Denied`] with a text of its own.
//!
//! Nothing here reads a file or a clock: contents and the time are arguments. Start reading at [`Trust`].
//! Spec: Choria wire protocol, tokens; RFC 7515, RFC 7519.

mod chain;
mod claims;
mod denied;
mod jws;
mod key;
mod make;
mod revoked;
mod trust;
mod verify;

#[cfg(test)]
mod tests;

pub use chain::ChainFault;
pub use claims::{
    Claims, ClientClaims, ClientPermissions, Common, ProvisioningClaims, Purpose, ServerClaims,
    ServerPermissions,
};
pub use denied::Denied;
pub use jws::{Algorithm, Fault, Part, Unverified};
pub use key::{Key, KeyFault, SigningKey};
pub use make::{MakeFault, sign};
pub use revoked::{Revoked, RevokedFault};
pub use trust::{Delegated, Trust};
pub use verify::{
    Verified, verify_client, verify_provisioning, verify_server, verify_signature_and_times,
};

/// Bytes a token may have at most, the same as the line with which a connection is opened may have.
pub const TEXT_BYTES_MAX: usize = 32 * 1024;
/// The organization that is meant where none is named.
pub const ORGANIZATION_DEFAULT: &str = "choria";
/// Start of the issuer claim of a token that an organization made for a chain issuer.
pub const ORGANIZATION_ISSUER_PREFIX: &str = "I-";
/// Start of the issuer claim of a token that a chain issuer made.
pub const CHAIN_ISSUER_PREFIX: &str = "C-";
