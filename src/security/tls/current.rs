//! The certificate that is shown to others, which may be exchanged for its successor while connections are up.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

/// The own certificate with its key.
#[derive(Debug)]
pub(in crate::security) struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    pub(in crate::security) fn new(own: Arc<CertifiedKey>) -> Current {
        Current(RwLock::new(own))
    }

    pub(in crate::security) fn get(&self) -> Arc<CertifiedKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// New connections show this one.
    pub(in crate::security) fn replace(&self, own: Arc<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = own;
    }
}

impl ResolvesClientCert for Current {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let own = self.get();
        own.key.choose_scheme(sigschemes).map(|_| own)
    }

    fn has_certs(&self) -> bool {
        true
    }
}
