//! Who signs requests in the place of this process.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// A service that signs requests for callers whose tokens demand it, or who have no key that servers trust.
///
/// What comes back is checked and completed by [`super::Provider::sign_with`]: in v1 it is used as it is, in v2 it must
/// name its signer and gets the own token as that of the caller. The service may change the request, so nothing of
/// it is ever encoded again.
pub trait RemoteSigner: Send + Sync + fmt::Debug {
    /// The encoded secure request for the text of a request.
    fn sign<'a>(&'a self, request: &'a [u8]) -> Signing<'a>;
}

/// What [`RemoteSigner::sign`] gives: the secure request as JSON, or why there is none.
pub type Signing<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, Refused>> + Send + 'a>>;

/// Why a remote signer gave no secure request. The text is what a person reads; it never holds a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}
